package bootstrap_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
	"github.com/zkboot/zkboot/sysctl"
	"github.com/zkboot/zkboot/verify"
)

// site is a spec of three members with one fake machine each.
type site struct {
	spec     *bootstrap.Spec
	machines map[string]*bootstraptest.Machine
	role     *toyRole
}

func newSite(t testing.TB) *site {
	t.Helper()
	spec, r := bootstrap.Load("zkboot.yaml", []byte(valid))
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	s := &site{spec: spec, machines: map[string]*bootstraptest.Machine{}, role: &toyRole{config: "a = 1\n"}}
	for _, name := range spec.HostNames() {
		s.machines[name] = newMachine(name)
	}
	return s
}

func newMachine(name string) *bootstraptest.Machine {
	m := bootstraptest.New(debian12(name),
		bootstrap.Sysctl{Setting: sysctl.Setting{Key: "vm.swappiness", Value: "60"}},
		bootstrap.Kernel{Name: "thp", Value: "always"})
	m.Probes = func(q verify.Query) (verify.Result, error) { return fastDisk(), nil }
	return m
}

// debian12 are the facts of a small but fit host.
func debian12(name string) bootstrap.Facts {
	return bootstrap.Facts{Hostname: name, MachineID: name, Arch: "amd64", Kernel: "6.1.0-18-amd64",
		OS:      verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm", Pretty: "Debian GNU/Linux 12 (bookworm)"},
		Systemd: verify.Systemd{Version: 252, State: "running"}, Virtualization: verify.Virtualization{VM: "kvm", Container: "none"},
		CPU: verify.CPU{Count: 2}, Memory: verify.Memory{Total: 4 << 30, Available: 3 << 30}, THP: "always", Clocksource: "kvm-clock",
		Time: verify.TimeSync{Synced: true}}
}

func fastDisk() verify.Result {
	flushes := 1.0
	return verify.Result{Fsync: &verify.FsyncResult{
		Latency: verify.Latency{Samples: 2000, P50: 0.2, P90: 0.3, P95: 0.4, P99: 1, Max: 5, Mean: 0.2}, OpsPerSecond: 4000, Flushes: &flushes,
		Dir: verify.Dir{Path: "/var/lib/toy", Existing: "/var/lib", FSType: "ext4", WriteCache: "write back", FreeBytes: 1 << 40}}}
}

