package verify

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares got with testdata/name, or rewrites it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run go test -update once)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), rewrite it with -update if that is meant:\n%s", file, diff)
	}
}

// find returns the check with the id; there must be exactly one.
func find(t *testing.T, checks []Check, id string) Check {
	t.Helper()
	var found []Check
	for _, c := range checks {
		if c.ID == id {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d checks %s, want 1", len(found), id)
	}
	return found[0]
}

func profile(t *testing.T, name string) Thresholds {
	t.Helper()
	p, ok := Profile(name)
	if !ok {
		t.Fatalf("no profile %q", name)
	}
	return p
}

func ptr[T any](v T) *T { return &v }
