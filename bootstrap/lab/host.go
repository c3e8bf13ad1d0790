package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

// ErrOff is wrapped when something is asked of a host that is not running.
var ErrOff = errors.New("host is off")

// startLimit bounds a start: about 1.5 s alone on an idle machine, more when many start.
const startLimit = 90 * time.Second

// Host is one throw-away machine. Its methods act from outside, without SSH, and need root.
type Host struct {
	Name    string
	Address netip.Addr
	HostKey string // ssh-ed25519 AAAA...: authorized-key form without comment

	lab, dir, script, base string
}

// host describes a prepared host, running or not. The key is read from its overlay, where
// sshd reads it too: there is no second copy that could differ.
func (s store) host(rec *record, name string) (*Host, error) {
	h := &Host{
		Name: name, Address: rec.address(name),
		lab: rec.Name, dir: s.hostDir(rec.Name, name), script: s.script(rec.Name, name), base: s.basePath(rec.Base),
	}
	key, err := os.ReadFile(filepath.Join(h.dir, "upper/etc/ssh/ssh_host_ed25519_key.pub"))
	if err != nil {
		return nil, fmt.Errorf("lab %s: host %s is not complete: %w: run up again", rec.Name, name, err)
	}
	fields := strings.Fields(string(key))
	if len(fields) < 2 {
		return nil, fmt.Errorf("lab %s: host %s: host key: %q is not a public key", rec.Name, name, key)
	}
	h.HostKey = fields[0] + " " + fields[1]
	return h, nil
}

func (h *Host) errorf(format string, args ...any) error {
	return fmt.Errorf("lab %s: host %s: "+format, append([]any{h.lab, h.Name}, args...)...)
}

// Leader returns the process id, outside, of the host's PID 1. It changes with every boot.
// The error wraps [ErrOff] when the host does not run.
func (h *Host) Leader() (int, error) {
	pid, ok := leader(h.script)
	if !ok {
		return 0, h.errorf("%w", ErrOff)
	}
	return pid, nil
}

// Start starts the host when it is off and waits until its sshd answers.
func (h *Host) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if len(machine.Supervisors(h.script)) == 0 {
		if err := machine.StartSupervisor(ctx, h.script, h.console(), h.lab, h.Name, h.base, h.dir, bridgeName(h.lab), machineName(h.lab, h.Name)); err != nil {
			return h.errorf("start: %w; %s ends:\n%s", err, h.console(), machine.Tail(h.console(), 10))
		}
	}
	return h.waitSSH(ctx)
}

// console holds what the host's systemd wrote while booting, of all boots.
func (h *Host) console() string { return filepath.Join(h.dir, "console.log") }

// waitSSH polls port 22 until it greets; a supervisor that ends meanwhile is an error at
// once, with what it said.
func (h *Host) waitSSH(ctx context.Context) error {
	err := machine.Wait(ctx, "an SSH greeting from "+h.Address.String(), func() (bool, error) {
		if h.greets(ctx) {
			return true, nil
		}
		if len(machine.Supervisors(h.script)) == 0 {
			return false, errors.New("ended while booting")
		}
		return false, nil
	})
	if err != nil {
		return h.errorf("%w; %s ends:\n%s", err, h.console(), machine.Tail(h.console(), 10))
	}
	return nil
}

// greets asks for the greeting and not just for a connection: the kernel accepts on behalf
// of a process that is frozen or not ready.
func (h *Host) greets(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
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
// stderr and, as *exec.ExitError, its status. Processes are not limited by Freeze.
func (h *Host) Exec(ctx context.Context, argv ...string) (string, error) {
	out, err := h.enter(ctx, nil, []string{"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"}, argv)
	if err != nil {
		return string(out), h.errorf("exec %q: %w", argv, err)
	}
	return string(out), nil
}

// Root opens the host's root directory as the host sees it, mounts included, to read and
// write files without a process inside. The caller closes it.
func (h *Host) Root() (*os.Root, error) {
	pid, err := h.Leader()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return nil, h.errorf("root: %w", err)
	}
	return root, nil
}

