package vm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/renameio/v2"

	"github.com/zkboot/zkboot/bootstrap/lab/internal/machine"
)

//go:embed libvirtd.sh
var libvirtdScript []byte

//go:embed libvirtd.conf
var libvirtdConf []byte

//go:embed qemu.conf
var qemuConf []byte

// systemSocket is where the system's libvirtd listens, on Debian and elsewhere.
const systemSocket = "/run/libvirt/libvirt-sock"

// answerLimit is how long a libvirtd may take to answer a call; startLimit, until one that was
// just started answers its first, with the machine busy.
const (
	answerLimit = 20 * time.Second
	startLimit  = 2 * time.Minute
)

// Hypervisor is a libvirtd that answers.
type Hypervisor struct {
	URI        string // for clients of libvirt, such as Terraform's provider
	Socket     string // absolute path
	DomainType string // "kvm" or "qemu": the type of its domains
}

// Start returns the system's libvirtd when one answers on its socket. Else it returns the one
// that lives in dir, started when it does not run: in namespaces of its own, without /dev/kvm
// when domainType is "qemu", with its files in dir/libvirt. That one lives until [Stop].
func Start(ctx context.Context, dir string, domainType string, log *slog.Logger) (Hypervisor, error) {
	if domainType != typeKVM && domainType != typeQEMU {
		return Hypervisor{}, fmt.Errorf("domain type %q is unknown, want %q or %q", domainType, typeKVM, typeQEMU)
	}
	own, err := ownDaemon(dir)
	if err != nil {
		return Hypervisor{}, err
	}
	if !own.runs() && answers(systemSocket) == nil {
		log.Info("libvirtd of this machine answers", "socket", systemSocket)
		return Hypervisor{URI: "qemu:///system", Socket: systemSocket, DomainType: domainType}, nil
	}
	if os.Geteuid() != 0 {
		return Hypervisor{}, errors.New("not root: no libvirtd answers on " + systemSocket + ", and starting one needs root; run with sudo")
	}
	if err := missing("libvirtd", "qemu-system-x86_64", "qemu-img", "dnsmasq", "iptables", "unshare", "setsid"); err != nil {
		return Hypervisor{}, err
	}
	unlock, err := machine.LockDir(ctx, own.dir, true)
	if err != nil {
		return Hypervisor{}, err
	}
	defer unlock()
	if err := own.start(ctx, domainType); err != nil {
		return Hypervisor{}, err
	}
	log.Info("libvirtd of our own answers", "socket", own.socket(), "domain_type", domainType)
	uri := url.URL{Scheme: "qemu+unix", Path: "/system", RawQuery: url.Values{"socket": {own.socket()}}.Encode()}
	return Hypervisor{URI: "qemu+unix://" + uri.RequestURI(), Socket: own.socket(), DomainType: domainType}, nil
}

// Stop ends the libvirtd that [Start] started in dir, with every virtual machine and network
// of it, and removes dir/libvirt. Without one it does nothing. After a crash it starts libvirtd
// once more, since only libvirtd knows which bridges and firewall rules are its own.
func Stop(ctx context.Context, dir string) error {
	own, err := ownDaemon(dir)
	if err != nil {
		return err
	}
	if ok, err := machine.Exists(own.dir); !ok || err != nil {
		return err
	}
	unlock, err := machine.LockDir(ctx, own.dir, false)
	if err != nil {
		return err
	}
	defer unlock()
	// Without its status there never was a network.
	left, err := filepath.Glob(filepath.Join(own.dir, "run", "network", "*.xml"))
	if err != nil {
		return err
	}
	if len(left) > 0 {
		if err := own.start(ctx, typeQEMU); err != nil { // takes what runs, whatever type that has
			return fmt.Errorf("starting libvirtd to remove the networks of %s: %w", own.dir, err)
		}
		if err := removeNetworks(own.socket()); err != nil {
			return err
		}
	}
	if err := machine.KillSupervisors(ctx, own.script()); err != nil {
		return err
	}
	return os.RemoveAll(own.dir)
}

// daemon is a libvirtd of our own, known by its directory.
type daemon struct{ dir string }

// ownDaemon resolves links: the directory is part of how its process is found.
func ownDaemon(dir string) (daemon, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return daemon{}, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil { // else it is not there yet
		abs = real
	}
	d := daemon{dir: filepath.Join(abs, "libvirt")}
	// The kernel allows 107 bytes, unix(7).
	if n := len(d.socket()); n > 107 {
		return daemon{}, fmt.Errorf("%s has %d bytes, want at most 107 in the path of a socket: choose a shorter directory", d.socket(), n)
	}
	return d, nil
}

func (d daemon) socket() string  { return filepath.Join(d.dir, "run", "libvirt-sock") }
func (d daemon) script() string  { return filepath.Join(d.dir, "libvirtd.sh") }
func (d daemon) console() string { return filepath.Join(d.dir, "libvirtd.log") }
func (d daemon) runs() bool      { return len(machine.Supervisors(d.script())) > 0 }

// start makes it answer. The caller holds the lock of its directory.
func (d daemon) start(ctx context.Context, domainType string) error {
	if !d.runs() {
		for _, f := range []struct {
			path string
			data []byte
		}{{"libvirtd.sh", libvirtdScript}, {"etc/libvirtd.conf", libvirtdConf}, {"etc/qemu.conf", qemuConf}} {
			path := filepath.Join(d.dir, f.path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := renameio.WriteFile(path, f.data, 0o644); err != nil {
				return err
			}
		}
		if err := machine.StartSupervisor(ctx, d.script(), d.console(), d.dir, domainType); err != nil {
			return fmt.Errorf("starting libvirtd: %w; %s ends:\n%s", err, d.console(), machine.Tail(d.console(), 10))
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("no answer within %s", startLimit))
	defer cancel()
	var last error
	err := machine.Wait(ctx, "libvirtd on "+d.socket(), func() (bool, error) {
		if !d.runs() {
			return false, errors.New("libvirtd has ended")
		}
		last = answers(d.socket())
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w (%v); %s ends:\n%s", err, last, d.console(), machine.Tail(d.console(), 10))
	}
	return nil
}

// dialer connects to a socket; no call on the connection takes longer than the limit.
type dialer struct{ socket string }

// Dial implements the dialer of go-libvirt.
func (d dialer) Dial() (net.Conn, error) {
	conn, err := net.DialTimeout("unix", d.socket, answerLimit)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(answerLimit))
}

func connect(socket string) (*libvirt.Libvirt, error) {
	l := libvirt.NewWithDialer(dialer{socket})
	if err := l.ConnectToURI(libvirt.QEMUSystem); err != nil {
		return nil, fmt.Errorf("libvirtd on %s: %w", socket, err)
	}
	return l, nil
}

// answers reports what keeps a libvirtd on that socket from answering.
func answers(socket string) error {
	l, err := connect(socket)
	if err != nil {
		return err
	}
	return l.Disconnect()
}

// removeNetworks ends every network of a libvirtd, and with it bridges, firewall rules and dnsmasq.
func removeNetworks(socket string) error {
	l, err := connect(socket)
	if err != nil {
		return err
	}
	defer func() { _ = l.Disconnect() }()
	nets, _, err := l.ConnectListAllNetworks(1, libvirt.ConnectListNetworksActive)
	if err != nil {
		return fmt.Errorf("networks of libvirtd on %s: %w", socket, err)
	}
	var errs []error
	for _, n := range nets {
		if err := l.NetworkDestroy(n); err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", n.Name, err))
		}
	}
	return errors.Join(errs...)
}
