package bootstrap_test

import (
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// plainRole wants a package and a file of its own on every host, and takes no turns.
type plainRole struct {
	toyRole
	name string
}

func (r *plainRole) Name() string { return r.name }

func (r *plainRole) Compile(s *bootstrap.Spec, _ bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	out := map[string]bootstrap.Desired{}
	for _, host := range s.HostNames() {
		out[host] = bootstrap.Desired{Resources: []bootstrap.Resource{
			bootstrap.Package{Name: "shared"}, r.file("/etc/"+r.name+".conf", "x\n")}}
	}
	return out, bootstrap.Report{}
}

func (r *plainRole) Next(*bootstrap.Spec, bootstrap.Site, bootstrap.Intent) (bootstrap.SiteStep, bool, error) {
	return bootstrap.SiteStep{}, false, nil
}

// A package that two roles share stays as long as one of them wants it, and goes with the
// second when both leave in one plan.
func TestASharedThingGoesWithItsLastOwner(t *testing.T) {
	s := newSite(t)
	a, b := &plainRole{name: "aa"}, &plainRole{name: "bb"}
	run := func(in bootstrap.Intent, roles ...bootstrap.Role) {
		t.Helper()
		e := s.engine(t)
		defer e.Close()
		e.Roles = roles
		p, r := e.Plan(t.Context(), s.spec, in)
		if !r.Failed() {
			r = e.Apply(t.Context(), p)
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
	}
	destroy := bootstrap.Intent{Verb: bootstrap.VerbDestroy}
	run(converge, a, b)
	run(destroy, a)
	if s.machines["zk1"].Thing("package:shared") == nil {
		t.Fatal("the first owner took what the second still wants")
	}
	run(converge, a, b)
	run(destroy, a, b)
	if s.machines["zk1"].Thing("package:shared") != nil {
		t.Error("both owners have left, the package has not")
	}
}
