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

// Terraform before 0.15.4 speaks protocol 5 alone. The provider answers with what it
// speaks, from which such a Terraform makes its message that the two do not go together.
// https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol#protocol-version-6
func TestTerraformThatIsTooOldForTheProtocol(t *testing.T) {
	w := newWorkspace(t, "provider")
	for name, offered := range map[string]string{"too old": "4,5", "old enough": "5,6"} {
		t.Run(name, func(t *testing.T) {
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
		})
	}
}

// Who starts the provider by hand is told who is to start it.
func TestProviderStartedByHand(t *testing.T) {
	w := newWorkspace(t, "provider")
	out, err := exec.CommandContext(t.Context(), w.plugin(t)).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "This binary is a plugin") {
		t.Errorf("%v, and it says %q, want that this binary is a plugin", err, out)
	}
}

// A configuration that asks for another Terraform is refused before a provider is started.
func TestConfigurationForAnotherTerraform(t *testing.T) {
	w := newWorkspace(t, "provider")
	w.replace(t, "provider.tf", map[string]string{`">= 1.5"`: `">= 99.0"`})
	out, code := w.run(t, "init")
	p := theProgram(t)
	for _, want := range []string{"provider.tf line 2", `>= 99.0`, p.number()} {
		if code != 1 || !strings.Contains(unwrapped(out), want) {
			t.Errorf("%s: exit code %d, want 1 and %q\n%s", p, code, want, out)
		}
	}
}
