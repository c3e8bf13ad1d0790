package watcher

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStoppedOnPurpose(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.expect("start", "announce shop-1")
		began := time.Now()
		if err := w.r.Hold(t.Context(), "shop-1"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("waited %v although the registry answered at once", took)
		}
		w.expect("held", "withdraw shop-1")
		w.after(time.Minute)
		w.expect("it still passes, since it takes a while to stop", "")
		if s := w.status("shop-1"); !s.Held || s.Healthy || s.Announced || s.Why != "stopped on purpose, until it is registered again" {
			t.Errorf("status: %+v", s)
		}
		w.stop()
		w.run()
		w.after(time.Minute)
		w.expect("a restart of zkwatch remembers", "")
		w.ill("shop-1", errRefused)
		if err := w.r.Release(t.Context(), "shop-1"); err != nil {
			t.Error(err)
		}
		w.after(10 * time.Second)
		w.expect("released, but it is not ready yet", "")
		w.ill("shop-1", nil)
		w.after(time.Second)
		w.expect("the first pass is enough", "announce shop-1")
		w.stop()
		w.run()
		w.after(5 * time.Second)
		if s := w.status("shop-1"); s.Held || !s.Announced {
			t.Errorf("after another restart: %+v", s)
		}
	})
}

func TestReleaseChecksAtOnce(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		if err := w.r.Hold(t.Context(), "shop-1"); err != nil {
			t.Error(err)
		}
		w.reg.said()
		if err := w.r.Release(t.Context(), "shop-1"); err != nil {
			t.Error(err)
		}
		w.expect("released and healthy", "announce shop-1") // no time has passed
	})
}

// A unit that registers when it starts and crashes in a loop is flapping like any other.
func TestRestartLoopIsDamped(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.reg.said()
		for range 100 {
			if err := w.r.Hold(t.Context(), "shop-1"); err != nil {
				t.Error(err)
			}
			if err := w.r.Release(t.Context(), "shop-1"); err != nil {
				t.Error(err)
			}
			w.after(2 * time.Second)
		}
		if calls := strings.Count(w.reg.said(), "shop-1"); calls > flipBurst+20+1 || calls < 10 {
			t.Errorf("%d changes in 200 s, want the burst and one in 10 s", calls)
		}
		w.after(30 * time.Second)
		if got := w.reg.there(); got != "shop-1" {
			t.Errorf("healthy for 30 s, but announced are %q", got)
		}
	})
}

func TestHoldWithoutARegistry(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.after(5 * time.Second)
		w.reg.set(func() { w.reg.fail = errRegistry })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := w.r.Hold(ctx, "shop-1")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "which is still being tried") || !strings.Contains(err.Error(), "no quorum") {
			t.Errorf("got %v, want that the registry has not confirmed it", err)
		}
		w.reg.set(func() { w.reg.fail = nil })
		w.after(5 * time.Second)
		if got := w.reg.there(); got != "" {
			t.Errorf("the registry is back: announced are %q", got)
		}
	})
}

// Where nothing can be written, what was asked for happens all the same.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.cfg.Drain.Spool = "/proc/none" // nothing can be made there, and it is not there either
		w.run()
		defer func() { w.stop() }()
		w.after(5 * time.Second)
		w.reg.said()
		report := w.drain("shop-1")
		if err := w.r.Hold(t.Context(), "shop-2"); err != nil {
			t.Error(err)
		}
		w.after(time.Minute)
		w.expect("drained and held", "drain shop-1, withdraw shop-1, withdraw shop-2")
		if got, err := report(); err != nil || got.Ended != DrainedByGrace {
			t.Errorf("the drain: %+v, %v", got, err)
		}
		if err := errors.Join(w.r.Undrain(t.Context(), "shop-1"), w.r.Release(t.Context(), "shop-2")); err != nil {
			t.Error(err)
		}
		w.expect("undone", "announce shop-1, announce shop-2")
	})
}
