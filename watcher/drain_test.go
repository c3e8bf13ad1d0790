package watcher

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// post puts notices of consumers of "shop" on the board, of the instance 10.0.0.1:8001:
// "host" has applied nothing yet, "host=2" has applied the mark and counts 2 connections.
func (w *world) post(text string) {
	w.reg.set(func() {
		w.reg.notices = nil
		for _, f := range strings.Fields(text) {
			host, conns, counted := strings.Cut(f, "=")
			n := Notice{Host: host, Services: map[string]Applied{"shop": {}}}
			if counted {
				n.Services["shop"] = Applied{Revision: w.reg.rev}
				n.Draining = map[string]map[string]int{"shop": {"10.0.0.1:8001": int(conns[0] - '0')}}
			}
			w.reg.notices = append(w.reg.notices, n)
		}
	})
}

// drain begins a drain and returns a function that waits for its report.
func (w *world) drain(name string) func() (DrainReport, error) {
	type end struct {
		DrainReport
		error
	}
	done := make(chan end, 1)
	go func() {
		report, err := w.r.Drain(context.Background(), name)
		done <- end{report, err}
	}()
	synctest.Wait()
	return func() (DrainReport, error) { e := <-done; return e.DrainReport, e.error }
}

func TestDrainWaitsForItsConsumers(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.expect("start", "announce shop-1")
		w.post("a b")
		report := w.drain("shop-1")
		w.expect("marked at once", "drain shop-1")
		if s := w.status("shop-1"); !s.Draining || !s.Announced || s.Why != "draining: by an operator's word" {
			t.Errorf("status while draining: %+v", s)
		}
		w.after(20 * time.Second)
		w.post("a=2 b=0")
		w.after(20 * time.Second)
		w.expect("a has connections", "")
		w.post("a=0 b=0")
		w.after(2 * time.Second)
		w.expect("nobody has", "withdraw shop-1")
		got, err := report()
		if err != nil {
			t.Fatal(err)
		}
		if got.Took < 41*time.Second || got.Took > 43*time.Second {
			t.Errorf("took %v, want 41s to 43s", got.Took)
		}
		got.Took = 0
		if diff := cmp.Diff(DrainReport{Name: "shop-1", Ended: DrainedByConsumers, Consumers: []Consumer{
			{Host: "a", Applied: true, Done: true}, {Host: "b", Applied: true, Done: true}}}, got); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
		w.after(time.Hour)
		w.expect("healthy for an hour, but drained", "")
		if s := w.status("shop-1"); !s.Draining || s.Announced || !strings.HasPrefix(s.Why, "drained (consumers)") {
			t.Errorf("status after it: %+v", s)
		}
		if got, err := w.drain("shop-1")(); err != nil || got.Ended != DrainedByConsumers {
			t.Errorf("draining it again: got %+v, %v; want the same report at once", got, err)
		}
		if err := w.r.Undrain(t.Context(), "shop-1"); err != nil {
			t.Error(err)
		}
		w.expect("undrained", "announce shop-1")
	})
}

func TestHowADrainEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		before, during func(w *world) // during is 5 s after the drain began
		ended, calls   string
		took           time.Duration // give or take a second
		err            string
	}{
		"nobody posts: grace": {
			ended: DrainedByGrace, calls: "drain shop-1, withdraw shop-1", took: 10 * time.Second},
		"no board: grace": {
			before: func(w *world) { w.r.Board, w.r.boards = nil, nil },
			ended:  DrainedByGrace, calls: "drain shop-1, withdraw shop-1", took: 10 * time.Second},
		"a connection that stays: timeout": {
			during: func(w *world) { w.post("a=1") },
			ended:  DrainedByTimeout, calls: "drain shop-1, withdraw shop-1", took: time.Minute},
		"a board that cannot be read tells nothing: timeout": {
			before: func(w *world) { w.reg.noBoard = errRegistry },
			ended:  DrainedByTimeout, calls: "drain shop-1, withdraw shop-1", took: time.Minute},
		"the service dies: at once": {
			before: func(w *world) { w.post("a=1") },
			during: func(w *world) { w.post("a=1"); w.ill("shop-1", errRefused) },
			ended:  DrainNotAnnounced, calls: "drain shop-1, withdraw shop-1", took: 8 * time.Second},
		"undone: it stays": {
			during: func(w *world) {
				if err := w.r.Undrain(context.Background(), "shop-1"); err != nil {
					w.t.Error(err)
				}
			},
			ended: DrainUndone, calls: "drain shop-1, announce shop-1", took: 5 * time.Second},
		"its service is stopped: at once": {
			during: func(w *world) {
				if err := w.r.Hold(context.Background(), "shop-1"); err != nil {
					w.t.Error(err)
				}
			},
			ended: DrainNotAnnounced, calls: "drain shop-1, withdraw shop-1", took: 5 * time.Second},
		"it is not announced": {
			before: func(w *world) { w.ill("shop-1", errRefused); w.after(5 * time.Second); w.reg.said() },
			ended:  DrainNotAnnounced},
		"zkwatch ends": {
			during: func(w *world) { w.stop() },
			ended:  DrainInterrupted, calls: "drain shop-1", took: 5 * time.Second},
		"the registry does not take the mark: timeout": {
			before: func(w *world) { w.reg.fail = errRegistry },
			ended:  DrainedByTimeout, took: time.Minute + registryTimeout, err: "its removal from the registry after the drain, which is still being tried: context deadline exceeded; the registry: no quorum"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, func(t *testing.T, w *world) {
				w.after(5 * time.Second)
				w.expect("start", "announce shop-1")
				if tt.before != nil {
					tt.before(w)
				}
				report := w.drain("shop-1")
				w.after(5 * time.Second)
				if tt.during != nil {
					tt.during(w)
				}
				got, err := report()
				if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				if got.Ended != tt.ended || (got.Took-tt.took).Abs() > time.Second {
					t.Errorf("ended by %q after %v, want %q after %v", got.Ended, got.Took, tt.ended, tt.took)
				}
				if tt.err == "" {
					w.expect("the drain", tt.calls)
				}
			})
		})
	}
}

