//go:build lab

package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// TestRealEnsemble runs three servers of the Debian package on loopback addresses, made of
// nothing but what Compile and formation produce.
func TestRealEnsemble(t *testing.T) {
	if _, err := os.Stat("/usr/share/java/zookeeper.jar"); err != nil {
		t.Fatalf("this test needs libzookeeper-java and openjdk-17-jre-headless: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	s := realSpec()
	site := newRealSite(t, s)
	role := New()

	want, report := role.Compile(s, site.look(ctx, t))
	if report.Failed() {
		t.Fatalf("Compile: %v", report.Err())
	}
	for host, d := range want {
		sealed, err := d.Seal()
		if err != nil {
			t.Fatal(err)
		}
		if err := site.machines[host].prepare(sealed); err != nil {
			t.Fatalf("%s: %v", host, err)
		}
	}

	st, ok, err := role.Next(s, site.look(ctx, t), bootstrap.Intent{Verb: bootstrap.VerbConverge})
	if err != nil || !ok || st.Name != stepForm {
		t.Fatalf("Next on three empty members: %+v, %t, %v; want form", st, ok, err)
	}
	do := func(name string, hosts ...string) error {
		return role.Do(ctx, s, site.hosts(), bootstrap.SiteStep{Role: roleName, Name: name, Hosts: hosts})
	}
	must := func(name string, hosts ...string) {
		t.Helper()
		start := time.Now()
		if err := do(name, hosts...); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, site.logs())
		}
		t.Logf("%s %v: %s", name, hosts, time.Since(start).Round(time.Millisecond))
	}
	must(stepForm)
	site.start(t, s.MemberNames()...)
	must(stepEveryone)
	must(stepCanary)
	for _, m := range members(s) {
		if _, err := os.Stat(site.machines[m.host].at(initialize(m.dataLog))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the initialize marker is still there (%v); the server takes it at its first start", m.host, err)
		}
	}
	t.Run("canaries leave nothing behind", func(t *testing.T) { site.onlySystemZnodes(t, s) })
	t.Run("nothing is to be done afterwards", func(t *testing.T) {
		now := site.look(ctx, t)
		if st, ok, err := role.Next(s, now, bootstrap.Intent{Verb: bootstrap.VerbConverge}); ok || err != nil {
			t.Errorf("Next: %+v, %t, %v; want nothing", st, ok, err)
		}
		again, report := role.Compile(s, now)
		if report.Failed() {
			t.Fatalf("Compile: %v", report.Err())
		}
		for host, d := range again {
			for _, r := range d.Resources {
				f, ok := r.(bootstrap.File)
				if !ok || f.Path != layoutOf(s).zooCfg {
					continue
				}
				for _, diff := range f.Drift(now.Hosts[host].State.Find(f.ID())) {
					t.Errorf("%s: %s: %s, was %q, want %q: the server's own rewrite must be no drift", host, f.Path, diff.Field, diff.Was, diff.Want)
				}
			}
		}
	})
	t.Run("the ensemble is proven", func(t *testing.T) {
		for _, c := range role.Prove(ctx, s, site.look(ctx, t), site.hosts()) {
			if c.Verdict == verify.Fail {
				t.Errorf("%s: %s: %s", c.ID, c.Text, c.Why)
			}
			t.Logf("%-24s %-8s %s %s", c.ID, c.Verdict, c.Text, c.Why)
		}
	})

	st, _, err = role.Next(s, site.look(ctx, t), bootstrap.Intent{Verb: bootstrap.VerbTurn, Hosts: s.MemberNames()})
	if err != nil {
		t.Fatal(err)
	}
	down := st.Hosts[0]
	must(stepQuorumWithout, down)
	site.stop(t, down)
	other := slices.DeleteFunc(s.MemberNames(), func(h string) bool { return h == down })[0]
	t.Run("with one down no other can be missed", func(t *testing.T) {
		short, cancel := context.WithTimeout(ctx, 6*time.Second)
		defer cancel()
		err := role.Do(short, s, site.hosts(), bootstrap.SiteStep{Name: stepQuorumWithout, Hosts: []string{other}})
		if !errors.Is(err, bootstrap.ErrRefused) || !strings.Contains(err.Error(), down) {
			t.Errorf("got %v; want a refusal that names %s", err, down)
		}
	})
	must(stepQuorumWithout, down)
	site.start(t, down)
	must(stepEveryone)

	t.Run("all at once after a power cut", func(t *testing.T) {
		site.stop(t, s.MemberNames()...)
		st, ok, err := role.Next(s, site.look(ctx, t), bootstrap.Intent{Verb: bootstrap.VerbConverge})
		if err != nil || !ok || st.Name != stepRecover {
			t.Fatalf("Next with every member stopped: %+v, %t, %v; want recover", st, ok, err)
		}
		must(stepRecover, st.Hosts...)
		site.start(t, st.Hosts...)
		must(stepEveryone)
		must(stepCanary)
	})
}

