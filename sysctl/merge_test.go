package sysctl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func owned(owner string, settings ...Setting) Owned {
	return Owned{Owner: owner, Tuning: Tuning{Sysctl: settings}}
}

func TestMerge(t *testing.T) {
	tests := []struct {
		name      string
		a, b      Setting
		wantRule  Rule
		wantValue string
	}{
		{"higher of two", Setting{Value: "4096", Rule: AtLeast}, Setting{Value: "10000", Rule: AtLeast}, AtLeast, "10000"},
		{"higher field by field", Setting{Value: "1 20", Rule: AtLeast}, Setting{Value: "10 2", Rule: AtLeast}, AtLeast, "10 20"},
		{"equal exact", Setting{Value: "15000 65000"}, Setting{Value: "15000\t65000"}, Exact, "15000 65000"},
		{"exact that is high enough", Setting{Value: "30", Rule: AtLeast}, Setting{Value: "60"}, Exact, "60"},
		{"union of ports", Setting{Value: "2181,3888", Rule: PortSet}, Setting{Value: "2182-2183", Rule: PortSet}, PortSet, "2181-2183,3888"},
		{"leave gives way", Setting{Rule: Leave}, Setting{Value: "1"}, Exact, "1"},
		{"nobody asks", Setting{Rule: Leave}, Setting{Rule: Leave}, Leave, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.a.Key, tt.b.Key = "net.core.x", "net/core/x"
			for _, pair := range [][]Owned{{owned("a", tt.a), owned("b", tt.b)}, {owned("b", tt.b), owned("a", tt.a)}} {
				merged, err := Merge(pair, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := []Setting{{Key: "net.core.x", Rule: tt.wantRule, Value: tt.wantValue}}
				if diff := cmp.Diff(want, merged.Sysctl); diff != "" {
					t.Errorf("%s first (-want +got):\n%s", pair[0].Owner, diff)
				}
			}
		})
	}
}

func TestMergeConflictNamesBothOwners(t *testing.T) {
	tests := []struct {
		name string
		a, b Setting
		want string
	}{
		{"two exact values", Setting{Value: "1"}, Setting{Value: "10"},
			`sysctl["vm.x"]: sidecar wants exactly 1, zookeeper wants exactly 10; set the key in the operator's settings to decide`},
		{"exact below the floor", Setting{Value: "5"}, Setting{Value: "10", Rule: AtLeast},
			`sysctl["vm.x"]: sidecar wants exactly 5, zookeeper wants at least 10; set the key in the operator's settings to decide`},
		{"unequal fields", Setting{Value: "5 5", Rule: AtLeast}, Setting{Value: "10", Rule: AtLeast},
			`sysctl["vm.x"]: sidecar wants at least 5 5, zookeeper wants at least 10; set the key in the operator's settings to decide`},
		{"ports and numbers", Setting{Value: "5", Rule: PortSet}, Setting{Value: "10", Rule: AtLeast},
			`sysctl["vm.x"]: sidecar wants all ports of 5, zookeeper wants at least 10; set the key in the operator's settings to decide`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.a.Key, tt.b.Key = "vm.x", "vm.x"
			owners := []Owned{owned("zookeeper", tt.b), owned("sidecar", tt.a)}
			_, err := Merge(owners, nil)
			var conflict *ConflictError
			if !errors.As(err, &conflict) || err.Error() != tt.want {
				t.Fatalf("got  %v\nwant %s", err, tt.want)
			}
			if conflict.A.Owner != "sidecar" || conflict.B.Owner != "zookeeper" {
				t.Errorf("conflict is between %s and %s", conflict.A.Owner, conflict.B.Owner)
			}
			merged, err := Merge(owners, []Setting{{Key: "vm.x", Value: "7"}})
			if err != nil || merged.Sysctl[0].Value != "7" {
				t.Errorf("the operator does not decide: %v, %v", merged.Sysctl, err)
			}
		})
	}
}