func (s *site) engine(t testing.TB) *bootstrap.Engine {
	e := &bootstrap.Engine{Roles: []bootstrap.Role{s.role}, Open: bootstraptest.Site(s.machines), Who: "test"}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func (s *site) plan(t testing.TB, in bootstrap.Intent) *bootstrap.Plan {
	t.Helper()
	e := s.engine(t)
	defer e.Close()
	p, r := e.Plan(t.Context(), s.spec, in)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *site) apply(t testing.TB, in bootstrap.Intent) bootstrap.Report {
	t.Helper()
	e := s.engine(t)
	defer e.Close()
	p, r := e.Plan(t.Context(), s.spec, in)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return e.Apply(t.Context(), p)
}

var converge = bootstrap.Intent{Verb: bootstrap.VerbConverge}

func (s *site) mustConverge(t testing.TB) {
	t.Helper()
	if err := s.apply(t, converge).Err(); err != nil {
		t.Fatal(err)
	}
	if p := s.plan(t, converge); !p.Empty() {
		t.Fatalf("the second plan is not empty:\n%s", p)
	}
}

func TestPlanOfAFreshSite(t *testing.T) {
	s := newSite(t)
	golden(t, "plan/fresh.txt", []byte(s.plan(t, converge).String()))
	s.mustConverge(t)
	if want := []string{"form [zk1 zk2 zk3]", "everyone [zk1 zk2 zk3]"}; !slices.Equal(s.role.done, want) {
		t.Errorf("site steps: %v", s.role.done)
	}
	golden(t, "plan/nothing.txt", []byte(s.plan(t, converge).String()))
}

func TestConfigChangeRollsOneHostAtATime(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	s.role.done, s.role.config = nil, "a = 2\n"
	golden(t, "plan/roll.txt", []byte(s.plan(t, converge).String()))
	s.mustConverge(t)
	want := []string{"without [zk1]", "everyone [zk1]", "without [zk2]", "everyone [zk2]", "without [zk3]", "everyone [zk3]"}
	if diff := cmp.Diff(want, s.role.done); diff != "" {
		t.Errorf("gates (-want +got):\n%s", diff)
	}
}

func TestRollStopsAtTheFirstGateThatDoesNotOpen(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	before := len(s.machines["zk2"].Applied())
	s.role.config, s.role.refuse = "a = 2\n", "zk2"
	r := s.apply(t, converge)
	if !errors.Is(r.Err(), bootstrap.ErrRefused) {
		t.Fatalf("want ErrRefused, got %v", r.Err())
	}
	if got := r.Findings[0].Host; got != "zk2" {
		t.Errorf("the finding names host %q", got)
	}
	if n := len(s.machines["zk2"].Applied()); n != before {
		t.Errorf("zk2 was changed by %d steps behind a closed gate", n-before)
	}
	s.role.refuse = ""
	s.mustConverge(t)
}

// A crash between writing a file and restarting for it must not lose the restart.
func TestARestartIsNeverLost(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	s.role.config = "a = 2\n"
	s.machines["zk1"].CutAfter(1) // the file is written, the unit is not restarted
	if err := s.apply(t, converge).Err(); !errors.Is(err, bootstraptest.ErrCut) {
		t.Fatalf("want the cut, got %v", err)
	}
	s.machines["zk1"].CutAfter(-1)
	p := s.plan(t, converge)
	if got := p.String(); !strings.Contains(got, "update unit toy-main.service (restart)") {
		t.Fatalf("the restart of zk1 is lost:\n%s", got)
	}
	s.mustConverge(t)
}

// Whatever the step at which a connection breaks, the next run converges.
func TestCutAtEveryStep(t *testing.T) {
	total := 0
	for _, st := range newSite(t).plan(t, converge).Waves {
		total += len(st.Steps["zk2"])
	}
	for k := range total + 1 {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			s := newSite(t)
			s.machines["zk2"].CutAfter(k)
			e := s.engine(t)
			if p, r := e.Plan(t.Context(), s.spec, converge); !r.Failed() {
				r = e.Apply(t.Context(), p)
				if err := r.Err(); k < total && !errors.Is(err, bootstraptest.ErrCut) {
					t.Fatalf("want the cut, got %v", err)
				}
			}
			e.Close()
			s.machines["zk2"].CutAfter(-1)
			s.mustConverge(t)
		})
	}
}

func TestApplyRefusesAStalePlan(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	s.role.config = "a = 2\n"
	p := s.plan(t, converge)
	s.machines["zk2"].Set(bootstrap.Kernel{Name: "thp", Value: "never"})
	before := len(s.machines["zk1"].Applied())
	r := s.engine(t).Apply(t.Context(), p)
	if !errors.Is(r.Err(), bootstrap.ErrStale) || r.Findings[0].Host != "zk2" {
		t.Fatalf("want ErrStale on zk2, got %v", r.Err())
	}
	if n := len(s.machines["zk1"].Applied()); n != before {
		t.Errorf("zk1 was changed")
	}
}

func TestApplyIsLockedOutByAnother(t *testing.T) {
	s := newSite(t)
	other := s.machines["zk2"].Open()
	if err := other.Lock(t.Context(), "somebody@elsewhere"); err != nil {
		t.Fatal(err)
	}
	r := s.apply(t, converge)
	if !errors.Is(r.Err(), bootstrap.ErrLocked) || !strings.Contains(r.Err().Error(), "somebody@elsewhere") {
		t.Fatalf("want ErrLocked with its holder, got %v", r.Err())
	}
	other.Close()
	s.mustConverge(t)
}

func TestHardwareGateChangesNothingAnywhere(t *testing.T) {
	s := newSite(t)
	s.machines["zk3"].Probes = func(verify.Query) (verify.Result, error) {
		slow := fastDisk()
		slow.Fsync.P50, slow.Fsync.P99, slow.Fsync.Max, slow.Fsync.OpsPerSecond = 60, 300, 2000, 15
		return slow, nil
	}
	r := s.apply(t, converge)
	if !errors.Is(r.Err(), bootstrap.ErrHardware) {
		t.Fatalf("want ErrHardware, got %v", r.Err())
	}
	for _, f := range r.Findings {
		if f.Severity == bootstrap.SeverityError && f.Host != "zk3" {
			t.Errorf("finding for %s: %v", f.Host, f)
		}
	}
	for name, m := range s.machines {
		if n := len(m.Applied()); n != 0 {
			t.Errorf("%s was changed by %d steps", name, n)
		}
	}
}

