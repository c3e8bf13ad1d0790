package lab

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

// agentSeconds bounds what libvirtd waits for one answer of a guest agent. Under emulation a
// busy machine takes seconds to start a process. After one that was too short libvirt has to wait
// for the late answer before it asks again.
const agentSeconds = 120

// withLibvirt connects to the libvirtd behind a socket for the time of work. The client's calls
// know no context: when ctx ends the connection is closed, and with it the call in progress.
func withLibvirt(ctx context.Context, socket string, work func(*libvirt.Libvirt) error) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return cut(ctx, fmt.Errorf("libvirtd does not answer: %w: run up again", err))
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	l := libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
	if err := l.ConnectToURI(libvirt.QEMUSystem); err != nil {
		_ = conn.Close()
		return cut(ctx, fmt.Errorf("libvirtd at %s: %w", socket, err))
	}
	err = work(l)
	if stop() {
		err = errors.Join(err, l.Disconnect())
	}
	return cut(ctx, err)
}

// cut tells why a call failed whose connection was closed under it.
func cut(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// withDomain looks a running machine up; one that libvirtd does not know is off.
func withDomain(ctx context.Context, socket, name string, work func(*libvirt.Libvirt, libvirt.Domain) error) error {
	return withLibvirt(ctx, socket, func(l *libvirt.Libvirt) error {
		d, err := l.DomainLookupByName(name)
		if libvirt.IsNotFound(err) {
			return ErrOff
		} else if err != nil {
			return fmt.Errorf("domain %s: %w", name, err)
		}
		if err := work(l, d); err != nil {
			return fmt.Errorf("domain %s: %w", name, err)
		}
		return nil
	})
}

// agentAbsent reports whether a guest agent was asked that does not answer, or not yet.
func agentAbsent(err error) bool {
	var e libvirt.Error
	return errors.As(err, &e) && e.Code == uint32(libvirt.ErrAgentUnresponsive)
}

// isPaused reports whether a machine is frozen.
func isPaused(l *libvirt.Libvirt, d libvirt.Domain) (bool, error) {
	state, _, err := l.DomainGetState(d, 0)
	return libvirt.DomainState(state) == libvirt.DomainPaused, err
}
