package drill

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// sound is the evidence of a drill in which all went well: two clients, an election.
func sound() evidence {
	var ops []op
	for i := range 40 {
		at := 100 * i
		if i >= 20 {
			at += 700 // the election
		}
		ops = append(ops, with(wrote(0, i%2, int64(i/2+1), int32(i/2+1)), func(o *op) {
			o.call, o.ret = time.Duration(at)*time.Millisecond, time.Duration(at+3)*time.Millisecond
			o.zxid = uint64(1+i/20)<<32 | uint64(i)
		}))
	}
	shown := []final{{version: 20, number: 20}, {version: 20, number: 20}}
	return evidence{
		fault: Faults()[1], timing: Timing{Join: 20 * time.Second, Sync: 10 * time.Second}, victims: []string{"zk2"},
		ops: ops, roaming: 2, end: 4800 * time.Millisecond, whole: 9 * time.Second,
		finals: map[string][]final{"zk1": shown, "zk2": shown, "zk3": shown}, tally: tally{polls: 20, changes: 1},
	}
}

func TestResult(t *testing.T) {
	r := judge(sound())
	var text, machine strings.Builder
	if err := errors.Join(r.WriteText(&text), r.WriteJSON(&machine)); err != nil {
		t.Fatal(err)
	}
	golden(t, "result.txt", text.String())
	golden(t, "result.json", machine.String())
}

// Each of these alone makes a drill fail, and the result says why.
func TestWhatFailsADrill(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*evidence)
		why   string
	}{
		{"a lost write", func(e *evidence) { e.finals["zk3"] = []final{{version: 19, number: 19}, {version: 20, number: 20}} }, "1 acknowledged writes are lost"},
		{"an old leader takes a write", func(e *evidence) { e.ops[39].zxid = 1<<32 | 99 }, "two leaders took writes, 1 times"},
		{"two leaders are seen", func(e *evidence) { e.tally.two = 2 }, "two leaders took writes, 2 times"},
		{"a stale read", func(e *evidence) {
			e.ops = append(e.ops, op{client: 5, read: true, value: 3, call: 4790 * time.Millisecond, ret: 4795 * time.Millisecond})
		}, "could not have come from one register"},
		{"a long stall", func(e *evidence) { e.end = 20 * time.Second },
			"a client was without an acknowledged write for 15.5s, from 4.5s on; expected 10.0s at most"},
		{"nobody wrote", func(e *evidence) { e.ops, e.end = nil, 20*time.Second }, "without an acknowledged write for 20.0s"},
		{"apart in the end", func(e *evidence) { e.apart = errors.New("zk2: members hold different data") }, "the members did not come together: zk2: members hold different data"},
		{"a suspect", func(e *evidence) {
			e.suspects = []zookeeper.Suspect{{Host: "zk1", Why: "zk_unrecoverable_error_count grew by 22, and 0 leaders were lost meanwhile", Next: "zkboot replace zk1"}}
		}, "zk1 is suspect: zk_unrecoverable_error_count grew by 22, and 0 leaders were lost meanwhile; next: zkboot replace zk1"},
		{"a member that was not read", func(e *evidence) { e.unread = []string{"through zk1: refused"} }, "the end could not be read: through zk1: refused"},
		{"a full history", func(e *evidence) { e.full = true }, "the history is full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := sound()
			tt.spoil(&e)
			r := judge(e)
			if r.Verdict != Fail || !strings.Contains(strings.Join(r.Why, "\n"), tt.why) {
				t.Errorf("%s because %q, want fail because %q", r.Verdict, r.Why, tt.why)
			}
			if r.DigestsEqual != (e.apart == nil) {
				t.Errorf("digests equal: %t", r.DigestsEqual)
			}
		})
	}
}

func TestOptionsAreRefused(t *testing.T) {
	good := func() Options { return Options{Spec: testSpec(3), Rate: DefaultRate, Duration: 30 * time.Second} }
	for _, tt := range []struct {
		name  string
		spoil func(*Options)
		says  string
	}{
		{"as they should be", func(*Options) {}, ""},
		{"no ensemble", func(o *Options) { o.Spec = &bootstrap.Spec{Name: "apps"} }, "apps has no ensemble to drill"},
		{"one member", func(o *Options) { o.Spec = testSpec(1) }, "main has 1 voters; with fewer than 3 no member can be missed"},
		{"an observer is no third voter", func(o *Options) {
			o.Spec.Ensemble.Members["zk3"] = bootstrap.Member{ID: 3, Role: bootstrap.Observer}
		}, "main has 2 voters"},
		{"no rate", func(o *Options) { o.Rate = 0 }, "rate 0: want 4 to 1000"},
		{"too high a rate", func(o *Options) { o.Rate = 5000 }, "rate 5000"},
		{"too short", func(o *Options) { o.Duration = time.Second }, "duration 1s: want 8s to 5m0s"},
		{"too long", func(o *Options) { o.Duration = time.Hour }, "duration 1h0m0s"},
	} {
		o := good()
		tt.spoil(&o)
		if err := o.Validate(); (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}
