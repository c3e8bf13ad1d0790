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
		r.sink.now(func(s *fakeSink) { s.err = errors.New("the socket is gone") })
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
		r.sink.now(func(s *fakeSink) { s.err = nil })
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
		r.sink.now(func(s *fakeSink) { s.err = errors.New("half of it") })
		r.show("api", "a b")
		r.wait(20 * time.Millisecond)
		r.show("api", "a")
		r.sink.now(func(s *fakeSink) {
			s.err = nil
			delete(s.sets, "api") // whatever the proxy has now
		})
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
		r.sink.now(func(s *fakeSink) { s.pending = true })
		r.show("api", "a")
		r.wait(time.Second)
		if s := r.status("api"); !s.Pending || s.Revision != 0 {
			t.Errorf("status %+v, want revision 2 not served yet", s)
		}
		r.sink.now(func(s *fakeSink) { s.pending = false })
		r.show("db", "x y")
		if s := r.status("db"); s.Pending || s.Revision != 3 {
			t.Errorf("status %+v of the other service, want it served", s)
		}
		if !r.status("api").Pending {
			t.Error("not pending any more because of another service")
		}
		r.sink.tell(Outcome{Actions: []Action{{Kind: "reload", Text: "worker 4711"}}, Pending: true})
		if !r.status("api").Pending {
			t.Error("not pending any more, although the sink reported that it still is")
		}
		r.sink.tell(Outcome{Actions: []Action{{Kind: "reload", Text: "worker 4712"}}})
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
			if starts := r.source.started(); starts != n+2 {
				t.Fatalf("started %d times after failure %d", starts, n)
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
		if _, _, starts := r.sink.did(); starts != 2 {
			t.Errorf("started %d times, want twice", starts)
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

// Scenario 12, from the loop's side: what cannot be used is unreadable, and unreadable is not empty.
// Scenario 6, from the loop's side: one place that is announced twice gets its traffic once.
func TestRunEndsWithACallInFlightAndStoresWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "api")
		r.d.Store = openStore(t, nil)
		r.start()
		r.sink.now(func(s *fakeSink) { s.gate = make(chan struct{}) })
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
			r.sink.now(func(s *fakeSink) { s.calls = nil })
			r.board.forget()
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
