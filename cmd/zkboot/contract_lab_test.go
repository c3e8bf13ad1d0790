//go:build lab

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

const contractLab = "contract"

// contract runs the real program against real hosts. Its parts build on each other, as an
// operator's day does, so that one lab serves all of them.
type contract struct {
	program string
	dir     string
}

func TestContract(t *testing.T) {
	c := contract{program: filepath.Join(t.TempDir(), "zkboot"), dir: filepath.Join(t.TempDir(), "lab")}
	if out, err := exec.Command("go", "build", "-o", c.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := lab.Down(context.Background(), contractLab, ""); err != nil {
			t.Error(err)
		}
	})
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"lab up", c.labUp}, {"host keys are on record", c.hostKeys}, {"a plan of fresh hosts has changes", c.freshPlan},
		{"two applies at once, one interrupted", c.contention}, {"the next apply converges", c.converge},
		{"nothing is left to do", c.nothing}, {"status", c.status}, {"verify", c.verify}, {"verify the disks", c.iops},
		{"render is what apply wrote", c.render}, {"two hosts are off", c.noQuorum}, {"destroy", c.destroy}, {"lab down", c.labDown},
	} {
		if !t.Run(part.name, part.run) {
			return
		}
	}
}

// run executes the program and returns its exit code and what it said.
func (c contract) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), c.program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// want runs a command on the lab's spec, which must end with the code, and returns stdout.
func (c contract) want(t *testing.T, code int, args ...string) string {
	t.Helper()
	got, stdout, stderr := c.run(t, append(args, "-f", c.spec())...)
	if got != code {
		t.Fatalf("zkboot %s: exit %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout
}

func (c contract) spec() string { return filepath.Join(c.dir, "zkboot.yaml") }

func (c contract) host(t *testing.T, name string) *lab.Host {
	t.Helper()
	l, err := lab.Open(contractLab)
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (c contract) labUp(t *testing.T) {
	code, stdout, stderr := c.run(t, "lab", "up", "--name", contractLab, "--zookeeper", "3", "--apps", "0", "--dir", c.dir)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	for _, file := range []string{"zkboot.yaml", "id_ed25519", "known_hosts"} {
		if _, err := os.Stat(filepath.Join(c.dir, file)); err != nil {
			t.Error(err)
		}
	}
	if !regexp.MustCompile(`(?m)^zk3 +[0-9.]+ +ssh-ed25519 `).MatchString(stdout) {
		t.Errorf("no row for zk3 in\n%s", stdout)
	}
	code, stdout, stderr = c.run(t, "lab", "ssh", "zk2", "--name", contractLab, "--", "hostname")
	if code != 0 || stdout != "zk2\n" {
		t.Errorf("lab ssh zk2 hostname: exit %d, %q\n%s", code, stdout, stderr)
	}
}

func (c contract) hostKeys(t *testing.T) {
	if out := c.want(t, codeOK, "hostkeys"); strings.Count(out, "on record in") < 3 {
		t.Errorf("not every host is on record:\n%s", out)
	}
}

func (c contract) freshPlan(t *testing.T) {
	out := c.want(t, codeChanges, "plan", "--detailed-exitcode")
	for _, want := range []string{"wave 1:", "create unit zookeeper-" + contractLab + ".service (start)"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// contention lets a second apply run into the first, and then interrupts the first.
func (c contract) contention(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), c.program, "apply", "--auto-approve", "-f", c.spec())
	var stderr lockedBuffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // ProcessState holds what it returns
		close(ended)
	}()
	within(t, time.Minute, func() bool { return strings.Contains(stderr.String(), "installing") })
	code, _, second := c.run(t, "apply", "--auto-approve", "-f", c.spec())
	if code != codeLocked || !strings.Contains(second, who()) {
		t.Errorf("second apply: exit %d, want 4 and the name of the first\n%s", code, second)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != codeInterrupted {
		t.Errorf("interrupted apply: exit %d, want 130\n%s", code, &stderr)
	}
	if !strings.Contains(stderr.String(), "run apply again to go on") {
		t.Errorf("does not say how to go on:\n%s", &stderr)
	}
}

// converge applies until the agents of the interrupted run have let go: a package manager at
// work is never cut off, and what it still changes between a look and the lock makes a plan
// stale.
func (c contract) converge(t *testing.T) {
	within(t, 5*time.Minute, func() bool {
		code, stdout, stderr := c.run(t, "apply", "--auto-approve", "-f", c.spec())
		stale := code == codeFailed && strings.Contains(stderr, bootstrap.ErrStale.Error())
		if code != codeLocked && code != codeOK && !stale {
			t.Fatalf("apply after an interrupted one: exit %d\n%s\n%s", code, stdout, stderr)
		}
		return code == codeOK
	})
}

func (c contract) nothing(t *testing.T) {
	c.want(t, codeOK, "plan", "--detailed-exitcode")
	if out := c.want(t, codeOK, "apply", "--auto-approve"); !strings.Contains(out, "nothing to do") {
		t.Errorf("apply said\n%s", out)
	}
}

func (c contract) status(t *testing.T) {
	var s struct {
		Name, Leader string
		Quorum       bool
		Members      []map[string]any
	}
	out := c.want(t, codeOK, "status", "--output", "json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	if s.Name != contractLab || !s.Quorum || s.Leader == "" || len(s.Members) != 3 {
		t.Errorf("status: %s", out)
	}
	sameKeys(t, "member", s.Members[0], "host", "id", "address", "role", "mode", "version", "zxid", "voting", "synced", "error")
}

// verify checks the form of the report that scripts rely on.
func (c contract) verify(t *testing.T) {
	r := decode(t, c.want(t, codeOK, "verify", "--format", "json", "--duration", "1s"))
	sameKeys(t, "report", r, "verdict", "checks", "ensemble", "pairs", "hosts")
	pairs := r["pairs"].([]any)
	if len(pairs) != 6 {
		t.Errorf("%d pairs, want one for each way between three members", len(pairs))
	}
	sameKeys(t, "pair", pairs[0].(map[string]any), "from", "to", "checks")
	host := r["hosts"].(map[string]any)["zk1"].(map[string]any)
	sameKeys(t, "host", host, "verdict", "checks", "fsync")
	check := host["checks"].([]any)[0].(map[string]any)
	sameKeys(t, "check", check, "id", "verdict", "value", "text", "unit", "warn", "fail", "why", "hint")
	var ids []string
	for _, c := range r["ensemble"].(map[string]any)["checks"].([]any) {
		ids = append(ids, c.(map[string]any)["id"].(string))
	}
	if !slices.Contains(ids, "ensemble.quorum") {
		t.Errorf("checks of the ensemble: %v", ids)
	}
}

func (c contract) iops(t *testing.T) {
	r := decode(t, c.want(t, codeOK, "verify", "--iops", "--on-live-members", "--format", "json", "--duration", "1s"))
	fsync, ok := r["hosts"].(map[string]any)["zk1"].(map[string]any)["fsync"].(map[string]any)
	if !ok {
		t.Fatal("no fsync figures")
	}
	for _, key := range []string{"samples", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "ops_per_s", "flushes_per_op", "windows"} {
		if _, ok := fsync[key]; !ok {
			t.Errorf("fsync has no %s", key)
		}
	}
}

func (c contract) render(t *testing.T) {
	unit := c.want(t, codeOK, "render", "unit", "--host", "zk1")
	there, err := c.host(t, "zk1").Exec(t.Context(), "cat", "/etc/systemd/system/zookeeper-"+contractLab+".service")
	if err != nil {
		t.Fatal(err)
	}
	if unit != there {
		t.Errorf("render:\n%s\non the host:\n%s", unit, there)
	}
}

func (c contract) noQuorum(t *testing.T) {
	for _, name := range []string{"zk1", "zk2"} {
		if err := c.host(t, name).PowerCut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if out := c.want(t, codeUnfit, "status", "--output", "json"); !strings.Contains(out, `"quorum": false`) {
		t.Errorf("status: %s", out)
	}
	r := decode(t, c.want(t, codeUnfit, "verify", "--format", "json", "--duration", "1s"))
	check := r["hosts"].(map[string]any)["zk1"].(map[string]any)["checks"].([]any)[0].(map[string]any)
	if check["id"] != "host.reachable" || check["verdict"] != "fail" {
		t.Errorf("zk1: %v, want a failed host.reachable", check)
	}
	for _, name := range []string{"zk1", "zk2"} {
		if err := c.host(t, name).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	within(t, 2*time.Minute, func() bool {
		code, _, _ := c.run(t, "status", "-f", c.spec())
		return code == codeOK
	})
}

func (c contract) destroy(t *testing.T) {
	data := "/var/lib/zookeeper/" + contractLab
	if out := c.want(t, codeOK, "destroy", "--auto-approve"); !strings.Contains(out, data+" (zk1 zk2 zk3)") {
		t.Errorf("does not say where the data stays:\n%s", out)
	}
	if _, err := c.host(t, "zk1").Exec(t.Context(), "test", "-d", data+"/version-2"); err != nil {
		t.Errorf("the data is gone: %v", err)
	}
	if out, err := c.host(t, "zk1").Exec(t.Context(), "systemctl", "cat", "zookeeper-"+contractLab); err == nil {
		t.Errorf("the unit is still there:\n%s", out)
	}
	if out := c.want(t, codeOK, "destroy", "--auto-approve"); !strings.Contains(out, "nothing to do") {
		t.Errorf("the second destroy said\n%s", out)
	}
}

func (c contract) labDown(t *testing.T) {
	if code, _, stderr := c.run(t, "lab", "down", "--name", contractLab, "--dir", c.dir); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	if _, stdout, _ := c.run(t, "lab", "list"); strings.Contains(stdout, contractLab+" ") {
		t.Errorf("still listed:\n%s", stdout)
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

func sameKeys(t *testing.T, what string, got map[string]any, want ...string) {
	t.Helper()
	slices.Sort(want)
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
		t.Errorf("a %s has the keys %v, want %v", what, keys, want)
	}
}

// within polls until the condition holds.
func within(t *testing.T, limit time.Duration, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("did not come true within %s", limit)
		}
	}
}
