package haproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// fake is HAProxy in memory: it loads the real file, answers as 2.6.12 does
// (contract_lab_test.go compares the two), and fails the test when a server is given
// another address in rotation or with connections.
type fake struct {
	t    testing.TB
	file string

	mu       sync.Mutex
	running  bool
	pid      int
	version  string
	shape    string
	backends map[string][]*fakeServer
	conns    map[net.Conn]int // pid of the worker at the other end
	dials    int
	lines    []string // every line that the runtime API was sent
	changes  []string // every command that changes something
	reloads  int
	failed   int
	loadErr  string // the next loads fail
	onReload func() // called before the new worker is there
	old      []oldWorker
	sessions map[int]int
	// answer, when set, may replace the answer to a command; "hang" answers never, "eof" closes.
	answer func(command string) (string, bool)
}

type fakeServer struct {
	server
	cmaint bool // the file had it disabled
	used   int
	hana   bool
	failed bool // its last check failed
}

func newFake(t testing.TB, file string) *fake {
	return &fake{t: t, file: file, version: "2.6.12-1+deb12u4", conns: map[net.Conn]int{}, sessions: map[int]int{}}
}

// start loads the file, as a new master does.
func (f *fake) start() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		f.t.Fatal(err)
	}
	f.running = true
}

func (f *fake) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
	for c := range f.conns {
		c.Close()
	}
}

// reload replaces the worker, as systemctl reload does.
func (f *fake) reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replace()
}

func (f *fake) replace() {
	f.reloads++
	for i := range f.old {
		f.old[i].reloads++
	}
	if f.onReload != nil {
		f.mu.Unlock()
		f.onReload()
		f.mu.Lock()
	}
	before := f.pid
	if err := f.load(); err != nil {
		f.failed++
		return
	}
	f.failed = 0
	f.old = append([]oldWorker{{pid: before, reloads: 1}}, f.old...)
}

func (f *fake) load() error {
	if f.loadErr != "" {
		return errors.New(f.loadErr)
	}
	text, err := os.ReadFile(f.file)
	if err != nil {
		return err
	}
	doc, slots, ok := parseDocument(text)
	if !ok {
		return fmt.Errorf("%s is not a file of zkwatch", f.file)
	}
	f.shape, f.pid, f.backends = doc.shape, f.pid+100, map[string][]*fakeServer{}
	for name, lines := range slots {
		for i, l := range lines {
			s := &fakeServer{server: server{name: slotName(i + 1), id: i + 1, addr: l.addr, weight: l.weight, admin: ready}}
			if l.free {
				s.admin, s.cmaint, s.weight = maint, true, 1
			}
			f.backends[name] = append(f.backends[name], s)
		}
	}
	return nil
}

const fakeRuntime, fakeMaster = "/fake/runtime.sock", "/fake/master.sock"

func (f *fake) dial(ctx context.Context, path string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	client, srv := net.Pipe()
	f.conns[srv] = f.pid
	f.dials++
	go f.serve(srv, path)
	return client, nil
}

func (f *fake) serve(c net.Conn, path string) {
	defer func() {
		c.Close()
		f.mu.Lock()
		delete(f.conns, c)
		f.mu.Unlock()
	}()
	prompt := false
	in := bufio.NewReaderSize(c, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if path == fakeRuntime {
			f.mu.Lock()
			f.lines = append(f.lines, strings.TrimSuffix(line, "\n"))
			f.mu.Unlock()
		}
		var out strings.Builder
		for _, cmd := range strings.Split(strings.TrimSuffix(line, "\n"), ";") {
			text := ""
			if path == fakeMaster {
				text = f.master(cmd)
			} else {
				f.mu.Lock()
				stale := f.conns[c] != f.pid
				f.mu.Unlock()
				if cmd == "prompt" {
					prompt = true
				} else {
					text = f.runtime(cmd, stale)
				}
			}
			switch text {
			case "hang":
				_, _ = in.ReadString('\n') // until the client gives up
				return
			case "eof":
				return
			}
			out.WriteString(text)
			if path != fakeMaster && prompt {
				out.WriteString("\n> ")
			} else {
				out.WriteString("\n")
			}
		}
		if _, err := c.Write([]byte(out.String())); err != nil || !prompt {
			return
		}
	}
}

