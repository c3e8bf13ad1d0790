package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tests that the tables of bad days name are there.
func TestNamedTestsExist(t *testing.T) {
	var all strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9]*`)
	for _, page := range []string{"SCENARIOS.md", "BAD-DAYS.md"} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := names.FindAllString(string(b), -1)
		if len(found) == 0 {
			t.Errorf("%s names no test: its form has changed", page)
		}
		for _, name := range found {
			if !strings.Contains(all.String(), "func "+name+"(") {
				t.Errorf("%s names %s, which is nowhere", page, name)
			}
		}
	}
}
