package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

//go:generate go test . -run ^TestModulesSayWhatTheyTakeAndGive$ -update

var (
	hclBlock    = regexp.MustCompile(`(?ms)^(variable|output) "([^"]+)" \{\n(.*?)^\}$`)
	hclArgument = regexp.MustCompile(`(?m)^  ([a-z_]+) += (.*)$`)
)

// TestModulesSayWhatTheyTakeAndGive compares the tables in the README of every Terraform
// module with its variables and outputs. The files are in the form of terraform fmt, which
// scripts/modules.sh sees to, so that lines are enough to read them.
func TestModulesSayWhatTheyTakeAndGive(t *testing.T) {
	modules, err := filepath.Glob("../modules/*/variables.tf")
	if err != nil || len(modules) == 0 {
		t.Fatalf("no ../modules/*/variables.tf: %v", err)
	}
	for _, file := range modules {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			readme := filepath.Join(dir, "README.md")
			page := read(t, readme)
			want := replace(t, page, "inputs", inputsTable(t, read(t, file)))
			want = replace(t, want, "outputs", outputsTable(t, read(t, filepath.Join(dir, "outputs.tf"))))
			if *update {
				if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if page != want {
				t.Errorf("%s is not what variables.tf and outputs.tf say: run go generate ./docs", readme)
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func inputsTable(t *testing.T, source string) string {
	t.Helper()
	table := "| input | type | default | what it is |\n|---|---|---|---|\n"
	for _, v := range hclBlocks(t, source) {
		missing := v["default"]
		if missing == "" {
			missing = "(required)"
		} else {
			missing = "`" + missing + "`"
		}
		// Of a type of many lines the first says which kind it is.
		kind := strings.TrimRight(v["type"], "({")
		if kind != v["type"] {
			kind = "`" + kind + "`, see [variables.tf](variables.tf)"
		} else {
			kind = "`" + kind + "`"
		}
		table += "| `" + v["name"] + "` | " + kind + " | " + missing + " | " + v["description"] + " |\n"
	}
	return table
}

func outputsTable(t *testing.T, source string) string {
	t.Helper()
	table := "| output | what it is |\n|---|---|\n"
	for _, o := range hclBlocks(t, source) {
		table += "| `" + o["name"] + "` | " + o["description"] + " |\n"
	}
	return table
}

// hclBlocks returns name and arguments of each variable or output, the description unquoted.
func hclBlocks(t *testing.T, source string) []map[string]string {
	t.Helper()
	var out []map[string]string
	for _, m := range hclBlock.FindAllStringSubmatch(source, -1) {
		b := map[string]string{"name": m[2]}
		for _, a := range hclArgument.FindAllStringSubmatch(m[3], -1) {
			b[a[1]] = a[2]
		}
		text, ok := strings.CutPrefix(b["description"], `"`)
		if !ok || len(text) < 2 {
			t.Errorf("%s %q has no description", m[1], m[2])
			continue
		}
		b["description"] = strings.NewReplacer(`\"`, `"`, `|`, `\|`).Replace(strings.TrimSuffix(text, `"`))
		out = append(out, b)
	}
	if len(out) == 0 {
		t.Error("there are no variables or outputs in what looks like their file")
	}
	return out
}
