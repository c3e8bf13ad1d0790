//go:build lab

package provider

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cookie is how Terraform tells a plugin that it is not started by a person.
// https://github.com/hashicorp/terraform/blob/v1.14.3/internal/plugin6/serve.go
const cookie = "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"

// plugin is the provider in the mirror of a workspace.
func (w workspace) plugin(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(w.config), Address, "*", "*", "terraform-provider-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the mirror has %v, want one provider: %v", found, err)
	}
	return found[0]
}

// A Terraform that the provider or the configuration is not made for says so.
func TestTerraformOfTheWrongVersion(t *testing.T) {
	w := newWorkspace(t, "provider")
	t.Run("too old for the protocol", func(t *testing.T) { speaksSix(t, w, "4,5") })
	t.Run("old enough", func(t *testing.T) { speaksSix(t, w, "5,6") })
	t.Run("no Terraform at all", func(t *testing.T) {
		out, err := exec.CommandContext(t.Context(), w.plugin(t)).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), "This binary is a plugin") {
			t.Errorf("%v, and it says %q, want that this binary is a plugin", err, out)
		}
	})
	t.Run("not the one that the configuration asks for", func(t *testing.T) { asksForAnother(t, w) })
}

// asksForAnother wants a version that nobody has. OpenTofu 1.12 reads required_version in
// files of its own alone, and takes a .tf that asks for another Terraform.
// https://github.com/opentofu/opentofu/blob/v1.12.6/internal/configs/language.go
func asksForAnother(t *testing.T, w workspace) {
	t.Helper()
	p := theProgram(t)
	w.replace(t, "provider.tf", map[string]string{`">= 1.5"`: `">= 99.0"`})
	file := "provider.tf line 2"
	if p.is("OpenTofu", 1, 12) {
		w.want(t, 0, nil, "init")
		file = "asks.tofu line 2"
		if err := os.WriteFile(filepath.Join(w.dir, "asks.tofu"), []byte("terraform {\n  required_version = \">= 99.0\"\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, code := w.run(t, "init")
	for _, want := range []string{file, `>= 99.0`, p.number()} {
		if code != 1 || !strings.Contains(unwrapped(out), want) {
			t.Errorf("%s: exit code %d, want 1 and %q\n%s", p, code, want, out)
		}
	}
}

// speaksSix starts the provider as a Terraform that speaks these protocols would. It answers
// with what it speaks itself. One before 0.15.4 speaks protocol 5 alone, and makes of the
// answer its message that the two do not go together.
// https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol#protocol-version-6
func speaksSix(t *testing.T, w workspace, offered string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.plugin(t))
	cmd.Env = append(os.Environ(), cookie, "PLUGIN_PROTOCOL_VERSIONS="+offered)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if kill := cmd.Process.Kill(); kill != nil {
		t.Error(kill)
	}
	var killed *exec.ExitError
	if ended := cmd.Wait(); !errors.As(ended, &killed) {
		t.Errorf("the provider ended by itself: %v", ended)
	}
	if err != nil || !strings.HasPrefix(said, "1|6|unix|") {
		t.Errorf("offered protocols %s it says %q, %v, want that it speaks 6", offered, said, err)
	}
}
