package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// Fault is a kind of trouble that a host can be given. The words are those of the command line.
type Fault string

// The faults. A fault that lasts ends with [Host.Mend], and with what its line says besides.
const (
	FaultKill         Fault = "kill"          // SIGKILL to the main process of Unit; systemd may start it again
	FaultPause        Fault = "pause"         // SIGSTOP to it; lasts until the process ends
	FaultPartition    Fault = "partition"     // no packet from or to Peers; lasts until the host boots
	FaultPartitionIn  Fault = "partition-in"  // no packet from Peers to the host; likewise
	FaultPartitionOut Fault = "partition-out" // no packet from the host to Peers; likewise
	FaultSlowDisk     Fault = "slow-disk"     // each fsync and fdatasync of Unit takes Delay longer; lasts until the host boots
	FaultEIO          Fault = "eio"           // fdatasync of Unit fails; lasts until the host boots, or as Count says
	FaultFillDisk     Fault = "fill-disk"     // the file system of Dir has no room; lasts
	FaultReboot       Fault = "reboot"        // as Host.Reboot
	FaultPowerCut     Fault = "power-cut"     // as Host.PowerCut; lasts until Host.Start
)

// Faults lists the kinds of faults, those of processes first, then network, disk and host.
func Faults() []Fault {
	return []Fault{FaultKill, FaultPause, FaultPartition, FaultPartitionIn, FaultPartitionOut,
		FaultSlowDisk, FaultEIO, FaultFillDisk, FaultReboot, FaultPowerCut}
}

// ParseFault returns the fault of that name, or an error that lists the names there are.
func ParseFault(name string) (Fault, error) {
	var known []string
	for _, f := range Faults() {
		if string(f) == name {
			return f, nil
		}
		known = append(known, string(f))
	}
	return "", fmt.Errorf("fault: %q is unknown, want one of %s", name, strings.Join(known, ", "))
}

// Lasts reports whether the fault stays until it is mended: the others are over when
// [Host.Inject] returns.
func (f Fault) Lasts() bool { return f != FaultKill && f != FaultReboot }

// OfUnit reports whether the fault is one of a systemd unit's main process.
func (f Fault) OfUnit() bool {
	return f == FaultKill || f == FaultPause || f == FaultSlowDisk || f == FaultEIO
}

func (f Fault) ofTracer() bool { return f == FaultSlowDisk || f == FaultEIO }

func (f Fault) ofNetwork() bool {
	return f == FaultPartition || f == FaultPartitionIn || f == FaultPartitionOut
}

// Injection is a fault with what it is about. What a fault does not look at must be empty, but
// for Unit.
type Injection struct {
	Fault Fault
	Unit  string        // of FaultKill, FaultPause, FaultSlowDisk, FaultEIO: the systemd unit, with its type
	Peers []netip.Addr  // of partitions: who is cut off; empty for everyone, the operator's SSH too
	Delay time.Duration // of FaultSlowDisk: 1ms to 1m
	// Count is how many calls of fdatasync fail with FaultEIO, counted in each thread by itself.
	// 0 stands for all, also after the unit was started again.
	Count int
	Dir   string // of FaultFillDisk: /var/lib/zookeeper-log, also when empty, or /var/lib/zookeeper
}

// Bounds of an injection.
const (
	minDelay, maxDelay = time.Millisecond, time.Minute
	maxCount           = 1_000_000
)

