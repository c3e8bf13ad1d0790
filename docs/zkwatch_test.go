package docs

import (
	"errors"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/watcher/config"
)

// Every yml block is a whole configuration of zkwatch. Those of zkboot are yaml blocks.
func TestWatcherConfigurationsLoad(t *testing.T) {
	found := 0
	for file, page := range pages(t) {
		for _, block := range blocks(page, "yml") {
			found++
			if _, err := config.Load(file, []byte(block)); err != nil {
				t.Errorf("%s:\n%s\n%v", file, block, err)
			}
		}
	}
	if found == 0 {
		t.Error("no yml block anywhere: the fences have changed")
	}
}

// watcherCommand matches zkwatch on a line of its own, in running text, and in a unit.
var watcherCommand = regexp.MustCompile("(?m)(?:^\\$ |`|^Exec[A-Za-z]+=[^ ]*/)zkwatch ([a-z][^`\n]*)")

// Commands of zkwatch that are shown exist, with the flags they are shown with.
func TestWatcherCommandsExist(t *testing.T) {
	program := filepath.Join(t.TempDir(), "zkwatch")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/zkwatch").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	shown := map[string]string{}
	for file, page := range pages(t) {
		for _, m := range watcherCommand.FindAllStringSubmatch(page, -1) {
			shown[strings.NewReplacer("[", "", "]", "").Replace(m[1])] = file
		}
	}
	if len(shown) < 10 {
		t.Fatalf("only %d commands are shown: the pattern has changed", len(shown))
	}
	for line, file := range shown {
		words := strings.Fields(line)
		help, err := exec.CommandContext(t.Context(), program, words[0], "--help").CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) || !strings.Contains(string(help), "zkwatch "+words[0]) {
			t.Errorf("%s: zkwatch %s: no such command:\n%s", file, line, help)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for _, w := range words[1:] {
			if strings.HasPrefix(w, "--") && !strings.Contains(string(help), w) {
				t.Errorf("%s: zkwatch %s: no flag %s in:\n%s", file, line, w, help)
			}
		}
	}
}

// TestEveryWatcherKeyIsDescribed compares the table of zkwatch.md with the fields of Config.
func TestEveryWatcherKeyIsDescribed(t *testing.T) {
	const file = "guides/zkwatch.md"
	var described []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_0-9.*]+)` \\|[^|]*\\|[^|]*\\|$").FindAllStringSubmatch(pages(t)[file], -1) {
		described = append(described, m[1])
	}
	var k keys
	k.walk("", reflect.TypeFor[config.Config]())
	for _, key := range k.leaves {
		if !slices.Contains(described, key) {
			t.Errorf("%s does not describe %s", file, key)
		}
	}
	for _, key := range described {
		if !slices.Contains(k.leaves, key) && !slices.Contains([]string{"known", "being applied", "empty", "held", "unknown"}, key) {
			t.Errorf("%s describes %s, which Config does not have", file, key)
		}
	}
}