// runtime answers one command; an answer with text ends with a line break, as HAProxy's do.
func (f *fake) runtime(cmd string, stale bool) string {
	f.mu.Lock()
	replace := f.answer
	f.mu.Unlock()
	if replace != nil {
		if text, ok := replace(cmd); ok {
			return text
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w := strings.Fields(cmd)
	switch {
	case cmd == "show info":
		stopping := 0
		pid := f.pid
		if stale {
			stopping, pid = 1, f.pid-100
		}
		return fmt.Sprintf("Name: HAProxy\nVersion: %s\nPid: %d\nStopping: %d\n", f.version, pid, stopping)
	case cmd == "show env "+shapeVariable:
		return shapeVariable + "=" + f.shape + "\n"
	case cmd == "show stat -1 2 -1":
		return f.stat()
	case strings.HasPrefix(cmd, "show servers state"):
		return f.state(w[3:])
	case len(w) == 5 && strings.HasPrefix(cmd, "show stat "):
		return f.showConns(w[2])
	case strings.HasPrefix(cmd, "set timeout cli "):
		return ""
	}
	f.changes = append(f.changes, cmd)
	if stale {
		return "Proxy is disabled.\n"
	}
	return f.change(cmd, w)
}

func (f *fake) change(cmd string, w []string) string {
	if len(w) < 3 {
		return "Unknown command: " + cmd + "\n"
	}
	name, target := w[2], ""
	be, target, _ := strings.Cut(name, "/")
	if f.backends[be] == nil {
		return "No such backend.\n"
	}
	if w[0] == "add" && w[1] == "server" {
		return f.add(be, target, w[3:])
	}
	i := -1
	for n, s := range f.backends[be] {
		if s.name == target {
			i = n
		}
	}
	if i < 0 {
		return "No such server.\n"
	}
	s := f.backends[be][i]
	switch {
	case w[0] == "enable" && w[1] == "health":
		return ""
	case w[0] == "set" && w[3] == "weight":
		s.weight, _ = strconv.Atoi(w[4])
		return ""
	case w[0] == "set" && w[3] == "health":
		s.down = w[4] == "down"
		s.hana = false
		return ""
	case w[0] == "set" && w[3] == "state":
		s.admin = map[string]admin{"maint": maint, "drain": drain, "ready": ready}[w[4]]
		if s.admin == maint {
			s.down, s.hana = false, false
		}
		return ""
	case w[0] == "set" && w[3] == "addr" && len(w) == 7:
		return f.readdress(be, s, w)
	}
	return "Unknown command: " + cmd + "\n"
}

func (f *fake) readdress(be string, s *fakeServer, w []string) string {
	if s.admin != maint {
		f.t.Errorf("%s/%s got another address while it was %s", be, s.name, s.admin)
	}
	if s.used > 0 {
		f.t.Errorf("%s/%s got another address with %d connections in use", be, s.name, s.used)
	}
	to := netip.MustParseAddrPort(net.JoinHostPort(w[4], w[6]))
	ip, port := "no need to change the addr", "no need to change the port"
	if to.Addr() != s.addr.Addr() {
		ip = fmt.Sprintf("IP changed from '%s' to '%s'", s.addr.Addr(), to.Addr())
	}
	if to.Port() != s.addr.Port() {
		port = fmt.Sprintf("port changed from '%d' to '%d'", s.addr.Port(), to.Port())
	}
	s.addr = to
	return ip + ", " + port + " by 'stats socket command'\n"
}

func (f *fake) add(be, name string, w []string) string {
	s := &fakeServer{server: server{name: name, addr: netip.MustParseAddrPort(w[0]), admin: maint, weight: 1}}
	for i, word := range w {
		switch word {
		case "id":
			s.id, _ = strconv.Atoi(w[i+1])
		case "weight":
			s.weight, _ = strconv.Atoi(w[i+1])
		}
	}
	for _, other := range f.backends[be] {
		if other.name == name {
			return "Already exists a server with the same name in backend.\n"
		}
	}
	f.backends[be] = append(f.backends[be], s)
	return "New server registered.\n"
}

func (f *fake) stat() string {
	var out strings.Builder
	out.WriteString("# pxname,svname,qcur,status,weight,act,bck,\n")
	for name, servers := range f.backends {
		act := 0
		for _, s := range servers {
			if s.admin == ready && !s.down && s.weight > 0 {
				act++
			}
		}
		fmt.Fprintf(&out, "%s,BACKEND,0,UP,1,%d,0,\n", name, act)
	}
	return out.String()
}

func (f *fake) state(only []string) string {
	var out strings.Builder
	out.WriteString("1\n" + stateHeader + " srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n")
	for name, servers := range f.backends {
		if len(only) > 0 && only[0] != name {
			continue
		}
		for _, s := range servers {
			bits := map[admin]int{maint: 1, drain: 8}[s.admin]
			if s.cmaint {
				bits |= 4
			}
			op, check, result := 2, 6, 3
			if s.down || s.admin == maint {
				op = 0
			}
			if s.hana {
				check = statusHANA
			}
			if s.failed {
				check, result = 8, resultFailed
			}
			fmt.Fprintf(&out, "3 %s %d %s %s %d %d %d 1 7 %d %d 4 6 0 0 1 - %d - 0 0 - - 0\n", name, s.id, s.name, s.addr.Addr(), op, bits, s.weight, check, result, s.addr.Port())
		}
	}
	if len(only) > 0 && f.backends[only[0]] == nil {
		return "Can't find backend.\n"
	}
	return out.String()
}

func (f *fake) showConns(be string) string {
	if f.backends[be] == nil {
		return "No such proxy.\n"
	}
	var out strings.Builder
	out.WriteString("# pxname,svname,qcur,scur,status,addr,used_conn_cur,\n")
	for _, s := range f.backends[be] {
		fmt.Fprintf(&out, "%s,%s,0,%d,UP,%s,0,\n", be, s.name, s.used, s.addr)
	}
	return out.String()
}

func (f *fake) master(cmd string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case cmd == "show proc":
		var out strings.Builder
		fmt.Fprintf(&out, "#<PID>          <type>          <reloads>       <uptime>        <version>      \n1               master          %d [failed: %d]   0d00h00m01s     2.6.12\n# workers\n", f.reloads, f.failed)
		fmt.Fprintf(&out, "%-15d worker          0               0d00h00m01s     2.6.12\n", f.pid)
		if len(f.old) > 0 {
			out.WriteString("# old workers\n")
		}
		for _, w := range f.old {
			fmt.Fprintf(&out, "%-15d worker          %d               0d00h00m01s     2.6.12\n", w.pid, w.reloads)
		}
		return out.String() + "# programs\n"
	case cmd == "reload":
		f.replace()
		return ""
	case strings.HasPrefix(cmd, "@!"):
		return f.oldWorker(cmd)
	}
	f.t.Errorf("the master was asked %q", cmd)
	return ""
}

func (f *fake) oldWorker(cmd string) string {
	to, rest, _ := strings.Cut(cmd, " ")
	pid, _ := strconv.Atoi(strings.TrimPrefix(to, "@!"))
	switch {
	case rest == "show sess":
		var out strings.Builder
		out.WriteString("0xfff: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00\n")
		for i := range f.sessions[pid] {
			fmt.Fprintf(&out, "0x%x: proto=tcpv4 src=127.0.0.1:5158 fe=zkwatch-a be=zkwatch-a srv=s1 ts=00\n", i+1)
		}
		return out.String()
	case strings.HasPrefix(rest, "shutdown session "):
		f.sessions[pid]--
		return ""
	case strings.HasPrefix(rest, "show stat "):
		return f.showConns(strings.Fields(rest)[2])
	}
	f.t.Errorf("an old worker was asked %q", rest)
	return ""
}

// sent returns the changing commands since the last call.
func (f *fake) sent() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.changes
	f.changes = nil
	return out
}

