//go:build lab

package zookeeper_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
)

const turnDone = "done: change zookeeper members in turn"

// destroyAndAdopt: destroy keeps the data, and the next apply takes it up as its own.
func (d *days) destroyAndAdopt(t *testing.T) {
	s, file := d.formed(t)
	d.keep(t, "/kept-through-destroy")
	out, err := exec.CommandContext(t.Context(), d.program, "destroy", "--auto-approve", "-f", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "/var/lib/zookeeper/bad (zk1 zk2 zk3)") {
		t.Fatalf("destroy: %v\n%s", err, out)
	}
	for _, h := range allHosts() {
		if left := d.sh(t, h, "find /etc/zkboot /etc/zookeeper /etc/systemd/system/zookeeper-* 2>/dev/null || true"); left != "" {
			t.Errorf("%s still has\n%s", h, left)
		}
	}
	d.converge(t, s)
	d.kept(t, "/kept-through-destroy")
}

// rollLeaderLast: a change of the heap restarts every member, the leader last, while a
// client writes. This and the next part are about what was acknowledged, and so run on a
// release that does not lose it by itself.
func (d *days) rollLeaderLast(t *testing.T) {
	sh := d.formedFixed(t)
	before, leader := d.started(t), d.leader(t)
	w := d.write(t, "/written")
	sh.heap = "160MiB"
	s, _ := d.spec(t, sh)
	report := d.apply(t, s, nil)
	acked, stall := w.stop(t)
	if report.Failed() {
		t.Errorf("apply: %v", report.Err()) // what became of the writes says more
	}
	t.Logf("%d acknowledged writes, longest stall %s", len(acked), stall.Round(time.Millisecond))
	after := d.started(t)
	order := allHosts()
	slices.SortFunc(order, func(a, b string) int { return int(after[a] - after[b]) })
	for _, h := range order {
		if after[h] == before[h] {
			t.Errorf("%s was not restarted", h)
		}
	}
	if order[2] != leader {
		t.Errorf("restarted in the order %v, want %s, which led, last", order, leader)
	}
	d.stands = sh
	d.wrote(t, "/written", acked)
	d.alike(t, s, "/written")
}

// writer writes znodes one after the other and remembers those that were acknowledged.
type writer struct {
	conn  *zk.Conn
	quit  chan struct{}
	end   func()
	ended sync.WaitGroup
	acked []string
	stall time.Duration
}

func (d *days) write(t *testing.T, root string) *writer {
	t.Helper()
	d.keep(t, root)
	return d.writeBelow(t, root, allHosts())
}

// writeBelow writes below a znode that is there, through any of the hosts.
func (d *days) writeBelow(t *testing.T, root string, hosts []string) *writer {
	t.Helper()
	w := &writer{conn: d.client(t, hosts...), quit: make(chan struct{})}
	w.end = sync.OnceFunc(func() {
		close(w.quit)
		w.ended.Wait()
	})
	t.Cleanup(w.end)
	w.ended.Go(func() {
		last := time.Now()
		for i := 0; i < 100_000; i++ {
			select {
			case <-w.quit:
				return
			case <-time.After(5 * time.Millisecond): // others need the processor too
			}
			name := fmt.Sprintf("n%d", i)
			if _, err := w.conn.Create(root+"/"+name, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
				continue // not acknowledged: it may be there or not
			}
			w.acked, w.stall, last = append(w.acked, name), max(w.stall, time.Since(last)), time.Now()
		}
	})
	return w
}

func (w *writer) stop(t *testing.T) ([]string, time.Duration) {
	t.Helper()
	w.end()
	if len(w.acked) < 10 {
		t.Errorf("only %d writes were acknowledged", len(w.acked))
	}
	return w.acked, w.stall
}

// wrote checks through every member that no acknowledged write is lost, and logs how the
// members count their data.
func (d *days) wrote(t *testing.T, root string, acked []string) {
	t.Helper()
	for _, h := range allHosts() {
		for line := range strings.Lines(fourLetters(t.Context(), d.host(t, h).Address.String(), "mntr")) {
			if strings.Contains(line, "digest_mismatches") || strings.Contains(line, "zk_znode_count") || strings.Contains(line, "server_state") {
				t.Logf("%s: %s", h, strings.TrimSpace(line))
			}
		}
		conn := d.client(t, h)
		_, err := conn.Sync(root)
		names, _, err2 := conn.Children(root)
		if err := errors.Join(err, err2); err != nil {
			t.Errorf("%s: %v", h, err)
			continue
		}
		there := map[string]bool{}
		for _, n := range names {
			there[n] = true
		}
		lost := slices.DeleteFunc(slices.Clone(acked), func(n string) bool { return there[n] })
		if len(lost) > 0 {
			t.Errorf("%s has %d znodes below %s and lost %d acknowledged ones: %v", h, len(names), root, len(lost), lost)
		}
	}
}

