package lab

import (
	"bytes"
	"context"
	_ "embed"
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

//go:embed supervise.sh
var superviseScript []byte

// unshareArgs put a program into PID and mount namespaces of its own, where it is PID 1 and
// dies with unshare (--kill-child).
var unshareArgs = []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}

// supervisorPrefix is how the command line of a supervisor begins. The script lies in the
// host's directory, so the line tells whose supervisor a process is: no pid file can be
// stale, and a process id that was used again is never taken for ours.
func supervisorPrefix(script string) []string {
	return slices.Concat([]string{"unshare"}, unshareArgs, []string{"/bin/sh", script})
}

// startSupervisor starts the host's supervisor in a session of its own. It outlives this
// program and is reaped by init.
func startSupervisor(ctx context.Context, script, console string, args ...string) error {
	out, err := os.OpenFile(console, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	argv := slices.Concat([]string{"--fork"}, supervisorPrefix(script), args)
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
	return wait(ctx, "the supervisor", func() (bool, error) { return len(supervisors(script)) > 0, nil })
}

// supervisors returns the process ids of the living supervisors with that script.
func supervisors(script string) []int {
	var pids []int
	for _, pid := range processes() {
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
	want := strings.Join(supervisorPrefix(script), "\x00") + "\x00"
	return bytes.HasPrefix(line, []byte(want))
}

// processes lists /proc; a process may be gone by the time it is looked at.
func processes() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	pids := make([]int, 0, len(dirs))
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killSupervisors kills them and with them every process of the host, and waits until they
// are gone.
func killSupervisors(ctx context.Context, script string) error {
	for _, pid := range supervisors(script) {
		if err := killIf(pid, func() bool { return isSupervisor(pid, script) }); err != nil {
			return err
		}
	}
	return wait(ctx, "supervisor to end", func() (bool, error) { return len(supervisors(script)) == 0, nil })
}

// killIf kills the process when ours still holds. os.FindProcess takes a pidfd, so a
// process id that is used again between the look and the signal is not hit.
func killIf(pid int, ours func() bool) error {
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

// leader returns the process, seen from outside, that is PID 1 of the host: the one below
// the supervisor that is PID 1 in a namespace of its own, one deeper than the supervisor's.
func leader(script string) (int, bool) {
	pids := supervisors(script)
	if len(pids) == 0 {
		return 0, false
	}
	// One pass over /proc: /proc/PID/task/TID/children would be shorter and is absent from
	// kernels without CONFIG_PROC_CHILDREN.
	children := map[int][]procStatus{}
	for _, pid := range processes() {
		if st, ok := readStatus(pid); ok {
			children[st.parent] = append(children[st.parent], st)
		}
	}
	for _, shell := range children[pids[0]] {
		for _, nspawn := range children[shell.pid] {
			for _, p := range children[nspawn.pid] {
				if len(p.nspid) == len(shell.nspid)+1 && p.nspid[len(p.nspid)-1] == 1 {
					return p.pid, true
				}
			}
		}
	}
	return 0, false
}

// procStatus is what /proc/PID/status says of a process; nspid holds its process id in each
// namespace, outermost first (proc_pid_status(5)).
type procStatus struct {
	pid, parent int
	nspid       []int
}

// readStatus is false for a process that has ended meanwhile.
func readStatus(pid int) (procStatus, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return procStatus{}, false
	}
	return parseStatus(pid, string(data))
}

func parseStatus(pid int, text string) (procStatus, bool) {
	st := procStatus{pid: pid}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "PPid":
			st.parent, _ = strconv.Atoi(strings.TrimSpace(value))
		case "NSpid":
			for _, f := range strings.Fields(value) {
				n, err := strconv.Atoi(f)
				if err != nil {
					return procStatus{}, false
				}
				st.nspid = append(st.nspid, n)
			}
		}
	}
	return st, st.parent > 0 && len(st.nspid) > 0
}
