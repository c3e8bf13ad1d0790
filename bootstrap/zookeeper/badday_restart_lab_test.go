//go:build lab

package zookeeper_test

import (
	"bufio"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

const restartDone = "restart zookeeper members in turn (1 step)"

// longestStall is how long a client may wait for a write while members restart: its session
// of 10 s (see client) must outlive the election when the leader goes.
const longestStall = 10 * time.Second

// restartLeaderLast: `zkboot roll restart` gives every member a new process, the leader last,
// while a client writes: no acknowledged write is lost, and the client keeps its session.
func (d *days) restartLeaderLast(t *testing.T) {
	sh := d.formedFixed(t)
	s, file := d.spec(t, sh)
	before, pids, leader := d.started(t), d.pids(t), d.leader(t)
	w := d.write(t, "/restarted")
	if _, _, err := w.conn.Exists("/"); err != nil { // it has a session once it was answered
		t.Fatal(err)
	}
	session := w.conn.SessionID()
	out, err := exec.CommandContext(t.Context(), d.program, "roll", "restart", "--auto-approve", "-f", file).CombinedOutput()
	acked, stall := w.stop(t)
	t.Logf("%d acknowledged writes, longest stall %s\n%s", len(acked), stall.Round(time.Millisecond), out)
	if err != nil {
		t.Fatalf("roll restart: %v", err)
	}
	for _, h := range allHosts() {
		if !strings.Contains(string(out), h+"  "+restartDone+"  done ") {
			t.Errorf("no turn of %s in what it says", h)
		}
	}
	if got := d.anew(t, before, pids); len(got) != 3 || got[2] != leader {
		t.Errorf("new processes in the order %v, want all, and %s, which led, last", got, leader)
	}
	if stall > longestStall {
		t.Errorf("a write waited %s, want %s at most", stall, longestStall)
	}
	if now := w.conn.SessionID(); now != session {
		t.Errorf("the client lost its session 0x%x and has 0x%x", session, now)
	}
	d.wrote(t, "/restarted", acked)
	d.alike(t, s, "/restarted")
	if !d.whole(t, s) {
		t.Error("the restart has left something to apply")
	}
}

// restartKilled: the run dies between two turns. Nothing has to be put right, and the next
// run restarts everybody as soon as all serve.
func (d *days) restartKilled(t *testing.T) {
	s, file := d.spec(t, d.formedFixed(t))
	d.keep(t, "/kept-through-killed-restart")
	before, pids := d.started(t), d.pids(t)
	cmd := exec.CommandContext(t.Context(), d.program, "roll", "restart", "--auto-approve", "--output", "json", "-f", file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if line := lines.Text(); strings.Contains(line, `"kind":"done"`) && strings.Contains(line, restartDone) {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	d.free(t)
	first := d.anew(t, before, pids)
	t.Logf("restarted before the kill: %v", first)
	if len(first) == 0 || len(first) == 3 {
		t.Errorf("restarted before the kill: %v, want some and not all", first)
	}
	before, pids = d.started(t), d.pids(t)
	within(t, 2*time.Minute, func() bool { // refused until the member that was being restarted serves
		report := d.run(t, s, bootstrap.Intent{Verb: bootstrap.VerbRestart}, nil)
		joining := errors.Is(report.Err(), bootstrap.ErrRefused) && strings.Contains(report.Err().Error(), "expected a serving member")
		if report.Failed() && !joining {
			t.Fatal(report.Err())
		}
		return !report.Failed()
	})
	if got := d.anew(t, before, pids); len(got) != 3 {
		t.Errorf("the next run restarted %v, want all", got)
	}
	d.kept(t, "/kept-through-killed-restart")
}

// restartRefused: with a member stopped, or cut off from the others, nobody is restarted.
func (d *days) restartRefused(t *testing.T) {
	s, _ := d.spec(t, d.formedFixed(t))
	leader := d.leader(t)
	followers := slices.DeleteFunc(allHosts(), func(h string) bool { return h == leader })
	down := followers[0]
	before, pids := d.started(t), d.pids(t)
	restart := bootstrap.Intent{Verb: bootstrap.VerbRestart}

	h := d.host(t, down)
	if err := h.Isolate(t.Context(), d.host(t, leader).Address, d.host(t, followers[1]).Address); err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, func() bool {
		return !strings.Contains(fourLetters(t.Context(), h.Address.String(), "srvr"), "Mode: ")
	})
	report := d.run(t, s, restart, nil)
	if err := h.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(t, report, bootstrap.ErrRefused, down, "expected a serving member", "journalctl -u zookeeper-bad.service")
	if got := d.anew(t, before, pids); len(got) > 0 {
		t.Errorf("restarted %v although %s was cut off", got, down)
	}

	d.sh(t, down, "systemctl stop zookeeper-bad")
	wants(t, d.run(t, s, restart, nil), bootstrap.ErrRefused, down, "found 1 step on "+down, "update unit zookeeper-bad.service (start)", "apply first")
	delete(before, down)
	if got := d.anew(t, before, pids); len(got) > 0 {
		t.Errorf("restarted %v although %s was stopped", got, down)
	}
	d.converge(t, s)
}

// pids are the main processes of the servers by host.
func (d *days) pids(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range allHosts() {
		out[h] = d.sh(t, h, "systemctl show -P MainPID zookeeper-bad")
	}
	return out
}

// anew lists the hosts of before whose server is another process now, in the order of their
// starts.
func (d *days) anew(t *testing.T, before map[string]int64, pids map[string]string) []string {
	t.Helper()
	after, now := d.started(t), d.pids(t)
	var out []string
	for _, h := range allHosts() {
		at, asked := before[h]
		if !asked || after[h] == at {
			continue
		}
		if now[h] == pids[h] || now[h] == "0" {
			t.Errorf("%s: main PID %s, then %s, want a new process", h, pids[h], now[h])
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b string) int { return int(after[a] - after[b]) })
	return out
}
