package lab

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

//go:embed trace.sh
var traceScript string

// tracerPrefix begins the names of the units that hold a fault. A unit of systemd lives as long as
// the host's boot, ends with it, and is found by its name.
const tracerPrefix = "zkboot-fault-"

func tracerName(unit string) string { return tracerPrefix + unit }

// tracerArgv is the command that starts the tracer of a slow or a failing disk. One that fails a
// number of times does so once: it is not started for the next process of the unit.
func tracerArgv(i Injection) []string {
	restart := "always"
	if i.Count > 0 {
		restart = "no"
	}
	argv := []string{"systemd-run", "--quiet", "--collect", "--unit=" + tracerName(i.Unit),
		"--description=" + fmt.Sprintf("zkboot lab fault: %s of %s", i.Fault, i.Unit),
		"--property=Restart=" + restart, "--property=RestartSec=200ms", "--property=StartLimitIntervalSec=0",
		"/bin/sh", "-c", traceScript, "trace.sh", i.Unit}
	return append(argv, straceOptions(i)...)
}

// straceOptions are what strace(1) is to do to every thread of the process that it is attached to.
// A disk is slow for both ways to wait for it; the one that fails is that of ZooKeeper's log
// alone, FileChannel.force(false).
func straceOptions(i Injection) []string {
	options := []string{"-f", "-qq", "-o", "/dev/null", "-e", "signal=none"}
	if i.Fault == FaultSlowDisk {
		return append(options, "-e", "trace=fsync,fdatasync",
			"-e", fmt.Sprintf("inject=fsync,fdatasync:delay_enter=%d", i.Delay.Microseconds()))
	}
	// Without a call that takes its place, strace has the kernel refuse number -1, which a seccomp
	// filter, such as that of SystemCallFilter=, answers with SIGSYS.
	inject := "inject=fdatasync:error=EIO:syscall=getpid"
	if i.Count > 0 {
		inject += fmt.Sprintf(":when=1..%d", i.Count)
	}
	return append(options, "-e", "trace=fdatasync", "-e", inject)
}

// traceLimit bounds the wait for a tracer: it stops a JVM's fifty threads one by one.
const traceLimit = 30 * time.Second

// traceUnit replaces the tracer that the unit's process may have, for it can have but one, and
// returns when every thread is held by the new one.
func (h *Host) traceUnit(ctx context.Context, i Injection) error {
	if _, err := h.mainProcess(ctx, i.Unit); err != nil {
		return err
	}
	if _, err := h.guest.exec(ctx, []string{"strace", "--version"}); err != nil {
		return fmt.Errorf("this host was made before labs had strace: take the lab down and up again: %w", err)
	}
	tracer := tracerName(i.Unit)
	if err := h.stopTracers(ctx, tracer+"*"); err != nil {
		return err
	}
	if _, err := h.guest.exec(ctx, tracerArgv(i)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, traceLimit)
	defer cancel()
	err := machine.Wait(ctx, "strace to hold "+i.Unit, func() (bool, error) { return h.traced(ctx, i.Unit) })
	if err != nil {
		said, _ := h.guest.exec(context.WithoutCancel(ctx), []string{"journalctl", "--unit=" + tracer, "--lines=3", "--output=cat", "--no-pager"})
		return fmt.Errorf("%w; %s ends:\n%s", err, tracer, said)
	}
	return nil
}

// traced looks at the main process that the unit has now.
func (h *Host) traced(ctx context.Context, unit string) (bool, error) {
	s, err := h.unit(ctx, unit)
	if err != nil || s.pid == 0 {
		return false, err
	}
	root, err := h.Root()
	if err != nil {
		return false, err
	}
	defer root.Close()
	return allTraced(root.FS(), s.pid)
}

// allTraced reports whether every thread of a process has a tracer (proc_pid_status(5)).
func allTraced(root fs.FS, pid int) (bool, error) {
	files, err := fs.Glob(root, fmt.Sprintf("proc/%d/task/*/status", pid))
	if err != nil {
		return false, err
	}
	for _, file := range files {
		text, err := fs.ReadFile(root, file)
		if err != nil { // a thread that has ended
			continue
		}
		if !hasTracer(string(text)) {
			return false, nil
		}
	}
	return len(files) > 0, nil
}

func hasTracer(status string) bool {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "TracerPid:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(value))
			return err == nil && pid > 0
		}
	}
	return false
}

// hasTraced reports whether any process of a container has a tracer. It asks the kernel: the systemd
// of a host that is frozen already does not answer.
func (h *Host) hasTraced() (bool, error) {
	if _, ok := h.guest.(*container); !ok {
		return false, nil
	}
	root, err := h.Root()
	if err != nil {
		return false, err
	}
	defer root.Close()
	return anyTraced(root.FS())
}

func anyTraced(root fs.FS) (bool, error) {
	files, err := fs.Glob(root, "proc/[0-9]*/status")
	for _, file := range files {
		if text, err := fs.ReadFile(root, file); err == nil && hasTracer(string(text)) { // it may have ended
			return true, nil
		}
	}
	return false, err
}

// untrace stops every tracer of the host.
func (h *Host) untrace(ctx context.Context) error { return h.stopTracers(ctx, tracerPrefix+"*") }

// stopTracers stops those whose names match a pattern, and returns when they have ended: a tracer
// lets its process go first. For systemctl a pattern that nothing matches is no error.
func (h *Host) stopTracers(ctx context.Context, pattern string) error {
	_, err := h.guest.exec(ctx, []string{"systemctl", "stop", pattern})
	return err
}
