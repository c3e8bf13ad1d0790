package bootstrap_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
)

// restorable is a toy whose data can be put back from a backup.
type restorable struct{ *toyRole }

func (r restorable) Next(s *bootstrap.Spec, now bootstrap.Site, in bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	switch in.Verb {
	case bootstrap.VerbRestore:
		return bootstrap.SiteStep{Role: "toy", Name: "restore", Hosts: s.MemberNames(), Title: "put the toy back", Backup: in.Backup}, true, nil
	case bootstrap.VerbRestored:
		return bootstrap.SiteStep{Role: "toy", Name: "restored", Title: "prove the toy", Backup: in.Backup}, true, nil
	}
	return r.toyRole.Next(s, now, in)
}

func (s *site) restoring(t *testing.T, in bootstrap.Intent, roles ...bootstrap.Role) (*bootstrap.Plan, bootstrap.Report) {
	t.Helper()
	e := &bootstrap.Engine{Roles: roles, Open: bootstraptest.Site(s.machines), Who: "test"}
	t.Cleanup(func() { _ = e.Close() })
	p, r := e.Plan(t.Context(), s.spec, in)
	if r.Failed() {
		return nil, r
	}
	return p, e.Apply(t.Context(), p)
}

func TestRestore(t *testing.T) {
	in := bootstrap.Intent{Verb: bootstrap.VerbRestore, Backup: &bootstrap.Backup{SHA512: "abc"}}
	titles := func(p *bootstrap.Plan) (out []string) {
		for _, w := range p.Waves {
			out = append(out, w.Title)
		}
		return out
	}
	t.Run("onto fresh hosts: restored, then started, then proven", func(t *testing.T) {
		s := newSite(t)
		p, r := s.restoring(t, in, restorable{s.role})
		if r.Failed() {
			t.Fatal(r.Err())
		}
		want := []string{"prepare all hosts at once", "put the toy back", "start toy", "prove the toy"}
		if diff := cmp.Diff(want, titles(p)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"restore [zk1 zk2 zk3]", "everyone [zk1 zk2 zk3]", "restored []"}, s.role.done); diff != "" {
			t.Error(diff)
		}
		for _, w := range p.Waves {
			for _, st := range w.Site {
				if st.Backup != in.Backup {
					t.Errorf("%s does not say which backup", st.Title)
				}
			}
		}
	})
	t.Run("onto hosts that serve: nothing but the restore", func(t *testing.T) {
		s := newSite(t)
		s.mustConverge(t)
		p, r := s.restoring(t, in, restorable{s.role})
		if diff := cmp.Diff([]string{"put the toy back", "prove the toy"}, titles(p)); r.Failed() || diff != "" {
			t.Errorf("%v\n%s", r.Err(), diff)
		}
	})
	t.Run("one is stopped: the plan starts it behind the restore, without turns", func(t *testing.T) {
		s := newSite(t)
		s.mustConverge(t)
		s.machines["zk2"].Set(stopped(s.machines["zk2"]))
		p, r := s.restoring(t, in, restorable{s.role})
		if diff := cmp.Diff([]string{"put the toy back", "start toy", "prove the toy"}, titles(p)); r.Failed() || diff != "" {
			t.Errorf("%v\n%s", r.Err(), diff)
		}
		if slices.ContainsFunc(p.Waves, func(w bootstrap.Wave) bool { return w.Rolling }) {
			t.Error("members take turns although all are down")
		}
	})
	for name, c := range map[string]struct {
		in   bootstrap.Intent
		role func(*site) bootstrap.Role
	}{
		"without a backup":                  {bootstrap.Intent{Verb: bootstrap.VerbRestore}, func(s *site) bootstrap.Role { return restorable{s.role} }},
		"of a role that cannot be restored": {in, func(s *site) bootstrap.Role { return s.role }},
	} {
		t.Run("refused "+name, func(t *testing.T) {
			s := newSite(t)
			if _, r := s.restoring(t, c.in, c.role(s)); !errors.Is(r.Err(), bootstrap.ErrRefused) {
				t.Errorf("got %v, want a refusal", r.Err())
			}
		})
	}
}

// What a restore says in a plan, and that it knows how far it has come.
func TestRestoreAsAThing(t *testing.T) {
	staged := bootstrap.Restore{Dir: "/d", LogDir: "/l", SHA512: "a", Stage: bootstrap.RestoreStaged, URL: "file:///b", Size: 7}
	seen := staged
	seen.URL, seen.Size = "", 0
	placed := staged
	placed.Stage = bootstrap.RestorePlaced
	if d := staged.Drift(seen); len(d) != 0 {
		t.Errorf("what only the operator needs is drift: %+v", d)
	}
	if diff := cmp.Diff([]bootstrap.Difference{{Field: "stage", Was: "staged", Want: "placed"}}, placed.Drift(seen)); diff != "" {
		t.Error(diff)
	}
	if d := staged.Drift(nil); len(d) != 1 {
		t.Errorf("absent: %+v", d)
	}
	st := bootstrap.Step{Action: bootstrap.ActionCreate, Target: staged.ID(), Want: bootstrap.Thing{Resource: staged}}
	if st.String() != "create restore /d" {
		t.Errorf("it reads %q", st)
	}
}
