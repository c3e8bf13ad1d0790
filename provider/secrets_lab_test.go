//go:build lab

package provider

import (
	"archive/zip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// keepsSecrets reaches the hosts with a key and its passphrase that come as ephemeral values,
// lets something change, and looks for both in all that Terraform and the provider wrote.
func keepsSecrets(t *testing.T, w workspace, h labHost, dir, at string) {
	t.Helper()
	const phrase = "a passphrase that nobody may see"
	key := filepath.Join(t.TempDir(), "key")
	plain, err := os.ReadFile(filepath.Join(dir, "id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, plain, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-p", "-q", "-P", "", "-N", phrase, "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	locked, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	variables, override, log := filepath.Join(w.dir, "secrets.tf"), filepath.Join(w.dir, "secrets_override.tf"), filepath.Join(t.TempDir(), "log")
	write(t, variables, `variable "key" {
  type      = string
  ephemeral = true
}
variable "phrase" {
  type      = string
  ephemeral = true
}
`)
	write(t, override, `provider "zkboot" {
  ssh = {
    user             = local.lab.ssh.user
    known_hosts_file = "${var.lab_dir}/${local.lab.ssh.known_hosts_file}"
    config_file      = "none"
  }
  secrets = { private_key = var.key, passphrase = var.phrase }
}
`)
	t.Setenv("TF_VAR_key", string(locked))
	t.Setenv("TF_VAR_phrase", phrase)
	t.Setenv("TF_LOG", "TRACE")
	t.Setenv("TF_LOG_PATH", log)
	h.sh(t, "rm /etc/zkwatch/zkwatch.yaml")
	said := w.want(t, 2, []string{"create file /etc/zkwatch/zkwatch.yaml"}, "plan", "-detailed-exitcode", "-out=plan", at)
	said += w.want(t, 0, []string{"1 changed"}, "apply", "plan")
	written := map[string]string{"output": said, "log": read(t, log), "state": read(t, filepath.Join(w.dir, "terraform.tfstate"))}
	for name, text := range unzip(t, filepath.Join(w.dir, "plan")) {
		written["plan/"+name] = text
	}
	body := strings.Split(strings.TrimSpace(string(locked)), "\n")[2]
	for name, text := range written {
		if text == "" {
			t.Errorf("%s is empty, so this proves nothing", name)
		}
		if strings.Contains(text, phrase) || strings.Contains(text, body) {
			t.Errorf("a secret is in %s", name)
		}
	}
	for _, f := range []string{variables, override, filepath.Join(w.dir, "plan")} {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TF_LOG", "") // for what comes after
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
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

// unzip returns what is in a plan file by name.
func unzip(t *testing.T, file string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = string(b)
		r.Close()
	}
	return out
}
