package haproxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher"
)

// A worker that was replaced ends with its last connection: none may be left to it, and the
// new one has that of changes and that of looks.
func TestNoConnectionKeepsAReplacedWorkerAlive(t *testing.T) {
	tests := []struct {
		name  string
		event func(t *testing.T, r *rig)
	}{
		{"nothing happened", func(*testing.T, *rig) {}},
		{"systemctl reload", func(t *testing.T, r *rig) { r.fake.reload() }},
		{"two of them between two looks", func(t *testing.T, r *rig) { r.fake.reload(); r.fake.reload() }},
		{"a crash and a restart", func(t *testing.T, r *rig) { r.fake.stop(); r.fake.start() }},
		{"a change reached the new worker first", func(t *testing.T, r *rig) { r.fake.reload(); r.apply(t, "inventory", some(0, 2)...) }},
		{"a reload of our own", func(t *testing.T, r *rig) { r.reload(t.Context(), "by this test", &watcher.Outcome{}) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := started(t, one("inventory"))
				r.apply(t, "inventory", some(0, 3)...)
				r.tick(t)
				test.event(t, r)
				r.tick(t)
				synctest.Wait() // until the fake has seen what was closed
				if got, want := r.fake.connected(), map[int]int{r.fake.pid: 2}; !maps.Equal(got, want) {
					t.Errorf("connections by worker: %v, want %v", got, want)
				}
			})
		})
	}
}

func TestNoConnectionIsLeftWhenRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, one("inventory"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := r.Run(ctx, func(watcher.Outcome) {}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := r.fake.connected(); len(got) > 0 {
			t.Errorf("connections by worker: %v, want none", got)
		}
	})
}

func TestLooksShareAConnectionForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, one("inventory"))
		before := r.fake.dials
		for range 50 {
			time.Sleep(time.Second)
			r.tick(t)
		}
		if got := r.fake.dials - before; got != 0 {
			t.Errorf("%d new connections in 50 looks, want none", got)
		}
		for range 20 {
			time.Sleep(time.Second)
			r.tick(t)
		}
		if got := r.fake.dials - before; got != 1 {
			t.Errorf("%d new connections after a minute, want one: the socket may lead elsewhere", got)
		}
	})
}

// An outage puts servers of many backends down at once.
func TestBackendsWithServersDownAreAskedForTogether(t *testing.T) {
	r := many(t, 50)
	for _, b := range r.Status().Backends {
		r.fake.with(prefix+b.Route, "s1", func(s *fakeServer) { s.down, s.failed = true, true })
	}
	r.fake.asked()
	r.tick(t)
	if got := r.fake.asked(); len(got) != 4 { // the look, and 20, 20 and 10 backends
		t.Errorf("%d lines were sent, want 4: %.200q", len(got), got)
	}
	for _, b := range r.Status().Backends {
		if b.Down != 1 {
			t.Errorf("%s has %d servers down, want 1", b.Route, b.Down)
		}
	}
}

// Answers come in pieces of any size, and buffers do not keep the size of the largest.
func TestAnswersAreCutApartWhereverTheyWereSplit(t *testing.T) {
	r := started(t, one("inventory"))
	large := "Name: large\n" + string(slices.Repeat([]byte("x"), 5*keepBuffer)) + "\n"
	n := 0
	r.fake.answer = func(cmd string) (string, bool) {
		n++
		return map[bool]string{true: fmt.Sprintf("%d\n", n), false: large}[n%3 != 0], true
	}
	got, err := r.rt.ask(t.Context(), "a", "b", "c", "d", "e", "f", "g")
	want := []string{"1\n", "2\n", large, "4\n", "5\n", large, "7\n"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("answers of %d pieces, error %v, want the seven that were sent", len(got), err)
	}
	if cap(r.rt.buf) > keepBuffer {
		t.Errorf("a buffer of %d bytes was kept, want at most %d", cap(r.rt.buf), keepBuffer)
	}
}
