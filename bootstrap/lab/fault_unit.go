package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// signalLimit bounds the wait for what a signal does: the kernel acts on SIGKILL and SIGSTOP at
// once, unless a process waits for a disk.
const signalLimit = 30 * time.Second

// unitState is what systemd says of a unit.
type unitState struct {
	active string // as `systemctl is-active` says
	pid    int    // of the main process, inside the host; 0 when there is none
}

// unit asks systemd of the host. A unit that does not exist is an error.
func (h *Host) unit(ctx context.Context, name string) (unitState, error) {
	out, err := h.guest.exec(ctx, []string{"systemctl", "show", "--property=LoadState,ActiveState,MainPID", name})
	if err != nil {
		return unitState{}, err
	}
	return parseUnit(name, string(out))
}

// parseUnit reads the properties that unit asks for, in whatever order.
func parseUnit(name, text string) (unitState, error) {
	var s unitState
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	if load := values["LoadState"]; load != "loaded" {
		return s, fmt.Errorf("unit %s is not there: systemd says %q: name another unit", name, load)
	}
	pid, err := strconv.Atoi(values["MainPID"])
	if err != nil {
		return s, fmt.Errorf("unit %s: main process: %w", name, err)
	}
	return unitState{values["ActiveState"], pid}, nil
}

// mainProcess returns the process id, inside the host, of a unit that runs.
func (h *Host) mainProcess(ctx context.Context, unit string) (int, error) {
	s, err := h.unit(ctx, unit)
	if err != nil {
		return 0, err
	}
	if s.pid == 0 {
		return 0, fmt.Errorf("unit %s has no main process, it is %s: start it first", unit, s.active)
	}
	return s.pid, nil
}

// signal sends a signal to the main process of a unit, which systemd knows by more than its number.
func (h *Host) signal(ctx context.Context, unit, name string) error {
	_, err := h.guest.exec(ctx, []string{"systemctl", "kill", "--kill-whom=main", "--signal=" + name, unit})
	return err
}

// killUnit returns when the process is gone: systemd then has another or none.
func (h *Host) killUnit(ctx context.Context, unit string) error {
	pid, err := h.mainProcess(ctx, unit)
	if err != nil {
		return err
	}
	if err := h.signal(ctx, unit, "SIGKILL"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, signalLimit)
	defer cancel()
	return machine.WaitEvery(ctx, h.guest.pace().look, fmt.Sprintf("process %d of %s to end", pid, unit), func() (bool, error) {
		s, err := h.unit(ctx, unit)
		return s.pid != pid, err
	})
}

// pauseUnit returns when every thread has stopped.
func (h *Host) pauseUnit(ctx context.Context, unit string) error {
	pid, err := h.mainProcess(ctx, unit)
	if err != nil {
		return err
	}
	if err := h.signal(ctx, unit, "SIGSTOP"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, signalLimit)
	defer cancel()
	return machine.WaitEvery(ctx, h.guest.pace().look, fmt.Sprintf("process %d of %s to stop", pid, unit), func() (bool, error) {
		stopped, err := h.stopped(ctx)
		for _, p := range stopped {
			if p == pid {
				return true, nil
			}
		}
		return false, err
	})
}

// stopped lists the processes of the host that a signal has stopped.
func (h *Host) stopped(ctx context.Context) ([]int, error) {
	out, err := h.guest.exec(ctx, []string{"ps", "-eo", "pid=,stat="})
	if err != nil {
		return nil, err
	}
	return parseStopped(out)
}

// parseStopped reads lines of a process id and a state as ps(1) writes them: T is stopped by a
// signal, while t is stopped by a tracer.
func parseStopped(ps []byte) ([]int, error) {
	var pids []int
	for line := range bytes.Lines(ps) {
		f := strings.Fields(string(line))
		if len(f) != 2 {
			return nil, fmt.Errorf("ps: %q is not a process id and a state", line)
		}
		pid, err := strconv.Atoi(f[0])
		if err != nil {
			return nil, fmt.Errorf("ps: %w", err)
		}
		if strings.HasPrefix(f[1], "T") {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// resume lets stopped processes go on. They are found by their state: a process id that was noted
// when they were stopped may be another's by now.
func (h *Host) resume(ctx context.Context) error {
	pids, err := h.stopped(ctx)
	if err != nil {
		return h.errorf("mend: %w", err)
	}
	var errs []error
	for _, pid := range pids {
		if _, err := h.guest.exec(ctx, []string{"kill", "-CONT", strconv.Itoa(pid)}); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	if left, err := h.stopped(ctx); err == nil && len(left) == 0 { // those that refused had ended
		return nil
	}
	return h.errorf("mend: %w", errors.Join(errs...))
}
