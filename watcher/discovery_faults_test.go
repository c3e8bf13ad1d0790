package watcher

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

func TestASinkThatFailsIsTriedAgainWithPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.sink.err = errors.New("the socket is gone")
		r.show("api", "a")
		r.wait(time.Minute)
		if n := len(r.applied()); n < 12 || n > 40 {
			t.Errorf("%d attempts in a minute, want pauses that grow to 5 s", n)
		}
		if s := r.status("api"); !s.Pending || s.Revision != 0 || s.Changes != 0 {
			t.Errorf("status %+v, want pending and nothing served", s)
		}
		var failed []Entry
		for _, e := range r.d.Journal.Entries("api", 0) {
			if e.Error != "" {
				failed = append(failed, e)
			}
		}
		if len(failed) != 1 || failed[0].Error != "the socket is gone" || failed[0].Event != "children changed" {
			t.Errorf("the journal has %+v, want the failure once, with its event", failed)
		}
		r.sink.err = nil
		r.wait(5 * time.Second)
		if s := r.status("api"); s.Pending || s.Revision != 1 || s.Changes != 1 || r.has("api") != "a" {
			t.Errorf("status %+v and %q served after the sink recovered", s, r.has("api"))
		}
		attempts := len(r.applied())
		r.wait(time.Hour)
		if n := len(r.applied()); n != attempts {
			t.Errorf("%d more calls after the one that worked", n-attempts)
		}
	})
}

// What failed may have been half done, so it is sent again even if the registry went back.
func TestAfterAFailureTheOldSetIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a")
		r.wait(time.Second)
		r.sink.err = errors.New("half of it")
		r.show("api", "a b")
		r.wait(20 * time.Millisecond)
		r.show("api", "a")
		r.sink.err = nil
		delete(r.sink.sets, "api") // whatever the proxy has now
		r.wait(5 * time.Second)
		if got := r.applied(); !strings.HasSuffix(got[len(got)-1], "api=a") || r.status("api").Pending {
			t.Errorf("applied %q, want the last one to be a again", got)
		}
	})
}

func TestADueReloadIsShownUntilTheSinkSaysItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db").start()
		defer r.stop()
		r.show("db", "x")
		r.sink.pending = true
		r.show("api", "a")
		r.wait(time.Second)
		if s := r.status("api"); !s.Pending || s.Revision != 0 {
			t.Errorf("status %+v, want revision 2 not served yet", s)
		}
		if s := r.status("db"); s.Pending || s.Revision != 1 {
			t.Errorf("status %+v of the other service, want it served", s)
		}
		r.sink.report(Outcome{Actions: []Action{{Kind: "reload", Text: "worker 4711"}}, Pending: true})
		synctest.Wait()
		if !r.status("api").Pending {
			t.Error("not pending any more, although the sink reported that it still is")
		}
		r.sink.report(Outcome{Actions: []Action{{Kind: "reload", Text: "worker 4712"}}})
		synctest.Wait()
		if s := r.status("api"); s.Pending || s.Revision != 2 {
			t.Errorf("status %+v after the reload, want revision 2 served", s)
		}
		if e := r.d.Journal.Entries("", 1); len(e) != 1 || e[0].Event != "sink" || e[0].Actions[0].Text != "worker 4712" {
			t.Errorf("the journal has %+v, want what the sink did by itself", e)
		}
	})
}

func TestASourceThatEndsIsStartedAgainAndMeanwhileUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a")
		for n := range 5 {
			r.source.fail <- errors.New("bad luck")
			synctest.Wait()
			if s := r.status("api"); s.Truth != Unknown || s.Reason != "source of registry main stopped: bad luck" {
				t.Fatalf("status %+v after failure %d", s, n)
			}
			r.wait(30 * time.Second)
			if r.source.starts != n+2 {
				t.Fatalf("started %d times after failure %d", r.source.starts, n)
			}
		}
		r.source.fail <- nil
		synctest.Wait()
		if s := r.status("api"); s.Reason != "source of registry main stopped: it ended by itself" {
			t.Errorf("status %+v", s)
		}
		r.wantApplied("0s api=a")
	})
}

func TestASinkThatEndsIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.sink.fail <- errors.New("no socket")
		r.wait(time.Second)
		if r.sink.starts != 2 {
			t.Errorf("started %d times, want twice", r.sink.starts)
		}
		if e := r.d.Journal.Entries("", 1); len(e) != 1 || e[0].Event != "sink stopped" || e[0].Error != "no socket" {
			t.Errorf("the journal has %+v, want that the sink stopped", e)
		}
	})
}

func TestARegistryWithoutASourceIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig("api", "db")
		c.Services["db"] = config.Service{Registry: "other", Path: "/db"}
		r := rigOf(t, c).start()
		defer r.stop()
		r.show("api", "a")
		if s := r.status("db"); s.Truth != Unknown || s.Reason != `there is no source for registry "other"` {
			t.Errorf("status %+v", s)
		}
	})
}

func TestOnlyServicesWithARouteAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig("api", "announced")
		delete(c.Routes, "to-announced")
		c.Routes["also-api"] = config.Route{Service: "api"}
		r := rigOf(t, c).start()
		defer r.stop()
		if len(r.source.asked) != 1 || r.source.asked["api"] != c.Services["api"] || len(r.d.Services()) != 1 {
			t.Errorf("the source was asked for %v, and %d services are shown; want api alone", r.source.asked, len(r.d.Services()))
		}
		r.source.publish(Snapshot{Service: "announced", Truth: Known, Instances: set("x")})
		synctest.Wait()
		r.wantApplied()
	})
}

func TestARevisionThatGoesBack(t *testing.T) {
	const reason = "the registry answers with revision 7, older than 10 that was read before; believed if it stands for 1m7.5s"
	show := func(r *rig, revision int64, instances string) {
		r.rev = revision - 1
		r.show("api", instances)
	}
	start := func(t *testing.T) *rig {
		r := newRig(t, "api").start()
		show(r, 10, "a b")
		r.wait(time.Second)
		r.begin = time.Now()
		show(r, 7, "a b c")
		if s := r.status("api"); s.Truth != Unknown || s.Reason != reason || s.Revision != 10 {
			t.Errorf("status %+v, want unknown because of the older revision, and 10 served", s)
		}
		r.wait(time.Second)
		return r
	}
	tests := []struct {
		name string
		then func(r *rig)
		want []string
	}{
		{"a server that lags catches up", func(r *rig) {
			show(r, 8, "b c")
			r.until(2 * time.Second)
			show(r, 10, "a b")
			r.until(time.Hour)
			if s := r.status("api"); s.Truth != Known || s.Revision != 10 {
				r.t.Errorf("status %+v, want 10 known", s)
			}
		}, nil},
		{"a registry that was put back stays so", func(r *rig) {
			r.until(time.Minute)
			show(r, 8, "a b c d")
			r.until(67499 * time.Millisecond)
			r.wantApplied("-1s api=a b")
			r.until(68 * time.Second)
			show(r, 9, "a b c")
			if s := r.status("api"); s.Truth != Known || s.Revision != 9 {
				r.t.Errorf("status %+v, want 9 known", s)
			}
		}, []string{"1m7.5s api=a b c d", "1m8s api=a b c"}},
		{"nobody vouches for it while the registry is away", func(r *rig) {
			r.until(time.Minute)
			r.lose("api", "no server answers")
			r.until(time.Hour)
			show(r, 7, "a b c")
			r.until(time.Hour + 2*time.Minute)
		}, []string{"1h1m7.5s api=a b c"}},
		{"an operator believes it", func(r *rig) {
			if err := r.d.Accept("api"); err != nil {
				r.t.Error(err)
			}
			synctest.Wait()
		}, []string{"1s api=a b c"}},
		{"what was wiped is empty, and a loss like any other", func(r *rig) {
			show(r, 1, "")
			r.until(2 * time.Minute)
			if s := r.status("api"); s.Truth != Empty || s.Held == nil {
				r.t.Errorf("status %+v, want empty and held", s)
			}
			r.until(time.Hour)
		}, []string{"6m7.5s api="}},
		{"none at all is compared with nothing", func(r *rig) {
			show(r, 0, "b")
			if s := r.status("api"); s.Truth != Known || s.Revision != 10 {
				r.t.Errorf("status %+v, want known, and still 10", s)
			}
		}, []string{"1s api=b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t)
				defer r.stop()
				tt.then(r)
				r.wantApplied(append([]string{"-1s api=a b"}, tt.want...)...)
			})
		})
	}
}

