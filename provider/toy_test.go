package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
	"github.com/zkboot/zkboot/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// toy is an ensemble role in miniature: a config file and a data directory behind a unit
// that restarts in its host's turn.
type toy struct {
	proof *verify.Check          // what it proves of itself; nil: nothing to prove
	needs verify.HostNeeds       // what it asks of a machine
	whole func() *bootstrap.Spec // what a member knows of the ensemble, hosts by server id
}

const (
	toyConf = bootstrap.ID("file:/etc/toy/toy.conf")
	toyData = bootstrap.ID("dir:/var/lib/toy")
	toyUnit = bootstrap.ID("unit:toy.service")
)

func (toy) Name() string { return "toy" }

func (toy) Validate(s *bootstrap.Spec) bootstrap.Report {
	var r bootstrap.Report
	for _, k := range slices.Sorted(maps.Keys(s.Ensemble.Config)) {
		if k != "tickTime" {
			r.Errorf(bootstrap.Path("ensemble.config").Key(k), "unknown key %q", k)
		}
	}
	return r
}

func (toy) resources(s *bootstrap.Spec) []bootstrap.Resource {
	conf := bootstrap.File{Path: toyConf.Name(), Content: fmt.Sprintln(s.Ensemble.Config), Mode: 0o644, Owner: "root", Group: "root"}
	return []bootstrap.Resource{
		conf,
		bootstrap.Dir{Path: toyData.Name(), Mode: 0o750, Owner: "toy", Group: "toy", Data: true},
		bootstrap.Unit{Name: toyUnit.Name(), Content: "Environment=ZKBOOT_REV=" + bootstrap.RevMarker + "\n", Running: true, Turn: true,
			RestartOn: []bootstrap.ID{conf.ID()}},
	}
}

func (r toy) Queries(s *bootstrap.Spec, _ string) []bootstrap.ID {
	var ids []bootstrap.ID
	for _, res := range r.resources(s) {
		ids = append(ids, res.ID())
	}
	return ids
}

func (r toy) Compile(s *bootstrap.Spec, _ bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	out := map[string]bootstrap.Desired{}
	for _, name := range s.MemberNames() {
		out[name] = bootstrap.Desired{Resources: r.resources(s), SyncDir: toyData.Name(), Needs: r.needs, Cluster: bootstrap.ClusterID(s.Name, nil)}
	}
	return out, bootstrap.Report{}
}

func (toy) Next(_ *bootstrap.Spec, _ bootstrap.Site, in bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	if in.Verb == bootstrap.VerbTurn {
		return bootstrap.SiteStep{Role: "toy", Name: "turn", Hosts: in.Hosts[:1]}, true, nil
	}
	return bootstrap.SiteStep{}, false, nil
}

func (toy) Do(_ context.Context, _ *bootstrap.Spec, _ bootstrap.Hosts, st bootstrap.SiteStep) error {
	return fmt.Errorf("the toy has no site steps, and was asked for %q", st.Name)
}

func (r toy) Prove(context.Context, *bootstrap.Spec, bootstrap.Site, bootstrap.Hosts) []verify.Check {
	if r.proof == nil {
		return nil
	}
	return []verify.Check{*r.proof}
}

// Recall tells the server by the name of its machine, zk1 or zk1.example.net.
func (r toy) Recall(name string, seen bootstrap.Seen) (*bootstrap.Spec, string, error) {
	if seen.State.Find(toyConf) == nil {
		return nil, "", fmt.Errorf("want a member of %s", name)
	}
	short, _, _ := strings.Cut(seen.Facts.Hostname, ".")
	s := r.whole()
	s.Name = name
	return s, short[len(short)-1:], nil
}

// Recognize knows every host with a toy on it, whoever put it there.
func (r toy) Recognize(name string, a bootstrap.Adopt, seen map[string]bootstrap.Seen) (*bootstrap.Spec, map[string]string, bootstrap.Report) {
	var report bootstrap.Report
	for host, is := range seen {
		s, self, err := r.Recall(name, is)
		if err != nil {
			report.HostError(host, "look at "+a.WithDefaults().Config, err)
			return nil, nil, report
		}
		s.Ensemble.Adopt = &a
		report.Warnf("ensemble.heap", "its heap is not known")
		return s, map[string]string{self: host}, report
	}
	return nil, nil, report
}