// enter runs argv in the given namespaces of the host, with the environment of a login.
func (h *Host) enter(ctx context.Context, stdin []byte, namespaces, argv []string) ([]byte, error) {
	pid, err := h.Leader()
	if err != nil {
		return nil, err
	}
	line := append([]string{"nsenter", "--target", strconv.Itoa(pid)}, namespaces...)
	line = append(line, "--", "/usr/bin/env", "-i", "HOME=/root", "USER=root", "LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	return machine.Run(ctx, stdin, append(line, argv...)...)
}

// Reboot reboots the host in order and waits until its sshd answers again.
func (h *Host) Reboot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	before, err := h.Leader()
	if err != nil {
		return err
	}
	if _, err := h.Exec(ctx, "systemctl", "--no-block", "reboot"); err != nil {
		return err
	}
	if err := machine.Wait(ctx, "host "+h.Name+" to boot again", func() (bool, error) {
		now, ok := leader(h.script)
		return ok && now != before, nil
	}); err != nil {
		return h.errorf("reboot: %w", err)
	}
	return h.waitSSH(ctx)
}

// PowerCut kills the host's PID 1 and with it every process, at once and without a word to
// any of them. Files stay as they are; [Host.Start] boots it again.
func (h *Host) PowerCut(ctx context.Context) error {
	pid, err := h.Leader()
	if err != nil {
		return err
	}
	if err := machine.KillIf(pid, func() bool { now, ok := leader(h.script); return ok && now == pid }); err != nil {
		return h.errorf("power cut: %w", err)
	}
	if err := machine.Wait(ctx, "host "+h.Name+" to be off", func() (bool, error) { return len(machine.Supervisors(h.script)) == 0, nil }); err != nil {
		return h.errorf("power cut: %w", err)
	}
	return nil
}

// Freeze stops every process of the host, as a hypervisor that schedules it no more. Its
// kernel still answers pings and completes TCP handshakes.
func (h *Host) Freeze(ctx context.Context) error {
	if err := setFrozen(ctx, h.lab, h.Name, true); err != nil {
		return h.errorf("freeze: %w", err)
	}
	return nil
}

// Thaw undoes [Host.Freeze]; a host that is not frozen stays as it is.
func (h *Host) Thaw(ctx context.Context) error {
	if err := setFrozen(ctx, h.lab, h.Name, false); err != nil {
		return h.errorf("thaw: %w", err)
	}
	return nil
}

// Isolate drops all packets, both ways, between the host and the given peers, or everyone
// when there are none. Loopback stays. It replaces an earlier isolation and ends with
// [Host.Heal] or a reboot.
func (h *Host) Isolate(ctx context.Context, peers ...netip.Addr) error {
	return h.netfilter(ctx, isolation(peers))
}

// Heal undoes [Host.Isolate]; a host that is not isolated stays as it is.
func (h *Host) Heal(ctx context.Context) error {
	return h.netfilter(ctx, "table inet zkboot_fault\ndelete table inet zkboot_fault\n")
}

// netfilter loads rules in the host's network namespace with the machine's own nft.
func (h *Host) netfilter(ctx context.Context, rules string) error {
	if _, err := h.enter(ctx, []byte(rules), []string{"--net"}, []string{"nft", "-f", "-"}); err != nil {
		return h.errorf("nft: %w", err)
	}
	return nil
}

// isolation renders the table of Isolate. Priority -300 comes before connection tracking
// and anything the host itself may have loaded.
func isolation(peers []netip.Addr) string {
	from, to := `iifname != "lo" drop`, `oifname != "lo" drop`
	if len(peers) > 0 {
		list := make([]string, len(peers))
		for i, p := range peers {
			list[i] = p.String()
		}
		set := "{ " + strings.Join(list, ", ") + " }"
		from, to = "ip saddr "+set+" drop", "ip daddr "+set+" drop"
	}
	return fmt.Sprintf(`table inet zkboot_fault
delete table inet zkboot_fault
table inet zkboot_fault {
	chain input {
		type filter hook input priority -300
		%s
	}
	chain output {
		type filter hook output priority -300
		%s
	}
}
`, from, to)
}