func TestMergeReportsEveryFault(t *testing.T) {
	_, err := Merge([]Owned{
		{Owner: "a", Tuning: Tuning{THP: THPAlways, Sysctl: []Setting{
			{Key: "vm.b", Value: "1"}, {Key: "vm.a", Value: "1"}, {Key: "vm.dirty_bytes", Value: "9"}, {Key: "vm.bad", Value: ""}}}},
		{Owner: "b", Tuning: Tuning{THP: THPMadvise, Sysctl: []Setting{
			{Key: "vm.a", Value: "2"}, {Key: "vm.b", Value: "2"}, {Key: "vm.dirty_ratio", Value: "5"}}}},
	}, []Setting{{Key: "vm", Value: "1"}})
	const decide = "; set the key in the operator's settings to decide"
	want := strings.Join([]string{
		`sysctl["vm.bad"]: value is empty (from a)`,
		`sysctl["vm"]: key names a directory of /proc/sys; want a name such as vm.swappiness`,
		`sysctl["vm.a"]: a wants exactly 1, b wants exactly 2` + decide,
		`sysctl["vm.b"]: a wants exactly 1, b wants exactly 2` + decide,
		`sysctl["vm.dirty_bytes and vm.dirty_ratio"]: a wants exactly 9, b wants exactly 5` + decide,
		`sysctl["transparent_hugepage"]: a wants exactly always, b wants exactly madvise` + decide,
	}, "\n")
	if errText(err) != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestMergeOfBothPresets(t *testing.T) {
	zookeeper, _ := Tune(PresetZooKeeper, Safe)
	sidecar, _ := Tune(PresetSidecar, Safe)
	merged, err := Merge([]Owned{{PresetSidecar, sidecar}, {PresetZooKeeper, zookeeper}}, []Setting{
		{Key: "vm.swappiness", Value: "10"},
		{Key: "net/core/somaxconn", Value: "1024", Why: "measured"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Setting)
	for _, s := range merged.Sysctl {
		got[s.Key] = s
	}
	for key, want := range map[string]string{
		"vm.swappiness": "10", "net.core.somaxconn": "1024", "net.ipv4.tcp_tw_reuse": "1",
		"net.ipv4.ip_local_port_range": "15000 65000", "net.ipv4.tcp_keepalive_time": "60",
	} {
		if got[key].Value != want {
			t.Errorf("%s = %q, want %q", key, got[key].Value, want)
		}
	}
	if why := got["vm.swappiness"].Why; why != "set by the operator" {
		t.Errorf("reason of an override is %q", why)
	}
	if s := got["net.core.somaxconn"]; s.Why != "measured" || !s.Namespaced {
		t.Errorf("override lost its reason or what is known of the key: %+v", s)
	}
	for _, part := range []string{"source ports for backends", "while a member restarts"} {
		if why := got["net.ipv4.ip_local_port_range"].Why; !strings.Contains(why, part) {
			t.Errorf("reason %q lacks %q of one owner", why, part)
		}
	}
	if merged.THP != THPMadvise || merged.Swap != SwapWarn || merged.Limits != nil {
		t.Errorf("got huge pages %q, swap %q, limits %v", merged.THP, merged.Swap, merged.Limits)
	}
}

func TestOverrideOfATwinDropsTheOwnersKey(t *testing.T) {
	merged, err := Merge([]Owned{owned("zookeeper", Setting{Key: "vm.dirty_bytes", Value: "536870912"})},
		[]Setting{{Key: "vm.dirty_ratio", Value: "10"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{{Key: "vm.dirty_ratio", Value: "10", Why: "set by the operator"}}
	if diff := cmp.Diff(want, merged.Sysctl); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMergeIsCommutativeAndIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owners := rapid.SliceOfN(rapid.Custom(genOwned), 1, 4).Draw(t, "owners")
		merged, err := Merge(owners, nil)
		shuffled := rapid.Permutation(owners).Draw(t, "shuffled")
		for name, other := range map[string][]Owned{"shuffled": shuffled, "doubled": slices.Concat(owners, shuffled)} {
			again, errAgain := Merge(other, nil)
			if errText(err) != errText(errAgain) {
				t.Fatalf("%s: error %v, before %v", name, errAgain, err)
			}
			if diff := cmp.Diff(merged, again); diff != "" {
				t.Fatalf("%s (-first +again):\n%s", name, diff)
			}
		}
		if err != nil {
			return
		}
		again, err := Merge([]Owned{{"merged", merged}}, nil)
		if err != nil {
			t.Fatalf("the result does not merge: %v", err)
		}
		if diff := cmp.Diff(merged, again); diff != "" {
			t.Fatalf("merge of the result (-first +again):\n%s", diff)
		}
		for _, o := range owners {
			for _, s := range o.Tuning.Sysctl {
				i := slices.IndexFunc(merged.Sysctl, func(m Setting) bool { return m.Key == s.Key })
				if i < 0 || !s.Satisfied(merged.Sysctl[i].Value) {
					t.Fatalf("%s wants %s %s %q, which the result does not give: %v", o.Owner, s.Key, s.Rule, s.Value, merged.Sysctl)
				}
			}
		}
	})
}

func genOwned(t *rapid.T) Owned {
	tuning := Tuning{
		THP:  rapid.SampledFrom([]THP{THPLeave, THPMadvise, THPNever, THPAlways}).Draw(t, "thp"),
		Swap: rapid.SampledFrom([]Swap{SwapLeave, SwapWarn, SwapOff}).Draw(t, "swap"),
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "settings") {
		s := genRaiseOnly(t, fmt.Sprint("setting", i))
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			s = Setting{Key: s.Key, Rule: Leave}
		case 1:
			s.Rule = Exact
		}
		s.Level = rapid.SampledFrom([]Level{Safe, Dedicated}).Draw(t, "level")
		s.Namespaced = rapid.Bool().Draw(t, "namespaced")
		s.Why = rapid.SampledFrom([]string{"", "because", "therefore"}).Draw(t, "why")
		tuning.Sysctl = append(tuning.Sysctl, s)
	}
	return Owned{rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "owner"), tuning}
}

// genRaiseOnly makes settings of few keys, so that they meet.
func genRaiseOnly(t *rapid.T, label string) Setting {
	key := rapid.SampledFrom([]string{"net.core.a", "net.core.b", "vm.dirty_bytes", "vm.dirty_ratio", ReservedPorts}).Draw(t, label+" key")
	if key == ReservedPorts {
		return Setting{Key: key, Value: genPorts(t, label).String(), Rule: PortSet}
	}
	return Setting{Key: key, Value: genNumbers(t, label, 2), Rule: AtLeast}
}

func genNumbers(t *rapid.T, label string, fields int) string {
	numbers := make([]number, fields)
	for i := range numbers {
		magnitude := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64()).Draw(t, label)
		numbers[i] = number{rapid.Bool().Draw(t, label) && magnitude > 0, magnitude}
	}
	return formatNumbers(numbers)
}

func genPorts(t *rapid.T, label string) Ports {
	var ranges []PortRange
	for range rapid.IntRange(1, 4).Draw(t, label) {
		a, b := rapid.Uint16().Draw(t, label), rapid.Uint16().Draw(t, label)
		ranges = append(ranges, PortRange{min(a, b), max(a, b)})
	}
	return joinRanges(ranges)
}

// On a host with two owners each sets what it asks for itself, and what both ask for alike.
func TestPartOfAnOwner(t *testing.T) {
	zookeeper, _ := Tune(PresetZooKeeper, Safe)
	sidecar, _ := Tune(PresetSidecar, Safe)
	owned := []Owned{{PresetSidecar, sidecar}, {PresetZooKeeper, zookeeper}}
	overrides := []Setting{{Key: "net.core.rmem_max", Value: "1048576"}}
	part := func(owner string) map[string]Setting {
		got, err := Part(owner, owned, overrides)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]THP{PresetSidecar: THPLeave, PresetZooKeeper: THPMadvise}[owner]; got.THP != want || len(got.Limits) == 0 {
			t.Errorf("%s: huge pages %q, want %q; limits %v", owner, got.THP, want, got.Limits)
		}
		by := map[string]Setting{}
		for _, s := range got.Sysctl {
			if by[s.Key] = s; s.Rule == Leave {
				t.Errorf("%s sets %s, which it leaves alone", owner, s.Key)
			}
		}
		return by
	}
	a, b := part(PresetSidecar), part(PresetZooKeeper)
	for key, where := range map[string][2]bool{
		"net.core.somaxconn": {true, true}, "net.core.rmem_max": {true, true},
		"net.ipv4.tcp_tw_reuse": {true, false}, "vm.swappiness": {false, true},
	} {
		x, inA := a[key]
		y, inB := b[key]
		if inA != where[0] || inB != where[1] || inA && inB && x != y {
			t.Errorf("%s: sidecar %t %+v, zookeeper %t %+v", key, inA, x, inB, y)
		}
	}
	if _, err := Part("a", []Owned{{"a", Tuning{Sysctl: []Setting{{Key: "vm.x", Value: "1"}}}}, {"b", Tuning{Sysctl: []Setting{{Key: "vm.x", Value: "2"}}}}}, nil); err == nil {
		t.Error("a conflict is none")
	}
}
