//go:build lab

package zookeeper_test

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper/zookeepertest"
)

// TestRolling rolls one ensemble through what is done to it over the years: packages of a
// later revision, a release that zkboot brings itself, a reboot of every host. Its parts
// rest on each other, in this order.
func TestRolling(t *testing.T) {
	d := daysOn(t, "ro", 3)
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"packages are upgraded", d.upgradePackages},
		{"3.8 becomes 3.9 under a writer", d.upgradeRelease},
		{"an older release is refused", d.downgradeRefused},
		{"reboot, killed between turns", d.rebootKilled},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			start := time.Now()
			defer func() {
				t.Logf("took %s", time.Since(start).Round(time.Second/10))
				if t.Failed() {
					d.tell(t)
				}
			}()
			part.run(t)
		})
		if !ok {
			t.Fatalf("the parts after %q rest on it", part.name)
		}
	}
}

// offerScript makes a revision of the server's package that is newer than the mirror's, and
// lets apt offer it. Its content is the same: what is tested is who installs it, and when.
const offerScript = `
dir=$(mktemp -d) && chmod 755 "$dir" && cd "$dir" && apt-get download -q libzookeeper-java
dpkg-deb -R libzookeeper-java_*.deb x && sed -i 's/^Version: .*/&+roll1/' x/DEBIAN/control
mkdir -p /var/local/roll && dpkg-deb -b x /var/local/roll/new.deb
cd /var/local/roll
{ dpkg-deb -f new.deb; echo Filename: ./new.deb; stat -c 'Size: %s' new.deb; echo "SHA256: $(sha256sum new.deb | cut -d' ' -f1)"; } > Packages
echo 'deb [trusted=yes] file:/var/local/roll ./' > /etc/apt/sources.list.d/roll.list
apt-get update -q -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/roll.list -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0`

// upgradePackages: the packages stay what they are, although apt has a newer one, until
// `zkboot roll upgrade`. While only one host has it, that is refused. The roll itself is
// carried out without the writer that the program puts around it: a roll from 3.8.0 to 3.8.0
// ends with an election of servers of 3.8.0, and under writes such a server has been seen to
// count an unrecoverable error, which zkboot then reports. That is 3.8.0's own fault, see
// docs/BAD-DAYS.md, and no finding about the upgrade.
func (d *days) upgradePackages(t *testing.T) {
	s, file := d.spec(t, shape{})
	d.converge(t, s)
	d.keep(t, "/kept-through-upgrade")
	d.sh(t, "zk1", offerScript)
	code, out := d.zkboot(t, "roll", "upgrade", "--auto-approve", "-f", file)
	if want := "expected apt to offer one version of libzookeeper-java, found zk1 "; code != 1 || !strings.Contains(out, want) || !strings.Contains(out, "apt-get update") {
		t.Fatalf("with two offers: exit %d, want 1 and %q", code, want)
	}
	for _, h := range []string{"zk2", "zk3"} {
		d.sh(t, h, offerScript)
	}
	if !d.whole(t, s) {
		t.Error("a newer package that is offered is no difference, and a plan has steps")
	}
	before, leader := d.started(t), d.leader(t)
	if report := d.run(t, s, bootstrap.Intent{Verb: bootstrap.VerbUpgrade}, nil); report.Failed() {
		t.Fatal(report.Err())
	}
	after := d.started(t)
	last := slices.MaxFunc(allHosts(), func(a, b string) int { return int(after[a] - after[b]) })
	if last != leader {
		t.Errorf("%s was started last, want %s, which led", last, leader)
	}
	for _, h := range allHosts() {
		if after[h] == before[h] {
			t.Errorf("%s has its old process", h)
		}
		if is := d.sh(t, h, "dpkg-query -W -f='${Version} ${db:Status-Want}' libzookeeper-java"); !strings.HasSuffix(is, "+roll1 hold") {
			t.Errorf("%s has libzookeeper-java %s, want +roll1, held", h, is)
		}
	}
	if !d.whole(t, s) {
		t.Error("the upgrade has left something to apply")
	}
	code, out = d.zkboot(t, "roll", "upgrade", "--auto-approve", "-f", file)
	if code != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("with nothing newer: exit %d, want 0 and \"nothing to do\"", code)
	}
	d.kept(t, "/kept-through-upgrade")
}

