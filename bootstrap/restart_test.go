package bootstrap_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
)

var restart = bootstrap.Intent{Verb: bootstrap.VerbRestart}

// restarted lists the hosts that got a new process since their machines had the given
// numbers of steps, and fails on any other change.
func (s *site) restarted(t *testing.T, since map[string]int) []string {
	t.Helper()
	var out []string
	for _, host := range s.spec.MemberNames() {
		for _, st := range s.machines[host].Applied()[since[host]:] {
			if st.Action != bootstrap.ActionRestart || st.Target != "unit:toy-main.service" {
				t.Errorf("%s: %s, want restarts alone", host, st)
			}
			out = append(out, host)
		}
	}
	return out
}

func (s *site) steps() map[string]int {
	out := map[string]int{}
	for host, m := range s.machines {
		out[host] = len(m.Applied())
	}
	return out
}

func TestRestartOfEveryMemberInTurn(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	s.role.done = nil
	golden(t, "plan/restart.txt", []byte(s.plan(t, restart).String()))
	before := s.steps()
	if err := s.apply(t, restart).Err(); err != nil {
		t.Fatal(err)
	}
	want := []string{"without [zk1]", "everyone [zk1]", "without [zk2]", "everyone [zk2]", "without [zk3]", "everyone [zk3]"}
	if diff := cmp.Diff(want, s.role.done); diff != "" {
		t.Errorf("gates (-want +got):\n%s", diff)
	}
	if got, want := s.restarted(t, before), []string{"zk1", "zk2", "zk3"}; !slices.Equal(got, want) {
		t.Errorf("restarted %v, want %v", got, want)
	}
	if p := s.plan(t, converge); !p.Empty() {
		t.Errorf("the restart left something to apply:\n%s", p)
	}
}

// stopped is the unit of a machine as it is once somebody has stopped it.
func stopped(m *bootstraptest.Machine) bootstrap.Unit {
	u, _ := m.Thing("unit:toy-main.service").(bootstrap.Unit)
	u.Running, u.Rev = false, ""
	return u
}

// What a restart would take up must have been seen in the plan of an apply.
func TestRestartIsRefusedWhileThereIsSomethingToApply(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*site)
		host   string
		want   string
	}{
		"another configuration": {func(s *site) { s.role.config = "a = 2\n" }, "zk1",
			"found 6 steps on zk1, zk2, zk3, first: update file /etc/toy/toy.conf"},
		"an edited file on one host": {func(s *site) {
			s.machines["zk2"].Set(bootstrap.File{Path: "/etc/toy/toy.conf", Content: "edited\n", Mode: 0o640, Owner: "root", Group: "toy"})
		}, "zk2", "found 1 step on zk2, first: update file /etc/toy/toy.conf"},
		"everybody is stopped": {func(s *site) {
			for _, m := range s.machines {
				m.Set(stopped(m))
			}
		}, "", "found 4 steps on zk1, zk2, zk3, first: form the toy"},
		"a member that is stopped": {func(s *site) {
			s.machines["zk3"].Set(stopped(s.machines["zk3"]))
		}, "zk3", "found 1 step on zk3, first: update unit toy-main.service (start)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.mustConverge(t)
			c.change(s)
			before := s.steps()
			p, r := s.engine(t).Plan(t.Context(), s.spec, restart)
			if p != nil || !errors.Is(r.Err(), bootstrap.ErrRefused) {
				t.Fatalf("want ErrRefused, got %v and %v", r.Err(), p)
			}
			f := r.Findings[0]
			if f.Host != c.host || !strings.Contains(f.Text, c.want) || f.Hint != "apply first, then restart" {
				t.Errorf("got %+v, want %s and %q", f, c.host, c.want)
			}
			if got := s.restarted(t, before); len(got) > 0 {
				t.Errorf("restarted %v", got)
			}
		})
	}
}

func TestRestartIsRefusedByTheRole(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	s.role.refuse = "zk2"
	_, r := s.engine(t).Plan(t.Context(), s.spec, restart)
	if !errors.Is(r.Err(), bootstrap.ErrRefused) || !strings.Contains(r.Err().Error(), "zk2 is needed by the others") {
		t.Errorf("want the role's refusal, got %v", r.Err())
	}
}

func TestRestartOfNothingIsRefused(t *testing.T) {
	s := newSite(t)
	e := s.engine(t)
	e.Roles = nil
	_, r := e.Plan(t.Context(), s.spec, restart)
	if !errors.Is(r.Err(), bootstrap.ErrRefused) || !strings.Contains(r.Err().Error(), "no host of main has anything that is restarted in turn") {
		t.Errorf("got %v", r.Err())
	}
}

// A run that was cut short starts again with everybody: nothing is kept about who has been
// restarted, and nothing is left to be applied first.
func TestARestartThatWasCutShortStartsAgain(t *testing.T) {
	s := newSite(t)
	s.mustConverge(t)
	before := s.steps()
	e := s.engine(t)
	p, r := e.Plan(t.Context(), s.spec, restart)
	if r.Failed() {
		t.Fatal(r.Err())
	}
	s.role.refuse = "zk2" // its turn does not come
	if err := e.Apply(t.Context(), p).Err(); !errors.Is(err, bootstrap.ErrRefused) {
		t.Fatalf("want the gate of zk2 shut, got %v", err)
	}
	e.Close()
	if got, want := s.restarted(t, before), []string{"zk1"}; !slices.Equal(got, want) {
		t.Fatalf("restarted %v, want %v", got, want)
	}
	s.role.refuse = ""
	before = s.steps()
	if err := s.apply(t, restart).Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := s.restarted(t, before), []string{"zk1", "zk2", "zk3"}; !slices.Equal(got, want) {
		t.Errorf("restarted %v, want %v", got, want)
	}
}