// connected returns how many connections each worker has, by its pid.
func (f *fake) connected() map[int]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[int]int{}
	for _, pid := range f.conns {
		out[pid]++
	}
	return out
}

// asked returns the lines since the last call.
func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.lines
	f.lines = nil
	return out
}

// serving returns "addr weight" of what takes traffic, and "addr drain" of what drains.
func (f *fake) serving(be string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]string{}
	for _, s := range f.backends[be] {
		switch s.admin {
		case ready:
			out[s.addr.String()] += "weight " + strconv.Itoa(s.weight)
		case drain:
			out[s.addr.String()] += "drain"
		}
	}
	return out
}

// with changes a server from outside.
func (f *fake) with(be, name string, change func(*fakeServer)) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.backends[be] {
		if s.name == name {
			change(s)
			return
		}
	}
	f.t.Fatalf("there is no server %s/%s", be, name)
}

// rig is a sink with a fake below it.
type rig struct {
	*Sink
	fake   *fake
	checks [][]string // files of each haproxy -c
	bad    error      // its verdict
}

func newRig(t testing.TB, routes map[string]config.Route, tune ...func(*config.HAProxy)) *rig {
	t.Helper()
	c := config.Config{Routes: routes, HAProxy: config.HAProxy{File: t.TempDir() + "/zkwatch.cfg", Before: []string{"/etc/haproxy/haproxy.cfg"}, Socket: fakeRuntime, Master: fakeMaster}}
	for _, f := range tune {
		f(&c.HAProxy)
	}
	config.Default(&c)
	return rigFor(t, c, newFake(t, c.HAProxy.File))
}

