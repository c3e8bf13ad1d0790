package bootstrap_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// witness is a role with a unit, which keeps what it was shown for its proof.
type witness struct {
	*toyRole
	shown *bootstrap.Site
}

func (w witness) Compile(s *bootstrap.Spec, now bootstrap.Site) (map[string]bootstrap.Desired, bootstrap.Report) {
	want, r := w.toyRole.Compile(s, now)
	for host, d := range want {
		d.Needs.Units = []string{"toy.service"}
		want[host] = d
	}
	return want, r
}

func (w witness) Prove(_ context.Context, _ *bootstrap.Spec, now bootstrap.Site, _ bootstrap.Hosts) []verify.Check {
	*w.shown = now
	return nil
}

// A burst of meaningless bytes goes to servers of ours alone; both ways of a pair are held
// against each other; and a role proves with what was measured.
func TestVerifyOfTheWayBetweenMembers(t *testing.T) {
	s := newSite(t)
	owners := map[string]*verify.Process{"zk1": {Name: "java", Unit: "toy.service"}, "zk2": {Name: "java", Unit: "other.service"}}
	mtu := map[string]int{"zk1": 1500, "zk2": 1420, "zk3": 1500}
	asked := map[string]map[string]bool{}
	for name, m := range s.machines {
		if p := owners[name]; p != nil {
			m.Facts.Listeners = []verify.Listener{{Address: "10.0.0.1", Port: 22, Process: &verify.Process{Unit: "toy.service"}}, {Address: "10.0.0.1", Port: 3888, Process: p}}
		}
		asked[name] = map[string]bool{}
		m.Probes = func(q verify.Query) (verify.Result, error) {
			if q.Net == nil { // a reading of the clock
				return verify.Result{}, nil
			}
			r := fastDisk()
			for _, target := range q.Net.Targets {
				asked[name][target.Name] = target.Burst
				r.Net = append(r.Net, verify.NetResult{NetTarget: target, Sent: 1, Latency: verify.Latency{Samples: 1, P99: 1},
					Path: &verify.PathResult{Passed: true, MTU: mtu[name], LinkMTU: mtu[name]}})
			}
			return r, nil
		}
	}
	e := s.engine(t)
	var shown bootstrap.Site
	e.Roles = []bootstrap.Role{witness{s.role, &shown}}
	e.Limit = 1 // the probes write to one map
	found, r := e.Verify(t.Context(), s.spec, verify.Options{})
	if found == nil {
		t.Fatal(r.Err())
	}
	want := map[string]map[string]bool{"zk1": {"zk2": false, "zk3": false}, "zk2": {"zk1": true, "zk3": false}, "zk3": {"zk1": true, "zk2": false}}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("who may be sent a burst (-want +got):\n%s", diff)
	}
	for _, p := range found.Pairs {
		uneven := (p.From == "zk2") != (p.To == "zk2")
		for _, c := range p.Checks {
			if c.ID == "net.mtu" && (c.Verdict == verify.Warn) != uneven {
				t.Errorf("%s to %s: %+v", p.From, p.To, c)
			}
		}
	}
	for name, seen := range shown.Hosts {
		if len(seen.Probed.Net) != 2 || seen.Probed.Fsync == nil {
			t.Errorf("%s: a role is shown %+v", name, seen.Probed)
		}
	}
	if len(shown.Hosts) != 3 {
		t.Errorf("a role is shown %d hosts", len(shown.Hosts))
	}
}
