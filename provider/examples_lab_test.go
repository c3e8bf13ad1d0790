//go:build lab

package provider

import (
	"os"
	"path/filepath"
	"testing"
)

// The examples that the documentation shows are configurations that Terraform takes, each by
// itself.
func TestExamplesOfTheDocumentationAreValid(t *testing.T) {
	w := newWorkspace(t, "provider")
	for _, example := range []string{"resources/zkboot_ensemble", "resources/zkboot_host_key", "resources/zkboot_host_key_rotation",
		"data-sources/zkboot_cloudinit", "data-sources/zkboot_status", "data-sources/zkboot_verify"} {
		t.Run(example, func(t *testing.T) {
			one := workspace{dir: t.TempDir(), terraform: w.terraform, config: w.config}
			if err := os.CopyFS(one.dir, os.DirFS(filepath.Join("..", "examples", example))); err != nil {
				t.Fatal(err)
			}
			one.want(t, 0, nil, "init")
			one.want(t, 0, []string{"The configuration is valid"}, "validate")
		})
	}
}
