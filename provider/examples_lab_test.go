//go:build lab

package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The examples that the documentation shows are configurations that Terraform takes. Some
// refer to what that of zkboot_ensemble has.
func TestExamplesOfTheDocumentationAreValid(t *testing.T) {
	w := newWorkspace(t, "provider")
	for example, beside := range map[string]string{
		"resources/zkboot_ensemble": "", "resources/zkboot_host_key": "", "resources/zkboot_host_key_rotation": "", "data-sources/zkboot_cloudinit": "",
		"data-sources/zkboot_status": "resources/zkboot_ensemble", "data-sources/zkboot_verify": "resources/zkboot_ensemble",
	} {
		t.Run(example, func(t *testing.T) {
			one := workspace{dir: t.TempDir(), terraform: w.terraform, config: w.config}
			for _, from := range []string{example, beside} {
				files, err := filepath.Glob(filepath.Join("..", "examples", from, "*.tf"))
				if err != nil || from != "" && len(files) == 0 {
					t.Fatalf("examples/%s: %v, %v", from, files, err)
				}
				for i, name := range files {
					b, err := os.ReadFile(name)
					if err == nil {
						err = os.WriteFile(filepath.Join(one.dir, fmt.Sprintf("%s%d.tf", filepath.Base(from), i)), b, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			one.want(t, 0, nil, "init")
			one.want(t, 0, []string{"The configuration is valid"}, "validate")
		})
	}
}
