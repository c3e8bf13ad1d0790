//go:build lab

package zookeeper_test

import (
	"errors"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// packageLock: another program holds the package lock. apply says who, waits, and goes on.
// Meanwhile a second apply is told who runs the first.
func (d *days) packageLock(t *testing.T) {
	s, file := d.spec(t, shape{name: "solo", hosts: []string{"zk1"}})
	d.sh(t, "zk1", `systemd-run --quiet --unit=holder perl -MFcntl -e '
		open(my $f, ">>", "/var/lib/dpkg/lock-frontend") or die;
		fcntl($f, F_SETLK, pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0)) or die; sleep 600'`)
	release := func() { d.sh(t, "zk1", "systemctl stop holder 2>/dev/null || true") }
	defer release()
	var waited, second atomic.Bool
	report := d.apply(t, s, func(ev bootstrap.Event) {
		if ev.Kind != bootstrap.EventNote || !strings.Contains(ev.Step, "package lock held by") {
			return
		}
		if !strings.Contains(ev.Step, "perl") {
			t.Errorf("%q does not say that perl holds the lock", ev.Step)
		}
		if waited.Swap(true) {
			return
		}
		out, err := exec.Command(d.program, "apply", "--auto-approve", "-f", file).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 4 || !strings.Contains(string(out), "locked by another apply: held by bad-day") {
			t.Errorf("second apply: %v, want exit 4 and the name of the first\n%s", err, out)
		}
		second.Store(true)
		release()
	})
	if !waited.Load() || !second.Load() {
		t.Fatal("apply never said that it waits for the package lock")
	}
	if report.Failed() {
		t.Fatalf("apply after the lock was free: %v", report.Err())
	}
	d.converge(t, s)
}

// powerCutInDpkg: the power goes while dpkg unpacks, then the host boots during the next
// apply, which repairs what dpkg left.
func (d *days) powerCutInDpkg(t *testing.T) {
	solo := shape{name: "solo", hosts: []string{"zk1"}}
	s, _ := d.spec(t, solo)
	d.remove(t, solo)
	h := d.host(t, "zk1")
	cut := make(chan error, 1)
	var once atomic.Bool
	report := d.apply(t, s, func(ev bootstrap.Event) {
		if ev.Kind != bootstrap.EventNote || !strings.HasPrefix(ev.Step, installing) || once.Swap(true) {
			return
		}
		go func() {
			within(t, 3*time.Minute, func() bool {
				out, err := h.Exec(t.Context(), "sh", "-c", "ls /var/lib/dpkg/updates; grep -c half-installed /var/log/dpkg.log")
				return err == nil && strings.TrimSpace(out) != "" && d.unpacking(t)
			})
			cut <- h.PowerCut(t.Context())
		}()
	})
	if !once.Load() {
		t.Fatalf("nothing was installed: %v", report.Err())
	}
	if err := <-cut; err != nil {
		t.Fatal(err)
	}
	wants(t, report, bootstrap.ErrUnreachable, "zk1")
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("dpkg after the power cut: %s", d.sh(t, "zk1", "dpkg --audit | head -20; ls /var/lib/dpkg/updates"))
	d.converge(t, s)
	if out := d.sh(t, "zk1", "dpkg --audit"); out != "" {
		t.Errorf("dpkg is not whole:\n%s", out)
	}
}

// unpacking reports whether dpkg is in the middle of its work on zk1.
func (d *days) unpacking(t *testing.T) bool {
	out, err := d.host(t, "zk1").Exec(t.Context(), "sh", "-c", "dpkg-query -W -f '${db:Status-Status}\n' | grep -c -e unpacked -e half")
	return err == nil && strings.TrimSpace(out) != "0"
}

// wipeLeavesNothing: destroy --wipe-data puts a host back as it was before the first apply.
func (d *days) wipeLeavesNothing(t *testing.T) {
	solo := shape{name: "solo", hosts: []string{"zk1"}}
	s, file := d.spec(t, solo)
	d.remove(t, solo)
	before := d.inventory(t, "zk1")
	d.converge(t, s)
	if out, err := exec.CommandContext(t.Context(), d.program, "destroy", "--wipe-data", "--auto-approve", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("destroy: %v\n%s", err, out)
	}
	after := d.inventory(t, "zk1")
	for what := range before {
		if lines := differences(before[what], after[what]); len(lines) > 0 {
			t.Errorf("%s are not as before:\n%s", what, strings.Join(lines, "\n"))
		}
	}
}

// inventory lists what an apply can change on a host. Left out is what other programs keep
// for themselves: package caches and lists, journals, and the dependencies that apt leaves
// to autoremove.
func (d *days) inventory(t *testing.T, host string) map[string]string {
	t.Helper()
	return map[string]string{
		"files": d.sh(t, host, `find /etc /opt /srv /root /home /run/zkboot /usr/local /usr/sbin /usr/lib/systemd /var/lib/zookeeper* /var/log/zookeeper* /var/lib/systemd -xdev 2>/dev/null |
			grep -v -e '^/etc/.*-$' -e /etc/ld.so.cache -e '^/etc/\(java\|ssl\|fonts\|alternatives\|\.java\)' -e /var/lib/systemd/ -e /run/zkboot/lock | sort; ls -d /var/lib/systemd/coredump 2>/dev/null || true`),
		"units":    d.sh(t, host, "systemctl list-unit-files --no-legend --no-pager | sort"),
		"users":    d.sh(t, host, "sort /etc/passwd /etc/group"),
		"packages": d.sh(t, host, "apt-mark showmanual | sort; apt-mark showhold"),
		"sysctl": d.sh(t, host, `sysctl -a 2>/dev/null | grep -e '^net.ipv4.tcp' -e '^net.core.somax' -e '^net.ipv4.ip_local' -e '^vm\.\(swap\|dirty\|max_map\)' |
			grep -v -e '_mem ' -e tcp_available -e fastopen_key | sort`),
	}
}

// differences are the lines that only one of two texts has.
func differences(a, b string) []string {
	count := map[string]int{}
	for line := range strings.Lines(a) {
		count[strings.TrimSpace(line)]++
	}
	for line := range strings.Lines(b) {
		count[strings.TrimSpace(line)]--
	}
	var out []string
	for line := range strings.Lines(a + "\n" + b) {
		line = strings.TrimSpace(line)
		if n := count[line]; n > 0 {
			out = append(out, "- "+line)
		} else if n < 0 {
			out = append(out, "+ "+line)
		}
		count[line] = 0
	}
	return out
}