func realSpec() *bootstrap.Spec {
	s := testSpec(3)
	s.Ensemble.Heap = 128 * bootstrap.MiB
	s.Ensemble.Ports = bootstrap.Ports{Client: 22181, Quorum: 22888, Election: 23888, Admin: 28080}
	for i, h := range s.HostNames() {
		spec := s.Hosts[h]
		spec.Address = fmt.Sprintf("127.0.1.%d", i+1)
		s.Hosts[h] = spec
	}
	return s
}

// realSite is three machines that share this one: each has a directory for a root.
type realSite struct {
	spec     *bootstrap.Spec
	machines map[string]*machine
}

func newRealSite(t *testing.T, s *bootstrap.Spec) *realSite {
	site := &realSite{spec: s, machines: map[string]*machine{}}
	for _, m := range members(s) {
		site.machines[m.host] = &machine{member: m, root: t.TempDir()}
	}
	t.Cleanup(func() { site.stop(t, s.MemberNames()...) })
	return site
}

func (r *realSite) hosts() bootstrap.Hosts {
	h := bootstrap.Hosts{}
	for name, m := range r.machines {
		h[name] = m
	}
	return h
}

func (r *realSite) look(ctx context.Context, t *testing.T) bootstrap.Site {
	t.Helper()
	site := bootstrap.Site{Hosts: map[string]bootstrap.Seen{}}
	for name, m := range r.machines {
		facts, state, err := m.Look(ctx, New().Queries(r.spec, name)...)
		site.Hosts[name] = bootstrap.Seen{Facts: facts, State: state, Err: err}
	}
	return site
}

func (r *realSite) start(t *testing.T, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		if err := r.machines[h].start(); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *realSite) stop(t *testing.T, hosts ...string) {
	t.Helper()
	for _, h := range hosts {
		r.machines[h].stop()
	}
}

func (r *realSite) logs() string {
	var b strings.Builder
	for name, m := range r.machines {
		log, err := os.ReadFile(m.root + "/out.log")
		fmt.Fprintf(&b, "--- %s (%v)\n%s\n", name, err, log[max(0, len(log)-3000):])
	}
	return b.String()
}

func (r *realSite) onlySystemZnodes(t *testing.T, s *bootstrap.Spec) {
	conn, events, err := zk.Connect([]string{members(s)[0].client()}, 5*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		conn.Close()
		for range events {
			continue
		}
	}()
	if _, err := conn.Sync("/"); err != nil {
		t.Fatal(err)
	}
	names, _, err := conn.Children("/")
	if err != nil || !slices.Equal(names, []string{"zookeeper"}) {
		t.Errorf("znodes at the root: %v, %v; want only zookeeper", names, err)
	}
}

// machine is a Host below a directory of this machine. It knows files, secrets and one
// process, and refuses everything else.
type machine struct {
	member
	root string

	mu   sync.Mutex
	argv []string
	cmd  *exec.Cmd
	done chan struct{}
}

func (m *machine) at(path string) string { return m.root + path }

// local rewrites the paths of the layout, and the one address that all members share.
func (m *machine) local(content string) string {
	for _, dir := range []string{m.conf, m.data, m.dataLog, m.logs} {
		content = strings.ReplaceAll(content, dir, m.at(dir))
	}
	return strings.ReplaceAll(content, "127.0.0.1", m.addr)
}

func (m *machine) foreign(content string) string {
	content = strings.ReplaceAll(content, m.root, "")
	return strings.ReplaceAll(content, "admin.serverAddress="+m.addr, "admin.serverAddress=127.0.0.1")
}

// prepare makes what the engine would: directories, files and the command of the unit.
func (m *machine) prepare(d bootstrap.Desired) error {
	for _, r := range d.Resources {
		switch r := r.(type) {
		case bootstrap.Dir:
			if err := os.MkdirAll(m.at(r.Path), 0o750); err != nil {
				return err
			}
		case bootstrap.File:
			if err := m.write(r); err != nil {
				return err
			}
		case bootstrap.Unit:
			m.argv = command(m.local(r.Content))
		}
	}
	return nil
}

// command reads ExecStart of a unit.
func command(unit string) []string {
	_, rest, _ := strings.Cut(unit, "ExecStart=")
	rest, _, _ = strings.Cut(rest, "\nRestart=")
	return strings.Fields(strings.ReplaceAll(rest, "\\\n", " "))
}