func TestDrainInterruptedByARestartIsNotForgotten(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.post("a=1")
		w.drain("shop-1")
		w.after(5 * time.Second)
		w.stop()
		w.expect("before the restart", "announce shop-1, drain shop-1")
		w.run()
		w.after(time.Hour)
		w.expect("after it", "withdraw shop-1")
		if s := w.status("shop-1"); !s.Draining || s.Announced || !s.Healthy {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestDrainAllReadsTheBoardOnceASecond(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.reg.said()
		w.post("a=0") // of the first alone; the others time out
		report := w.drain("all")
		w.after(10 * time.Second)
		w.post("a=0")
		got, err := report()
		if err != nil || got.Name != "all" || got.Ended != DrainedByTimeout || len(got.Parts) != 20 || got.Parts[0].Ended != DrainedByConsumers || got.Took < time.Minute {
			t.Errorf("report %+v, %v", got, err)
		}
		if got := w.reg.there(); got != "" {
			t.Errorf("announced are %q", got)
		}
		for i := 1; i < len(w.reg.reads); i++ {
			if gap := w.reg.reads[i].Sub(w.reg.reads[i-1]); gap < boardEvery {
				t.Fatalf("reading %d of the board came %v after the one before, want %v", i, gap, boardEvery)
			}
		}
		if err := w.r.Undrain(t.Context(), "shop-7"); err == nil || !strings.Contains(err.Error(), `the mark "all" drains it as well`) {
			t.Errorf("undraining one of all: got %v", err)
		}
		if err := w.r.Undrain(t.Context(), "all"); err != nil {
			t.Error(err)
		}
		w.after(time.Second)
		if got := strings.Count(w.reg.there(), "shop-"); got != 20 {
			t.Errorf("%d announced after undrain, want 20", got)
		}
	})
}

func TestSpoolFilesDrain(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		dir := w.cfg.Drain.Spool
		w.after(5 * time.Second)
		w.expect("start", "announce shop-1, announce shop-2")
		write := func(name, text string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("shop-2", "kernel update")
		write("shop-3", "of another host")
		w.after(time.Second)
		w.expect("a file", "drain shop-2")
		if got := w.status("shop-2").Why; got != "draining: kernel update" {
			t.Errorf("why: %q", got)
		}
		os.Rename(dir, dir+".away")
		os.WriteFile(dir, nil, 0o644)
		w.after(5 * time.Second)
		w.expect("a spool that cannot be read undoes nothing", "")
		os.Remove(dir)
		os.Rename(dir+".away", dir)
		os.Remove(filepath.Join(dir, "shop-2"))
		w.after(time.Second)
		w.expect("the file is gone", "announce shop-2")
		write("shop-1", `{"reason": "short", "expiration": `+time.Now().Add(30*time.Second).Format("05")+`}`)
		w.after(time.Second)
		w.expect("an expiry that is long over", "")
	})
}

func TestDrainBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.cfg.Drain.OnTerm = "drain"
		w.run()
		w.after(5 * time.Second)
		w.expect("start", "announce shop-1, announce shop-2")
		w.ill("shop-2", errRefused)
		w.after(5 * time.Second)
		w.expect("one is down", "withdraw shop-2")
		began := time.Now()
		w.stop() // returns when Run does
		w.expect("the end", "drain shop-1, withdraw shop-1")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v, want the grace time", took)
		}
		if left, err := os.ReadDir(w.cfg.Drain.Spool); err != nil || len(left) != 0 {
			t.Errorf("left in the spool: %v, %v; the next start shall announce again", left, err)
		}
	})
}

func TestDrainIsBoundedByItsCaller(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := w.r.Drain(ctx, "shop-1"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `register["shop-1"]: waiting for its drain, which goes on`) {
			t.Errorf("got %v", err)
		}
		w.after(10 * time.Second)
		w.expect("it went on", "announce shop-1, drain shop-1, withdraw shop-1")
		if _, err := w.r.Drain(context.Background(), "shop-9"); !errors.Is(err, ErrNoRegistration) || !strings.Contains(err.Error(), `there are ["shop-1"]`) {
			t.Errorf("an unknown name: got %v", err)
		}
	})
}