// Scenario 12, from the loop's side: what cannot be used is unreadable, and unreadable is not empty.
func TestEntriesOfWhichNoneCanBeUsedAreNotEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a b")
		r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 9, Rejected: []Rejection{{"a", "port 70000"}, {"b", "no JSON"}}})
		r.wait(time.Hour)
		if s := r.status("api"); s.Truth != Unknown || s.Reason != "none of 2 entries can be used; a: port 70000" || len(s.Rejected) != 2 || s.Held != nil {
			t.Errorf("status %+v", s)
		}
		r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 10})
		r.wait(time.Second)
		if s := r.status("api"); s.Truth != Unknown || s.Reason != "the source shows no instance and does not say that it is empty" {
			t.Errorf("status %+v", s)
		}
		r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 11, Instances: set("b"), Rejected: []Rejection{{"a", "port 70000"}}})
		r.wait(time.Second)
		r.wantApplied("0s api=a b", "1h0m1s api=b")
	})
}

// Scenario 6, from the loop's side: one place that is announced twice gets its traffic once.
func TestAnAddressIsServedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		in := set("n_0000000001@x n_0000000002@y n_0000000003@x")
		slices.Reverse(in) // nor does it trust the order
		r.source.show(Snapshot{Service: "api", Truth: Known, Revision: 1, Instances: in})
		r.wait(time.Second)
		r.wantApplied("0s api=n_0000000002@y n_0000000003@x")
		if s := r.status("api"); len(s.Rejected) != 1 || s.Rejected[0] != (Rejection{"n_0000000001", "the same address as n_0000000003"}) {
			t.Errorf("rejected %+v", s.Rejected)
		}
	})
}

func TestWhatWasReadJustBeforeTheRegistryWasLostIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		r.show("api", "a")
		r.wait(time.Second)
		r.show("api", "a b")
		r.rev++
		r.source.publish(Snapshot{Service: "api", Truth: Known, Instances: set("a b c"), Revision: r.rev}) // waits for silence
		r.source.publish(Snapshot{Service: "api", Truth: Unknown, Reason: "gone"})
		synctest.Wait()
		r.wantApplied("0s api=a", "1s api=a b", "1s api=a b c")
		if s := r.status("api"); s.Truth != Unknown || s.Reason != "gone" || s.Revision != 3 {
			t.Errorf("status %+v, want unknown, and revision 3 served", s)
		}
	})
}

func TestAnAuditThatFindsWhatNoEventToldIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api").start()
		defer r.stop()
		for n, instances := range []string{"a", "a", "a b"} {
			r.source.show(Snapshot{Service: "api", Truth: Known, Instances: set(instances), Revision: int64(n), Event: []string{"children changed", "audit", "audit"}[n]})
			r.wait(time.Second)
		}
		if s := r.status("api"); s.Missed != 1 {
			t.Errorf("%d missed, want 1", s.Missed)
		}
	})
}