// upgradeRelease: another source and another minor release, by an apply, while a client
// writes. The first two turns happen under a leader of 3.8.0. That is no test of 3.8.0's own
// faults: they strike where a server of it joins or elects anew, and in a roll with the
// leader last none ever does: each goes once, and comes back as 3.9. So whatever is lost
// here is lost by the upgrade, and the writer need not be spared.
func (d *days) upgradeRelease(t *testing.T) {
	r := zookeepertest.Release(t)
	d.versions(t, "3.8.0")
	leader := d.leader(t)
	s, file := d.spec(t, shape{source: r.Source(""), accept: " "})
	w := d.write(t, "/upgraded")
	if _, _, err := w.conn.Exists("/"); err != nil { // it has a session once it was answered
		t.Fatal(err)
	}
	session := w.conn.SessionID()
	code, _ := d.zkboot(t, "apply", "--auto-approve", "-f", file)
	acked, stall := w.stop(t)
	t.Logf("3.8.0 -> %s: %d acknowledged writes, longest stall %s", r.Version, len(acked), stall.Round(time.Millisecond))
	if code != 0 {
		for _, h := range allHosts() {
			t.Logf("%s: %s", h, fourLetters(t.Context(), d.host(t, h).Address.String(), "srvr"))
		}
		t.Fatalf("apply: exit %d; the versions above say which members had a server of 3.8.0 until then", code)
	}
	d.versions(t, r.Version.String())
	after := d.started(t)
	if last := slices.MaxFunc(allHosts(), func(a, b string) int { return int(after[a] - after[b]) }); last != leader {
		t.Errorf("%s was started last, want %s, which led", last, leader)
	}
	if stall > longestStall {
		t.Errorf("a write waited %s, want %s at most", stall, longestStall)
	}
	if now := w.conn.SessionID(); now != session {
		t.Errorf("the client lost its session 0x%x and has 0x%x", session, now)
	}
	for _, h := range allHosts() {
		if mode := d.sh(t, h, "grep ^fips-mode= /etc/zookeeper/bad/zoo.cfg"); mode != "fips-mode=false" {
			t.Errorf("%s: %s, want it written out as 3.8 has it", h, mode)
		}
	}
	d.wrote(t, "/upgraded", acked)
	d.kept(t, "/kept-through-upgrade")
	d.alike(t, s, "/upgraded")
	if !d.whole(t, s) {
		t.Error("the upgrade has left something to apply")
	}
}

// versions checks what every server says it is.
func (d *days) versions(t *testing.T, want string) {
	t.Helper()
	for _, h := range allHosts() {
		if srvr := fourLetters(t.Context(), d.host(t, h).Address.String(), "srvr"); !strings.Contains(srvr, "Zookeeper version: "+want) {
			t.Fatalf("%s does not run ZooKeeper %s:\n%s", h, want, srvr)
		}
	}
}

// downgradeRefused: the spec goes back to Debian's 3.8.0. No plan comes of it.
func (d *days) downgradeRefused(t *testing.T) {
	before := d.started(t)
	_, file := d.spec(t, shape{})
	code, out := d.zkboot(t, "plan", "-f", file)
	for _, want := range []string{"found 3.8.0: nothing says that ZooKeeper 3.8.0 reads what 3.9.", "restore a backup into a new ensemble"} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("exit %d, want 1 and %q", code, want)
		}
	}
	if after := d.started(t); !slices.Equal(pairs(before), pairs(after)) {
		t.Errorf("somebody was restarted: %v, then %v", before, after)
	}
}