func TestTheVerdictOfTheGateIsKept(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	for _, m := range s.machines {
		m.Probes = nil // probing again would be an error
	}
	s.role.config = "a = 2\n"
	s.mustConverge(t)
}

func TestWhatIsNoLongerWantedGoes(t *testing.T) {
	s := newSite(t)
	s.role.extra = []string{"/etc/toy/old.conf"}
	s.mustConverge(t)
	s.role.extra = nil
	golden(t, "plan/remove.txt", []byte(s.plan(t, converge).String()))
	s.mustConverge(t)
	if r := s.machines["zk1"].Thing("file:/etc/toy/old.conf"); r != nil {
		t.Errorf("left behind: %v", r)
	}
}

// A run that failed at its proof leaves nothing to plan; applying again must not call that
// a success.
func TestAnApplyWithNothingToDoIsProvenToo(t *testing.T) {
	s := newSite(t)
	s.role.unsound = "a write was lost"
	for range 2 {
		if err := s.apply(t, converge).Err(); err == nil || !strings.Contains(err.Error(), "ensemble.canary: toy: a write was lost") {
			t.Fatalf("want the failed proof, got %v", err)
		}
	}
	s.role.unsound = ""
	s.mustConverge(t)
}

func TestDestroyGoesOnWithoutDeadHostsWhenTold(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	delete(s.machines, "zk2")
	e := s.engine(t)
	if _, r := e.Plan(t.Context(), s.spec, bootstrap.Intent{Verb: bootstrap.VerbDestroy}); !errors.Is(r.Err(), bootstrap.ErrUnreachable) {
		t.Fatalf("want ErrUnreachable, got %v", r.Err())
	}
	p, r := e.Plan(t.Context(), s.spec, bootstrap.Intent{Verb: bootstrap.VerbDestroy, Reachable: true})
	if r.Failed() || len(r.Findings) != 1 || r.Findings[0].Host != "zk2" {
		t.Fatalf("want a warning about zk2 alone, got %v", r.Findings)
	}
	if err := e.Apply(t.Context(), p).Err(); err != nil {
		t.Fatal(err)
	}
	if s.machines["zk1"].Thing("unit:toy-main.service") != nil {
		t.Error("zk1 still has its unit")
	}
}

func TestDestroyPutsTheHostBack(t *testing.T) {
	for _, wipe := range []bool{false, true} {
		t.Run(fmt.Sprint("wipe=", wipe), func(t *testing.T) {
			s := newSite(t)
			s.machines["zk1"].Set(bootstrap.User{Name: "toy"}) // was there before us
			s.mustConverge(t)
			r := s.apply(t, bootstrap.Intent{Verb: bootstrap.VerbDestroy, Wipe: wipe})
			if err := r.Err(); err != nil {
				t.Fatal(err)
			}
			m := s.machines["zk1"]
			swap := m.Thing("sysctl:vm.swappiness").(bootstrap.Sysctl)
			if swap.Setting.Value != "60" || m.Thing("kernel:thp").(bootstrap.Kernel).Value != "always" {
				t.Errorf("settings were not put back: %v, %v", swap, m.Thing("kernel:thp"))
			}
			if m.Thing("user:toy") == nil {
				t.Error("a user that was there before us is gone")
			}
			if s.machines["zk2"].Thing("user:toy") != nil {
				t.Error("our user is left on zk2")
			}
			if gone := m.Thing("dir:/var/lib/toy") == nil; gone != wipe {
				t.Errorf("data gone: %v", gone)
			}
			if gone := m.Thing("file:/var/lib/toy/myid") == nil; gone != wipe {
				t.Errorf("what identifies the data is gone: %v", gone)
			}
			if m.Thing("unit:toy-main.service") != nil || m.Thing("file:/etc/toy/toy.conf") != nil {
				t.Error("things of ours are left")
			}
		})
	}
}