func TestTheJournalTellsWhichEventAndRuleLedToWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db").start()
		defer r.stop()
		r.sink.gate = make(chan struct{}, 9)
		r.show("db", "z")
		r.show("db", "y")
		r.show("api", "a b c d e f g h")
		for range 9 {
			r.sink.gate <- struct{}{}
		}
		r.wait(time.Second)
		r.show("api", "a")
		r.wait(5 * time.Minute)
		r.lose("api", "no server answers")
		var got []string
		for _, e := range r.d.Journal.Entries("api", 0) {
			line := e.At.Sub(r.begin).String() + " " + e.Event + " | " + e.Rule
			for _, a := range e.Actions {
				line += " | " + a.Text
			}
			got = append(got, line)
		}
		want := []string{
			"5m1s connection lost | unknown: no server answers",
			"5m1s children changed | hold is over | serve a",
			"5m1s children changed | hold ended: hold is over; 1 served",
			"1s children changed | held: 1 left of 8, a loss of more than 50%; held back: b, c, d, e, f and 2 more",
			"0s children changed | as read | serve a b c d e f g h",
			"0s children changed | known",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the journal has\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	})
}

func TestRunEndsWithACallInFlightAndStoresWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api")
		r.d.Store = openStore(t, nil)
		r.start()
		r.sink.gate = make(chan struct{})
		r.show("api", "a")
		r.stop()
		if one, ok := openStore(t, r.d.Store).get("api", r.d.Config.Services["api"]); !ok || names(one.Instances) != "a" {
			t.Errorf("stored %+v, want what was read last", one)
		}
		if err := r.d.Alive(canceled()); !errors.Is(err, context.Canceled) {
			t.Errorf("alive after its end: %v", err)
		}
		if s := r.status("api"); names(s.Instances) != "a" {
			t.Errorf("status %+v after the end", s)
		}
	})
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestADiscoveryThatCannotWorkSaysSo(t *testing.T) {
	for name, d := range map[string]*Discovery{
		"no sink":     {Config: testConfig("api")},
		"no defaults": {Config: &config.Config{}, Sink: &fakeSink{}},
	} {
		if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "discovery needs") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A full disk keeps nothing from being served, and is told once.
func TestAStoreThatCannotBeWrittenStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api")
		r.d.Store = openStore(t, nil)
		r.start()
		defer r.stop()
		dir := r.d.Store.dir()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		r.show("api", "a")
		r.wait(time.Minute)
		r.show("api", "a b")
		r.wait(time.Minute)
		r.wantApplied("0s api=a", "1m0s api=a b")
		told := slices.DeleteFunc(r.d.Journal.Entries("", 0), func(e Entry) bool { return e.Event != "store" })
		if len(told) != 1 || !strings.Contains(told[0].Error, "writing the sets that are served") {
			t.Errorf("the journal has %+v, want the failure once", told)
		}
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		r.wait(10 * time.Second)
		b, err := os.ReadFile(filepath.Join(dir, "sets.json"))
		if err != nil || !strings.Contains(string(b), `"id":"b"`) {
			t.Errorf("stored %s, %v; want it written when there is room again", b, err)
		}
	})
}

// Scenario 38: thousands of snapshots, restarts of the source and lost registries leave nothing behind.
func TestThousandsOfSnapshotsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api", "db")
		r.d.Board, r.d.Store = r.board, openStore(t, nil)
		r.start()
		defer r.stop()
		churn := func(rounds int) (goroutines int, heap uint64) {
			for n := range rounds {
				r.show("api", []string{"a b c", "a b d", "e", ""}[n%4])
				r.show("db", []string{"x", "x y*"}[n%2])
				if n%10 == 0 {
					r.lose("api", "away")
				}
				if n%100 == 0 {
					r.source.fail <- errors.New("again")
					r.wait(30 * time.Second)
				}
				r.wait(15 * time.Millisecond)
			}
			r.wait(30 * time.Second)
			r.sink.calls, r.sink.counts, r.sink.audits, r.board.posts, r.board.at = nil, nil, nil, nil, nil
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return runtime.NumGoroutine(), m.HeapAlloc
		}
		goroutines, heap := churn(1000)
		after, heapAfter := churn(3000)
		if after != goroutines || heapAfter > heap+heap/5+100_000 {
			t.Errorf("%d goroutines and %d bytes after 2,000 snapshots, %d and %d after 8,000", goroutines, heap, after, heapAfter)
		}
	})
}
