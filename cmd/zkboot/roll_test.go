package main

import (
	"context"
	"strings"
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

func TestRollReboot(t *testing.T) {
	w := newWorld(t, "zk1", "zk2")
	w.role.unit = true
	for name, m := range w.machines {
		m.Facts.BootID = name + "-boot-0"
	}
	w.want(codeOK, "apply", "--auto-approve")
	w.want(codeOK, "roll", "reboot", "--if-required", "--auto-approve")
	w.says(&w.stdout, "main: nothing to do on 2 hosts")

	w.machines["zk2"].Facts.RebootRequired = []string{"linux-image-amd64"}
	w.answer = "y\n"
	w.want(codeOK, "roll", "reboot", "--if-required")
	w.says(&w.stdout, "reboot note members in turn", "  zk2\n    reboot the host (/run/reboot-required of linux-image-amd64)\n", "main: rebooted, 1 step on 1 host in ")
	w.says(&w.stderr, "reboot? [y/N]", "zk2  boot  done ")
	if a, b := w.machines["zk1"].Booted(), w.machines["zk2"].Booted(); a != 0 || b != 1 {
		t.Errorf("rebooted %d and %d times, want zk2 once", a, b)
	}

	w.answer = ""
	w.want(codeOK, "roll", "reboot", "--auto-approve", "--output", "json")
	lines := w.lines()
	if last := lines[len(lines)-1]; last["outcome"] != "rebooted" || last["code"] != 0.0 {
		t.Errorf("last line: %v", last)
	}
	if a, b := w.machines["zk1"].Booted(), w.machines["zk2"].Booted(); a != 1 || b != 2 {
		t.Errorf("rebooted %d and %d times, want both once more", a, b)
	}
	w.want(codeOK, "plan", "--detailed-exitcode") // nothing is left to apply
}

func TestRollUpgradeWithNothingNewer(t *testing.T) {
	w := standingWorld(t, "zk1", "zk2")
	w.want(codeOK, "roll", "upgrade", "--auto-approve")
	w.says(&w.stdout, "main: nothing to do on 2 hosts")
	w.role.content = "two\n"
	w.want(codeFailed, "roll", "upgrade", "--auto-approve")
	w.says(&w.stderr, "error: zk1: upgrade: expected nothing left to apply", "next: apply first, then upgrade")
}

// Who asks for an upgrade is told what an upgrade leaves as it is.
func TestWhatTheSpecPins(t *testing.T) {
	for name, tt := range map[string]struct {
		src  bootstrap.Source
		verb bootstrap.Verb
		want string
	}{
		"an archive":        {bootstrap.Source{Tarball: &bootstrap.Tarball{URL: "https://example.net/z.tar.gz"}}, bootstrap.VerbUpgrade, "ensemble.source.tarball"},
		"a version":         {bootstrap.Source{Apt: &bootstrap.AptPackages{Version: "3.8.0-11"}}, bootstrap.VerbUpgrade, "stays at 3.8.0-11"},
		"what apt has":      {bootstrap.Source{Apt: &bootstrap.AptPackages{}}, bootstrap.VerbUpgrade, ""},
		"no upgrade at all": {bootstrap.Source{Tarball: &bootstrap.Tarball{}}, bootstrap.VerbRestart, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := pinned(&bootstrap.Spec{Ensemble: &bootstrap.Ensemble{Source: tt.src}}, tt.verb)
			var b strings.Builder
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			if r.Failed() || (b.Len() > 0) != (tt.want != "") || !strings.Contains(b.String(), tt.want) {
				t.Errorf("got %q, want %q", b.String(), tt.want)
			}
		})
	}
}
