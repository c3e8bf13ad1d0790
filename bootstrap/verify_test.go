package bootstrap_test

import (
	"context"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// guest is a role that does not live by a disk, and proves something of its own.
type guest struct{ *toyRole }

func (g guest) Name() string { return "guest" }

func (g guest) Queries(*bootstrap.Spec, string) []bootstrap.ID { return nil }

func (g guest) Compile(s *bootstrap.Spec, _ bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	return map[string]bootstrap.Desired{"app1": {Needs: verify.HostNeeds{Address: "10.0.0.101"}}}, bootstrap.Report{}
}

func (g guest) Prove(context.Context, *bootstrap.Spec, bootstrap.Site, bootstrap.Hosts) []verify.Check {
	return []verify.Check{{ID: "sidecar.running", Verdict: verify.Pass, Text: "guest"}}
}

// What a role proves stands where it belongs, and the limits of the hardware are asked for
// only of hosts whose role lives by them.
func TestVerifyOfTwoRoles(t *testing.T) {
	s := newSite(t)
	s.spec.Hosts["app1"] = bootstrap.HostSpec{Address: "10.0.0.101"}
	s.machines["app1"] = newMachine("app1")
	e := s.engine(t)
	e.Roles = append(e.Roles, guest{s.role})
	found, r := e.Verify(t.Context(), s.spec, verify.Options{})
	if found == nil {
		t.Fatal(r.Err())
	}
	if c := found.Ensemble.Checks; len(c) != 1 || c[0].ID != "ensemble.quorum" {
		t.Errorf("ensemble: %+v", c)
	}
	if c := found.Checks; len(c) != 1 || c[0].ID != "sidecar.running" {
		t.Errorf("site: %+v", c)
	}
	judged := func(host string) bool {
		for _, c := range found.Hosts[host].Checks {
			if c.ID == "host.memory" {
				return true
			}
		}
		return false
	}
	if !judged("zk1") || judged("app1") {
		t.Errorf("memory is judged on zk1 %t, on app1 %t", judged("zk1"), judged("app1"))
	}
}
