package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// inScript matches zkboot in a script, behind what may stand before it.
var inScript = regexp.MustCompile(`(?m)zkboot (lab [a-z].*?)(?:[)]"?)?$`)

// What CI systems are told to run is a script, and its commands exist.
func TestCIScripts(t *testing.T) {
	program := filepath.Join(t.TempDir(), "zkboot")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/zkboot").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	guide := read(t, "guides/ci.md")
	for _, tt := range []struct {
		file  string
		pages []string
		want  int // calls of zkboot lab
	}{
		{"../action.yml", []string{read(t, "../action.yml")}, 2}, // up, env
		{"guides/ci.md for GitHub", blocks(guide, "github"), 1},  // down
		{"guides/ci.md for GitLab", blocks(guide, "gitlab"), 3},  // up, env, down
	} {
		file, commands := tt.file, 0
		for _, script := range scriptsOf(t, file, tt.pages) {
			if out, err := exec.CommandContext(t.Context(), "sh", "-n", "-c", script).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s\n%s", file, err, out, script)
			}
			for _, m := range inScript.FindAllStringSubmatch(script, -1) {
				commands++
				if err := understood(t, program, strings.Fields(m[1])); err != nil {
					t.Errorf("%s: zkboot %s: %v", file, m[1], err)
				}
			}
		}
		if commands != tt.want {
			t.Errorf("%s runs zkboot lab %d times, want %d: its form has changed", file, commands, tt.want)
		}
	}
}

// scriptsOf returns the scripts of YAML documents.
func scriptsOf(t *testing.T, file string, pages []string) []string {
	t.Helper()
	var out []string
	for _, page := range pages {
		var doc any
		if err := yaml.Unmarshal([]byte(page), &doc); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, page)
		}
		out = append(out, scriptsIn(doc)...)
	}
	return out
}

// scriptsIn returns what stands under run, script and after_script.
func scriptsIn(node any) []string {
	var out []string
	switch n := node.(type) {
	case map[string]any:
		for _, key := range sortedKeys(n) {
			switch v := n[key].(type) {
			case string:
				if key == "run" {
					out = append(out, v)
				}
			case []any:
				if key == "script" || key == "after_script" {
					out = append(out, lines(v))
					continue
				}
				out = append(out, scriptsIn(v)...)
			default:
				out = append(out, scriptsIn(v)...)
			}
		}
	case []any:
		for _, v := range n {
			out = append(out, scriptsIn(v)...)
		}
	}
	return out
}

func lines(list []any) string {
	var b strings.Builder
	for _, v := range list {
		if s, ok := v.(string); ok {
			b.WriteString(s + "\n")
		}
	}
	return b.String()
}

func sortedKeys(m map[string]any) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