// leaderKilled: between two turns of a roll the leader dies. Whether the run waits for it
// or stops, nothing is lost and the next run converges.
func (d *days) leaderKilled(t *testing.T) {
	sh := d.formedFixed(t)
	w := d.write(t, "/killed")
	sh.heap = "152MiB"
	s, _ := d.spec(t, sh)
	r := d.begin(t, s)
	r.await(t, turnDone)
	d.sh(t, d.leader(t), "systemctl kill -s KILL zookeeper-bad")
	<-r.ended
	t.Logf("the run: %v", r.report.Err())
	acked, stall := w.stop(t)
	t.Logf("%d acknowledged writes, longest stall %s", len(acked), stall.Round(time.Millisecond))
	if err := r.report.Err(); r.report.Failed() && (aboutData(err) || !namesHost(err)) {
		t.Errorf("the run stopped, and not because of a host that it names and that comes back: %v", err)
	}
	if report := d.apply(t, s, nil); report.Failed() {
		t.Errorf("the next apply: %v", report.Err()) // what became of the writes says more
	}
	d.wrote(t, "/killed", acked)
	d.converge(t, s)
	d.stands = sh
	d.wrote(t, "/killed", acked)
	d.alike(t, s, "/killed")
}

// rebootInRoll: a host reboots after the first turn. The change lowers initLimit too, so that
// the next part waits for a member that is down for 10 s and not for 20.
func (d *days) rebootInRoll(t *testing.T) {
	d.formed(t)
	d.keep(t, "/kept-through-reboot")
	sh := shape{heap: "148MiB", config: "initLimit: 5"}
	s, _ := d.spec(t, sh)
	r := d.begin(t, s)
	turned, _, _ := strings.Cut(r.await(t, turnDone), ":")
	other := slices.DeleteFunc(allHosts(), func(h string) bool { return h == turned })[d.random.IntN(2)]
	if err := d.host(t, other).Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	t.Logf("%s rebooted: %v", other, r.report.Err())
	if r.report.Failed() && !strings.Contains(r.report.Err().Error(), other) {
		t.Errorf("the error does not name %s: %v", other, r.report.Err())
	}
	d.converge(t, s)
	d.stands = sh
	d.kept(t, "/kept-through-reboot")
}

// memberDown: one follower does not reach the others, and another member must restart.
// That is refused, names the one that is down, and nothing is changed.
func (d *days) memberDown(t *testing.T) {
	s, _ := d.formed(t)
	leader := d.leader(t)
	followers := slices.DeleteFunc(allHosts(), func(h string) bool { return h == leader })
	down, target := followers[0], followers[1]
	const edit = "echo 'tickTime=1999' >> /etc/zookeeper/bad/zoo.cfg"
	d.sh(t, target, edit)
	before := d.started(t)
	h := d.host(t, down)
	if err := h.Isolate(t.Context(), d.host(t, leader).Address, d.host(t, target).Address); err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, func() bool {
		return !strings.Contains(fourLetters(t.Context(), h.Address.String(), "srvr"), "Mode: ")
	})
	report := d.apply(t, s, nil)
	if err := h.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(t, report, bootstrap.ErrRefused, down, "besides "+target, "repair "+down+" first")
	if after := d.started(t); after[target] != before[target] || after[leader] != before[leader] {
		t.Errorf("somebody was restarted: %v, then %v", before, after)
	}
	if d.sh(t, target, "grep -c tickTime=1999 /etc/zookeeper/bad/zoo.cfg") != "1" {
		t.Errorf("zoo.cfg of %s was changed although its turn was refused", target)
	}
	d.converge(t, s)
}