func pairs(m map[string]int64) []int64 {
	var out []int64
	for _, h := range allHosts() {
		out = append(out, m[h])
	}
	return out
}

// rebootKilled: every host asks for a reboot. The run dies after the first one; the next
// reboots the two that are left, the leader last, and a third has nothing to do. A client
// writes all the while.
func (d *days) rebootKilled(t *testing.T) {
	r := zookeepertest.Release(t)
	s, file := d.spec(t, shape{source: r.Source(""), accept: " "})
	boots := d.boots(t)
	for _, h := range allHosts() {
		d.sh(t, h, "touch /run/reboot-required && echo linux-image-amd64 > /run/reboot-required.pkgs")
	}
	w := d.write(t, "/rebooted")
	first := d.killAfterReboot(t, file)
	d.free(t)
	left := slices.DeleteFunc(allHosts(), func(h string) bool { return h == first })
	leader := d.leader(t)
	code, out := d.zkboot(t, "roll", "reboot", "--if-required", "--auto-approve", "-f", file)
	acked, stall := w.stop(t)
	t.Logf("reboot of three hosts: %d acknowledged writes, longest stall %s", len(acked), stall.Round(time.Millisecond))
	if code != 0 {
		t.Fatalf("roll reboot: exit %d", code)
	}
	now := d.boots(t)
	for _, h := range allHosts() {
		if now[h] == boots[h] {
			t.Errorf("%s is in its old boot", h)
		}
		rebooted := strings.Contains(out, h+"  boot  done ")
		if rebooted != slices.Contains(left, h) {
			t.Errorf("the second run rebooted %s: %t, want %v rebooted", h, rebooted, left)
		}
	}
	at := func(h string) int { return strings.Index(out, h+"  boot  done ") }
	if other := slices.DeleteFunc(slices.Clone(left), func(h string) bool { return h == leader }); slices.Contains(left, leader) && at(other[0]) > at(leader) {
		t.Errorf("%s, which led, was rebooted before %s", leader, other[0])
	}
	if stall > longestStall {
		t.Errorf("a write waited %s, want %s at most", stall, longestStall)
	}
	d.wrote(t, "/rebooted", acked)
	d.alike(t, s, "/rebooted")
	if !d.whole(t, s) {
		t.Error("the reboot has left something to apply")
	}
	if code, out = d.zkboot(t, "roll", "reboot", "--if-required", "--auto-approve", "-f", file); code != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("with no host that asks: exit %d, want 0 and \"nothing to do\"", code)
	}
}

// killAfterReboot kills a `roll reboot --if-required` once a host has had its turn, and
// returns the host.
func (d *days) killAfterReboot(t *testing.T, file string) (host string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), d.program, "roll", "reboot", "--if-required", "--auto-approve", "-f", file)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		fmt.Fprintln(&said, line)
		if h, booted := strings.CutSuffix(strings.SplitN(line, "  done ", 2)[0], "  boot"); booted {
			host = h
		}
		if host != "" && strings.HasPrefix(line, "site  a write through each member is read on every other  done ") {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	t.Logf("$ zkboot roll reboot --if-required, killed\n%s", said.String())
	if host == "" || cmd.ProcessState.Exited() {
		t.Fatalf("the run was not killed after a reboot (%q, %s)", host, cmd.ProcessState)
	}
	return host
}

// boots are the boot ids of the hosts.
func (d *days) boots(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range allHosts() {
		out[h] = d.sh(t, h, "cat /proc/sys/kernel/random/boot_id")
	}
	return out
}

// zkboot runs the program and returns its exit code and all that it says.
func (d *days) zkboot(t *testing.T, args ...string) (int, string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), d.program, args...).CombinedOutput()
	t.Logf("$ zkboot %s\n%s", strings.Join(args, " "), out)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}
