//go:build lab

// Package examples holds no code: its tests apply examples to real hosts.
package examples

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// existing-hosts, and with it modules ensemble and sidecar, on the smallest lab: what is
// applied stands, a second plan is empty, and nothing is left of it after a destroy but data.
func TestExistingHostsOnALab(t *testing.T) {
	const name = "extest"
	dir := filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, dir); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(t.Context(), lab.Options{Name: name, ZooKeeper: 1, Apps: 1, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, "existing-hosts", valuesOf(t, l))
	address := host(t, l, "zk1").Address.String()

	w.want(t, 0, "", "init")
	w.want(t, 0, "2 added", "apply", "-auto-approve")
	w.want(t, 0, address+":2181", "output", "connect_string")
	w.want(t, 0, "No changes.", "plan", "-detailed-exitcode")
	routes(t, host(t, l, "app1"))
	w.want(t, 0, "2 destroyed", "destroy", "-auto-approve")
	sh(t, host(t, l, "zk1"), "test -d /var/lib/zookeeper/"+name+"/version-2; ! systemctl is-active zookeeper-"+name)
	sh(t, host(t, l, "app1"), "test ! -e /etc/zkwatch")
}

// valuesOf is a terraform.tfvars for the hosts of a lab.
func valuesOf(t *testing.T, l *lab.Lab) map[string]any {
	t.Helper()
	members, apps := map[string]any{}, map[string]any{}
	for _, h := range l.Hosts {
		if strings.HasPrefix(h.Name, "zk") {
			members[h.Name] = map[string]any{"address": h.Address.String(), "id": len(members) + 1}
		} else {
			apps[h.Name] = map[string]any{"address": h.Address.String()}
		}
	}
	return map[string]any{
		"name": l.Name, "members": members, "apps": apps,
		"ssh": map[string]any{"user": "debian", "config_file": "none",
			"identity_files": []string{filepath.Join(l.Dir, "id_ed25519")}, "known_hosts_file": filepath.Join(l.Dir, "known_hosts")},
		// What Debian 12 ships, which is refused unless it is named: a lab holds nothing worth keeping.
		"zookeeper_source": map[string]any{"apt": map[string]any{}}, "accept_known_issues": []string{"ZOOKEEPER-4785"},
		"hardware_profile": "lab", "heap": "256MiB", "deletion_protection": false,
	}
}

// workspace is a copy of an example, with its modules where it looks for them.
type workspace struct{ dir string }

func newWorkspace(t *testing.T, example string, values map[string]any) workspace {
	t.Helper()
	if os.Getenv("TF_CLI_CONFIG_FILE") == "" {
		t.Fatal("TF_CLI_CONFIG_FILE names no mirror with our provider; run: ./scripts/acceptance.sh")
	}
	root := t.TempDir()
	w := workspace{dir: filepath.Join(root, "examples", example)}
	copyConfiguration(t, root, "modules/*/*.tf")
	copyConfiguration(t, root, "examples/"+example+"/*.tf")
	b, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "terraform.tfvars.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// copyConfiguration leaves behind what Terraform may have left in a checkout.
func copyConfiguration(t *testing.T, root, pattern string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in this checkout: %v", pattern, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, "examples", file) // file starts with ../
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// want runs Terraform and expects an exit code and a part of what it prints.
func (w workspace) want(t *testing.T, code int, part string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	terraform := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if terraform == "" {
		terraform = "terraform"
	}
	cmd := exec.CommandContext(ctx, terraform, append(args, "-no-color")...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "TF_IN_AUTOMATION=1", "TF_INPUT=0")
	start := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("terraform %s: %s", args[0], time.Since(start).Round(time.Second/10))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("terraform %v: %v\n%s", args, err, out)
	}
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), part) {
		t.Fatalf("terraform %v: exit code %d, want %d and %q\n%s", args, got, code, part, out)
	}
}

// routes expects that the service answers through HAProxy, and waits for its registration: apply
// waits for the registry, and not for the check of a service.
func routes(t *testing.T, h *lab.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		r, err := h.Traffic(ctx, lab.Load{URL: "http://127.0.0.1:3000/health", For: 500 * time.Millisecond, Rate: 40})
		if err == nil && r.Failed == 0 && r.Requests > 0 {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s, through HAProxy: %s, %v", h.Name, r, err)
		}
	}
}

func host(t *testing.T, l *lab.Lab, name string) *lab.Host {
	t.Helper()
	h, err := l.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// sh runs a shell script on the host, as root.
func sh(t *testing.T, h *lab.Host, script string) {
	t.Helper()
	if out, err := h.Exec(t.Context(), "sh", "-euc", script); err != nil {
		t.Fatalf("%s: %s: %v\n%s", h.Name, script, err, out)
	}
}
