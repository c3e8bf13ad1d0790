// Package docs holds no code: its tests keep what the guides and the README say true.
package docs

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
	"github.com/zkboot/zkboot/verify"
)

//go:generate go test . -run ^TestChecksAndProfilesAreListed$ -update

var update = flag.Bool("update", false, "rewrite the generated parts of the guides")

// pages are all documents that somebody reads, by their path from here.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("guides/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../README.md", "ARCHITECTURE.md", "DEPENDENCIES.md")
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(b)
	}
	return out
}

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// blocks returns the fenced blocks of one language.
func blocks(page, language string) []string {
	var out []string
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// Every yaml block is a whole spec that loads, and that the ensemble role accepts.
func TestSpecsLoad(t *testing.T) {
	found := 0
	for file, page := range pages(t) {
		for _, block := range blocks(page, "yaml") {
			found++
			s, report := bootstrap.Load(file, []byte(block))
			if s != nil {
				report = (&bootstrap.Engine{Roles: []bootstrap.Role{zookeeper.New()}}).Validate(s)
			}
			if report.Failed() {
				t.Errorf("%s:\n%s\n%v", file, block, report.Err())
			}
		}
	}
	if found == 0 {
		t.Error("no yaml block anywhere: the fences have changed")
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for file, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", file, m[1], err)
			}
		}
	}
}

// command matches a line on which somebody runs zkboot, with or without a prompt.
var command = regexp.MustCompile(`(?m)^(?:\$ )?(?:sudo )?(?:bin/)?zkboot ([a-z].*)$`)

// mention is a command in running text or in a table, where brackets mark what may be left
// out and bars what one chooses from.
var mention = regexp.MustCompile("`zkboot ([a-z][^`]*)`")

// Commands that are shown exist, with the flags they are shown with.
func TestCommandsExist(t *testing.T) {
	program := filepath.Join(t.TempDir(), "zkboot")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/zkboot").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	shown := map[string]string{}
	for file, page := range pages(t) {
		for _, m := range mention.FindAllStringSubmatch(page, -1) {
			shown[strings.NewReplacer("[", "", "]", "", `\|`, " | ").Replace(m[1])] = file
		}
		for _, language := range []string{"sh", "console"} {
			for _, block := range blocks(page, language) {
				for _, m := range command.FindAllStringSubmatch(block, -1) {
					shown[m[1]] = file
				}
			}
		}
	}
	if len(shown) == 0 {
		t.Fatal("no command anywhere: the fences or prompts have changed")
	}
	for line, file := range shown {
		if err := understood(t, program, strings.Fields(line)); err != nil {
			t.Errorf("%s: zkboot %s: %v", file, line, err)
		}
	}
}

// understood asks the program for the help of a command and looks for its flags there.
func understood(t *testing.T, program string, words []string) error {
	t.Helper()
	var path, flags []string
	for _, w := range words {
		if w == "--" || w == "#" || w == "|" || w == ">" {
			break
		}
		switch {
		case strings.HasPrefix(w, "-"):
			flags = append(flags, strings.SplitN(w, "=", 2)[0])
		case len(flags) == 0 && (len(path) == 0 || len(path) == 1 && (path[0] == "lab" || path[0] == "roll" || slices.Contains([]string{"user-data", "check", "backup-service", "backup-timer"}, w))):
			path = append(path, w)
		}
	}
	help, err := exec.CommandContext(t.Context(), program, append(path, "--help")...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) || !bytes.Contains(help, []byte("zkboot "+strings.Join(path, " "))) {
		return fmt.Errorf("no such command:\n%s", help)
	}
	if err != nil {
		return err
	}
	for _, f := range flags {
		if !regexp.MustCompile(`(?m)(^|[ ,])` + regexp.QuoteMeta(f) + `([ ,]|$)`).Match(help) {
			return fmt.Errorf("no flag %s in:\n%s", f, help)
		}
	}
	return nil
}