func (m *machine) write(f bootstrap.File) error {
	content := f.Content
	for _, fill := range f.Fill {
		content = strings.ReplaceAll(content, fill.Marker, "aGVsbG8=")
	}
	if err := os.MkdirAll(filepath.Dir(m.at(f.Path)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(m.at(f.Path), []byte(m.local(content)), 0o640)
}

func (m *machine) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	log, err := os.OpenFile(m.root+"/out.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	m.cmd = exec.Command(m.argv[0], m.argv[1:]...)
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	m.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // a killed server always ends with an error
		_ = log.Close()
		close(done)
	}(m.cmd, m.done)
	return nil
}

func (m *machine) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill() // fails when it has ended already
	<-m.done
	m.cmd = nil
}

func (m *machine) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}

func (m *machine) Look(ctx context.Context, ids ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
	var things []bootstrap.Resource
	for _, id := range ids {
		switch id.Kind() {
		case bootstrap.KindFile:
			if b, err := os.ReadFile(m.at(id.Name())); err == nil {
				f := bootstrap.File{Path: id.Name(), Content: strings.ReplaceAll(m.foreign(string(b)), "aGVsbG8=", superMarker), Mode: 0o640, Owner: account, Group: account}
				f.Sum = f.ContentSum()
				things = append(things, f)
			}
		case bootstrap.KindDir:
			if _, err := os.Stat(m.at(id.Name())); err == nil {
				things = append(things, bootstrap.Dir{Path: id.Name(), Mode: 0o750, Owner: account, Group: account})
			}
		case bootstrap.KindUnit:
			if m.argv != nil && id.Name() == m.unit {
				things = append(things, bootstrap.Unit{Name: m.unit, Enabled: true, Running: m.running()})
			}
		case bootstrap.KindZooKeeper:
			if z, ok := m.observe(ctx); ok {
				things = append(things, z)
			}
		}
	}
	return bootstrap.Facts{OS: verify.OS{ID: "debian", Codename: "bookworm"}, Arch: "amd64"}, bootstrap.NewState(things...), nil
}

func (m *machine) observe(ctx context.Context) (bootstrap.ZooKeeper, bool) {
	raw, err := os.ReadFile(m.at(m.zooCfg))
	if err != nil {
		return bootstrap.ZooKeeper{}, false
	}
	live := bootstrap.Properties(string(raw))
	z := bootstrap.ZooKeeper{Config: m.zooCfg, Properties: bootstrap.Properties(m.foreign(string(raw))), Admin: map[string]json.RawMessage{}}
	if b, err := os.ReadFile(live["dynamicConfigFile"]); err == nil {
		z.Dynamic = string(b)
	}
	if b, err := os.ReadFile(m.at(m.myID)); err == nil {
		z.MyID = strings.TrimSpace(string(b))
	}
	z.Data = bootstrap.DataEmpty
	for _, dir := range []string{m.data, m.dataLog} {
		entries, err := os.ReadDir(m.at(versionDir(dir)))
		if err == nil && len(entries) > 0 {
			z.Data = bootstrap.DataPresent
		}
	}
	if answer := zkWord(ctx, m.client(), "srvr"); !strings.Contains(answer, "not currently serving") {
		z.Srvr = answer
	}
	z.Mntr = map[string]string{}
	for line := range strings.Lines(zkWord(ctx, m.client(), "mntr")) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			z.Mntr[k] = v
		}
	}
	for _, c := range []string{"zabstate", "voting_view", "hash", "leader"} {
		resp, err := http.Get(fmt.Sprintf("http://%s:%d/commands/%s", m.addr, m.ports.Admin, c))
		if err != nil {
			continue
		}
		b, err := io.ReadAll(resp.Body)
		if resp.Body.Close() == nil && err == nil {
			z.Admin[c] = b
		}
	}
	return z, true
}

func zkWord(ctx context.Context, addr, word string) string {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second)) // a conn that is closed answers nothing, which is "" as well
	if _, err := io.WriteString(conn, word); err != nil {
		return ""
	}
	b, _ := io.ReadAll(conn)
	return string(b)
}

func (m *machine) Change(_ context.Context, steps ...bootstrap.Step) error {
	for _, st := range steps {
		f, ok := st.Want.Resource.(bootstrap.File)
		if !ok || st.Owner != "" {
			return fmt.Errorf("formation sent %s, which this machine was not told of", st)
		}
		if err := m.write(f); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (m *machine) Probe(context.Context, verify.Query) (verify.Result, error) {
	return verify.Result{}, errors.New("no probes here")
}
func (m *machine) Lock(context.Context, string) error { return nil }
func (m *machine) Reveal(context.Context, string) (string, error) {
	return "", errors.New("no secrets here")
}
func (m *machine) ListData(context.Context, string) ([]bootstrap.DataFile, error) {
	return nil, errors.New("no files here")
}
func (m *machine) ReadData(context.Context, string, int64) (io.ReadCloser, error) {
	return nil, errors.New("no files here")
}
func (m *machine) Close() error { return nil }
