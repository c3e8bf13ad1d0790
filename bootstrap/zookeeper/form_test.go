package zookeeper

import (
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// A run was cut off after it had started the members; the next one saw them empty, planned
// to form them, and they formed before it came to that.
func TestFormFindsItDone(t *testing.T) {
	s := testSpec(3)
	if err := form(t.Context(), s, healthyScene(s).hosts()); err != nil {
		t.Errorf("form: %v; want nothing to do", err)
	}

	joining := healthyScene(s).views()
	joining[0].data, joining[0].mode = bootstrap.DataPristine, modeDown // it has not found the others yet
	if !formed(joining, Founding(s)) {
		t.Error("a member that still joins counts as a formation that has not taken effect")
	}
}

func TestFormRefusesWhatIsNotEmpty(t *testing.T) {
	s := testSpec(3)
	sc := emptyScene(s)
	sc.servers["zk2"].absent, sc.servers["zk2"].data = false, bootstrap.DataPresent
	refused(t, form(t.Context(), s, sc.hosts()), "zk2", "form", "expected an empty member", "plan again")
	for host, a := range sc.servers {
		if len(a.things) > 0 {
			t.Errorf("%s was changed: %v", host, a.things)
		}
	}
}

func TestBlankMembersAreNotFormed(t *testing.T) {
	s := testSpec(3)
	vs := emptyScene(s).views()
	for i := range vs {
		vs[i].z.Dynamic = Founding(s).String() // written by a run that was cut off before any start
	}
	if formed(vs, Founding(s)) {
		t.Error("three empty members count as an ensemble")
	}
}
