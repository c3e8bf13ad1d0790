package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLockIsExclusiveAndSaysWhatItWaitsFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	unlock, err := LockDir(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*Poll)
	defer cancel()
	if _, err := LockDir(ctx, dir, true); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "lock on "+dir) {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	unlock, err = LockDir(t.Context(), dir, true)
	if err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	unlock()
}

// Down deletes the directory whose lock it holds; who waited must not end up with the lock
// of a directory that is no more.
func TestLockOfADeletedDirectoryIsTakenOnTheNewOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	unlock, err := LockDir(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		unlock func()
		err    error
	}
	got := make(chan result)
	go func() {
		u, err := LockDir(t.Context(), dir, true)
		got <- result{u, err}
	}()
	select {
	case r := <-got:
		t.Fatalf("locked twice: %v", r.err)
	case <-time.After(3 * Poll):
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	unlock()
	r := <-got
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer r.unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 3*Poll)
	defer cancel()
	if _, err := LockDir(ctx, dir, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the new directory is not locked: %v", err)
	}
}

func TestWaitEveryLooksNoMoreOftenThanAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, looks := time.Now(), 0
		err := WaitEvery(t.Context(), time.Second, "the third look", func() (bool, error) { looks++; return looks == 3, nil })
		if took := time.Since(start); err != nil || took != 2*time.Second {
			t.Errorf("%d looks in %s, %v; want 3 in 2s", looks, took, err)
		}
	})
}
