package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// The drivers: what the hosts of a lab are.
const (
	DriverNspawn = "nspawn" // systemd-nspawn containers: seconds, one kernel for all
	DriverQEMU   = "qemu"   // virtual machines through libvirt: a kernel and a disk of their own
)

// UnsupportedError says that the hosts of a driver cannot do what was asked of one. It
// unwraps to [errors.ErrUnsupported].
type UnsupportedError struct {
	Lab, Host, Driver string
	What              string // what was asked for
	Instead           string // what does it on such a host
}

// Error names host and driver, and what to do instead.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("lab %s: host %s: %s is not possible with driver %s: %s", e.Lab, e.Host, e.What, e.Driver, e.Instead)
}

// Unwrap makes errors.Is(err, errors.ErrUnsupported) true.
func (e *UnsupportedError) Unwrap() error { return errors.ErrUnsupported }

// driver makes the hosts of a lab. Record, lock, addresses, bridge and the files of the lab's
// directory are the same for all drivers and no business of theirs.
type driver interface {
	// check looks, before anything is made, whether this machine can hold such hosts.
	check() error
	// claim notes in a new record what the lab's hosts will be made from.
	claim(rec *record) error
	// ready brings what the hosts share: a tree, or an image and a hypervisor.
	ready(ctx context.Context, rec *record, log *slog.Logger) error
	// prepare makes the directory of a host. It appears by rename: one that exists is complete.
	prepare(ctx context.Context, rec *record, host string, b firstBoot) error
	// hostKey is the file with the public host key of a prepared host.
	hostKey(lab, host string) string
	guest(rec *record, host string) guest
	// boots is how many hosts start at once.
	boots() int
	// stop ends every host of the lab and what ready started for them. They are found by name,
	// for an interrupted Up has noted nothing.
	stop(ctx context.Context, lab string) error
}

// firstBoot is what a host is told before it exists.
type firstBoot struct {
	clientKey []byte                                                      // may log in: a line of authorized_keys
	desired   func(spec []byte, host string) ([]bootstrap.Desired, error) // Options.FirstBoot; may be nil
}

// guest is one host as its driver runs it. Errors are completed by [Host], which knows the
// names.
type guest interface {
	running() bool
	// start returns once the host runs, before it answers.
	start(ctx context.Context) error
	pace() pace
	// console is the file with what the host wrote while booting.
	console() string
	exec(ctx context.Context, argv []string) ([]byte, error)
	// reboot returns once the host is in its next boot, before it answers.
	reboot(ctx context.Context) error
	// powerCut returns when the host is off.
	powerCut(ctx context.Context) error
	setFrozen(ctx context.Context, frozen bool) error
	// isolate replaces an earlier one.
	isolate(ctx context.Context, what partition) error
	heal(ctx context.Context) error
	// dialer connects from inside the host until done is called.
	dialer(ctx context.Context) (dial dialFunc, done func(), err error)
}

// pace is how fast a kind of host is.
type pace struct {
	start    time.Duration // bounds the time from start until the host answers
	greeting time.Duration // bounds what sshd takes to greet
	look     time.Duration // how often it is asked whether it answers
}

// dialFunc is a DialContext.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// driverName is the driver of a record or of options, where none stands for the first there was.
func driverName(name string) string { return cmp.Or(name, DriverNspawn) }

// driver returns the driver of that name; none is nspawn.
func (s store) driver(name string) (driver, error) {
	switch driverName(name) {
	case DriverNspawn:
		return nspawn{s}, nil
	case DriverQEMU:
		return qemu{s}, nil
	}
	return nil, fmt.Errorf("driver: %q is unknown, want %s or %s", name, DriverNspawn, DriverQEMU)
}

// driverOf returns the driver of a lab's record. Without a record nothing was made but, by a
// program older than drivers, the hosts of the first.
func (s store) driverOf(lab string) (driver, error) {
	rec, err := s.load(lab)
	if errors.Is(err, ErrNoLab) {
		return s.driver(DriverNspawn)
	} else if err != nil {
		return nil, err
	}
	return s.driver(rec.Driver)
}
