package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// unshareArgs put a program into PID and mount namespaces of its own, where it is PID 1 and
// dies with unshare (--kill-child).
var unshareArgs = []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}

// SupervisorPrefix is how the command line of a supervisor begins. The script lies in the
// host's directory, so the line tells whose supervisor a process is: no pid file can be
// stale, and a process id that was used again is never taken for ours.
func SupervisorPrefix(script string) []string {
	return slices.Concat([]string{"unshare"}, unshareArgs, []string{"/bin/sh", script})
}

// StartSupervisor starts the host's supervisor in a session of its own. It outlives this
// program and is reaped by init.
func StartSupervisor(ctx context.Context, script, console string, args ...string) error {
	out, err := os.OpenFile(console, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	argv := slices.Concat([]string{"--fork"}, SupervisorPrefix(script), args)
	cmd := exec.CommandContext(ctx, "setsid", argv...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("setsid: %w", err)
	}
	// setsid has forked; whether the fork became the supervisor shows a moment later. One
	// that fails at once may be missed between two looks, so the wait is short.
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, errors.New("it is not there, or ended at once"))
	defer cancel()
	return Wait(ctx, "the supervisor", func() (bool, error) { return len(Supervisors(script)) > 0, nil })
}

// Supervisors returns the process ids of the living supervisors with that script.
func Supervisors(script string) []int {
	var pids []int
	for _, pid := range Processes() {
		if isSupervisor(pid, script) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isSupervisor compares whole arguments, from the first: an editor or a grep that has the
// script's path on its command line is not a supervisor.
func isSupervisor(pid int, script string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty for a zombie
	if err != nil {
		return false
	}
	want := strings.Join(SupervisorPrefix(script), "\x00") + "\x00"
	return bytes.HasPrefix(line, []byte(want))
}

// Processes lists /proc; a process may be gone by the time it is looked at.
func Processes() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	pids := make([]int, 0, len(dirs))
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// KillSupervisors kills them and with them every process of the host, and waits until they
// are gone.
func KillSupervisors(ctx context.Context, script string) error {
	for _, pid := range Supervisors(script) {
		if err := KillIf(pid, func() bool { return isSupervisor(pid, script) }); err != nil {
			return err
		}
	}
	return Wait(ctx, "supervisor to end", func() (bool, error) { return len(Supervisors(script)) == 0, nil })
}

// KillIf kills the process when ours still holds. os.FindProcess takes a pidfd, so a
// process id that is used again between the look and the signal is not hit.
func KillIf(pid int, ours func() bool) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil // already gone
	}
	defer p.Release()
	if !ours() {
		return nil
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %d: %w", pid, err)
	}
	return nil
}
