//go:build lab

package provider

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program is the Terraform, or the OpenTofu, that these tests run.
type program struct {
	path    string
	product string // as it calls itself: Terraform or OpenTofu
	version [3]int
}

// theProgram is what TF_ACC_TERRAFORM_PATH names, or else the Terraform on PATH. It is asked
// what it is: the name of a file says nothing.
func theProgram(t *testing.T) program {
	t.Helper()
	name := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if name == "" {
		name = "terraform"
	}
	found, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("the lab tests need Terraform on PATH, or TF_ACC_TERRAFORM_PATH: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), found, "version")
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s version: %v", found, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	product, number, _ := strings.Cut(strings.TrimSpace(first), " v")
	p := program{path: found, product: product}
	_, err = fmt.Sscanf(number, "%d.%d.%d", &p.version[0], &p.version[1], &p.version[2])
	if err != nil || product != "Terraform" && product != "OpenTofu" {
		t.Fatalf("%s calls itself %q, want a version of Terraform or OpenTofu: %v", found, first, err)
	}
	return p
}

// is reports whether this is that product, in that version or later.
func (p program) is(product string, least ...int) bool {
	return p.product == product && slices.Compare(p.version[:], least) >= 0
}

// String is what it calls itself.
func (p program) String() string { return p.product + " " + p.number() }

func (p program) number() string {
	return fmt.Sprintf("%d.%d.%d", p.version[0], p.version[1], p.version[2])
}

// What not every program of the matrix has, and what those that lack it say instead. For users
// docs/guides/versions.md has the same.
func TestWhatNotEveryTerraformHas(t *testing.T) {
	p := theProgram(t)
	w := newWorkspace(t, "provider")
	for name, c := range map[string]struct {
		has    bool
		config string
		says   string // where it is missing
	}{
		"actions": {
			has: p.is("Terraform", 1, 14),
			config: `
action "zkboot_verify" "now" {
  config {
    name                = "main"
    hosts               = { zk1 = { address = "10.0.0.1" } }
    members             = { zk1 = { id = 1 } }
    source              = { apt = {} }
    accept_known_issues = ["ZOOKEEPER-4785"]
  }
}
`,
			says: `Blocks of type "action" are not expected here.`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.with(t, "provider")
			if err := os.WriteFile(filepath.Join(w.dir, "feature.tf"), []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			out, code := w.run(t, "init")
			if code == 0 {
				out, code = w.run(t, "validate")
			}
			if c.has && code != 0 {
				t.Errorf("%s has %s: exit code %d\n%s", p, name, code, out)
			}
			if !c.has && (code == 0 || !strings.Contains(unwrapped(out), c.says)) {
				t.Errorf("%s lacks %s: exit code %d, want %q\n%s", p, name, code, c.says, out)
			}
			t.Logf("%s has %s: %t", p, name, c.has)
		})
	}
}
