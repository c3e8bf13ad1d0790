package agent

import (
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// A destroy takes two roles from a host in one call: the first gives up what the second
// deletes.
func TestTwoOwnersLeaveInOneCall(t *testing.T) {
	f := newFakeThings()
	h := newTestHost(t, t.TempDir(), f)
	locked(t, h)
	d := bootstrap.Desired{Resources: []bootstrap.Resource{pkg("shared")}, Cluster: "c"}
	in := bootstrap.Intent{Verb: bootstrap.VerbConverge}
	for _, o := range []bootstrap.Owner{"main.zookeeper", "main.sidecar"} {
		changed(t, h, plan(t, h, o, d, in)...)
	}
	both := append(plan(t, h, "main.zookeeper", bootstrap.Desired{}, in), bootstrap.Step{Action: bootstrap.ActionDelete,
		Owner: "main.sidecar", Cluster: "c", Target: "package:shared", Was: bootstrap.Thing{Resource: pkg("shared")}})
	if both[0].Action != bootstrap.ActionRelease {
		t.Fatalf("this proves nothing: the first step is %s", both[0])
	}
	changed(t, h, both...)
	if _, ok := f.have["package:shared"]; ok {
		t.Error("the package outlived its last owner")
	}
}
