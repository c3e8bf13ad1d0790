package watcher

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// reload changes one registration of the world's configuration and has it reloaded.
func (w *world) reload(name string, change func(r *config.Registration)) error {
	next := *w.cfg
	next.Register = maps.Clone(w.cfg.Register)
	reg := next.Register[name]
	if change == nil {
		delete(next.Register, name)
	} else {
		change(&reg)
		next.Register[name] = reg
	}
	w.cfg = &next
	err := w.r.Reload(context.Background(), w.cfg, w.r.Registrars, w.r.Board)
	synctest.Wait()
	return err
}

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.expect("start", "announce shop-1, announce shop-2, announce shop-3")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		must(w.reload("shop-2", func(*config.Registration) {}))
		w.after(time.Minute)
		w.expect("nothing changed", "")
		must(w.reload("shop-2", func(r *config.Registration) { r.Weight = 7 }))
		w.expect("a weight: in place, at once", "announce shop-2")
		must(w.reload("shop-2", func(r *config.Registration) { r.Check.Rise = 5 }))
		w.after(3 * time.Second)
		w.expect("a check: it stays until the new one has a verdict", "")
		w.after(time.Minute)
		w.expect("which is good, so nothing is written", "")
		must(w.reload("shop-2", func(r *config.Registration) { r.Port = 9000 }))
		w.expect("a port: there and back again", "withdraw shop-2, announce shop-2")
		if got := w.reg.nodes["shop-2"].Instance.Addr(); got != "10.0.0.1:9000" {
			t.Errorf("announced is %s", got)
		}
		must(w.reload("shop-2", nil))
		w.expect("a registration that is gone", "withdraw shop-2")
		must(w.reload("shop-4", func(r *config.Registration) { *r = w.cfg.Register["shop-1"]; r.Port = 8004 }))
		w.after(5 * time.Second)
		w.expect("a new one", "announce shop-4")
		checks := w.status("shop-1").Checks
		if checks < 100 {
			t.Errorf("shop-1 was started anew: %d checks", checks)
		}
	})
}

func TestReloadOfAWrongConfigurationChangesNothing(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.reg.said()
		good := w.cfg
		err := w.reload("shop-1", func(r *config.Registration) { r.Service = "none" })
		if err == nil || err.Error() != `register["shop-1"]: service "none" is not configured` {
			t.Errorf("got %v", err)
		}
		w.cfg = good
		w.after(time.Minute)
		w.expect("a wrong configuration", "")
		if s := w.status("shop-1"); !s.Announced || s.Checks < 60 {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestReloadKeepsADrainAndAHold(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.post("a=1")
		w.drain("shop-1")
		if err := w.r.Hold(t.Context(), "shop-2"); err != nil {
			t.Error(err)
		}
		w.reg.said()
		for _, name := range []string{"shop-1", "shop-2"} {
			if err := w.reload(name, func(r *config.Registration) { r.Weight = 9 }); err != nil {
				t.Error(err)
			}
		}
		w.after(10 * time.Second)
		w.expect("the weight of the draining one, and not of the held", "drain shop-1")
		if err := w.reload("shop-1", func(r *config.Registration) { r.Check.Fall = 9 }); err != nil {
			t.Error(err)
		}
		w.after(10 * time.Second)
		w.expect("a check without a verdict yet", "")
		if s := w.status("shop-1"); !s.Draining || !s.Announced {
			t.Errorf("status: %+v", s)
		}
	})
}

// Thousands of reloads leave no goroutine and no file behind.
func TestReloadsLeak(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		goroutines, files := runtime.NumGoroutine(), openFiles(t)
		for i := range 2000 {
			if err := w.reload("shop-2", func(r *config.Registration) { r.Weight = 1 + i%200 }); err != nil {
				t.Fatal(err)
			}
		}
		w.after(5 * time.Second)
		if now := runtime.NumGoroutine(); now > goroutines+10 { // of other tests, too
			t.Errorf("%d goroutines, %d before", now, goroutines)
		}
		if now := openFiles(t); now > files+10 {
			t.Errorf("%d open files, %d before", now, files)
		}
		if got := strings.Count(w.reg.said(), "withdraw"); got != 0 {
			t.Errorf("withdrawn %d times", got)
		}
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// A host that only consumes does not wake up for registrations that it has not. With the first
// one everything is there: the spool is watched, and time that is lost from then on is known.
func TestWithoutRegistrationsNothingTicks(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		w.after(time.Hour)
		if w.r.lag.due != (time.Time{}) {
			t.Error("the lag meter beats, and nobody asks it")
		}
		some := newWorld(t, 1).cfg.Register["shop-1"]
		if err := w.reload("shop-1", func(r *config.Registration) { *r = some }); err != nil {
			t.Fatal(err)
		}
		w.after(5 * time.Second)
		w.expect("the first registration", "announce shop-1")
		if s := w.status("shop-1"); s.Ignored != 0 || !s.Healthy {
			t.Errorf("status %+v, want it healthy and no check ignored", s)
		}
		if lost := w.r.lag.total(time.Now()); lost != 0 {
			t.Errorf("%v were lost, though nothing was late: the hour before the first beat does not count", lost)
		}
		if err := os.WriteFile(filepath.Join(w.cfg.Drain.Spool, "shop-1"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		w.after(3 * time.Second)
		w.expect("a mark by anybody", "drain shop-1")
	})
}