// fleet is a set of machines in memory behind a provider.
type fleet struct {
	machines map[string]*bootstraptest.Machine
	role     toy
	ensemble bootstrap.Role // in place of role, unless nil
	guest    guest
	patience time.Duration // with locks

	mu     sync.Mutex
	down   map[string]bool
	opened map[string]bootstrap.SSH // how each host was last reached
}

func newFleet(names ...string) *fleet {
	f := &fleet{machines: map[string]*bootstraptest.Machine{}, down: map[string]bool{}, opened: map[string]bootstrap.SSH{}}
	for _, name := range names {
		m := bootstraptest.New(debian12(name))
		m.Probes = func(verify.Query) (verify.Result, error) { return disk(0.2), nil }
		f.machines[name] = m
	}
	return f
}

// debian12 are the facts of a small but fit host.
func debian12(name string) bootstrap.Facts {
	return bootstrap.Facts{Hostname: name, MachineID: name, Arch: "amd64", Kernel: "6.1.0-18-amd64",
		OS:      verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm", Pretty: "Debian GNU/Linux 12 (bookworm)"},
		Systemd: verify.Systemd{Version: 252, State: "running"}, Virtualization: verify.Virtualization{VM: "kvm", Container: "none"},
		CPU: verify.CPU{Count: 2}, Memory: verify.Memory{Total: 4 << 30, Available: 3 << 30}, THP: "madvise", Clocksource: "kvm-clock",
		Time: verify.TimeSync{Synced: true}}
}

// disk is what the probe finds on a disk with that latency in milliseconds.
func disk(ms float64) verify.Result {
	flushes := 1.0
	return verify.Result{Fsync: &verify.FsyncResult{OpsPerSecond: 1000 / ms, Flushes: &flushes,
		Latency: verify.Latency{Samples: 2000, P50: ms, P90: ms, P95: ms, P99: ms, Max: 2 * ms, Mean: ms},
		Dir:     verify.Dir{Path: toyData.Name(), Existing: "/var/lib", FSType: "ext4", FreeBytes: 1 << 40}}}
}

func (f *fleet) provider() *Provider {
	var role bootstrap.Role = f.role
	if f.ensemble != nil {
		role = f.ensemble
	}
	return &Provider{Version: "test", Ensemble: role, Sidecar: f.guest, Status: f.status, LockPatience: f.patience, Who: "test", Getenv: func(string) string { return "" },
		Reach: func(Contact) func(context.Context, *bootstrap.Spec, string) (bootstrap.Host, error) { return f.open }}
}

func (f *fleet) open(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	over := s.Hosts[host].SSH
	host = f.machineAt(s, host)
	f.opened[host] = over
	if f.down[host] {
		return nil, fmt.Errorf("%w: no route to %s", bootstrap.ErrUnreachable, host)
	}
	return bootstraptest.Site(f.machines)(ctx, s, host)
}

// status calls a machine that answers a voter in sync, and the first of them the leader.
func (f *fleet) status(s *bootstrap.Spec, now bootstrap.Site) Status {
	out := Status{Servers: map[string]ServerStatus{}}
	for _, name := range s.MemberNames() {
		is := ServerStatus{ID: s.Ensemble.Members[name].ID, Role: bootstrap.Voter, Mode: "follower", Voting: true, Synced: true}
		if err := now.Hosts[name].Err; err != nil {
			is = ServerStatus{ID: is.ID, Role: is.Role, Mode: "down", Error: err.Error()}
		} else if out.Leader == "" {
			is.Mode, out.Leader = "leader", name
		}
		out.Servers[name] = is
	}
	out.Quorum = len(now.Reachable()) > len(s.Hosts)/2
	return out
}

// machineAt is the machine behind a host: one by its name, or else by the last digit of its
// address or name.
func (f *fleet) machineAt(s *bootstrap.Spec, host string) string {
	if _, ok := f.machines[host]; ok {
		return host
	}
	address := s.Hosts[host].Address
	return "zk" + address[len(address)-1:]
}

// setDown makes exactly these hosts unreachable.
func (f *fleet) setDown(names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.down)
	for _, n := range names {
		f.down[n] = true
	}
}

