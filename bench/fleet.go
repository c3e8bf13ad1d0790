package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
	"github.com/zkboot/zkboot/verify"
)

// fleet is many hosts in this process. Each is an SSH server of its own, with a real key
// exchange, and behind it the agent's own protocol serves a machine in memory: what is
// measured is the operator's side, on one machine that could not carry a hundred real hosts.
type fleet struct {
	dir      string // zkboot.yaml, and the key that every host lets in
	stations map[string]*station
	conns    gauge // TCP connections
	logins   gauge // connections whose agent has not greeted yet
	looks    gauge // calls of Look
	bare     bool  // hosts begin without the agent

	client xssh.Signer
	cancel context.CancelFunc
	ctx    context.Context // of all that the servers do
	wg     sync.WaitGroup
}

// gauge counts what goes on at once, and its peak.
type gauge struct {
	mu             sync.Mutex
	now, all, most int
}

// enter counts one more until the returned function is called, which may be done twice.
func (g *gauge) enter() (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.all = g.now+1, g.all+1
	g.most = max(g.most, g.now)
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	})
}

// read returns how many there are, how many there were in all, and the most at once.
func (g *gauge) read() (now, all, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now, g.all, g.most
}

// reset forgets what has been.
func (g *gauge) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all, g.most = 0, g.now
}

// newFleet starts members zk1.. and application hosts app1.. and writes their zkboot.yaml
// into dir, which must exist. Bare hosts begin without the agent.
func newFleet(ctx context.Context, dir string, members, apps int, bare bool) (*fleet, error) {
	f := &fleet{dir: dir, bare: bare, stations: map[string]*station{}}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if f.client, err = newIdentity(filepath.Join(dir, "id")); err != nil {
		return nil, err
	}
	var names []string
	for i := range members {
		names = append(names, fmt.Sprintf("zk%d", i+1))
	}
	for i := range apps {
		names = append(names, fmt.Sprintf("app%d", i+1))
	}
	for i, name := range names {
		if err := f.start(name, private(i)); err != nil {
			f.close()
			return nil, err
		}
	}
	if err := os.WriteFile(f.file(), []byte(f.yaml(names)), 0o600); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// file is the spec of the fleet.
func (f *fleet) file() string { return filepath.Join(f.dir, "zkboot.yaml") }

// connected counts the connections that stand to hosts of the fleet.
func (f *fleet) connected() float64 {
	ports := map[int]bool{}
	for _, s := range f.stations {
		ports[s.port()] = true
	}
	return connected(ports)
}

// spec loads it as the operator's programs do.
func (f *fleet) spec() (*bootstrap.Spec, error) {
	src, err := os.ReadFile(f.file())
	if err != nil {
		return nil, err
	}
	s, report := bootstrap.Load(f.file(), src)
	return s, report.Err()
}

// close ends all servers and waits for them.
func (f *fleet) close() {
	f.cancel()
	for _, s := range f.stations {
		s.ln.Close()
	}
	f.wg.Wait()
}

func (f *fleet) start(name, address string) error {
	key, err := newIdentity("")
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &station{fleet: f, ln: ln, key: key.PublicKey(), machine: newMachine(name, address)}
	s.config.PublicKeyCallback = func(_ xssh.ConnMetadata, offered xssh.PublicKey) (*xssh.Permissions, error) {
		if string(offered.Marshal()) != string(f.client.PublicKey().Marshal()) {
			return nil, errors.New("this host lets in the key of its fleet alone")
		}
		return nil, nil
	}
	s.config.AddHostKey(key)
	f.stations[name] = s
	f.wg.Go(s.serve)
	return nil
}

// private is the address of the host with that number, made up: nothing dials it.
func private(i int) string { return fmt.Sprintf("10.80.%d.%d", i/200, 1+i%200) }

// yaml is a spec in which every application host routes to one service and announces it.
func (f *fleet) yaml(names []string) string {
	var hosts, members, sidecars strings.Builder
	for i, name := range names {
		s := f.stations[name]
		fmt.Fprintf(&hosts, "  %s: {address: %s, ssh: {address: 127.0.0.1, port: %d}, host_key: %q}\n",
			name, private(i), s.port(), strings.TrimSpace(string(xssh.MarshalAuthorizedKey(s.key))))
		if strings.HasPrefix(name, "zk") {
			fmt.Fprintf(&members, "    %s: {id: %d}\n", name, i+1)
			continue
		}
		fmt.Fprintf(&sidecars, "  %s:\n"+
			"    routes: {inventory: {service: inventory, bind: \"127.0.0.1:3000\", mode: http}}\n"+
			"    register: {inventory: {service: inventory, port: 8080, check: {http: \"http://127.0.0.1:8080/\"}}}\n", name)
	}
	head := "name: fleet\nhardware: {profile: lab}\nssh: {user: debian, identity_files: [" + filepath.Join(f.dir, "id") + "], config_file: none}\n"
	ensemble := "ensemble:\n  source: {apt: {}}\n  accept_known_issues: [ZOOKEEPER-4785] # nothing is installed\n  heap: 256MiB\n  members:\n" + members.String()
	registry := "registries: {main: {ensemble: true}}\n"
	if members.Len() == 0 {
		ensemble, registry = "", "registries: {main: {zookeeper: {servers: [\"10.80.9.1:2181\"]}}}\n"
	}
	return head + "hosts:\n" + hosts.String() + ensemble + registry +
		"services: {inventory: {registry: main, path: /services/inventory}}\nsidecars:\n" + sidecars.String()
}

// newMachine is a fresh Debian 12 that the hardware gate lets pass.
func newMachine(name, address string) *bootstraptest.Machine {
	m := bootstraptest.New(bootstrap.Facts{Hostname: name, MachineID: name, Arch: "amd64", Kernel: "6.1.0-18-amd64",
		OS:      verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm", Pretty: "Debian GNU/Linux 12 (bookworm)"},
		Systemd: verify.Systemd{Version: 252, State: "running"}, Virtualization: verify.Virtualization{VM: "kvm", Container: "none"},
		CPU: verify.CPU{Count: 2}, Memory: verify.Memory{Total: 4 << 30, Available: 3 << 30}, THP: "madvise",
		Clocksource: "kvm-clock", Time: verify.TimeSync{Synced: true}, Addresses: []verify.Address{{Interface: "eth0", Prefix: address + "/16", MTU: 1500}}},
		bootstrap.Candidate{Name: "haproxy", Version: "2.6.12-1+deb12u2"},
		bootstrap.Candidate{Name: "libzookeeper-java", Version: "3.8.0-11+deb12u2"})
	m.Dial = func(_ context.Context, network, addr string) (net.Conn, error) { return dialWatch(m, network, addr) }
	return m
}