// The errors that troubleshooting.md explains are errors that the program can print.
func TestExplainedErrorsExist(t *testing.T) {
	source := sources(t)
	const file = "guides/troubleshooting.md"
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(pages(t)[file], -1)
	if len(rows) == 0 {
		t.Fatalf("%s explains no error: its tables have changed", file)
	}
	for _, row := range rows {
		if !strings.Contains(source, row[1]) {
			t.Errorf("%s explains %q, which no program says", file, row[1])
		}
	}
}

// sources is the text of all Go files that are not tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"bootstrap", "cmd", "provider", "verify", "sysctl"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			all.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// The README says what `make demo` and `make test` install.
func TestInstalledPackagesAreNamed(t *testing.T) {
	readme := pages(t)["../README.md"]
	for _, name := range []string{"lab-deps.sh", "vm-deps.sh"} {
		needs := regexp.MustCompile(`(?m)^[\w./-]+:([a-z0-9.+-]+)$`).FindAllStringSubmatch(read(t, "../scripts/"+name), -1)
		if len(needs) == 0 {
			t.Fatalf("%s needs nothing: its lists have changed", name)
		}
		for _, need := range needs {
			if !regexp.MustCompile(`(^|[\s,])` + regexp.QuoteMeta(need[1]) + `($|[\s,.;])`).MatchString(readme) {
				t.Errorf("README.md does not say that %s is installed", need[1])
			}
		}
	}
}

func TestChecksAndProfilesAreListed(t *testing.T) {
	const file = "guides/verify.md"
	page := pages(t)[file]
	want := replace(t, page, "checks", checksTable())
	want = replace(t, want, "profiles", profilesTable(t))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if page != want {
		t.Errorf("%s is not what verify.Checks and verify.Profile say: run go generate ./docs", file)
	}
}

// replace puts text between the marker of that name and the next end.
func replace(t *testing.T, page, name, text string) string {
	t.Helper()
	part := regexp.MustCompile(`(?s)(<!-- ` + name + `: [^\n]*-->\n).*?(<!-- end -->)`)
	if !part.MatchString(page) {
		t.Fatalf("no marker %q in the page", name)
	}
	return part.ReplaceAllString(page, "${1}"+strings.ReplaceAll(text, "$", "$$")+"${2}")
}

func checksTable() string {
	var b strings.Builder
	b.WriteString("| id | passes when | limits from | when it does not pass |\n|---|---|---|---|\n")
	for _, c := range verify.Checks() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.ID, c.What, c.Source, c.Hint)
	}
	return b.String()
}

func profilesTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| check |")
	for _, name := range verify.Profiles() {
		fmt.Fprintf(&b, " %s |", name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(verify.Profiles())) + "\n")
	for _, c := range verify.Checks() {
		row, any := "| `"+c.ID+"` |", false
		for _, name := range verify.Profiles() {
			p, ok := verify.Profile(name)
			if !ok {
				t.Fatalf("profile %s is listed and not known", name)
			}
			l := p.Limits[c.ID]
			any = any || l.Warn != nil || l.Fail != nil
			row += fmt.Sprintf(" %s / %s |", limit(p, c.ID, l.Warn), limit(p, c.ID, l.Fail))
		}
		if any {
			b.WriteString(row + "\n")
		}
	}
	return b.String()
}

// limit writes a figure as reports do.
func limit(p verify.Thresholds, id string, v *float64) string {
	if v == nil {
		return "-"
	}
	return p.Figure(id, *v).Text
}

// TestEveryKeyIsDescribed compares the tables of zkboot-yaml.md with the fields of Spec.
func TestEveryKeyIsDescribed(t *testing.T) {
	const file = "guides/zkboot-yaml.md"
	var described []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_0-9.*]+)` \\|").FindAllStringSubmatch(pages(t)[file], -1) {
		described = append(described, m[1])
	}
	keys := specKeys()
	for _, k := range keys.leaves {
		if !slices.Contains(described, k) {
			t.Errorf("%s does not describe %s", file, k)
		}
	}
	for _, k := range described {
		if !slices.Contains(keys.leaves, k) && !slices.Contains(keys.branches, k) {
			t.Errorf("%s describes %s, which Spec does not have", file, k)
		}
	}
}
