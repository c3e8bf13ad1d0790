package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
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

// pauseUnit returns when the process has stopped.
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
		states, err := h.states(ctx)
		return states[pid] == stopped || states[pid] == stoppedTraced, err
	})
}

// State letters of ps(1). What a signal has stopped while a tracer holds it is shown as the tracer's.
const (
	stopped       = 'T'
	stoppedTraced = 't'
)

// states returns the state letter of every process of the host, by process id inside.
func (h *Host) states(ctx context.Context) (map[int]byte, error) {
	out, err := h.guest.exec(ctx, []string{"ps", "-eo", "pid=,stat="})
	if err != nil {
		return nil, err
	}
	return parseStates(out)
}

// parseStates reads lines of a process id and a state.
func parseStates(ps []byte) (map[int]byte, error) {
	states := map[int]byte{}
	for line := range bytes.Lines(ps) {
		f := strings.Fields(string(line))
		if len(f) != 2 {
			return nil, fmt.Errorf("ps: %q is not a process id and a state", line)
		}
		pid, err := strconv.Atoi(f[0])
		if err != nil {
			return nil, fmt.Errorf("ps: %w", err)
		}
		states[pid] = f[1][0]
	}
	return states, nil
}

// stoppedOf lists what a signal has stopped, in order.
func stoppedOf(states map[int]byte) []int {
	var pids []int
	for pid, state := range states {
		if state == stopped {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// resume lets stopped processes go on. They are found by their state: a process id that was noted
// when they were stopped may be another's by now.
func (h *Host) resume(ctx context.Context) error {
	states, err := h.states(ctx)
	if err != nil {
		return err
	}
	var refused error
	for _, pid := range stoppedOf(states) {
		_, err := h.guest.exec(ctx, []string{"kill", "-CONT", strconv.Itoa(pid)})
		refused = errors.Join(refused, err)
	}
	if refused == nil {
		return nil
	}
	if states, err = h.states(ctx); err == nil && len(stoppedOf(states)) == 0 { // those that refused had ended
		return nil
	}
	return errors.Join(refused, err)
}
