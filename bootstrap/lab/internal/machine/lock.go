package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Poll is how often a condition of the machine is looked at again.
const Poll = 25 * time.Millisecond

// Wait calls done every [Poll] until it is true, fails, or ctx ends; then the error names
// what was waited for.
func Wait(ctx context.Context, what string, done func() (bool, error)) error {
	return WaitEvery(ctx, Poll, what, done)
}

// WaitEvery is [Wait] for what costs something to look at.
func WaitEvery(ctx context.Context, every time.Duration, what string, done func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// LockDir takes the exclusive lock of a directory, made first when create is set. The
// holder may delete the directory: whoever waited then locks the new one.
func LockDir(ctx context.Context, dir string, create bool) (unlock func(), err error) {
	var f *os.File
	err = Wait(ctx, "lock on "+dir, func() (bool, error) {
		if create {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return false, err
			}
		}
		f, err = os.Open(dir)
		if create && errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		if ok, err := tryLock(f, dir); ok {
			return true, nil
		} else if err != nil {
			return false, errors.Join(err, f.Close())
		}
		return false, f.Close()
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, nil // closing releases the lock
}

// tryLock reports whether f is now locked and still is what path names.
func tryLock(f *os.File, path string) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return false, nil
	} else if err != nil {
		return false, &os.PathError{Op: "flock", Path: path, Err: err}
	}
	held, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(held, now), nil
}
