package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

func TestPlanThenApplyThenNothingToDo(t *testing.T) {
	w := newWorld(t, "zk1", "zk2")
	w.want(codeOK, "plan")
	w.says(&w.stdout, "main: 4 steps on 2 hosts", "create file /etc/note")
	w.want(codeChanges, "plan", "--detailed-exitcode")
	w.untouched()

	w.want(codeOK, "apply", "--auto-approve")
	w.says(&w.stdout, "main: applied, 4 steps on 2 hosts")
	w.says(&w.stderr, "zk1  prepare all hosts at once (2 steps)  done ")

	w.want(codeOK, "plan", "--detailed-exitcode")
	w.says(&w.stdout, "nothing to do")
	w.want(codeOK, "apply", "--auto-approve")
	w.says(&w.stdout, "nothing to do")
}

func TestApplyAsks(t *testing.T) {
	for answer, changes := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "yes please\n": false} {
		t.Run(answer, func(t *testing.T) {
			w := newWorld(t, "zk1")
			w.answer = answer
			code := codeOK
			if !changes {
				code = codeFailed
			}
			w.want(code, "apply")
			w.says(&w.stderr, "apply? [y/N]")
			if changes {
				w.says(&w.stdout, "applied")
				return
			}
			w.says(&w.stderr, "not approved, nothing was changed")
			w.untouched()
		})
	}
}

func TestApplyDoesNotAskWhenThereIsNothingToDo(t *testing.T) {
	w := newWorld(t, "zk1")
	w.want(codeOK, "apply", "--auto-approve")
	w.answer = "n\n"
	w.want(codeOK, "apply")
	if strings.Contains(w.stderr.String(), "[y/N]") {
		t.Errorf("asked although there is nothing to do:\n%s", &w.stderr)
	}
}

func TestApplyWithoutTerminalTouchesNothing(t *testing.T) {
	for _, command := range []string{"apply", "destroy"} {
		w := newWorld(t, "zk1")
		w.want(codeFailed, command)
		w.says(&w.stderr, "no terminal", "--auto-approve")
		if n := w.machines["zk1"].Looks(); n != 0 {
			t.Errorf("%s looked at a host %d times before it refused", command, n)
		}
	}
}

func TestApplyOfAStoredPlan(t *testing.T) {
	w := newWorld(t, "zk1")
	plan := w.path("plan.json")
	w.want(codeOK, "plan", "-o", plan)
	info, err := os.Stat(plan)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the plan has mode %v, want 0600", info.Mode())
	}
	if code := w.run(t.Context(), "apply", plan); code != codeOK {
		t.Fatalf("exit %d\n%s", code, &w.stderr)
	}
	w.says(&w.stdout, "create file /etc/note", "applied")

	// The same plan once more: the hosts are no longer as it saw them.
	if code := w.run(t.Context(), "apply", plan); code != codeFailed {
		t.Errorf("a stale plan was applied, exit %d", code)
	}
	w.says(&w.stderr, "zk1", "host changed since the plan", "plan again")
}

