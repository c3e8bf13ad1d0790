package lab

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// nspawn makes hosts of systemd-nspawn over one cached tree.
type nspawn struct{ store }

func (n nspawn) check() error { return checkPrograms("scripts/lab-deps.sh", tools) }

func (n nspawn) claim(rec *record) error {
	r, err := newRecipe()
	if err != nil {
		return err
	}
	rec.Base, err = r.key()
	return err
}

func (n nspawn) ready(ctx context.Context, rec *record, log *slog.Logger) error {
	_, err := n.ensureBase(ctx, rec.Base, log)
	return err
}

func (n nspawn) prepare(_ context.Context, rec *record, host string, b firstBoot) error {
	return n.prepareHost(rec, host, b.clientKey)
}

// hostKey lies in the host's overlay, where sshd reads it too: there is no second copy that
// could differ.
func (n nspawn) hostKey(lab, host string) string {
	return filepath.Join(n.hostDir(lab, host), "upper/etc/ssh/ssh_host_ed25519_key.pub")
}

// boots: containers wait for little but each other's disk, and start together.
func (n nspawn) boots() int { return -1 }

// stop ends every supervisor of the lab and removes its cgroups. Hosts are found by what is
// in the lab's directory, so a lab without a record is stopped too.
func (n nspawn) stop(ctx context.Context, lab string) error {
	entries, err := os.ReadDir(n.labDir(lab))
	if err != nil {
		return err
	}
	kill := func() error {
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			if err := thaw(ctx, lab, e.Name()); err != nil { // cgroup v1 delivers no signal to frozen processes
				return err
			}
			if err := machine.KillSupervisors(ctx, n.script(lab, e.Name())); err != nil {
				return fmt.Errorf("lab %s: host %s: %w", lab, e.Name(), err)
			}
		}
		return nil
	}
	if err := kill(); err != nil {
		return err
	}
	// An Up that was killed may have forked a supervisor that has not become one yet, and so
	// had no name to be found by.
	return removeCgroups(ctx, lab, kill)
}

func (n nspawn) guest(rec *record, host string) guest {
	return &container{lab: rec.Name, name: host, dir: n.hostDir(rec.Name, host), script: n.script(rec.Name, host), base: n.basePath(rec.Base)}
}

// container is a host of nspawn.
type container struct {
	lab, name, dir, script, base string
}

func (c *container) running() bool { return len(machine.Supervisors(c.script)) > 0 }

// pace: a start takes about 1.5 s alone on an idle machine, more when many start.
func (c *container) pace() pace {
	return pace{start: 90 * time.Second, greeting: time.Second, look: machine.Poll}
}

func (c *container) console() string { return filepath.Join(c.dir, "console.log") }

func (c *container) start(ctx context.Context) error {
	return machine.StartSupervisor(ctx, c.script, c.console(), c.lab, c.name, c.base, c.dir, bridgeName(c.lab), machineName(c.lab, c.name))
}

// leader returns the process id, outside, of the host's PID 1.
func (c *container) leader() (int, error) {
	pid, ok := leader(c.script)
	if !ok {
		return 0, ErrOff
	}
	return pid, nil
}

func (c *container) exec(ctx context.Context, argv []string) ([]byte, error) {
	return c.enter(ctx, nil, []string{"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"}, argv)
}

// enter runs argv in the given namespaces of the host, with the environment of a login.
func (c *container) enter(ctx context.Context, stdin []byte, namespaces, argv []string) ([]byte, error) {
	pid, err := c.leader()
	if err != nil {
		return nil, err
	}
	line := append([]string{"nsenter", "--target", strconv.Itoa(pid)}, namespaces...)
	line = append(append(line, "--"), loginEnv...)
	return machine.Run(ctx, stdin, append(line, argv...)...)
}

// loginEnv runs a program with the environment of a login, on hosts of every driver.
var loginEnv = []string{"/usr/bin/env", "-i", "HOME=/root", "USER=root", "LANG=C.UTF-8",
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

func (c *container) reboot(ctx context.Context) error {
	before, err := c.leader()
	if err != nil {
		return err
	}
	if _, err := c.exec(ctx, []string{"systemctl", "--no-block", "reboot"}); err != nil {
		return err
	}
	return machine.Wait(ctx, "host "+c.name+" to boot again", func() (bool, error) {
		now, ok := leader(c.script)
		return ok && now != before, nil
	})
}

// shutDown ends the host in order.
func (c *container) shutDown(ctx context.Context) error {
	if _, err := c.exec(ctx, []string{"systemctl", "--no-block", "poweroff"}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, shutdownLimit)
	defer cancel()
	return machine.Wait(ctx, "host "+c.name+" to shut down", func() (bool, error) { return !c.running(), nil })
}

func (c *container) powerCut(ctx context.Context) error {
	pid, err := c.leader()
	if err != nil {
		return err
	}
	if err := machine.KillIf(pid, func() bool { now, ok := leader(c.script); return ok && now == pid }); err != nil {
		return err
	}
	return machine.Wait(ctx, "host "+c.name+" to be off", func() (bool, error) { return !c.running(), nil })
}

func (c *container) setFrozen(ctx context.Context, frozen bool) error {
	return setFrozen(ctx, c.lab, c.name, frozen)
}

func (c *container) isolate(ctx context.Context, what partition) error {
	return c.netfilter(ctx, isolation(what))
}

func (c *container) heal(ctx context.Context) error {
	return c.netfilter(ctx, healed)
}

// netfilter loads rules in the host's network namespace with the machine's own nft.
func (c *container) netfilter(ctx context.Context, rules string) error {
	if _, err := c.enter(ctx, []byte(rules), []string{"--net"}, []string{"nft", "-f", "-"}); err != nil {
		return fmt.Errorf("nft: %w", err)
	}
	return nil
}

func (c *container) dialer(context.Context) (dialFunc, func(), error) {
	pid, err := c.leader()
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialFrom(ctx, pid, network, addr)
	}, func() {}, nil
}
