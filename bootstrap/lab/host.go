package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// ErrOff is wrapped when something is asked of a host that is not running.
var ErrOff = errors.New("host is off")

// Host is one throw-away machine. Its methods act from outside, without SSH, and need root.
type Host struct {
	Name    string
	Address netip.Addr
	HostKey string // ssh-ed25519 AAAA...: authorized-key form without comment

	lab, driver string
	store       store
	guest       guest
}

// host describes a prepared host, running or not.
func (s store) host(rec *record, name string) (*Host, error) {
	d, err := s.driver(rec.Driver)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(d.hostKey(rec.Name, name))
	if err != nil {
		return nil, fmt.Errorf("lab %s: host %s is not complete: %w: run up again", rec.Name, name, err)
	}
	fields := strings.Fields(string(key))
	if len(fields) < 2 {
		return nil, fmt.Errorf("lab %s: host %s: host key: %q is not a public key", rec.Name, name, key)
	}
	return &Host{
		Name: name, Address: rec.address(name), HostKey: fields[0] + " " + fields[1],
		lab: rec.Name, driver: driverName(rec.Driver), store: s, guest: d.guest(rec, name),
	}, nil
}

func (h *Host) errorf(format string, args ...any) error {
	return fmt.Errorf("lab %s: host %s: "+format, append([]any{h.lab, h.Name}, args...)...)
}

// container returns the host where it is one, for what no other kind of host can do.
func (h *Host) container(what, instead string) (*container, error) {
	if c, ok := h.guest.(*container); ok {
		return c, nil
	}
	return nil, &UnsupportedError{Lab: h.lab, Host: h.Name, Driver: h.driver, What: what, Instead: instead}
}

// Leader returns the process id, outside, of the host's PID 1. It changes with every boot.
// The error wraps [ErrOff] when the host does not run, and is an [UnsupportedError] for a
// virtual machine, whose processes are its own.
func (h *Host) Leader() (int, error) {
	c, err := h.container("a process id of its PID 1", "use Exec")
	if err != nil {
		return 0, err
	}
	pid, err := c.leader()
	if err != nil {
		return 0, h.errorf("%w", err)
	}
	return pid, nil
}

// Start starts the host when it is off and waits until its sshd answers.
func (h *Host) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.guest.pace().start)
	defer cancel()
	if !h.guest.running() {
		if err := h.guest.start(ctx); err != nil {
			return h.errorf("start: %w; %s ends:\n%s", err, h.guest.console(), machine.Tail(h.guest.console(), 10))
		}
	}
	return h.waitSSH(ctx)
}

// waitSSH polls port 22 until it greets; a host that ends meanwhile is an error at once, with
// what it said.
func (h *Host) waitSSH(ctx context.Context) error {
	err := machine.WaitEvery(ctx, h.guest.pace().look, "an SSH greeting from "+h.Address.String(), func() (bool, error) {
		if h.greets(ctx) {
			return true, nil
		}
		if !h.guest.running() {
			return false, errors.New("ended while booting")
		}
		return false, nil
	})
	if err != nil {
		return h.errorf("%w; %s ends:\n%s", err, h.guest.console(), machine.Tail(h.guest.console(), 10))
	}
	return nil
}

// greets asks for the greeting and not just for a connection: the kernel accepts on behalf
// of a process that is frozen or not ready.
func (h *Host) greets(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, h.guest.pace().greeting)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(h.Address, 22).String())
	if err != nil {
		return false
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok && conn.SetDeadline(deadline) != nil {
		return false
	}
	greeting := make([]byte, len("SSH-2.0-"))
	_, err = io.ReadFull(conn, greeting)
	return err == nil && string(greeting) == "SSH-2.0-"
}

// Exec runs argv as root inside the host and returns its stdout; the error carries its
// stderr and its status: as *exec.ExitError from a container, as [*ExitError] from a virtual
// machine. In a container, processes are not limited by Freeze; a frozen virtual machine
// runs none.
func (h *Host) Exec(ctx context.Context, argv ...string) (string, error) {
	out, err := h.guest.exec(ctx, argv)
	if err != nil {
		return string(out), h.errorf("exec %q: %w", argv, err)
	}
	return string(out), nil
}

// Root opens the host's root directory as the host sees it, mounts included, to read and
// write files without a process inside. The caller closes it. For a virtual machine the error
// is an [UnsupportedError]: two kernels on one file system would destroy it.
func (h *Host) Root() (*os.Root, error) {
	c, err := h.container("its root directory from outside", "use Exec")
	if err != nil {
		return nil, err
	}
	pid, err := c.leader()
	if err != nil {
		return nil, h.errorf("%w", err)
	}
	root, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return nil, h.errorf("root: %w", err)
	}
	return root, nil
}

// Reboot reboots the host in order and waits until its sshd answers again.
func (h *Host) Reboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.guest.pace().start)
	defer cancel()
	if err := h.guest.reboot(ctx); err != nil {
		return h.errorf("reboot: %w", err)
	}
	return h.waitSSH(ctx)
}

// PowerCut ends the host at once, without a word to any process. Files stay as they are;
// [Host.Start] boots it again. The error wraps [ErrOff] when the host does not run.
func (h *Host) PowerCut(ctx context.Context) error {
	if err := h.guest.powerCut(ctx); err != nil {
		return h.errorf("power cut: %w", err)
	}
	return nil
}

// Freeze stops every process of the host, as a hypervisor that schedules it no more. The
// kernel of a container still answers pings and completes TCP handshakes. While a disk is slow or
// fails the host of a container cannot be frozen: the kernel waits for what its tracer holds.
func (h *Host) Freeze(ctx context.Context) error {
	if traced, err := h.hasTraced(); err != nil {
		return h.errorf("freeze: %w", err)
	} else if traced {
		return h.errorf("freeze: a disk of it is slow or fails: mend the host first")
	}
	if err := h.guest.setFrozen(ctx, true); err != nil {
		return h.errorf("freeze: %w", err)
	}
	return nil
}

// Thaw undoes [Host.Freeze]; a host that is not frozen stays as it is.
func (h *Host) Thaw(ctx context.Context) error {
	if err := h.guest.setFrozen(ctx, false); err != nil {
		return h.errorf("thaw: %w", err)
	}
	return nil
}

// Isolate drops all packets, both ways, between the host and the given peers, or everyone
// when there are none. Loopback stays. It replaces an earlier isolation or partition and ends
// with [Host.Heal], [Host.Start] or [Host.Reboot].
func (h *Host) Isolate(ctx context.Context, peers ...netip.Addr) error {
	if err := h.guest.isolate(ctx, partition{peers: peers, in: true, out: true}); err != nil {
		return h.errorf("isolate: %w", err)
	}
	return nil
}

// Heal undoes [Host.Isolate] and partitions; a host that is not isolated stays as it is.
func (h *Host) Heal(ctx context.Context) error {
	if err := h.guest.heal(ctx); err != nil {
		return h.errorf("heal: %w", err)
	}
	return nil
}