func TestApplyRefusesWhatIsNoPlan(t *testing.T) {
	w := newWorld(t, "zk1")
	for name, c := range map[string]struct{ content, want string }{
		"not-json": {"name: main\n", "is not a plan"},
		"format":   {`{"format": 99, "spec": {}}`, "has plan format 99, this zkboot reads 1"},
		"no-spec":  {`{"format": 1}`, "has no spec"},
	} {
		path := w.path(name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if code := w.run(t.Context(), "apply", path); code != codeFailed {
			t.Errorf("%s: exit %d, want 1", name, code)
		}
		w.says(&w.stderr, path, c.want)
	}
	if code := w.run(t.Context(), "apply", w.path("format"), "-f", w.path("zkboot.yaml")); code != codeFailed {
		t.Errorf("a plan and -f together: exit %d", code)
	}
	w.says(&w.stderr, "exclude each other")
}

func TestApplyFindsTheLockTaken(t *testing.T) {
	w := newWorld(t, "zk1", "zk2")
	other := w.machines["zk2"].Open()
	if err := other.Lock(t.Context(), "alice@laptop"); err != nil {
		t.Fatal(err)
	}
	w.want(codeLocked, "apply", "--auto-approve")
	w.says(&w.stderr, "zk2", "lock", "alice@laptop")
	w.untouched()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	w.want(codeOK, "apply", "--auto-approve")
}

func TestApplyOnASlowDiskChangesNothing(t *testing.T) {
	w := newWorld(t, "zk1", "zk2")
	w.machines["zk2"].Probes = func(verify.Query) (verify.Result, error) { return disk(5000), nil }
	w.want(codeUnfit, "apply", "--auto-approve")
	w.says(&w.stderr, "zk2", "disk.fsync.p99", "5000 ms", "next:")
	w.untouched()
}

func TestApplyInterrupted(t *testing.T) {
	w := newWorld(t, "zk1")
	ctx, cancel := context.WithCancel(t.Context())
	w.role.site = true
	w.role.do = func(ctx context.Context) error {
		cancel() // as a signal does
		<-ctx.Done()
		return ctx.Err()
	}
	if code := w.run(ctx, "apply", "--auto-approve", "-f", w.path("zkboot.yaml")); code != codeInterrupted {
		t.Errorf("exit %d, want 130\n%s", code, &w.stderr)
	}
	w.says(&w.stderr, "stopping after the current step; run apply again to go on", "zkboot: interrupted")
	w.role.do = nil
	w.want(codeOK, "apply", "--auto-approve")
}

func TestAQuestionEndsWithTheContext(t *testing.T) {
	w := newWorld(t, "zk1")
	ctx, cancel := context.WithCancel(t.Context())
	in, typed, err := os.Pipe() // nobody ever types anything
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer typed.Close()
	a := &app{stdin: in, stderr: &w.stderr, console: console{asks: true}}
	cancel()
	if _, err := a.confirm(ctx, "apply?"); err != context.Canceled {
		t.Errorf("confirm: %v, want context.Canceled", err)
	}
}

func TestUnreachableHostIsNamed(t *testing.T) {
	w := newWorld(t, "zk1", "zk2")
	delete(w.machines, "zk2")
	w.want(codeFailed, "plan")
	w.says(&w.stderr, "error: zk2: connect: host unreachable")
	w.want(codeFailed, "apply", "--auto-approve")
	w.untouched()
}

func TestDestroySaysWhereDataStays(t *testing.T) {
	w := newWorld(t, "zk1", "zk2")
	w.want(codeOK, "apply", "--auto-approve")
	w.answer = "n\n"
	w.want(codeFailed, "destroy")
	w.says(&w.stderr, "destroy? kept with all data: /var/lib/note (zk1 zk2) [y/N]")
	w.answer = "y\n"
	w.want(codeOK, "destroy")
	w.says(&w.stdout, "main: destroyed", "kept with all data: /var/lib/note (zk1 zk2)")
	for _, m := range w.machines {
		if m.Thing("file:/etc/note") != nil {
			t.Error("our file is still there")
		}
		if m.Thing("dir:/var/lib/note") == nil {
			t.Error("the data is gone")
		}
	}
}

func TestDestroyWipesWhenAsked(t *testing.T) {
	w := newWorld(t, "zk1")
	w.want(codeOK, "apply", "--auto-approve")
	w.want(codeOK, "destroy", "--wipe-data", "--auto-approve")
	w.says(&w.stdout, "deleted with all data: /var/lib/note (zk1)")
	if w.machines["zk1"].Thing("dir:/var/lib/note") != nil {
		t.Error("the data is still there")
	}
}

func TestMachineOutput(t *testing.T) {
	w := newWorld(t, "zk1")
	w.want(codeOK, "apply", "--auto-approve", "--output", "json")
	kinds := map[string]int{}
	for _, line := range w.lines() {
		kinds[line["type"].(string)]++
	}
	if kinds["plan"] != 1 || kinds["result"] != 1 || kinds["event"] == 0 {
		t.Errorf("types of lines: %v", kinds)
	}
	last := w.lines()[len(w.lines())-1]
	if last["type"] != "result" || last["outcome"] != "applied" || last["code"] != 0.0 {
		t.Errorf("last line: %v", last)
	}
	if w.stderr.String() != "" {
		t.Errorf("stderr is not empty:\n%s", &w.stderr)
	}

	delete(w.machines, "zk1")
	w.want(codeFailed, "apply", "--auto-approve", "--output", "json")
	var found bool
	for _, line := range w.lines() {
		found = found || line["type"] == "finding" && line["host"] == "zk1" && line["severity"] == "error"
	}
	if !found {
		t.Errorf("no finding about zk1 in:\n%s", &w.stdout)
	}
}

func TestLogFile(t *testing.T) {
	w := newWorld(t, "zk1")
	w.want(codeOK, "apply", "--auto-approve", "--log-file", w.path("log"))
	b, err := os.ReadFile(w.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for line := range strings.Lines(string(b)) {
		var v struct{ Host, Step string }
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("the log is not JSON lines: %v in %q", err, line)
		}
		steps = append(steps, v.Host+" "+v.Step)
	}
	if all := strings.Join(steps, "\n"); !strings.Contains(all, "zk1 prepare all hosts at once (2 steps)") {
		t.Errorf("steps in the log:\n%s", all)
	}
	if info, err := os.Stat(w.path("log")); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("log: %v, %v, want mode 0600", info.Mode(), err)
	}
}

