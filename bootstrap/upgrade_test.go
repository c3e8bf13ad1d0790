package bootstrap_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
)

var upgrade = bootstrap.Intent{Verb: bootstrap.VerbUpgrade}

// offered is a site that stands with a package of version 1, of which apt offers version 2
// to the given hosts and version 1 to the others.
func offered(t *testing.T, to ...string) *site {
	t.Helper()
	s := newSite(t)
	for _, host := range s.spec.MemberNames() {
		s.machines[host].Set(bootstrap.Package{Name: "toyd", Version: "1"})
		offer := bootstrap.Candidate{Name: "toyd", Version: "1"}
		if slices.Contains(to, host) {
			offer.Version = "2"
		}
		s.machines[host].Set(offer)
	}
	s.mustConverge(t)
	for _, m := range s.machines { // the machine in memory takes a version that is not asked for away
		m.Set(bootstrap.Package{Name: "toyd", Version: "1", Hold: true})
	}
	s.role.done = nil
	return s
}

// since lists the steps that were carried out on a host.
func (s *site) since(before map[string]int, host string) []string {
	var out []string
	for _, st := range s.machines[host].Applied()[before[host]:] {
		out = append(out, st.String())
	}
	return out
}

func TestUpgradeOfEveryMemberInTurn(t *testing.T) {
	s := offered(t, "zk1", "zk2", "zk3")
	golden(t, "plan/upgrade.txt", []byte(s.plan(t, upgrade).String()))
	before := s.steps()
	if err := s.apply(t, upgrade).Err(); err != nil {
		t.Fatal(err)
	}
	want := []string{"without [zk1]", "everyone [zk1]", "without [zk2]", "everyone [zk2]", "without [zk3]", "everyone [zk3]"}
	if diff := cmp.Diff(want, s.role.done); diff != "" {
		t.Errorf("gates (-want +got):\n%s", diff)
	}
	for _, host := range s.spec.MemberNames() {
		want := []string{"fetch package toyd (1 -> 2)", "stop unit toy-main.service", "upgrade package toyd (1 -> 2)", "restart unit toy-main.service"}
		if diff := cmp.Diff(want, s.since(before, host)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", host, diff)
		}
	}
	if p := s.plan(t, converge); !p.Empty() {
		t.Errorf("the upgrade left something to apply:\n%s", p)
	}
	if p := s.plan(t, upgrade); !p.Empty() {
		t.Errorf("a second upgrade has something to do:\n%s", p)
	}
}

func TestUpgradeLeavesAloneWhatIsNotNewer(t *testing.T) {
	s := offered(t, "zk2")
	p := s.plan(t, upgrade)
	for _, w := range p.Waves {
		if got := w.Hosts(); !slices.Equal(got, []string{"zk2"}) {
			t.Errorf("%s: %v, want zk2 alone", w.Title, got)
		}
	}
}

func TestUpgradesAreOfWhatTheSpecLeavesOpen(t *testing.T) {
	have := bootstrap.NewState(bootstrap.Package{Name: "a", Version: "1"}, bootstrap.Candidate{Name: "a", Version: "2"})
	unit := bootstrap.Unit{Name: "a.service", RestartOn: []bootstrap.ID{"package:a"}}
	for name, tt := range map[string]struct {
		want bootstrap.Package
		unit bootstrap.Unit
		have bootstrap.State
		n    int
	}{
		"open":                    {bootstrap.Package{Name: "a", Hold: true}, unit, have, 1},
		"pinned":                  {bootstrap.Package{Name: "a", Hold: true, Version: "1"}, unit, have, 0},
		"not held":                {bootstrap.Package{Name: "a"}, unit, have, 0},
		"of another unit":         {bootstrap.Package{Name: "a", Hold: true}, bootstrap.Unit{Name: "b.service"}, have, 0},
		"not installed":           {bootstrap.Package{Name: "a", Hold: true}, unit, bootstrap.NewState(bootstrap.Candidate{Name: "a", Version: "2"}), 0},
		"apt does not know it":    {bootstrap.Package{Name: "a", Hold: true}, unit, bootstrap.NewState(bootstrap.Package{Name: "a", Version: "1"}), 0},
		"apt has what is there":   {bootstrap.Package{Name: "a", Hold: true}, unit, bootstrap.NewState(bootstrap.Package{Name: "a", Version: "2"}, bootstrap.Candidate{Name: "a", Version: "2"}), 0},
		"of another name as well": {bootstrap.Package{Name: "b", Hold: true}, unit, have, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bootstrap.Upgrades(bootstrap.Desired{Resources: []bootstrap.Resource{tt.want}}, tt.unit, tt.have); len(got) != tt.n {
				t.Errorf("found %v, want %d", got, tt.n)
			}
		})
	}
}

func TestUpgradeIsRefusedWhileThereIsSomethingToApply(t *testing.T) {
	s := offered(t, "zk1", "zk2", "zk3")
	s.role.config = "a = 2\n"
	_, r := s.engine(t).Plan(t.Context(), s.spec, upgrade)
	if !errors.Is(r.Err(), bootstrap.ErrRefused) || r.Findings[0].Step != "upgrade" || r.Findings[0].Hint != "apply first, then upgrade" {
		t.Errorf("got %+v", r.Findings)
	}
}

// Cut at every step of a turn: what an apply does next brings the unit back, and the upgrade
// after it ends what was begun.
func TestUpgradeCutAtEveryStep(t *testing.T) {
	for _, cut := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("after %d steps", cut), func(t *testing.T) {
			s := offered(t, "zk1", "zk2", "zk3")
			s.machines["zk1"].CutAfter(cut)
			if err := s.apply(t, upgrade).Err(); err == nil || !strings.Contains(err.Error(), "zk1") {
				t.Fatalf("got %v, want an error that names zk1", err)
			}
			s.machines["zk1"].CutAfter(-1)
			s.mustConverge(t)
			if u, _ := s.machines["zk1"].Thing("unit:toy-main.service").(bootstrap.Unit); !u.Running {
				t.Error("the unit of zk1 does not run after an apply")
			}
			if err := s.apply(t, upgrade).Err(); err != nil {
				t.Fatal(err)
			}
			for host, m := range s.machines {
				if p, ok := m.Thing("package:toyd").(bootstrap.Package); ok && p.Version != "2" {
					t.Errorf("%s has version %s, want 2", host, p.Version)
				}
			}
		})
	}
}
