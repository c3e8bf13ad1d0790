package provider

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/zkboot/zkboot/bootstrap"
)

// What a host has is told by the hashes that its manifest has, and what an apply changes by
// a difference between that and what it leaves.
func TestThings(t *testing.T) {
	edited := bootstrap.File{Path: toyConf.Name(), Content: "edited\n", Mode: 0o644, Owner: "root", Group: "root"}
	for name, c := range map[string]struct {
		change func(*fleet, *bootstrap.Spec)
		differ map[bootstrap.ID]string // is: as applied, other, missing
		after  bool                    // an apply leaves another hash than the one applied
	}{
		"right after an apply": {func(*fleet, *bootstrap.Spec) {}, nil, false},
		"edited by hand":       {func(f *fleet, _ *bootstrap.Spec) { f.machines["zk1"].Set(edited) }, map[bootstrap.ID]string{toyConf: "other"}, false},
		"deleted by hand":      {func(f *fleet, _ *bootstrap.Spec) { f.machines["zk1"].Remove(toyConf) }, map[bootstrap.ID]string{toyConf: "missing"}, false},
		"another configuration": {func(_ *fleet, s *bootstrap.Spec) { s.Ensemble.Config = map[string]string{"tickTime": "3000"} },
			map[bootstrap.ID]string{toyConf: "other", toyUnit: "other"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet("zk1")
			spec, eng := f.spec(), f.stand(t)
			applied := found(t, eng, spec).things["zk1"]
			if applied[string(toyConf)] == "" || applied[string(toyUnit)] == "" || applied[string(toyData)] == "" {
				t.Fatalf("after an apply something is missing in %v", applied)
			}
			c.change(f, spec)
			got := found(t, eng, spec)
			for id, hash := range applied {
				is := "as applied"
				if now, ok := got.things["zk1"][id]; !ok {
					is = "missing"
				} else if now != got.wanted["zk1"][id] {
					is = "other"
				}
				want := c.differ[bootstrap.ID(id)]
				if want == "" {
					want = "as applied"
				}
				if is != want {
					t.Errorf("%s is %s, want %s", id, is, want)
				}
				if changed := got.wanted["zk1"][id] != hash; changed != (c.after && want == "other") {
					t.Errorf("%s: an apply leaves another hash: %v", id, changed)
				}
			}
		})
	}
}

// What goes is in the one and not in the other; a host that the gate must judge is unknown.
func TestThingsThatGoAndHostsThatAreNew(t *testing.T) {
	f := newFleet("zk1")
	spec, eng := f.spec(), f.stand(t)
	now, _ := eng.Look(t.Context(), spec)
	plan := &bootstrap.Plan{Prove: []bootstrap.Proof{{Host: "zk2"}}, Waves: []bootstrap.Wave{{Steps: map[string][]bootstrap.Step{
		"zk1": {{Action: bootstrap.ActionDelete, Owner: "main.toy", Target: toyConf}, {Action: bootstrap.ActionRelease, Owner: "main.toy", Target: toyData},
			{Action: bootstrap.ActionCreate, Target: "file:/formation"}},
	}}}}
	now.Hosts["zk2"] = bootstrap.Seen{}
	before, after := thingsOf(eng.Roles, spec, now, plan), thingsAfter(eng.Roles, spec, now, plan)
	for _, id := range []bootstrap.ID{toyConf, toyData} {
		if before["zk1"][string(id)] == "" || after["zk1"][string(id)] != "" {
			t.Errorf("%s: %q before, %q after", id, before["zk1"][string(id)], after["zk1"][string(id)])
		}
	}
	if _, ok := after["zk1"]["file:/formation"]; ok {
		t.Error("a thing without an owner is listed")
	}
	value := after.value([]string{"zk1", "zk2"}).Elements()
	if value["zk1"].IsUnknown() || !value["zk2"].IsUnknown() {
		t.Errorf("the hosts became %v", value)
	}
}

func found(t *testing.T, eng *bootstrap.Engine, spec *bootstrap.Spec) *drifted {
	t.Helper()
	now, _ := eng.Look(t.Context(), spec)
	d, report := drift(eng, spec, now)
	if d == nil {
		t.Fatal(report.Err())
	}
	return d
}

// Terraform refuses an apply whose result differs from what was planned as known.
func TestPromisedThingsAreKept(t *testing.T) {
	seen := things{"zk1": {"a": "1", "new": "2"}, "zk2": {"b": "3"}}
	planned := types.MapValueMust(thingsType, map[string]attr.Value{"zk1": textMap(map[string]string{"a": "0"}), "zk2": types.MapUnknown(types.StringType)})
	want := things{"zk1": {"a": "0"}, "zk2": {"b": "3"}}
	if diff := cmp.Diff(want, seen.promised(planned)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(seen, seen.promised(types.MapUnknown(thingsType))); diff != "" {
		t.Errorf("nothing was promised (-want +got):\n%s", diff)
	}
}

// notes is private state in memory.
type notes map[string][]byte

func (n notes) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) { return n[key], nil }

func (n notes) SetKey(_ context.Context, key string, value []byte) diag.Diagnostics {
	n[key] = value
	return nil
}

func TestWantedIsACache(t *testing.T) {
	n := notes{}
	want := things{"zk1": {"a": "1"}}
	if d := want.save(t.Context(), n); d.HasError() {
		t.Fatal(d)
	}
	if got, _ := loadWanted(t.Context(), n); !cmp.Equal(want, got) {
		t.Errorf("got %v", got)
	}
	n[wantedKey] = []byte("{")
	for name, from := range map[string]notes{"lost": {}, "broken": n} {
		if got, d := loadWanted(t.Context(), from); got != nil || d.HasError() {
			t.Errorf("%s: %v, %v", name, got, d)
		}
	}
}
