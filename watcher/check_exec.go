package watcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	execOutput = 4 << 10 // what is kept of a program's output
	// execGrace is how long the pipes of a program may stay open after it ended: a child
	// that it left behind holds them.
	execGrace = 200 * time.Millisecond
	execBusy  = 10 * time.Millisecond // between two tries on a program that is being written
)

// execCheck passes when a program exits with 0. There is no shell, and no environment but
// a PATH: what the daemon was given (its notify socket, a registry's password) is not for
// checks.
func execCheck(argv []string) check {
	name := filepath.Base(argv[0])
	return func(ctx context.Context) error {
		for {
			err := execOnce(ctx, argv)
			// A file that a deployment has open for writing cannot be run, and for a moment
			// neither can one whose writer forked (golang.org/issue/22315).
			if !errors.Is(err, syscall.ETXTBSY) {
				return named(name, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(execBusy):
			}
			if ctx.Err() != nil { // both may be so
				return named(name, err)
			}
		}
	}
}

func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("exec %s: %w", name, err)
}

func execOnce(ctx context.Context, argv []string) error {
	var out head
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = execGrace
	// A group of its own, so that what the program started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	if err := cmd.Start(); err != nil {
		if path, ok := errors.AsType[*os.PathError](err); ok {
			return path.Err // the path is in argv, and in the text already
		}
		return err
	}
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) { // it exited with 0, but left a child that holds its output
		err = killGroup(cmd.Process)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w, killed%s", errTimeout, out.said())
	}
	return fmt.Errorf("%w%s", err, out.said())
}

// killGroup ends a program and all that it started. That nothing of it lives is no error.
func killGroup(p *os.Process) error {
	if err := syscall.Kill(-p.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// head keeps the beginning of what is written to it and swallows the rest.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	if room := execOutput - len(h.kept); room > 0 {
		h.kept = append(h.kept, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (h *head) said() string {
	if s := line(h.kept); s != "" {
		return fmt.Sprintf(": %q", s)
	}
	return ""
}
