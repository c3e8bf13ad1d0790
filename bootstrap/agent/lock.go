package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/zkboot/zkboot/bootstrap"
)

// holderLimit bounds what is shown of a lock's holder, in bytes.
const holderLimit = 256

// Lock implements bootstrap.Host. The lock is an flock, so that the kernel gives it
// back when the agent dies, however it dies; no clock is involved. Locking again is
// a no-op.
func (h *Host) Lock(ctx context.Context, who string) error {
	if err := h.enter(ctx); err != nil {
		return err
	}
	defer h.leave()
	if h.lock != nil {
		return nil
	}
	f, err := takeLock(filepath.Join(h.root, "run/zkboot/lock"), who)
	h.lock = f
	return err
}

// takeLock returns the open file that holds the lock at path.
func takeLock(path, who string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fmt.Errorf("%w: held by %s", bootstrap.ErrLocked, holder(f))
	case err != nil:
		err = fmt.Errorf("lock %s: %w", path, err)
	default:
		err = sign(f, fmt.Sprintf("%s (pid %d)\n", printable(who), os.Getpid()))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sign replaces the content of the lock file, which only informs: the flock counts.
func sign(f *os.File, text string) error {
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// holder reads who signed the lock file.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, holderLimit))
	if text := printable(string(b)); err == nil && text != "" {
		return text
	}
	return "another run" // which has not yet signed
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), holderLimit-20)]) // leaves room for the process id
	return strings.TrimSpace(s)
}

// releaseLock gives the lock back. The file stays: to remove it would let two runs
// lock two files of one name.
func releaseLock(f *os.File) error {
	return errors.Join(f.Truncate(0), f.Close())
}
