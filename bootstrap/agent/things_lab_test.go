//go:build lab

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
	"github.com/zkboot/zkboot/sysctl"
)

// onHost tells the test binary that it is the copy inside a lab host.
const onHost = "ZKBOOT_AGENT_TEST_ON_HOST"

// TestThingsOnARealHost has two lives: outside it makes a host and runs itself there,
// inside it changes that host for real.
func TestThingsOnARealHost(t *testing.T) {
	if os.Getenv(onHost) == "" {
		runOnHost(t)
		return
	}
	for _, tt := range []struct {
		name string
		run  func(*testing.T, *realHost)
	}{
		{"user and files", testUserAndFiles},
		{"links of a service", testLinksOfAService},
		{"packages", testPackages},
		{"package lock", testPackageLock},
		{"package version", testPackageVersion},
		{"mirror down", testMirrorDown},
		{"unit", testUnit},
		{"unit that fails", testUnitThatFails},
		{"unit that runs once", testUnitThatRunsOnce},
		{"sysctl", testSysctlInContainer},
		{"full disk", testFullDisk},
		{"program outlives its cancelled caller", testFinish},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, &realHost{machine: newThings(thingsOptions{Root: "/"}), t: t}) })
	}
}

func runOnHost(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	const name = "agent-things"
	dir := filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() {
		if err := lab.Down(context.Background(), name, dir); err != nil {
			t.Error(err)
		}
	})
	l, err := lab.Up(ctx, lab.Options{Name: name, Apps: 1, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	root, err := l.Hosts[0].Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := root.WriteFile("root/agent.test", self, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := l.Hosts[0].Exec(ctx, "env", onHost+"=1", "HOME=/root", "/root/agent.test", "-test.v", "-test.run=^TestThingsOnARealHost$")
	t.Logf("on the host:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// realHost is the machine that the test runs on, to be changed.
type realHost struct {
	*machine
	t     *testing.T
	notes []string
}

func (h *realHost) do(steps ...bootstrap.Step) error {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 3*time.Minute)
	defer cancel()
	return h.apply(ctx, steps, func(n string) { h.notes = append(h.notes, n) })
}

func (h *realHost) must(steps ...bootstrap.Step) {
	h.t.Helper()
	if err := h.do(steps...); err != nil {
		h.t.Fatal(err)
	}
}

func (h *realHost) see(id bootstrap.ID) bootstrap.Resource {
	h.t.Helper()
	state, err := h.look(h.t.Context(), []bootstrap.ID{id}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if why, bad := state.Unread[id]; bad {
		h.t.Fatalf("%s: %s", id, why)
	}
	return state.Find(id)
}

func (h *realHost) settle(r bootstrap.Resource) {
	h.t.Helper()
	h.must(creates(r))
	if d := r.Drift(h.see(r.ID())); len(d) > 0 {
		h.t.Fatalf("after apply %s still differs: %+v", r.ID(), d)
	}
}

func (h *realHost) gone(r bootstrap.Resource) {
	h.t.Helper()
	h.must(removes(h.see(r.ID())))
	if got := h.see(r.ID()); got != nil {
		h.t.Fatalf("%s is still there: %+v", r.ID(), got)
	}
	h.must(removes(r))
}

func testUserAndFiles(t *testing.T, h *realHost) {
	user := bootstrap.User{Name: "zktest"}
	h.settle(user)
	user.Groups = []string{"adm"}
	h.settle(user)
	dir := bootstrap.Dir{Path: "/var/lib/zktest/data", Mode: 0o750, Owner: "zktest", Group: "zktest"}
	h.settle(dir)
	file := bootstrap.File{Path: dir.Path + "/myid", Content: "1\n", Mode: 0o640, Owner: "root", Group: "zktest"}
	h.settle(file)
	h.settle(bootstrap.Secret{Path: dir.Path + "/super", Bytes: 32, Mode: 0o600, Owner: "root", Group: "root"})
	h.gone(file)
	step := removes(dir)
	step.Wipe = true
	h.must(step)
	h.gone(user)
}

// A service must not be able to lead the agent, which is root, to a file of root.
func testLinksOfAService(t *testing.T, h *realHost) {
	h.settle(bootstrap.User{Name: "zkevil"})
	h.settle(bootstrap.Dir{Path: "/var/lib/zkevil", Mode: 0o755, Owner: "zkevil", Group: "zkevil"})
	if err := os.Symlink("/etc", "/var/lib/zkevil/data"); err != nil {
		t.Fatal(err)
	}
	user := h.uid("zkevil")
	if err := os.Lchown("/var/lib/zkevil/data", user, -1); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("/var/lib/zkevil/data is a symbolic link of user id %d, which is not followed", user)
	wantError(t, h.do(creates(bootstrap.File{Path: "/var/lib/zkevil/data/passwd", Mode: 0o644, Owner: "root", Group: "root"})), want)
	state, err := h.look(t.Context(), []bootstrap.ID{"file:/var/lib/zkevil/data/shadow"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, state.Unread["file:/var/lib/zkevil/data/shadow"], want)
	step := removes(bootstrap.Dir{Path: "/var/lib/zkevil/data/apt"})
	step.Wipe = true
	wantError(t, h.do(step), want)
}

func (h *realHost) uid(name string) int {
	h.t.Helper()
	users, _ := h.accounts()
	i := slices.IndexFunc(users, func(u passwdEntry) bool { return u.name == name })
	if i < 0 {
		h.t.Fatalf("no user %s", name)
	}
	return users[i].uid
}

// cron starts its service when it is installed; here it must not.
func testPackages(t *testing.T, h *realHost) {
	hello, cron := deb("hello", "", true), deb("cron", "", false)
	h.must(creates(cron), creates(hello))
	for _, p := range []bootstrap.Package{hello, cron} {
		if d := p.Drift(h.see(p.ID())); len(d) > 0 {
			t.Errorf("%s: %+v", p.Name, d)
		}
	}
	if out, err := h.run(t.Context(), "systemctl", "is-active", "cron.service"); err == nil {
		t.Errorf("cron.service is %s", out)
	}
	if _, err := os.Stat(policyPath); err == nil {
		t.Error("the policy script is still there")
	}
	h.must(creates(cron), creates(hello))
	if !slices.Contains(h.notes, "installing cron hello") {
		t.Errorf("notes are %q", h.notes)
	}
	seen := h.see("candidate:hello")
	if c, ok := seen.(bootstrap.Candidate); !ok || c.Version != h.see(hello.ID()).(bootstrap.Package).Version {
		t.Errorf("candidate is %+v", seen)
	}
	h.must(removes(cron), removes(hello))
	if h.see(hello.ID()) != nil || h.see(cron.ID()) != nil {
		t.Error("still installed")
	}
}

func testPackageLock(t *testing.T, h *realHost) {
	// struct flock of fcntl(2) on 64 bits: type, whence, start, len, pid.
	const hold = `use Fcntl; open(F, "+<", "/var/lib/dpkg/lock-frontend") or die $!;
my $l = pack("s s x4 q q l", F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die $!;
$| = 1; print "held\n"; <STDIN>;`
	cmd := exec.Command("perl", "-e", hold)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("waiting for the package lock held by perl (pid %d)", cmd.Process.Pid)
	err = h.apply(t.Context(), []bootstrap.Step{creates(deb("hello", "", false))}, func(n string) {
		h.notes = append(h.notes, n)
		if n == want {
			stdin.Close()
		}
	})
	if err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if len(h.notes) == 0 || h.notes[0] != want {
		t.Errorf("notes are %q, want %q first", h.notes, want)
	}
	h.gone(deb("hello", "", false))
}

func testPackageVersion(t *testing.T, h *realHost) {
	wantError(t, h.do(creates(deb("hello", "9.9-9", false))), "Version '9.9-9' for 'hello' was not found")
	wantError(t, h.do(creates(deb("no-such-package-here", "", false))), "apt does not know the package", "no-such-package-here")
}

func testMirrorDown(t *testing.T, h *realHost) {
	src := bootstrap.AptSource{Name: "zktest", URIs: []string{"http://127.0.0.1:9/debian"}, Suites: []string{"x"}, Components: []string{"main"}, Key: "none\n"}
	wantError(t, h.do(creates(src)), "the mirror http://127.0.0.1:9 did not give what apt asked for")
	h.must(removes(src))
}

func sleeper(rev string) bootstrap.Unit {
	return bootstrap.Unit{Name: "zktest.service", Enabled: true, Running: true, Rev: rev,
		Content: "[Service]\nEnvironment=ZKBOOT_REV=" + rev + "\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"}
}

func testUnit(t *testing.T, h *realHost) {
	pid := func() int {
		status, err := h.statuses(t.Context(), []string{"zktest.service"})
		if err != nil {
			t.Fatal(err)
		}
		return status["zktest.service"].pid
	}
	h.settle(sleeper("aa"))
	first := pid()
	h.settle(sleeper("aa"))
	wantEqual(t, pid(), first)
	h.settle(sleeper("bb"))
	if pid() == first {
		t.Error("a new revision did not restart the unit")
	}
	// As after a crash between the write and the restart.
	third := sleeper("cc")
	if err := os.WriteFile(unitPath(third.Name), []byte(third.Content), 0o644); err != nil {
		t.Fatal(err)
	}
	if d := third.Drift(h.see(third.ID())); len(d) != 1 || d[0].Field != "revision" {
		t.Errorf("differs in %+v, want the revision alone", d)
	}
	h.settle(third)
	stopped := third
	stopped.Running, stopped.Enabled = false, false
	h.settle(stopped)
	h.settle(third)
	h.gone(third)
}

func testUnitThatFails(t *testing.T, h *realHost) {
	u := sleeper("aa")
	u.Content = "[Service]\nEnvironment=ZKBOOT_REV=aa\nRestart=always\nRestartSec=1h\n" +
		"ExecStartPre=/bin/sh -c 'echo the reason; echo password=geheim; exit 3'\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
	err := h.do(creates(u))
	wantError(t, err, "systemctl restart ended with status 1", "Job for zktest.service failed", "the reason", "password=<redacted>")
	if got := h.see(u.ID()).(bootstrap.Unit); got.Running {
		t.Error("a unit that waits for its restart is seen as running")
	}
	h.settle(sleeper("aa"))
	h.gone(u)
}

func testUnitThatRunsOnce(t *testing.T, h *realHost) {
	u := sleeper("aa")
	u.Content = "[Service]\nType=oneshot\nRemainAfterExit=yes\nEnvironment=ZKBOOT_REV=aa\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
	h.settle(u)
	u.Content, u.Rev = strings.ReplaceAll(u.Content, "=aa", "=bb"), "bb"
	h.settle(u)
	h.gone(u)
}

func testSysctlInContainer(t *testing.T, h *realHost) {
	h.settle(bootstrap.Sysctl{Setting: sysctl.Setting{Key: "net.ipv4.tcp_keepalive_time", Value: "61"}})
	if got, ok := h.see("sysctl:vm.swappiness").(bootstrap.Sysctl); !ok || !got.HostOwned {
		t.Errorf("vm.swappiness is %+v, want it owned by the host", got)
	}
	if got, ok := h.see("kernel:swap").(bootstrap.Kernel); !ok || !got.HostOwned {
		t.Errorf("swap is %+v, want it owned by the host", got)
	}
}

func testFullDisk(t *testing.T, h *realHost) {
	if err := os.Mkdir("/mnt/full", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := h.run(t.Context(), "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt/full"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := h.run(context.Background(), "umount", "/mnt/full"); err != nil {
			t.Error(err)
		}
	}()
	b := tarball(t, entry('0', "a/x", strings.Repeat("x", 2<<20)))
	packed := zstded(t, b) // fits; what is in it does not
	h.blob = func(context.Context, string, string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed)), nil
	}
	err := h.do(creates(bootstrap.Archive{Dest: "/mnt/full/zk", URL: "file:///x", SHA512: sumOf(packed)}))
	wantError(t, err, "no space left for /mnt/full/zk; free some and apply again")
	err = h.do(creates(bootstrap.File{Path: "/mnt/full/x", Content: strings.Repeat("x", 2<<20), Mode: 0o644, Owner: "root", Group: "root"}))
	wantError(t, err, "no space left for /mnt/full/x; free some and apply again")
	entries, err := os.ReadDir("/mnt/full")
	if err != nil || len(entries) > 0 {
		t.Errorf("left %v (%v)", entries, err)
	}
}

func testFinish(t *testing.T, h *realHost) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := h.finish(ctx, "sh", "-c", "echo done"); err != nil || out != "done\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := h.run(ctx, "sleep", "60"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
