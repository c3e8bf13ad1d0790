//go:build lab && vm

package lab

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// A machine is booted twice here, which under emulation is most of the time of this test: all
// that one can be asked is asked of this one.
func TestVirtualMachine(t *testing.T) {
	name, dir := testLab(t, "q")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute) // with a cold cache and a busy machine
	defer cancel()
	up := func() *Host {
		t.Helper()
		l, err := Up(ctx, Options{Name: name, Dir: dir, ZooKeeper: 1, Driver: DriverQEMU, FirstBoot: wantsDataDisk,
			Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		if err != nil {
			t.Fatal(err)
		}
		return l.Hosts[0]
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h := up()
	booted := mustExec(t, h, "cat", "/proc/sys/kernel/random/boot_id")

	t.Run("first boot", func(t *testing.T) {
		// Status 2 would be done with errors, 1 failed.
		if out := mustExec(t, h, "cloud-init", "status", "--wait", "--long"); !strings.Contains(out, "status: done") {
			t.Errorf("cloud-init: %s", out)
		}
		if got := mustExec(t, h, "findmnt", "--noheadings", "--output", "SOURCE,FSTYPE", "/var/lib/zookeeper-log"); strings.Join(strings.Fields(got), " ") != "/dev/vdb ext4" {
			t.Errorf("the data disk: %q, want /dev/vdb mounted with ext4", got)
		}
		if got := mustExec(t, h, "cat", "/etc/hostname", "/etc/zkboot-test.conf"); got != "zk1\nwanted" {
			t.Errorf("host name and the file that was wanted: %q", got)
		}
		if got := mustExec(t, h, "systemctl", "is-system-running", "--wait"); got != "running" {
			t.Errorf("%s: %s", got, mustExec(t, h, "systemctl", "--failed"))
		}
	})
	t.Run("ssh and sudo", func(t *testing.T) {
		client, err := dial(t, &Lab{Dir: dir}, h, login) // the key that was pinned before the host was there
		must(err)
		defer client.Close()
		session, err := client.NewSession()
		must(err)
		if out, err := session.Output("sudo -n id -u"); err != nil || string(out) != "0\n" {
			t.Errorf("sudo -n id -u: %q, %v", out, err)
		}
	})
	t.Run("up again", func(t *testing.T) {
		if now := mustExec(t, up(), "cat", "/proc/sys/kernel/random/boot_id"); now != booted {
			t.Errorf("boot %s, then %s: want the machine that runs", booted, now)
		}
	})
	t.Run("exec", func(t *testing.T) {
		out, err := h.Exec(ctx, "sh", "-c", "echo out; echo why >&2; exit 3")
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 3 || out != "out\n" || !strings.Contains(err.Error(), "host zk1: exec") || !strings.HasSuffix(err.Error(), "exit status 3: why") {
			t.Errorf("%q, %v: want host, status and stderr", out, err)
		}
	})
	t.Run("traffic", func(t *testing.T) {
		mustExec(t, h, "systemctl", "start", "nginx")
		r, err := h.Traffic(ctx, Load{URL: "http://127.0.0.1:80/", For: time.Second, Rate: 10})
		if err != nil || r.Failed > 0 || r.Requests == 0 {
			t.Errorf("%s, %v: want the answers of nginx on the machine's own loopback", r, err)
		}
	})
	t.Run("isolate and heal", func(t *testing.T) { isolates(t, ctx, h) })
	t.Run("freeze", func(t *testing.T) {
		must(h.Freeze(ctx))
		if greetsSoon(ctx, h) {
			t.Error("a frozen machine greets")
		}
		if _, err := h.Exec(ctx, "true"); err == nil || !strings.Contains(err.Error(), "thaw it") {
			t.Errorf("exec on a frozen machine: %v, want what to do", err)
		}
		must(h.Thaw(ctx))
		must(h.Thaw(ctx)) // again: nothing to do
		must(h.waitSSH(ctx))
	})
	t.Run("power cut", func(t *testing.T) {
		mustExec(t, h, "sh", "-c", "echo root >/root/kept; echo data >/var/lib/zookeeper-log/kept; sync")
		must(h.Isolate(ctx)) // ends with the next start
		must(h.PowerCut(ctx))
		if _, err := h.Exec(ctx, "true"); !errors.Is(err, ErrOff) {
			t.Errorf("exec on a machine without power: %v, want %v", err, ErrOff)
		}
		running(t, name, 0)
		must(h.Start(ctx))
		running(t, name, 1)
		if got := mustExec(t, h, "cat", "/root/kept", "/var/lib/zookeeper-log/kept"); got != "root\ndata" {
			t.Errorf("after the power cut: %q", got)
		}
	})
	must(h.Freeze(ctx)) // Down must get rid of a frozen machine too
}

// A machine that nobody waits for any more is found by its name, as is the libvirtd that runs it.
func TestUpOfVirtualMachinesThatWasKilled(t *testing.T) {
	name, dir := testLab(t, "qk")
	ours := func(domain string) bool { return isDomainOf(domain, name) }
	killWhen(t, "up", []string{"LAB_NAME=" + name, "LAB_DIR=" + dir, "LAB_DRIVER=" + DriverQEMU}, func() bool { return len(emulators(ours)) > 0 })
	if len(emulators(ours)) == 0 {
		t.Error("the machine died with the program that started it")
	}
	if err := Down(t.Context(), name, ""); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, name, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// wantsDataDisk is what a role might want at first boot: the data disk and a file.
func wantsDataDisk(spec []byte, host string) ([]bootstrap.Desired, error) {
	s, report := bootstrap.Load("zkboot.yaml", spec)
	if report.Failed() {
		return nil, report.Err()
	}
	d := bootstrap.Desired{Resources: []bootstrap.Resource{
		bootstrap.File{Path: "/etc/zkboot-test.conf", Owner: "root", Group: "root", Mode: 0o644, Content: "wanted\n"},
	}}
	for path, m := range s.Hosts[host].Mounts {
		d.Resources = append(d.Resources, bootstrap.Mount{Path: path, Device: m.Device, FSType: "ext4"})
	}
	return []bootstrap.Desired{d}, nil
}

// isolates cuts the machine off from this one alone, then from all, and heals it. Programs run
// all the while.
func isolates(t *testing.T, ctx context.Context, h *Host) {
	gateway := netip.PrefixFrom(h.Address, 24).Masked().Addr().Next()
	for _, peers := range [][]netip.Addr{{gateway}, nil} {
		if err := h.Isolate(ctx, peers...); err != nil {
			t.Fatal(err)
		}
		if greetsSoon(ctx, h) || pings(h, gateway) {
			t.Errorf("isolated from %v: reaches %s, or is reached", peers, gateway)
		}
	}
	for range 2 { // again: nothing to do
		if err := h.Heal(ctx); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := machine.WaitEvery(ctx, time.Second, "the healed network", func() (bool, error) { return h.greets(ctx) && pings(h, gateway), nil }); err != nil {
		t.Error(err)
	}
}

// greetsSoon is for a host that should not.
func greetsSoon(ctx context.Context, h *Host) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return h.greets(ctx)
}

// running checks what List says of a lab.
func running(t *testing.T, name string, want int) {
	t.Helper()
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if l.Name == name && l.Running != want {
			t.Errorf("lab %s has %d hosts running, want %d", name, l.Running, want)
		}
	}
}