func TestPlanSurvivesStorage(t *testing.T) {
	s := newSite(t)
	p := s.plan(t, converge)
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back bootstrap.Plan
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.String(), back.String()); diff != "" {
		t.Fatalf("(-stored +read):\n%s", diff)
	}
	if err := s.engine(t).Apply(t.Context(), &back).Err(); err != nil {
		t.Fatal(err)
	}
	if p := s.plan(t, converge); !p.Empty() {
		t.Fatalf("not empty:\n%s", p)
	}
}

// A host that has just been made is planned for when cloud-init has ended, and not before.
func TestPlanWaitsForTheFirstBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.machines["zk2"].Facts.CloudInit = "running"
		go func() {
			<-time.After(90 * time.Second)
			s.machines["zk2"].Boot()
		}()
		start := time.Now()
		s.plan(t, converge)
		if took := time.Since(start); took < 90*time.Second || took > 100*time.Second {
			t.Errorf("the plan came after %s", took)
		}

		s.machines["zk3"].Facts.CloudInit = "running" // for ever
		_, r := s.engine(t).Plan(t.Context(), s.spec, converge)
		if r.Err() == nil || r.Findings[0].Host != "zk3" || !strings.Contains(r.Err().Error(), "cloud-init is still running after 10m0s") {
			t.Errorf("got %v", r.Err())
		}
	})
}

func TestPlanNamesEveryHostThatIsAway(t *testing.T) {
	s := newSite(t)
	delete(s.machines, "zk1")
	delete(s.machines, "zk3")
	_, r := s.engine(t).Plan(t.Context(), s.spec, converge)
	if !errors.Is(r.Err(), bootstrap.ErrUnreachable) {
		t.Fatalf("want ErrUnreachable, got %v", r.Err())
	}
	var away []string
	for _, f := range r.Findings {
		away = append(away, f.Host)
	}
	if want := []string{"zk1", "zk3"}; !slices.Equal(away, want) {
		t.Errorf("findings name %v, want %v", away, want)
	}
}

// From any prior state one apply is enough: the second plan is empty.
func TestOneApplyIsEnough(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSite(t)
		if rapid.Bool().Draw(rt, "applied before") {
			s.role.config = rapid.SampledFrom([]string{"a = 1\n", "old\n"}).Draw(rt, "old config")
			s.role.extra = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"/etc/toy/x", "/etc/toy/y"}), rapid.ID[string]).Draw(rt, "old extra")
			if err := s.apply(t, converge).Err(); err != nil {
				rt.Fatal(err)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.machines)) {
			disturb(rt, s, name)
		}
		s.role.config = "a = 3\n"
		s.role.extra = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"/etc/toy/x", "/etc/toy/z"}), rapid.ID[string]).Draw(rt, "extra")
		if err := s.apply(t, converge).Err(); err != nil {
			rt.Fatal(err)
		}
		if p := s.plan(t, converge); !p.Empty() {
			rt.Fatalf("the second plan is not empty:\n%s", p)
		}
	})
}

// disturb takes some things from a machine and changes others behind zkboot's back.
func disturb(rt *rapid.T, s *site, name string) {
	m := s.machines[name]
	for _, r := range s.role.resources(s.spec) {
		id := r.ID()
		switch rapid.SampledFrom([]string{"keep", "keep", "remove", "alter"}).Draw(rt, name+" "+string(id)) {
		case "remove":
			if k := id.Kind(); k != bootstrap.KindSysctl && k != bootstrap.KindKernel { // the kernel keeps those
				m.Remove(id)
			}
		case "alter":
			m.Set(altered(r))
		}
	}
}

func altered(r bootstrap.Resource) bootstrap.Resource {
	switch v := r.(type) {
	case bootstrap.Package:
		v.Hold = false
		return v
	case bootstrap.File:
		v.Content, v.Mode = v.Content+"edited\n", 0o600
		return v
	case bootstrap.Dir:
		v.Owner = "nobody"
		return v
	case bootstrap.Sysctl:
		v.Setting.Value = "30"
		return v
	case bootstrap.Kernel:
		v.Value = "never"
		return v
	case bootstrap.Unit:
		v.Running, v.Rev = false, ""
		return v
	}
	return r
}
