package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"
	"golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// domain is a host of qemu. The process that runs it is found by its name, and everything
// else is asked of libvirtd.
type domain struct {
	store
	rec  *record
	name string
}

func (d *domain) libvirtName() string { return domainName(d.rec.Name, d.name) }

func (d *domain) running() bool {
	return len(emulators(func(domain string) bool { return domain == d.libvirtName() })) > 0
}

// pace: a start takes 40 s alone under emulation, and minutes on a machine that has other work. A
// host that is asked again before it has answered never gets to answer: sshd starts a process for
// each time, which takes seconds there. With 25 ms and 1 s, a boot on a busy machine did not end.
func (d *domain) pace() pace {
	return pace{start: 15 * time.Minute, greeting: time.Minute, look: time.Second}
}

func (d *domain) console() string {
	return filepath.Join(d.hostDir(d.rec.Name, d.name), "console.log")
}

// socket is where libvirtd answers. It is noted when Up has started it.
func (d *domain) socket() (string, error) {
	if d.rec.Hypervisor == nil {
		return "", errors.New("no libvirtd yet: run up again")
	}
	return d.rec.Hypervisor.Socket, nil
}

// do works on the running machine.
func (d *domain) do(ctx context.Context, work func(*libvirt.Libvirt, libvirt.Domain) error) error {
	if !d.running() {
		return ErrOff
	}
	socket, err := d.socket()
	if err != nil {
		return err
	}
	return withDomain(ctx, socket, d.libvirtName(), work)
}

func (d *domain) start(ctx context.Context) error {
	socket, err := d.socket()
	if err != nil {
		return err
	}
	if d.rec.Image == nil {
		return errors.New("no image yet: run up again")
	}
	if err := d.heal(ctx); err != nil {
		return err
	}
	console, err := os.OpenFile(d.console(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := console.Close(); err != nil {
		return err
	}
	text, err := domainXML(d.rec.Name, d.name, d.hostDir(d.rec.Name, d.name), d.console(), *d.rec.Image, d.rec.Hypervisor.DomainType)
	if err != nil {
		return err
	}
	return withLibvirt(ctx, socket, func(l *libvirt.Libvirt) error {
		_, err := l.DomainCreateXML(text, 0)
		return err
	})
}

// agentLimit bounds the wait for a guest agent that is not there yet: it starts while sshd does.
const agentLimit = 5 * time.Minute

// ask sends a command to the guest agent, which may still be about to start.
func (d *domain) ask(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, agentLimit)
	defer cancel()
	var answer string
	var last error
	err := machine.WaitEvery(ctx, time.Second, "the guest agent of "+d.name, func() (bool, error) {
		err := d.askOnce(ctx, command, &answer)
		if agentAbsent(err) {
			last = err
			return false, nil
		}
		return err == nil, err
	})
	if err != nil && last != nil {
		return "", fmt.Errorf("%w: %w", err, last)
	}
	return answer, err
}

func (d *domain) askOnce(ctx context.Context, command string, answer *string) error {
	return d.do(ctx, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		if paused, err := isPaused(l, dom); err != nil {
			return err
		} else if paused {
			return errors.New("it is frozen and runs nothing: thaw it")
		}
		said, err := l.QEMUDomainAgentCommand(dom, command, agentSeconds, 0)
		*answer = strings.Join(said, "")
		return err
	})
}

func (d *domain) exec(ctx context.Context, argv []string) ([]byte, error) {
	return ask(d.ask).exec(ctx, append(loginEnv[:len(loginEnv):len(loginEnv)], argv...))
}

// bootID differs from boot to boot (random(4)).
func (d *domain) bootID(ctx context.Context) ([]byte, error) {
	return d.exec(ctx, []string{"cat", "/proc/sys/kernel/random/boot_id"})
}

func (d *domain) reboot(ctx context.Context) error {
	before, err := d.bootID(ctx)
	if err != nil {
		return err
	}
	if _, err := d.exec(ctx, []string{"systemctl", "--no-block", "reboot"}); err != nil {
		return err
	}
	if err := machine.WaitEvery(ctx, time.Second, "host "+d.name+" to boot again", func() (bool, error) {
		now, err := d.bootID(ctx)
		if err != nil && d.running() { // between two boots there is nobody to ask
			return false, ctx.Err()
		}
		return !bytes.Equal(now, before), err
	}); err != nil {
		return err
	}
	return d.heal(ctx)
}

func (d *domain) powerCut(ctx context.Context) error {
	if err := d.do(ctx, func(l *libvirt.Libvirt, dom libvirt.Domain) error { return l.DomainDestroy(dom) }); err != nil {
		return err
	}
	return machine.Wait(ctx, "host "+d.name+" to be off", func() (bool, error) { return !d.running(), nil })
}

func (d *domain) setFrozen(ctx context.Context, frozen bool) error {
	return d.do(ctx, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		paused, err := isPaused(l, dom)
		switch {
		case err != nil || paused == frozen:
			return err
		case frozen:
			return l.DomainSuspend(dom)
		}
		return l.DomainResume(dom)
	})
}

func (d *domain) isolate(ctx context.Context, what partition) error {
	if !d.running() {
		return ErrOff
	}
	return loadRules(ctx, cableCut(d.rec.Name, d.name, what))
}

func (d *domain) heal(ctx context.Context) error {
	return loadRules(ctx, cableHealed(d.rec.Name, d.name))
}

func loadRules(ctx context.Context, rules string) error {
	_, err := machine.Run(ctx, []byte(rules), "nft", "-f", "-")
	return err
}

// dialer connects from the host's sshd, as a program on the host would.
func (d *domain) dialer(ctx context.Context) (dialFunc, func(), error) {
	pem, err := os.ReadFile(filepath.Join(d.labDir(d.rec.Name), keyFile))
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, nil, err
	}
	line, err := os.ReadFile(qemu{store: d.store}.hostKey(d.rec.Name, d.name))
	if err != nil {
		return nil, nil, err
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, nil, err
	}
	addr := netip.AddrPortFrom(d.rec.address(d.name), 22).String()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User: login, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(pinned),
	})
	stop()
	if err != nil {
		return nil, nil, errors.Join(cut(ctx, err), conn.Close())
	}
	client := ssh.NewClient(c, chans, reqs)
	return client.DialContext, func() { _ = client.Close() }, nil
}
