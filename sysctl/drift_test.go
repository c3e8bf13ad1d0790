package sysctl

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	const key = "net.core.somaxconn"
	later := func(value string) *Origin {
		return &Origin{Path: "/etc/sysctl.d/99-x.conf", Line: 3, Key: key, Value: value}
	}
	unset := &Origin{Path: "/etc/sysctl.d/99-x.conf", Line: 3, Key: key, Unset: true}
	tests := []struct {
		name string
		have map[string]Value
		want State
		text string
	}{
		{"nobody looked", nil, Unknown, "net.core.somaxconn: unknown"},
		{"as wanted", map[string]Value{key: {Text: "4096\n", Access: Writable}}, Unchanged,
			`net.core.somaxconn: unchanged, is "4096"`},
		{"raised by the operator", map[string]Value{key: {Text: "9000\n", Access: Writable}}, Unchanged,
			`net.core.somaxconn: unchanged, is "9000"`},
		{"lower", map[string]Value{key: {Text: "128\n", Access: Writable}}, Differs,
			`net.core.somaxconn: differs, is "128", want at least "4096"`},
		{"lower in a container", map[string]Value{key: {Text: "128\n", Access: ReadOnly}}, HostOwned,
			`net.core.somaxconn: owned by the host, is "128", want at least "4096"`},
		{"as wanted in a container", map[string]Value{key: {Text: "4096\n", Access: ReadOnly}}, Unchanged,
			`net.core.somaxconn: unchanged, is "4096"`},
		{"not readable", map[string]Value{key: {Access: ReadOnly}}, HostOwned,
			`net.core.somaxconn: owned by the host, is "", want at least "4096"`},
		{"not there", map[string]Value{key: {Access: Absent}}, HostOwned,
			`net.core.somaxconn: owned by the host, is "", want at least "4096"`},
		{"taken back at boot", map[string]Value{key: {Text: "4096\n", Access: Writable, Later: later("128")}}, Overridden,
			`net.core.somaxconn: overridden by a later file, is "4096"; /etc/sysctl.d/99-x.conf:3 sets "128" at boot by net.core.somaxconn`},
		{"raised at boot", map[string]Value{key: {Text: "4096\n", Access: Writable, Later: later("9000")}}, Unchanged,
			`net.core.somaxconn: unchanged, is "4096"`},
		{"unset at boot", map[string]Value{key: {Text: "4096\n", Access: Writable, Later: unset}}, Overridden,
			`net.core.somaxconn: overridden by a later file, is "4096"; /etc/sysctl.d/99-x.conf:3 leaves it unset at boot`},
		{"lower, and taken back at boot", map[string]Value{key: {Text: "128\n", Access: Writable, Later: later("128")}}, Differs,
			`net.core.somaxconn: differs, is "128", want at least "4096"; /etc/sysctl.d/99-x.conf:3 sets "128" at boot by net.core.somaxconn`},
	}
	want := []Setting{{Key: "vm.overcommit_memory", Rule: Leave}, {Key: key, Value: "4096", Rule: AtLeast}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drifts := Diff(want, tt.have)
			if len(drifts) != 1 {
				t.Fatalf("a row that is left alone drifts: %v", drifts)
			}
			if drifts[0].State != tt.want || drifts[0].String() != tt.text {
				t.Errorf("got  %s\nwant %s", drifts[0], tt.text)
			}
		})
	}
}

func TestOutcomeTellsWhatWasApplied(t *testing.T) {
	want := []Setting{{Key: "a.taken", Value: "1"}, {Key: "a.kept", Value: "1"}, {Key: "a.refused", Value: "1"}, {Key: "a.spoilt", Value: "1"}}
	spoil := &Origin{Path: "/etc/sysctl.d/99-x.conf", Line: 1, Key: "a.spoilt", Value: "0"}
	before := Diff(want, map[string]Value{
		"a.taken": {Text: "0", Access: Writable}, "a.kept": {Text: "1", Access: Writable},
		"a.refused": {Text: "0", Access: Writable}, "a.spoilt": {Text: "0", Access: Writable, Later: spoil},
	})
	after := Diff(want, map[string]Value{
		"a.taken": {Text: "1", Access: Writable}, "a.kept": {Text: "1", Access: Writable},
		"a.refused": {Text: "0", Access: Writable}, "a.spoilt": {Text: "1", Access: Writable, Later: spoil},
	})
	got := make(map[string]string)
	for _, d := range Outcome(before, after) {
		got[d.Setting.Key] = d.String()
	}
	if diff := cmp.Diff(map[string]string{
		"a.taken":   `a.taken: applied, is "1"`,
		"a.kept":    `a.kept: unchanged, is "1"`,
		"a.refused": `a.refused: differs, is "0", want exactly "1"`,
		"a.spoilt":  `a.spoilt: applied, is "1"; /etc/sysctl.d/99-x.conf:1 sets "0" at boot by a.spoilt`,
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestResolveNeverLowersAtBoot(t *testing.T) {
	want := []Setting{
		{Key: "fs.file-max", Value: "262144", Rule: AtLeast},
		{Key: "fs.nr_open", Value: "262144", Rule: AtLeast}, // nobody looked
		{Key: "net.core.somaxconn", Value: "4096", Rule: AtLeast},
		{Key: "net.ipv4.tcp_tw_reuse", Rule: Leave},
		{Key: ReservedPorts, Value: "2181", Rule: PortSet},
		{Key: "vm.swappiness", Value: "1"},
	}
	got := Resolve(want, map[string]Value{
		"fs.file-max":        {Text: "9223372036854775807\n", Access: ReadOnly},
		"net.core.somaxconn": {Access: Absent},
		ReservedPorts:        {Text: "9000\n", Access: Writable},
		"vm.swappiness":      {Text: "60\n", Access: Writable},
	})
	resolved := []Setting{
		{Key: "fs.file-max", Value: "9223372036854775807", Rule: AtLeast},
		{Key: "net.core.somaxconn", Value: "4096", Rule: AtLeast},
		{Key: ReservedPorts, Value: "2181,9000", Rule: PortSet},
		{Key: "vm.swappiness", Value: "1"},
	}
	if diff := cmp.Diff(resolved, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
