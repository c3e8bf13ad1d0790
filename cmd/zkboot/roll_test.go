package main

import (
	"context"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// standingWorld is a world that was applied, with a unit on every host.
func standingWorld(t *testing.T, hosts ...string) *world {
	t.Helper()
	w := newWorld(t, hosts...)
	w.role.unit = true
	w.want(codeOK, "apply", "--auto-approve")
	return w
}

// restarts counts the new processes that each host has got.
func (w *world) restarts() map[string]int {
	out := map[string]int{}
	for name, m := range w.machines {
		for _, st := range m.Applied() {
			if st.Action == bootstrap.ActionRestart {
				out[name]++
			}
		}
	}
	return out
}

func TestRollRestart(t *testing.T) {
	w := standingWorld(t, "zk1", "zk2")
	w.want(codeOK, "roll", "restart", "--auto-approve")
	w.says(&w.stdout, "restart note members in turn", "one at a time, stopped members first, leader last",
		"gate before each turn: nobody writes a note", "  zk2\n    restart unit note.service\n", "main: restarted, 2 steps on 2 hosts in ")
	w.says(&w.stderr, "zk1  restart note members in turn (1 step)  done ")
	if got := w.restarts(); got["zk1"] != 1 || got["zk2"] != 1 {
		t.Errorf("restarts: %v, want one on each host", got)
	}
	w.want(codeOK, "plan", "--detailed-exitcode") // nothing is left to apply

	w.want(codeOK, "roll", "restart", "--auto-approve", "--output", "json")
	lines := w.lines()
	if last := lines[len(lines)-1]; last["outcome"] != "restarted" || last["code"] != 0.0 {
		t.Errorf("last line: %v", last)
	}
}

func TestRollRestartAsks(t *testing.T) {
	w := standingWorld(t, "zk1")
	w.want(codeFailed, "roll", "restart")
	w.says(&w.stderr, "no terminal", "--auto-approve")
	w.answer = "n\n"
	w.want(codeFailed, "roll", "restart")
	w.says(&w.stderr, "restart? [y/N]", "not approved, nothing was changed")
	if got := w.restarts(); len(got) > 0 {
		t.Errorf("restarts: %v, want none", got)
	}
	w.answer = "y\n"
	w.want(codeOK, "roll", "restart")
	if got := w.restarts(); got["zk1"] != 1 {
		t.Errorf("restarts: %v, want one", got)
	}
}

func TestRollRestartWithSomethingToApply(t *testing.T) {
	w := standingWorld(t, "zk1", "zk2")
	w.role.content = "two\n"
	w.want(codeFailed, "roll", "restart", "--auto-approve")
	w.says(&w.stderr, "error: zk1: restart: expected nothing left to apply, found 2 steps on zk1, zk2, first: update file /etc/note",
		"next: apply first, then restart")
	if got := w.restarts(); len(got) > 0 {
		t.Errorf("restarts: %v, want none", got)
	}
}

func TestRollRestartFindsTheLockTaken(t *testing.T) {
	w := standingWorld(t, "zk1")
	other := w.machines["zk1"].Open()
	if err := other.Lock(t.Context(), "ann@desk"); err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	w.want(codeLocked, "roll", "restart", "--auto-approve")
	w.says(&w.stderr, "ann@desk")
}

// What is said when a run is interrupted must not promise that the next one goes on.
func TestRollRestartInterrupted(t *testing.T) {
	w := standingWorld(t, "zk1", "zk2")
	ctx, cancel := context.WithCancel(t.Context())
	w.role.do = func(ctx context.Context) error {
		cancel() // as a signal does
		<-ctx.Done()
		return ctx.Err()
	}
	if code := w.run(ctx, "roll", "restart", "--auto-approve", "-f", w.path("zkboot.yaml")); code != codeInterrupted {
		t.Errorf("exit %d, want %d", code, codeInterrupted)
	}
	w.says(&w.stderr, "run roll restart again to restart all members, those that had their turn too")
	if got := w.restarts(); len(got) > 0 {
		t.Errorf("restarts: %v, want none behind a gate that was left", got)
	}
}