// rigFor is another sink for the same HAProxy and file, as after a restart of zkwatch.
func rigFor(t testing.TB, c config.Config, f *fake) *rig {
	t.Helper()
	s, err := New(Options{Config: c.HAProxy, Routes: c.Routes, Zone: c.Zone})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Sink: s, fake: f}
	s.dial, s.master.dial = f.dial, f.dial
	s.reloads.began = time.Now()
	s.check = func(_ context.Context, files []string) error {
		r.checks = append(r.checks, files)
		return r.bad
	}
	t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.disconnect()
		r.eye.shut()
	})
	return r
}

// tick does what Run does once, with the look and the debounce due.
func (r *rig) tick(t testing.TB) watcher.Outcome {
	t.Helper()
	var out watcher.Outcome
	r.look(t.Context(), &out)
	r.thinOut(t.Context(), &out)
	r.mu.Lock()
	r.file.next = r.file.next.Add(-writeEvery)
	r.mu.Unlock()
	r.flush(t.Context(), false, &out)
	if why, due := r.due(); due {
		r.reload(t.Context(), why, &out)
	}
	return out
}

func (r *rig) apply(t testing.TB, service string, instances ...watcher.Instance) watcher.Outcome {
	t.Helper()
	out, err := r.Apply(t.Context(), []watcher.Set{{Service: service, Instances: instances, Why: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// started is a rig with a HAProxy that has loaded the file.
func started(t testing.TB, routes map[string]config.Route, tune ...func(*config.HAProxy)) *rig {
	t.Helper()
	r := newRig(t, routes, tune...)
	r.tick(t)
	r.fake.start()
	r.tick(t)
	return r
}

func route(service string) config.Route {
	return config.Route{Service: service, Bind: "127.0.0.1:3000"}
}

// at is an instance of weight 1 at 10.0.0.n:80.
func at(n int) watcher.Instance {
	return watcher.Instance{ID: fmt.Sprintf("i%03d", n), Host: fmt.Sprintf("10.0.%d.%d", n/250, n%250+1), Port: 80, Weight: 1}
}

func some(from, to int) []watcher.Instance {
	var out []watcher.Instance
	for n := from; n < to; n++ {
		out = append(out, at(n))
	}
	return out
}

func texts(out watcher.Outcome) []string {
	var s []string
	for _, a := range out.Actions {
		s = append(s, a.Kind+": "+a.Text)
	}
	return s
}
