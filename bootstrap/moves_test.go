package bootstrap_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

// movingRole is the toy with hosts that come and go.
type movingRole struct {
	*toyRole
	moves []bootstrap.Move
	err   error
}

func (r *movingRole) Moves(*bootstrap.Spec, bootstrap.Site, bootstrap.Intent) ([]bootstrap.Move, error) {
	return r.moves, r.err
}

func toyStep(name string, hosts ...string) bootstrap.SiteStep {
	return bootstrap.SiteStep{Role: "toy", Name: name, Hosts: hosts, Title: name}
}

// movingSite is a site that stands with zk2 alone; zk3 is to come and zk2 to leave.
func movingSite(t *testing.T) (*site, *movingRole, *bootstrap.Engine) {
	s := newSite(t)
	three := s.spec.Ensemble.Members
	s.spec.Ensemble.Members = map[string]bootstrap.Member{"zk2": three["zk2"]}
	role := &movingRole{toyRole: s.role}
	e := s.engine(t)
	e.Roles = []bootstrap.Role{role}
	run(t, e, s.spec)
	s.role.done = nil
	s.spec.Ensemble.Members = map[string]bootstrap.Member{"zk3": three["zk3"]}
	role.moves = []bootstrap.Move{
		{Title: "zk3 comes", Hosts: []string{"zk3"}, Before: []bootstrap.SiteStep{toyStep("whole")}, Site: []bootstrap.SiteStep{toyStep("invite", "zk3")},
			Then: []bootstrap.SiteStep{toyStep("join", "zk3")}, After: []bootstrap.SiteStep{toyStep("everyone")}},
		{Title: "zk2 leaves", Hosts: []string{"zk2"}, Site: []bootstrap.SiteStep{toyStep("leave", "zk2")}, After: []bootstrap.SiteStep{toyStep("everyone")}},
	}
	return s, role, e
}

func run(t *testing.T, e *bootstrap.Engine, spec *bootstrap.Spec) {
	t.Helper()
	p, r := e.Plan(t.Context(), spec, converge)
	if !r.Failed() {
		r = e.Apply(t.Context(), p)
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
}

// Each move is a wave: its host is started behind its site step, or cleaned up behind it, and
// the steps of gates are about whom they name, or else about the hosts of the wave.
func TestHostsComeAndGoInWavesOfTheirOwn(t *testing.T) {
	s, role, e := movingSite(t)
	p, r := e.Plan(t.Context(), s.spec, converge)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan/moves.txt", []byte(p.String()))
	if hosts, _ := p.Counts(); hosts != 2 {
		t.Errorf("%d hosts change, want zk2 and zk3", hosts)
	}
	if err := e.Apply(t.Context(), p).Err(); err != nil {
		t.Fatal(err)
	}
	want := []string{"whole []", "invite [zk3]", "join [zk3]", "everyone [zk3]", "leave [zk2]", "everyone [zk2]"}
	if diff := cmp.Diff(want, s.role.done); diff != "" {
		t.Errorf("site steps (-want +got):\n%s", diff)
	}
	if s.machines["zk2"].Thing("unit:toy-main.service") != nil || s.machines["zk3"].Thing("unit:toy-main.service") == nil {
		t.Error("zk2 still has its unit, or zk3 has none")
	}
	role.moves = nil
	if p, _ := e.Plan(t.Context(), s.spec, converge); p == nil || !p.Empty() {
		t.Errorf("something is left to do:\n%s", p)
	}
}

func TestAMoveThatIsNotSafeEndsThePlan(t *testing.T) {
	s, role, e := movingSite(t)
	role.err = fmt.Errorf("%w: zk1 would be alone", bootstrap.ErrRefused)
	p, r := e.Plan(t.Context(), s.spec, converge)
	if p != nil || !errors.Is(r.Err(), bootstrap.ErrRefused) {
		t.Errorf("%v, %v: want a refusal and no plan", p, r.Err())
	}
}

// Nobody tries to reach a lost machine, and nothing is planned for it.
func TestALostHostIsLeftAlone(t *testing.T) {
	s := newSite(t)
	h := s.spec.Hosts["zk3"]
	h.Lost = true
	s.spec.Hosts["zk3"] = h
	delete(s.machines, "zk3")
	s.spec.Ensemble.Members = map[string]bootstrap.Member{"zk1": s.spec.Ensemble.Members["zk1"]}
	s.mustConverge(t)
	if slices.Contains(s.spec.HostNames(), "zk3") {
		t.Error("the lost host is among those to be reached")
	}
}
