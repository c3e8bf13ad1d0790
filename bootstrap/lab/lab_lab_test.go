//go:build lab

package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// testLab returns the name and directory of a lab that is taken down at the end of the
// test and then must have left nothing. The process id keeps test runs apart.
func testLab(t *testing.T, suffix string) (name, dir string) {
	t.Helper()
	name = fmt.Sprintf("t%d%s", os.Getpid(), suffix)
	dir = filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := Down(ctx, name, dir); err != nil {
			t.Errorf("down: %v", err)
		}
		if left := traces(t, name, dir); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		// The kernel detaches a loop device a moment after its last mount.
		if err := machine.Wait(ctx, "loop devices to be free", func() (bool, error) { return !hasLoop(t, name), nil }); err != nil {
			t.Error(err)
		}
	})
	return name, dir
}

// hasLoop reports whether a loop device is attached to a file of the lab.
func hasLoop(t *testing.T, name string) bool {
	t.Helper()
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		backing, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(backing), "/"+name+"/")
	})
}

// traces lists everything on this machine that carries the lab's name. Other labs may come
// and go meanwhile, so the machine as a whole cannot be compared.
func traces(t *testing.T, name, dir string) []string {
	t.Helper()
	var left []string
	note := func(kind, what string) {
		if strings.Contains(what, name) || strings.Contains(what, tableName(name)) {
			left = append(left, kind+" "+what)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		note("mount", line)
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		note("link", l.Attrs().Name)
		for _, host := range []string{"zk1", "zk2", "zk3", "app1"} {
			if long := machineName(name, host); !strings.Contains(long, name) && l.Attrs().Name == "vb-"+long {
				left = append(left, "link "+l.Attrs().Name)
			}
		}
	}
	tables, err := machine.Run(t.Context(), nil, "nft", "list", "tables")
	if err != nil && t.Context().Err() == nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(tables)) {
		note("table", line)
	}
	for _, pid := range machine.Processes() {
		if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && pid != os.Getpid() {
			note("process", strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	for _, pattern := range []string{
		dir, "/var/lib/zkboot/lab/*", cgroupRoot + "/zkboot-lab/*", cgroupRoot + "/*/zkboot-lab/*", "/run/systemd/nspawn/*/*",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f == dir {
				left = append(left, "directory "+f)
			} else {
				note("file", f)
			}
		}
	}
	return left
}

func mustUp(t *testing.T, name, dir string, zk, apps int) *Lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a cold cache takes over a minute
	defer cancel()
	l, err := Up(ctx, Options{Name: name, Dir: dir, ZooKeeper: zk, Apps: apps})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustExec(t *testing.T, h *Host, argv ...string) string {
	t.Helper()
	out, err := h.Exec(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// pings reports whether one host reaches an address within a second.
func pings(h *Host, to netip.Addr) bool {
	_, err := h.Exec(context.Background(), "ping", "-q", "-c1", "-W1", to.String())
	return err == nil
}

func TestTwoLabsSideBySide(t *testing.T) {
	nameA, dirA := testLab(t, "a")
	nameB, dirB := testLab(t, "b")
	var a, b *Lab
	var g errgroup.Group
	g.Go(func() (err error) {
		a, err = Up(t.Context(), Options{Name: nameA, Dir: dirA, ZooKeeper: 2})
		return err
	})
	g.Go(func() (err error) {
		b, err = Up(t.Context(), Options{Name: nameB, Dir: dirB, ZooKeeper: 1, Apps: 1})
		return err
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	zk1, zk2, other := a.Hosts[0], a.Hosts[1], b.Hosts[0]
	if !pings(zk1, zk2.Address) {
		t.Error("hosts of one lab do not reach each other")
	}
	if pings(zk1, other.Address) {
		t.Errorf("%s of lab %s reaches %s of lab %s", zk1.Name, nameA, other.Name, nameB)
	}
	if id := mustExec(t, zk1, "cat", "/etc/machine-id"); id == mustExec(t, other, "cat", "/etc/machine-id") {
		t.Errorf("two hosts with machine-id %s", id)
	}
	serves(t, b.Hosts[1])
	if err := Down(t.Context(), nameB, dirB); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), nameB, ""); err != nil {
		t.Errorf("second down: %v", err)
	}
	if !pings(zk1, zk2.Address) || mustExec(t, zk1, "systemctl", "is-system-running", "--wait") != "running" {
		t.Error("taking the other lab down disturbed this one")
	}
	if err := Down(t.Context(), nameA, dirB); err == nil || !strings.Contains(err.Error(), dirA) {
		t.Errorf("down with another lab's directory: %v, want an error that names %s", err, dirA)
	}
}

// serves waits until the service of an application host answers there on loopback, which no
// other host's is.
func serves(t *testing.T, h *Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		r, err := h.Traffic(ctx, Load{URL: "http://127.0.0.1:8080/", For: 200 * time.Millisecond, Rate: 20})
		if err != nil || ctx.Err() != nil {
			t.Fatalf("%s does not serve: %s, %v", h.Name, r, err)
		}
		if r.Requests > 0 && r.Failed == 0 {
			if len(r.Answers) != 1 || r.Answers[0].Text != h.Name {
				t.Errorf("answers on %s: %s", h.Name, r)
			}
			return
		}
	}
}

func TestUpAgainReturnsTheRunningLab(t *testing.T) {
	name, dir := testLab(t, "u")
	first := mustUp(t, name, dir, 1, 0)
	before, err := first.Hosts[0].Leader()
	if err != nil {
		t.Fatal(err)
	}
	second := mustUp(t, name, dir, 1, 1) // and one more
	now, err := second.Hosts[0].Leader()
	if err != nil {
		t.Fatal(err)
	}
	if now != before || second.Hosts[0].HostKey != first.Hosts[0].HostKey {
		t.Errorf("zk1 was made anew: leader %d, then %d", before, now)
	}
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	want := Summary{Name: name, Dir: dir, Subnet: netip.PrefixFrom(first.Hosts[0].Address, 24).Masked().String(), Hosts: 2, Running: 2}
	if !slices.Contains(all, want) {
		t.Errorf("list %+v, want %+v in it", all, want)
	}
	opened, err := Open(name)
	if err != nil || len(opened.Hosts) != 2 || opened.Hosts[1].Name != "app1" {
		t.Errorf("open: %+v, %v", opened, err)
	}
}

// dial connects to a host the way a user would: with the files of the lab's directory alone.
func dial(t *testing.T, l *Lab, h *Host, user string) (*ssh.Client, error) {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(l.Dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	known, err := knownhosts.New(filepath.Join(l.Dir, knownFile))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.Dial("tcp", net.JoinHostPort(h.Address.String(), "22"), &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: known, Timeout: 10 * time.Second,
	})
}

func TestHostIsAUsableServer(t *testing.T) {
	name, dir := testLab(t, "h")
	umask := syscall.Umask(0o077) // a careful administrator's must not show inside
	l := mustUp(t, name, dir, 1, 0)
	syscall.Umask(umask)
	h := l.Hosts[0]

	t.Run("ssh and sudo", func(t *testing.T) {
		client, err := dial(t, l, h, login)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, err := session.CombinedOutput("cat /etc/hostname && sudo -n id -u")
		if err != nil || string(out) != "zk1\n0\n" {
			t.Errorf("hostname and sudo -n id -u: %q, %v", out, err)
		}
		if client, err := dial(t, l, h, "root"); err == nil {
			client.Close()
			t.Error("root may log in")
		}
	})
	t.Run("booted whole", func(t *testing.T) {
		if got := mustExec(t, h, "systemctl", "is-system-running", "--wait"); got != "running" {
			t.Errorf("%s: %s", got, mustExec(t, h, "systemctl", "--failed"))
		}
		if got := mustExec(t, h, "getent", "hosts", "zk1"); !strings.HasPrefix(got, h.Address.String()) {
			t.Errorf("zk1 resolves to %s, want %s", got, h.Address)
		}
	})
	t.Run("data on a real file system", func(t *testing.T) {
		if got := mustExec(t, h, "stat", "-f", "-c", "%T", "/"); got != "overlayfs" {
			t.Errorf("/ is on %s", got)
		}
		for _, path := range []string{"/var/lib/zookeeper", "/var/lib/zookeeper-log"} {
			if got := mustExec(t, h, "stat", "-f", "-c", "%T", path); got == "overlayfs" || got == "tmpfs" {
				t.Errorf("%s is on %s", path, got)
			}
		}
	})
	t.Run("apt", func(t *testing.T) {
		mustExec(t, h, "apt-get", "-qq", "update")
		out := mustExec(t, h, "apt-get", "-y", "--no-install-recommends", "--simulate", "install", "libzookeeper-java", "openjdk-17-jre-headless")
		if !strings.Contains(out, "Inst libzookeeper-java") {
			t.Errorf("apt would not install libzookeeper-java:\n%s", out)
		}
		// Whether apt needs a download depends on what the mirror released since the tree
		// was built; that the packages of that day are there does not.
		fetched := mustExec(t, h, "ls", "/var/cache/apt/archives")
		for _, want := range []string{"libzookeeper-java_", "openjdk-17-jre-headless_", "haproxy_", "chrony_", "liblog4j1.2-java_"} {
			if !strings.Contains(fetched, "\n"+want) {
				t.Errorf("%s*.deb was not fetched when the tree was built:\n%s", want, fetched)
			}
		}
	})
	t.Run("files from outside", func(t *testing.T) {
		root, err := h.Root()
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := root.WriteFile("var/lib/zookeeper/myid", []byte("1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := mustExec(t, h, "cat", "/var/lib/zookeeper/myid"); got != "1" {
			t.Errorf("inside: %q", got)
		}
	})
	t.Run("exec", func(t *testing.T) {
		_, err := h.Exec(t.Context(), "sh", "-c", "echo why >&2; exit 3")
		if err == nil || !strings.Contains(err.Error(), "lab "+name+": host zk1: exec") || !strings.Contains(err.Error(), "exit status 3: why") {
			t.Errorf("got %v, want lab, host, status and stderr", err)
		}
	})
}

// The network of a killed host lives on while anything holds it. Its link stayed behind after
// a down, and was in the way of the next up.
func TestANetworkThatLivesOnIsNotInTheWay(t *testing.T) {
	name, dir := testLab(t, "-long-name")
	leader, err := mustUp(t, name, dir, 1, 0).Hosts[0].Leader()
	if err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", leader))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := Down(t.Context(), name, dir); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, name, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	mustUp(t, name, dir, 1, 0)
}

func TestHostFaults(t *testing.T) {
	name, dir := testLab(t, "f")
	l := mustUp(t, name, dir, 3, 0)
	a, b, c := l.Hosts[0], l.Hosts[1], l.Hosts[2]
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	t.Run("reboot", func(t *testing.T) {
		before, err := a.Leader()
		must(err)
		must(a.Reboot(ctx))
		if now, err := a.Leader(); err != nil || now == before {
			t.Errorf("leader %d, then %d, %v", before, now, err)
		}
	})
	t.Run("power cut", func(t *testing.T) {
		mustExec(t, a, "sh", "-c", "echo root >/root/kept; echo data >/var/lib/zookeeper/kept")
		must(a.PowerCut(ctx))
		if _, err := a.Exec(ctx, "true"); err == nil || !strings.Contains(err.Error(), ErrOff.Error()) {
			t.Errorf("exec on a host without power: %v, want %v", err, ErrOff)
		}
		must(a.Start(ctx))
		if got := mustExec(t, a, "cat", "/root/kept", "/var/lib/zookeeper/kept"); got != "root\ndata" {
			t.Errorf("after the power cut: %q", got)
		}
	})
	t.Run("freeze", func(t *testing.T) {
		must(a.Freeze(ctx))
		if a.greets(ctx) {
			t.Error("a frozen sshd greets")
		}
		must(a.Thaw(ctx))
		must(a.Thaw(ctx)) // again: nothing to do
		must(a.waitSSH(ctx))
	})
	t.Run("isolate from one", func(t *testing.T) {
		must(a.Isolate(ctx, b.Address))
		if pings(a, b.Address) || pings(b, a.Address) {
			t.Error("the isolated pair reaches each other")
		}
		if !pings(a, c.Address) || !a.greets(ctx) {
			t.Error("the others are cut off too")
		}
	})
	t.Run("isolate from all, heal", func(t *testing.T) {
		must(a.Isolate(ctx))
		if pings(a, c.Address) || a.greets(ctx) {
			t.Error("somebody still reaches it")
		}
		must(a.Heal(ctx))
		must(a.Heal(ctx))
		if !pings(a, b.Address) || !a.greets(ctx) {
			t.Error("not healed")
		}
	})
	t.Run("partitions", func(t *testing.T) { partitions(t, a, b, c) })
	t.Run("faults of units", func(t *testing.T) { faultsOfUnits(t, a) })
	t.Run("faults of disks", func(t *testing.T) { faultsOfDisks(t, a) })
	t.Run("fill disk", func(t *testing.T) { fillsDisk(t, b) })
	t.Run("recreate", func(t *testing.T) { recreates(t, l, b) })
	must(c.Inject(ctx, Injection{Fault: FaultFillDisk})) // Down must get rid of a disk and a tracer too
	startSubject(t, a)
	must(a.Inject(ctx, Injection{Fault: FaultSlowDisk, Unit: faultSubject, Delay: time.Minute}))
	if err := a.Freeze(ctx); err == nil || !strings.Contains(err.Error(), "mend the host first") {
		t.Errorf("freeze under a tracer: %v", err)
	}
	must(b.Freeze(ctx)) // and of a frozen host
	must(b.Freeze(ctx))
}
