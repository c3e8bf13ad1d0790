//go:build lab

package zookeeper_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// firstApply is one long bad day of one host: packages come and go only once, because that
// is most of the time that a bad day takes.
func (d *days) firstApply(t *testing.T) {
	solo := shape{name: "solo", hosts: []string{"zk1"}}
	s, file := d.spec(t, solo)
	d.removeSolo(t)
	d.solo = true
	before := d.inventory(t, "zk1")
	begin := func() *watch { return d.begin(t, s) } // it outlives the part that begins it
	var w *watch
	for _, part := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"the mirror is down", func(t *testing.T) { d.mirrorDown(t, s) }},
		{"the package lock is held", func(t *testing.T) { w = d.packageLock(t, s, file, begin) }},
		{"the power goes while dpkg works", func(t *testing.T) { d.powerCutInDpkg(t, s, w) }},
		{"wiping leaves nothing", func(t *testing.T) { d.wipeLeavesNothing(t, file, before) }},
	} {
		if !t.Run(part.name, part.run) {
			return
		}
	}
}

// mirrorDown: apt's mirror refuses connections. The error names it.
func (d *days) mirrorDown(t *testing.T, s *bootstrap.Spec) {
	d.sh(t, "zk1", "cp -a /etc/apt/sources.list /root/ && cp -a /var/lib/apt/lists /root/ && rm -rf /var/lib/apt/lists/* && "+
		"echo 'deb http://127.0.0.1:9/debian bookworm main' > /etc/apt/sources.list")
	report := d.apply(t, s, nil)
	d.sh(t, "zk1", "mv /root/sources.list /etc/apt/ && rm -rf /var/lib/apt/lists && mv /root/lists /var/lib/apt/")
	err := report.Err()
	if err == nil {
		t.Fatal("an apply without a mirror went well")
	}
	for _, word := range []string{"zk1: create package", "the mirror http://127.0.0.1:9 did not give", "/etc/apt"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("no %q in: %v", word, err)
		}
	}
	if out := d.sh(t, "zk1", "systemctl list-unit-files --no-legend 'zookeeper-*' || true"); out != "" {
		t.Errorf("a unit without its packages: %s", out)
	}
}

// packageLock: another program holds the package lock. apply says who and waits; a second
// apply meanwhile is told who runs the first. When the lock is free the first goes on.
func (d *days) packageLock(t *testing.T, s *bootstrap.Spec, file string, begin func() *watch) *watch {
	d.sh(t, "zk1", `cat > /run/hold.pl <<'END'
use Fcntl;
open(my $file, ">>", "/var/lib/dpkg/lock-frontend") or die $!;
my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0); # struct flock, fcntl(2)
fcntl($file, F_SETLK, $lock) or die $!;
open(my $held, ">", "/run/held");
sleep 600;
END
systemd-run --quiet --unit=holder perl /run/hold.pl`)
	defer d.sh(t, "zk1", "systemctl stop holder && rm /run/held /run/hold.pl")
	within(t, 20*time.Second, func() bool { return strings.Contains(d.sh(t, "zk1", "ls /run"), "held") })
	w := begin()
	if said := w.await(t, "package lock held by"); !strings.Contains(said, "perl") {
		t.Errorf("%q does not say that perl holds the lock", said)
	}
	out, err := exec.CommandContext(t.Context(), d.program, "apply", "--auto-approve", "-f", file).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 || !strings.Contains(string(out), "locked by another apply: held by bad-day") {
		t.Errorf("second apply: %v, want exit 4 and the name of the first\n%s", err, out)
	}
	if w.heard("installing") != "" {
		t.Error("packages were brought although the lock was held")
	}
	return w
}

// powerCutInDpkg: the run that waited for the lock goes on, and then the power goes while
// dpkg works. The next apply repairs what dpkg left.
func (d *days) powerCutInDpkg(t *testing.T, s *bootstrap.Spec, w *watch) {
	h := d.host(t, "zk1")
	w.await(t, "installing libservlet-api-java")
	within(t, 4*time.Minute, func() bool {
		half := d.sh(t, "zk1", "dpkg-query -W -f '${db:Status-Status}\n' | grep -c -e unpacked -e half- || true")
		return half != "0"
	})
	if err := h.PowerCut(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.lines["zk1"].cut() // a host without power sends no reset, and silence is bound by the keepalive alone
	<-w.ended
	wants(t, w.report, bootstrap.ErrUnreachable, "zk1")
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("after the power cut dpkg says: %q", d.sh(t, "zk1", "dpkg --audit | head -3; ls /var/lib/dpkg/updates"))
	d.converge(t, s)
	if out := d.sh(t, "zk1", "dpkg --audit"); out != "" {
		t.Errorf("dpkg is not whole:\n%s", out)
	}
}

// wipeLeavesNothing: destroy --wipe-data puts a host back as it was before the first apply.
func (d *days) wipeLeavesNothing(t *testing.T, file string, before map[string]string) {
	if out, err := exec.CommandContext(t.Context(), d.program, "destroy", "--wipe-data", "--auto-approve", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("destroy: %v\n%s", err, out)
	}
	after := d.inventory(t, "zk1")
	for _, what := range inventoryParts() {
		if lines := differences(before[what], after[what]); len(lines) > 0 {
			t.Errorf("%s: not as before the first apply:\n%s", what, strings.Join(lines, "\n"))
		}
	}
}

func inventoryParts() []string { return []string{"files", "units", "users", "packages", "sysctl"} }

// inventory lists what an apply can change on a host. Left out is what other programs keep
// for themselves: the lists and caches of apt and what dependencies of the packages put
// into /etc and /usr/local, since apt leaves them to autoremove. /run/zkboot holds the lock
// alone, whose file must stay.
func (d *days) inventory(t *testing.T, host string) map[string]string {
	t.Helper()
	const foreign = `-e '^/etc/.*-$' -e '^/etc/ld.so.cache' -e '^/etc/\(java\|ssl\|fonts\|alternatives\|\.java\|ca-cert\|default/cacerts\|pam.d\|security/limits.d$\)' -e '^/run/zkboot' -e '^/usr/local/share/fonts'`
	return map[string]string{
		"files": d.sh(t, host, fmt.Sprintf(`find /etc /opt /srv /root /home /run/zkboot /usr/local /usr/sbin/policy-rc.d /var/lib/zookeeper /var/lib/zookeeper-log /var/log/zookeeper 2>/dev/null |
			grep -v %s | sort`, foreign)),
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