func (f *fleet) reached(host string) bootstrap.SSH {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened[host]
}

// stands reports whether the service runs on the machine.
func (f *fleet) stands(host string) bool {
	u, ok := f.machines[host].Thing(toyUnit).(bootstrap.Unit)
	return ok && u.Running
}

// taken lists what was deleted from the machine, or stopped, since it had n steps.
func (f *fleet) taken(host string, n int) []string {
	var out []string
	for _, st := range f.machines[host].Applied()[n:] {
		if u, ok := st.Want.Resource.(bootstrap.Unit); st.Action == bootstrap.ActionDelete || ok && !u.Running {
			out = append(out, st.String())
		}
	}
	return out
}

// spec is what hcl says without further lines, for the machines of the fleet.
func (f *fleet) spec() *bootstrap.Spec {
	s := &bootstrap.Spec{Name: "main", Hosts: map[string]bootstrap.HostSpec{},
		Ensemble: &bootstrap.Ensemble{Members: map[string]bootstrap.Member{}, Source: bootstrap.Source{Apt: &bootstrap.AptPackages{}}}}
	s.Hardware.Profile = "lab"
	for i, name := range slices.Sorted(maps.Keys(f.machines)) {
		s.Hosts[name] = bootstrap.HostSpec{Address: fmt.Sprintf("10.0.0.%d", i+1)}
		s.Ensemble.Members[name] = bootstrap.Member{ID: i + 1}
	}
	return s
}

// stand applies the spec of the fleet without Terraform, and returns the engine.
func (f *fleet) stand(t *testing.T) *bootstrap.Engine {
	t.Helper()
	s := &site{provider: f.provider(), known: true}
	eng := s.engine(t.Context(), []bootstrap.Role{f.role}, 0)
	t.Cleanup(func() { _ = eng.Close() })
	plan, report := eng.Plan(t.Context(), f.spec(), bootstrap.Intent{Verb: bootstrap.VerbConverge})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	if err := eng.Apply(t.Context(), plan).Err(); err != nil {
		t.Fatal(err)
	}
	return eng
}

// hcl is a configuration with members zk1, zk2, zk3, with lines added to the resource.
func hcl(lines ...string) string {
	return `
resource "zkboot_ensemble" "main" {
  name     = "main"
  hardware = { profile = "lab" }
  hosts = {
    zk1 = { address = "10.0.0.1" }
    zk2 = { address = "10.0.0.2" }
    zk3 = { address = "10.0.0.3" }
  }
  members = { zk1 = { id = 1 }, zk2 = { id = 2 }, zk3 = { id = 3 } }
  source  = { apt = {} }
  ` + strings.Join(lines, "\n  ") + `
}
`
}

// guest is a sidecar role in miniature: a file that says what is routed.
type guest struct {
	before func() // each change of a host, unless nil
}

const guestConf = bootstrap.ID("file:/etc/guest.conf")

func (guest) Name() string { return "guest" }

func (guest) Validate(*bootstrap.Spec) bootstrap.Report { return bootstrap.Report{} }

func (guest) Queries(*bootstrap.Spec, string) []bootstrap.ID { return []bootstrap.ID{guestConf} }

func (g guest) Compile(s *bootstrap.Spec, _ bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	if g.before != nil {
		g.before()
	}
	out := map[string]bootstrap.Desired{}
	for host, is := range s.Sidecars {
		out[host] = bootstrap.Desired{Resources: []bootstrap.Resource{bootstrap.File{Path: guestConf.Name(),
			Content: fmt.Sprintln(slices.Sorted(maps.Keys(is.Routes))), Mode: 0o644, Owner: "root", Group: "root"}}}
	}
	return out, bootstrap.Report{}
}

func (guest) Next(*bootstrap.Spec, bootstrap.Site, bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	return bootstrap.SiteStep{}, false, nil
}

func (guest) Do(context.Context, *bootstrap.Spec, bootstrap.Hosts, bootstrap.SiteStep) error {
	return nil
}

func (guest) Prove(context.Context, *bootstrap.Spec, bootstrap.Site, bootstrap.Hosts) []verify.Check {
	return nil
}
