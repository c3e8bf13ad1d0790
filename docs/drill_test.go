package docs

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap/drill"
)

//go:generate go test . -run ^TestFaultsAreListed$ -update

// TestFaultsAreListed keeps the table of drill.md what the program does.
func TestFaultsAreListed(t *testing.T) {
	const file = "guides/drill.md"
	page := pages(t)[file]
	want := replace(t, page, "faults", faultsTable())
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if page != want {
		t.Errorf("%s is not what drill.Faults says: run go generate ./docs", file)
	}
}

// faultsTable has the bounds of an ensemble with the ticks that ZooKeeper's own sample has,
// in a drill of 30 seconds.
func faultsTable() string {
	timing := drill.Timing{Join: 20 * time.Second, Sync: 10 * time.Second}
	var b strings.Builder
	b.WriteString("| `--fault` | what it does | what is expected | stall at most | hosts |\n|---|---|---|---|---|\n")
	for _, f := range drill.Faults() {
		lasts, hosts := time.Duration(0), "lab"
		if f.Lasts {
			lasts = 15 * time.Second
		}
		if f.Safe() {
			hosts = "any, after asking"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %.0f s | %s |\n", f.Name, f.Does, f.Expect, f.Gap(timing, lasts).Seconds(), hosts)
	}
	return b.String()
}
