//go:build lab

package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// workspace is a folder in which Terraform runs an example with the provider of this tree,
// from a mirror on disk and without a network.
type workspace struct {
	dir, terraform, config string
}

func newWorkspace(t *testing.T, example string) workspace {
	t.Helper()
	w := workspace{dir: t.TempDir(), terraform: os.Getenv("TF_ACC_TERRAFORM_PATH")}
	if w.terraform == "" {
		w.terraform = "terraform"
	}
	if err := os.CopyFS(w.dir, os.DirFS(filepath.Join("..", "examples", example))); err != nil {
		t.Fatal(err)
	}
	mirror := t.TempDir()
	plugin := filepath.Join(mirror, Address, "0.1.0", runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-zkboot_v0.1.0")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", plugin, "../cmd/terraform-provider-zkboot")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the provider: %v\n%s", err, out)
	}
	w.config = filepath.Join(mirror, "terraformrc")
	rc := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\ndisable_checkpoint = true\n", mirror)
	if err := os.WriteFile(w.config, []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs Terraform and returns what it printed and its exit code.
func (w workspace) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	// Not t.Context: the last destroy runs in a cleanup.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.terraform, append(args, "-no-color")...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+w.config, "TF_IN_AUTOMATION=1")
	start := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("terraform %s: %s", args[0], time.Since(start).Round(time.Second/10))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("terraform %v: %v\n%s", args, err, out)
	}
	return string(out), 0
}

// want runs Terraform and expects an exit code and parts of what it prints.
func (w workspace) want(t *testing.T, code int, parts []string, args ...string) {
	t.Helper()
	out, got := w.run(t, args...)
	if got != code {
		t.Fatalf("terraform %v: exit code %d, want %d\n%s", args, got, code, out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("terraform %v does not say %q:\n%s", args, part, out)
		}
	}
}

// The example that `make demo` applies, on real hosts.
func TestExampleOnALab(t *testing.T) {
	name, dir := fmt.Sprintf("p%d", os.Getpid()), filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.Down(ctx, name, dir); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(t.Context(), lab.Options{Name: name, ZooKeeper: 3, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	zk2, err := l.Host("zk2")
	if err != nil {
		t.Fatal(err)
	}
	on := func(script string) string {
		t.Helper()
		out, err := zk2.Exec(t.Context(), "sh", "-euc", script)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	w := newWorkspace(t, "lab")
	at := "-var=lab_dir=" + dir
	nothing := []string{"No changes."}

	w.want(t, 0, nil, "init")
	w.want(t, 0, []string{"1 added", zk2.Address.String() + ":2181"}, "apply", "-auto-approve", at)
	w.want(t, 0, nothing, "plan", "-detailed-exitcode", at)

	unit := "zookeeper-" + name + ".service"
	on("systemctl is-active " + unit)
	on("echo 'autopurge.purgeInterval=7' >> /etc/zookeeper/" + name + "/zoo.cfg")
	w.want(t, 2, []string{"update file /etc/zookeeper/" + name + "/zoo.cfg", "will be updated in-place"}, "plan", "-detailed-exitcode", at)
	w.want(t, 0, []string{"1 changed"}, "apply", "-auto-approve", at)
	w.want(t, 0, nothing, "plan", "-detailed-exitcode", at)

	w.want(t, 0, []string{"1 destroyed"}, "destroy", "-auto-approve", at)
	if got := on("systemctl is-active " + unit + " || true"); !strings.Contains(got, "inactive") {
		t.Errorf("after the destroy %s is %s", unit, got)
	}
	on("test -d /var/lib/zookeeper/" + name + "/version-2") // kept: nobody asked to wipe it
}