// lostRestart: the run dies after it has written what a member reads at its start and
// before the restart. The next run still restarts it.
func (d *days) lostRestart(t *testing.T) {
	d.formed(t)
	d.keep(t, "/kept-through-crash")
	before := d.started(t)
	sh := shape{heap: d.stands.heap, config: "syncLimit: 6"}
	s, _ := d.spec(t, sh)
	crash := errors.New("the run dies here")
	e := d.engine(t, nil)
	open := e.Open
	e.Open = func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error) {
		h, err := open(ctx, s, host)
		return dying{h, crash}, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	plan, report := e.Plan(ctx, s, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	if plan == nil {
		t.Fatal(report.Err())
	}
	if err := e.Apply(ctx, plan).Err(); !errors.Is(err, crash) {
		t.Fatalf("apply: %v, want it to die before the restart", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	var written string
	for _, h := range allHosts() {
		if d.sh(t, h, "grep -c syncLimit=6 /etc/zookeeper/bad/zoo.cfg || true") == "1" {
			written += h
		}
	}
	if len(written) != len("zk1") || d.started(t)[written] != before[written] {
		t.Fatalf("written on %q, want on one host that has not restarted", written)
	}
	if plan, report := d.plan(t, s); plan == nil || !strings.Contains(plan.String(), "  "+written+"\n    update unit zookeeper-bad.service (restart)") {
		t.Errorf("the restart of %s is lost: %v\n%s", written, report.Err(), plan)
	}
	d.converge(t, s)
	d.stands = sh
	if after := d.started(t); after[written] == before[written] {
		t.Errorf("%s still runs with the old configuration", written)
	}
	d.kept(t, "/kept-through-crash")
}

// dying is a host on which a run dies just before it touches a unit.
type dying struct {
	bootstrap.Host
	err error
}

func (h dying) Change(ctx context.Context, steps ...bootstrap.Step) error {
	i := slices.IndexFunc(steps, func(s bootstrap.Step) bool { return s.Target.Kind() == bootstrap.KindUnit })
	if i < 0 {
		return h.Host.Change(ctx, steps...)
	}
	if err := h.Host.Change(ctx, steps[:i]...); err != nil {
		return err
	}
	return h.err
}

// drift: a person has edited zoo.cfg and the unit, set a kernel setting and stopped a
// member. The plan shows each of them, and apply puts all back.
func (d *days) drift(t *testing.T) {
	s, _ := d.formed(t)
	d.keep(t, "/kept-through-drift")
	const unit = "/etc/systemd/system/zookeeper-bad.service"
	d.sh(t, "zk1", "sed -i 's/^tickTime=.*/tickTime=1999/' /etc/zookeeper/bad/zoo.cfg")
	d.sh(t, "zk2", "sed -i 's/^RestartSec=.*/RestartSec=77/' "+unit+" && sysctl -q -w net.ipv4.tcp_keepalive_time=1234")
	d.sh(t, "zk3", "systemctl stop zookeeper-bad")
	plan, report := d.plan(t, s)
	if plan == nil {
		t.Fatal(report.Err())
	}
	for _, want := range []string{"~ tickTime: 1999 -> 2000", "- RestartSec=77", "~ value: 1234 -> 60", "update unit zookeeper-bad.service (start)"} {
		if !strings.Contains(plan.String(), want) {
			t.Errorf("the plan does not show %q:\n%s", want, plan)
		}
	}
	d.converge(t, s)
	for host, check := range map[string]string{
		"zk1": "grep -x tickTime=2000 /etc/zookeeper/bad/zoo.cfg",
		"zk2": "grep -x RestartSec=5 " + unit + " && sysctl net.ipv4.tcp_keepalive_time | grep -w 60",
		"zk3": "systemctl is-active zookeeper-bad",
	} {
		d.sh(t, host, check)
	}
	d.kept(t, "/kept-through-drift")
}

// allStopped: somebody has stopped every member.
func (d *days) allStopped(t *testing.T) {
	s, _ := d.formed(t)
	d.keep(t, "/kept-through-stop")
	d.all(t, func(h *lab.Host, ctx context.Context) error {
		_, err := h.Exec(ctx, "systemctl", "stop", "zookeeper-bad")
		return err
	})
	plan, report := d.plan(t, s)
	if plan == nil || !strings.Contains(plan.String(), "site: bring the quorum back with zk1, zk2, zk3") {
		t.Fatalf("no plan that brings the quorum back: %v\n%s", report.Err(), plan)
	}
	d.converge(t, s)
	d.kept(t, "/kept-through-stop")
}
