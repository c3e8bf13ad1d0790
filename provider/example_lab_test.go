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
	"slices"
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
	w := workspace{dir: t.TempDir(), terraform: theProgram(t).path}
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

// want runs Terraform, expects an exit code and parts of what it prints, and returns that.
func (w workspace) want(t *testing.T, code int, parts []string, args ...string) string {
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
	return out
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
	l, err := lab.Up(t.Context(), lab.Options{Name: name, ZooKeeper: 3, Apps: 1, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	zk2, app1 := hostOf(t, l, "zk2"), hostOf(t, l, "app1")
	w := newWorkspace(t, "lab")
	at := "-var=lab_dir=" + dir
	nothing := []string{"No changes."}

	w.want(t, 0, nil, "init")
	failThenResume(t, w, l, at)
	w.want(t, 0, []string{zk2.Address.String() + ":2181"}, "output", "connect_string")
	w.want(t, 0, nothing, "plan", "-detailed-exitcode", at)

	app1.routes(t)
	app1.sh(t, "systemctl stop zkwatch; rm /etc/zkwatch/zkwatch.yaml")
	w.want(t, 2, []string{"create file /etc/zkwatch/zkwatch.yaml", "will be updated in-place"}, "plan", "-detailed-exitcode", at)
	w.want(t, 0, []string{"1 changed"}, "apply", "-auto-approve", at)
	app1.routes(t)

	unit, conf := unitOf(l), "/etc/zookeeper/"+name+"/zoo.cfg"
	zk2.sh(t, "echo 'autopurge.purgeInterval=7' >>"+conf)
	w.want(t, 2, []string{"update file " + conf, `~ "file:` + conf + `"`, "will be updated in-place"}, "plan", "-detailed-exitcode", at)
	w.want(t, 0, []string{"1 changed"}, "apply", "-auto-approve", at)
	w.want(t, 0, nothing, "plan", "-detailed-exitcode", at)

	looksAt(t, w, at)
	keepsSecrets(t, w, app1, dir, at)
	comesBack(t, w, l, at)

	w.want(t, 0, []string{"2 destroyed"}, "destroy", "-auto-approve", at)
	if got := zk2.sh(t, "systemctl is-active "+unit+" || true"); got != "inactive" {
		t.Errorf("after the destroy %s is %s", unit, got)
	}
	app1.sh(t, "test ! -e /etc/zkwatch; test ! -e /etc/systemd/system/haproxy.service")
	zk2.sh(t, "test -d /var/lib/zookeeper/"+name+"/version-2") // kept: nobody asked to wipe it
}

// failThenResume lets the first apply fail after the ensemble has formed, by cutting zk3
// off, and expects that the second goes on with the very processes that the first left.
func failThenResume(t *testing.T, w workspace, l *lab.Lab, at string) {
	t.Helper()
	zk1, zk2, zk3 := hostOf(t, l, "zk1"), hostOf(t, l, "zk2"), hostOf(t, l, "zk3")
	if err := zk3.Isolate(t.Context(), zk1.Address, zk2.Address); err != nil {
		t.Fatal(err)
	}
	said := w.want(t, 1, []string{"Error: zk3: "}, "apply", "-auto-approve", at)
	pid := func(h labHost) string { return h.sh(t, "systemctl show -P MainPID "+unitOf(l)) }
	before := []string{pid(zk1), pid(zk2)}
	if slices.Contains(before, "0") {
		t.Fatalf("this proves nothing: no server had been started, main PIDs %v\n%s", before, said)
	}
	w.want(t, 1, []string{"left in place"}, "apply", "-auto-approve", at) // still cut off: not proven
	if err := zk3.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	zk3.serves(t)
	w.want(t, 0, []string{"is tainted, so must be replaced", "2 added"}, "apply", "-auto-approve", at)
	if after := []string{pid(zk1), pid(zk2)}; !slices.Equal(before, after) {
		t.Errorf("servers were restarted: main PIDs %v, then %v", before, after)
	}
}

// looksAt reads the data sources beside what stands.
func looksAt(t *testing.T, w workspace, at string) {
	t.Helper()
	const ensemble = `
  name    = zkboot_ensemble.lab.name
  hosts   = zkboot_ensemble.lab.hosts
  members = zkboot_ensemble.lab.members
`
	file := filepath.Join(w.dir, "looks.tf")
	if err := os.WriteFile(file, []byte(`data "zkboot_status" "lab" {`+ensemble+`}
data "zkboot_verify" "lab" {`+ensemble+`
  hardware            = zkboot_ensemble.lab.hardware
  source              = zkboot_ensemble.lab.source
  accept_known_issues = zkboot_ensemble.lab.accept_known_issues
  heap                = zkboot_ensemble.lab.heap
}
output "healthy" { value = data.zkboot_status.lab.healthy }
output "leader" { value = data.zkboot_status.lab.leader }
output "ok" { value = data.zkboot_verify.lab.ok }
output "failed" { value = [for f in data.zkboot_verify.lab.findings : f if f.verdict == "fail"] }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	w.want(t, 0, []string{"healthy = true", `leader = "zk`, "ok = true", "0 changed"}, "apply", "-auto-approve", at)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.want(t, 0, []string{"0 changed"}, "apply", "-auto-approve", at) // the outputs go
}

// comesBack loses the state of the ensemble and imports it from one member. What no host
// keeps is an update that changes nothing there.
func comesBack(t *testing.T, w workspace, l *lab.Lab, at string) {
	t.Helper()
	zk1, zk2 := hostOf(t, l, "zk1"), hostOf(t, l, "zk2")
	pid := zk1.sh(t, "systemctl show -P MainPID "+unitOf(l))
	w.want(t, 0, nil, "state", "rm", "zkboot_ensemble.lab")
	w.want(t, 0, []string{"Import successful"}, "import", at, "zkboot_ensemble.lab", zk2.Address.String())
	said := w.want(t, 2, []string{"0 to add, 1 to change, 0 to destroy", "+ hardware"}, "plan", "-detailed-exitcode", at)
	for _, host := range []string{"zk1", "zk2", "zk3"} {
		if strings.Contains(said, "+ "+host) || strings.Contains(said, `~ "file:`) {
			t.Errorf("the plan after the import is to say nothing of %s and of things:\n%s", host, said)
		}
	}
	w.want(t, 0, []string{"1 changed"}, "apply", "-auto-approve", at)
	w.want(t, 0, []string{"No changes."}, "plan", "-detailed-exitcode", at)
	if now := zk1.sh(t, "systemctl show -P MainPID "+unitOf(l)); now != pid {
		t.Errorf("the import has restarted the server of zk1: main PID %s, then %s", pid, now)
	}
}

// serves waits until the host's server is part of a quorum.
func (h labHost) serves(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	ask := fmt.Sprintf("exec 3<>/dev/tcp/%s/2181; echo srvr >&3; cat <&3", h.Address)
	for {
		out, err := h.Exec(ctx, "bash", "-c", ask)
		if strings.Contains(out, "Mode: ") {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s does not serve: %q, %v", h.Name, out, err)
		}
	}
}

// routes expects that the host reaches its service by its own HAProxy.
func (h labHost) routes(t *testing.T) {
	t.Helper()
	r, err := h.Traffic(t.Context(), lab.Load{URL: "http://127.0.0.1:3000/", For: 500 * time.Millisecond, Rate: 40})
	if err != nil || r.Failed > 0 || r.Requests == 0 {
		t.Errorf("through HAProxy: %s, %v", r, err)
	}
}

// unitOf is the unit of the lab's ensemble, which has the name of the lab.
func unitOf(l *lab.Lab) string { return "zookeeper-" + l.Name + ".service" }

type labHost struct{ *lab.Host }

func hostOf(t *testing.T, l *lab.Lab, name string) labHost {
	t.Helper()
	h, err := l.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return labHost{h}
}

// sh runs a shell script on the host, as root, and returns what it prints.
func (h labHost) sh(t *testing.T, script string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), "sh", "-euc", script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
