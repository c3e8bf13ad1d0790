package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
	"github.com/zkboot/zkboot/verify"
)

// noteRole is the smallest role there is: a file and a data directory on every host, whose
// disk is proven first. It stands in for an ensemble where only the CLI is on trial.
type noteRole struct {
	content string
	site    bool                        // there is a site step before the files
	unit    bool                        // there is a unit, which takes turns
	do      func(context.Context) error // carries it out
	checks  []verify.Check              // what Prove says
}

func (r *noteRole) Name() string                              { return "note" }
func (r *noteRole) Validate(*bootstrap.Spec) bootstrap.Report { return bootstrap.Report{} }

func (r *noteRole) resources() []bootstrap.Resource {
	out := []bootstrap.Resource{
		bootstrap.Dir{Path: "/var/lib/note", Mode: 0o750, Owner: "root", Group: "root", Data: true},
		bootstrap.File{Path: "/etc/note", Content: r.content, Mode: 0o644, Owner: "root", Group: "root"},
	}
	if r.unit {
		out = append(out, bootstrap.Unit{Name: "note.service", Content: "Environment=ZKBOOT_REV=" + bootstrap.RevMarker + "\n", Running: true, Turn: true})
	}
	return out
}

func (r *noteRole) Queries(*bootstrap.Spec, string) []bootstrap.ID {
	var ids []bootstrap.ID
	for _, res := range r.resources() {
		ids = append(ids, res.ID())
	}
	return ids
}

func (r *noteRole) Compile(s *bootstrap.Spec, _ bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	out := map[string]bootstrap.Desired{}
	for _, name := range s.HostNames() {
		out[name] = bootstrap.Desired{Resources: r.resources(), SyncDir: "/var/lib/note", Cluster: "c1"}
	}
	return out, bootstrap.Report{}
}

func (r *noteRole) Next(s *bootstrap.Spec, _ bootstrap.Site, in bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	if in.Verb == bootstrap.VerbTurn {
		return bootstrap.SiteStep{Role: "note", Name: "turn", Hosts: in.Hosts[:1]}, true, nil
	}
	if !r.site || in.Verb != bootstrap.VerbConverge {
		return bootstrap.SiteStep{}, false, nil
	}
	return bootstrap.SiteStep{Role: "note", Name: "meet", Hosts: s.HostNames(), Title: "meet"}, true, nil
}

// Gates is a gate before each turn of the unit, which do keeps shut or open.
func (r *noteRole) Gates(string) (before, after []bootstrap.SiteStep) {
	return []bootstrap.SiteStep{{Role: "note", Name: "quiet", Title: "nobody writes a note"}}, nil
}

func (r *noteRole) Do(ctx context.Context, _ *bootstrap.Spec, _ bootstrap.Hosts, _ bootstrap.SiteStep) error {
	if r.do == nil {
		return nil
	}
	return r.do(ctx)
}

func (r *noteRole) Prove(context.Context, *bootstrap.Spec, bootstrap.Site, bootstrap.Hosts) []verify.Check {
	return r.checks
}

// world is a folder with a spec and one machine in memory for each of its hosts.
type world struct {
	t        *testing.T
	dir      string
	machines map[string]*bootstraptest.Machine
	role     *noteRole
	answer   string // what the operator types; "" means that there is no terminal
	env      map[string]string

	stdout, stderr lockedBuffer
}

func newWorld(t *testing.T, hosts ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), machines: map[string]*bootstraptest.Machine{}, role: &noteRole{content: "one\n"}}
	var spec strings.Builder
	fmt.Fprintln(&spec, "name: main\nhardware: {profile: lab}\nhosts:")
	addr := netip.MustParseAddr("10.0.0.1")
	for _, h := range hosts {
		fmt.Fprintf(&spec, "  %s: {address: %s}\n", h, addr)
		addr = addr.Next()
		w.machines[h] = newMachine(h)
	}
	if err := os.WriteFile(w.path("zkboot.yaml"), []byte(spec.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

// newMachine is a host that the hardware gate lets pass.
func newMachine(name string) *bootstraptest.Machine {
	m := bootstraptest.New(bootstrap.Facts{Hostname: name, MachineID: name, Arch: "amd64", Kernel: "6.1.0-18-amd64",
		OS:      verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm", Pretty: "Debian GNU/Linux 12 (bookworm)"},
		Systemd: verify.Systemd{Version: 252, State: "running"}, Virtualization: verify.Virtualization{VM: "kvm", Container: "none"},
		CPU: verify.CPU{Count: 2}, Memory: verify.Memory{Total: 4 << 30, Available: 3 << 30}, THP: "madvise",
		Clocksource: "kvm-clock", Time: verify.TimeSync{Synced: true}})
	m.Probes = func(verify.Query) (verify.Result, error) { return disk(1), nil }
	return m
}

// disk is what a probe finds on a disk with the given p99, in ms.
func disk(p99 float64) verify.Result {
	flushes := 1.0
	return verify.Result{Fsync: &verify.FsyncResult{
		Latency:      verify.Latency{Samples: 2000, P50: p99 / 2, P90: p99 / 2, P95: p99 / 2, P99: p99, Max: p99, Mean: p99 / 2},
		OpsPerSecond: 2000 / p99, Flushes: &flushes,
		Dir: verify.Dir{Path: "/var/lib/note", Existing: "/var/lib", FSType: "ext4", WriteCache: "write back", FreeBytes: 1 << 40}}}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// run executes one command line and returns its exit code; -f is added where it is missing
// and the command has it.
func (w *world) run(ctx context.Context, args ...string) int {
	w.t.Helper()
	w.stdout.Reset()
	w.stderr.Reset()
	return w.app().run(ctx, args)
}

// app is the program in this world.
func (w *world) app() *app {
	return &app{
		stdin:  strings.NewReader(w.answer),
		stdout: &w.stdout,
		stderr: &w.stderr,
		getenv: func(k string) string { return w.env[k] },
		console: console{asks: w.answer != "", width: func() int { return 80 }, restore: func() {},
			secret: func() (string, error) { return strings.TrimSpace(w.answer), nil }},
		roles: []bootstrap.Role{w.role},
		open:  bootstraptest.Site(w.machines),
	}
}

// want runs a command line with the spec of this world and fails on another exit code.
func (w *world) want(code int, args ...string) {
	w.t.Helper()
	args = append(args, "-f", w.path("zkboot.yaml"))
	if got := w.run(w.t.Context(), args...); got != code {
		w.t.Fatalf("zkboot %s: exit %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), got, code, &w.stdout, &w.stderr)
	}
}

// says fails unless the text holds each of the words.
func (w *world) says(b *lockedBuffer, words ...string) {
	w.t.Helper()
	for _, word := range words {
		if !strings.Contains(b.String(), word) {
			w.t.Errorf("want %q in:\n%s", word, b)
		}
	}
}

// untouched fails when any machine was changed.
func (w *world) untouched() {
	w.t.Helper()
	for name, m := range w.machines {
		if steps := m.Applied(); len(steps) > 0 {
			w.t.Errorf("%s was changed: %v", name, steps)
		}
	}
}

// lines decodes stdout as one JSON object a line.
func (w *world) lines() []map[string]any {
	w.t.Helper()
	var out []map[string]any
	for line := range strings.Lines(w.stdout.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			w.t.Fatalf("stdout is not JSON lines: %v in %q", err, line)
		}
		out = append(out, v)
	}
	return out
}

// lockedBuffer is a buffer that several goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }
func (l *lockedBuffer) Reset()         { l.mu.Lock(); defer l.mu.Unlock(); l.b.Reset() }