// faultUnit is narrower than what systemd takes, which nobody has needed here.
var faultUnit = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@-]*\.service$`)

// validate reports every finding at once.
func (i Injection) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := ParseFault(string(i.Fault)); err != nil {
		return err
	}
	if i.Fault.OfUnit() && !faultUnit.MatchString(i.Unit) {
		bad("unit: %q: %s wants the name of a systemd service, with .service", i.Unit, i.Fault)
	}
	if len(i.Peers) > 0 && !i.Fault.ofNetwork() {
		bad("peers: %s cuts nobody off, only partitions do", i.Fault)
	}
	for _, p := range i.Peers {
		if !p.Is4() {
			bad("peers: %s is not an IPv4 address, as lab hosts have", p)
		}
	}
	switch {
	case i.Fault == FaultSlowDisk && (i.Delay < minDelay || i.Delay > maxDelay):
		bad("delay: %s: want %s to %s", i.Delay, minDelay, maxDelay)
	case i.Fault != FaultSlowDisk && i.Delay != 0:
		bad("delay: %s delays nothing, only %s does", i.Fault, FaultSlowDisk)
	}
	switch {
	case i.Fault == FaultEIO && (i.Count < 0 || i.Count > maxCount):
		bad("count: %d: want 1 to %d failing syncs, or 0 for all", i.Count, maxCount)
	case i.Fault != FaultEIO && i.Count != 0:
		bad("count: %s has no syncs that fail, only %s has", i.Fault, FaultEIO)
	}
	switch {
	case i.Fault == FaultFillDisk && i.Dir != "" && !isDataDir(i.Dir):
		bad("dir: %q: want one of %s", i.Dir, strings.Join(dataDirs, ", "))
	case i.Fault != FaultFillDisk && i.Dir != "":
		bad("dir: %s fills nothing, only %s does", i.Fault, FaultFillDisk)
	}
	return errors.Join(errs...)
}

// Inject gives the host a fault, and returns when it is there. A fault that lasts is kept by the
// host itself or by this machine's kernel, so it outlives this program, and [Host.Mend] of any
// program finds it. A fault that is there already is replaced by the new one: a partition by a
// partition, a slow disk by a slow or a failing one.
//
// The error wraps [ErrOff] when the host does not run, and is an [UnsupportedError] where hosts
// of its driver have no such fault.
func (h *Host) Inject(ctx context.Context, i Injection) error {
	if err := i.validate(); err != nil {
		return h.errorf("%w", err)
	}
	if i.Fault.ofTracer() {
		if _, err := h.container("a system call that is late or fails", "use a lab of driver "+DriverNspawn); err != nil {
			return err
		}
	}
	if !h.guest.running() {
		return h.errorf("%s: %w", i.Fault, ErrOff)
	}
	switch i.Fault {
	case FaultReboot:
		return h.Reboot(ctx)
	case FaultPowerCut:
		return h.PowerCut(ctx)
	case FaultFillDisk:
		if err := h.OwnDisk(ctx, i.Dir); err != nil {
			return err
		}
	}
	if err := h.inject(ctx, i); err != nil {
		return h.errorf("%s: %w", i.Fault, err)
	}
	return nil
}

// inject is Inject of what is no method of its own.
func (h *Host) inject(ctx context.Context, i Injection) error {
	switch i.Fault {
	case FaultKill:
		return h.killUnit(ctx, i.Unit)
	case FaultPause:
		return h.pauseUnit(ctx, i.Unit)
	case FaultPartition, FaultPartitionIn, FaultPartitionOut:
		return h.guest.isolate(ctx, partition{peers: i.Peers, in: i.Fault != FaultPartitionOut, out: i.Fault != FaultPartitionIn})
	case FaultSlowDisk, FaultEIO:
		return h.traceUnit(ctx, i)
	case FaultFillDisk:
		return h.fillDisk(ctx, cmp.Or(i.Dir, dataDirs[0]))
	}
	return errors.ErrUnsupported
}

// Mend undoes every fault of the host that lasts, [Host.Freeze] and [Host.Isolate] too: it
// connects it again, lets stopped processes go on, and starts it when it is off. What was stopped
// by something else than a fault goes on as well. A host without a fault stays as it is.
func (h *Host) Mend(ctx context.Context) error {
	if !h.guest.running() {
		return h.Start(ctx)
	}
	if err := h.Thaw(ctx); err != nil { // a frozen systemd would not answer below
		return err
	}
	var errs []error
	// Tracers first: what is stopped under a tracer is seen to be stopped when it has none.
	for _, undo := range []func(context.Context) error{h.guest.heal, h.untrace, h.resume, h.emptyDisks} {
		if err := undo(ctx); err != nil {
			errs = append(errs, h.errorf("mend: %w", err))
		}
	}
	return errors.Join(errs...)
}