func TestVerifyExitCodes(t *testing.T) {
	w := newWorld(t, "zk1", "zk2")
	w.want(codeOK, "apply", "--auto-approve")
	w.want(codeOK, "verify")
	w.says(&w.stdout, "zk1", "zk2")

	delete(w.machines, "zk2")
	w.want(codeUnfit, "verify", "--output", "json")
	var report verify.Report
	if err := json.Unmarshal([]byte(w.stdout.String()), &report); err != nil {
		t.Fatal(err)
	}
	if report.Verdict != verify.Fail {
		t.Errorf("verdict %s, want fail", report.Verdict)
	}
	if c := report.Hosts["zk2"].Checks[0]; c.ID != "host.reachable" || c.Verdict != verify.Fail {
		t.Errorf("zk2: %+v, want a failed host.reachable", c)
	}
	if c := report.Hosts["zk1"].Checks[0]; c.ID != "host.reachable" || c.Verdict != verify.Pass {
		t.Errorf("zk1: %+v, want a passed host.reachable", c)
	}
}

func TestVerifyFormats(t *testing.T) {
	w := newWorld(t, "zk1")
	w.want(codeOK, "apply", "--auto-approve")
	for format, start := range map[string]string{"json": "{", "junit": "<?xml", "html": "<!"} {
		w.want(codeOK, "verify", "--format", format)
		if !strings.HasPrefix(strings.ToLower(w.stdout.String()), start) {
			t.Errorf("%s starts with %.40q", format, w.stdout.String())
		}
	}
	w.want(codeFailed, "verify", "--format", "yaml")
	w.says(&w.stderr, `--format "yaml"`, "text, json, junit, html")
	w.want(codeFailed, "verify", "--duration", "0s")
	w.says(&w.stderr, "--duration 0s")
}

func TestExitCodeOfAReport(t *testing.T) {
	var both bootstrap.Report
	both.HostError("zk1", "prove", bootstrap.ErrHardware)
	both.HostError("zk2", "lock", bootstrap.ErrLocked)
	var hardware, other, warning bootstrap.Report
	hardware.HostError("zk1", "prove", bootstrap.ErrHardware)
	other.HostError("zk1", "look", bootstrap.ErrUnreachable)
	warning.Warnf("name", "so so")
	for _, c := range []struct {
		name   string
		report bootstrap.Report
		want   int
	}{
		{"empty", bootstrap.Report{}, codeOK}, {"warning", warning, codeOK}, {"other", other, codeFailed},
		{"hardware", hardware, codeUnfit}, {"hardware and lock", both, codeLocked},
	} {
		if got := codeOf(c.report); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
