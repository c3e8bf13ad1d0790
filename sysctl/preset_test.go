package sysctl

import (
	"slices"
	"strings"
	"testing"
)

func mustPreset(t *testing.T, name string) []Setting {
	t.Helper()
	settings, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

func mustPorts(t *testing.T, text string) Ports {
	t.Helper()
	ports, err := ParsePorts(text)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

func TestEveryPresetRowIsExplainedAndInOrder(t *testing.T) {
	for _, name := range []string{PresetZooKeeper, PresetSidecar} {
		t.Run(name, func(t *testing.T) {
			settings := mustPreset(t, name)
			if err := Validate(settings); err != nil {
				t.Error(err)
			}
			for i, s := range settings {
				if s.Why == "" {
					t.Errorf("%s has no reason", s.Key)
				}
				if !strings.HasPrefix(s.Source, "https://") {
					t.Errorf("%s has no public source", s.Key)
				}
				if s.Key != Canonical(s.Key) {
					t.Errorf("%s is not canonical, want %s", s.Key, Canonical(s.Key))
				}
				if s.Value != canonicalValue(s) {
					t.Errorf("%s = %q would read back as %q", s.Key, s.Value, canonicalValue(s))
				}
				if i > 0 && settings[i-1].Key >= s.Key {
					t.Errorf("%s stands after %s", s.Key, settings[i-1].Key)
				}
				if (s.Rule == Leave) != (s.Value == "") {
					t.Errorf("%s is %s but has value %q", s.Key, s.Rule, s.Value)
				}
				if s.Namespaced && !strings.HasPrefix(s.Key, "net.") {
					t.Errorf("%s cannot be set in a container", s.Key)
				}
			}
		})
	}
}

func TestPresetValues(t *testing.T) {
	tests := []struct {
		preset, key, value string
		rule               Rule
		level              Level
	}{
		{PresetZooKeeper, "vm.swappiness", "1", Exact, Safe},
		{PresetZooKeeper, "vm.dirty_background_bytes", "67108864", Exact, Dedicated},
		{PresetZooKeeper, "vm.dirty_bytes", "536870912", Exact, Dedicated},
		{PresetZooKeeper, "vm.dirty_expire_centisecs", "500", Exact, Dedicated},
		{PresetZooKeeper, "vm.dirty_writeback_centisecs", "100", Exact, Dedicated},
		{PresetZooKeeper, "kernel.numa_balancing", "0", Exact, Dedicated},
		{PresetZooKeeper, "net.core.somaxconn", "4096", AtLeast, Safe},
		{PresetZooKeeper, "net.ipv4.ip_local_port_range", "15000 65000", Exact, Safe},
		{PresetZooKeeper, "net.ipv4.ip_local_reserved_ports", "2181,2281,2888,3888,7000,8080", PortSet, Safe},
		{PresetZooKeeper, "net.ipv4.tcp_keepalive_time", "60", Exact, Safe},
		{PresetZooKeeper, "net.ipv4.tcp_keepalive_intvl", "10", Exact, Safe},
		{PresetZooKeeper, "net.ipv4.tcp_keepalive_probes", "6", Exact, Safe},
		{PresetZooKeeper, "net.ipv4.tcp_retries2", "8", Exact, Dedicated},
		{PresetZooKeeper, "net.ipv4.tcp_fin_timeout", "30", AtLeast, Safe},
		{PresetZooKeeper, "net.ipv4.tcp_tw_reuse", "", Leave, Safe},
		{PresetZooKeeper, "fs.file-max", "262144", AtLeast, Safe},
		{PresetSidecar, "net.ipv4.tcp_tw_reuse", "1", Exact, Safe},
		{PresetSidecar, "net.ipv4.ip_local_port_range", "15000 65000", Exact, Safe},
		{PresetSidecar, "net.core.somaxconn", "4096", AtLeast, Safe},
	}
	for _, tt := range tests {
		t.Run(tt.preset+"/"+tt.key, func(t *testing.T) {
			settings := mustPreset(t, tt.preset)
			i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == tt.key })
			if i < 0 {
				t.Fatal("row is missing")
			}
			if s := settings[i]; s.Value != tt.value || s.Rule != tt.rule || s.Level != tt.level {
				t.Errorf("got %s %q on %s hosts, want %s %q on %s hosts", s.Rule, s.Value, s.Level, tt.rule, tt.value, tt.level)
			}
		})
	}
}

func TestUnknownPresetNamesTheKnownOnes(t *testing.T) {
	for _, call := range []func() error{
		func() error { _, err := Preset("zokeeper"); return err },
		func() error { _, err := Tune("zokeeper", Safe); return err },
	} {
		if err := call(); err == nil || err.Error() != `unknown preset "zokeeper": want sidecar or zookeeper` {
			t.Errorf("got %v", err)
		}
	}
}

// A member that restarts finds its port taken when the kernel may have handed it
// to an outgoing connection.
func TestNoOutgoingConnectionTakesAPortOfZooKeeper(t *testing.T) {
	value := make(map[string]string)
	for _, s := range mustPreset(t, PresetZooKeeper) {
		value[s.Key] = s.Value
	}
	low, high, ok := strings.Cut(value["net.ipv4.ip_local_port_range"], " ")
	if !ok {
		t.Fatalf("port range %q has no two ends", value["net.ipv4.ip_local_port_range"])
	}
	outgoing := mustPorts(t, low+"-"+high)
	reserved := mustPorts(t, value[ReservedPorts])
	for _, port := range []uint16{2181, 2281, 2888, 3888, 7000, 8080} {
		if outgoing.Contains(port) {
			t.Errorf("port %d is in the local port range %s", port, outgoing)
		}
		if !reserved.Contains(port) {
			t.Errorf("port %d is not in the reserved ports %s", port, reserved)
		}
	}
}

func TestTuneByLevel(t *testing.T) {
	safe, err := Tune(PresetZooKeeper, Safe)
	if err != nil {
		t.Fatal(err)
	}
	dedicated, err := Tune(PresetZooKeeper, Dedicated)
	if err != nil {
		t.Fatal(err)
	}
	if safe.Swap != SwapWarn || dedicated.Swap != SwapOff {
		t.Errorf("swap is %q on safe and %q on dedicated hosts, want warn and off", safe.Swap, dedicated.Swap)
	}
	if safe.THP != THPMadvise || dedicated.THP != THPMadvise {
		t.Errorf("huge pages are %q and %q, want madvise", safe.THP, dedicated.THP)
	}
	isDirtyBytes := func(s Setting) bool { return s.Key == "vm.dirty_bytes" }
	if slices.ContainsFunc(safe.Sysctl, isDirtyBytes) || !slices.ContainsFunc(dedicated.Sysctl, isDirtyBytes) {
		t.Error("vm.dirty_bytes belongs on dedicated hosts and on no other")
	}
	sidecar, err := Tune(PresetSidecar, Dedicated)
	if err != nil {
		t.Fatal(err)
	}
	if sidecar.THP != THPLeave || sidecar.Swap != SwapLeave {
		t.Errorf("the sidecar sets huge pages %q and swap %q, which are the application's", sidecar.THP, sidecar.Swap)
	}
	for _, tuning := range []Tuning{safe, dedicated, sidecar} {
		for _, l := range tuning.Limits {
			if l.Soft > l.Hard || l.Why == "" || !strings.HasPrefix(l.Source, "https://") {
				t.Errorf("limit %s is not sound: %+v", l.Name, l)
			}
		}
		if !slices.IsSortedFunc(tuning.Limits, func(a, b Limit) int { return strings.Compare(string(a.Name), string(b.Name)) }) {
			t.Errorf("limits are out of order: %v", tuning.Limits)
		}
	}
}

func TestParseTHP(t *testing.T) {
	tests := []struct {
		text    string
		want    THP
		wantErr string
	}{
		{"always [madvise] never\n", THPMadvise, ""},
		{"[always] madvise never", THPAlways, ""},
		{"always madvise [never]", THPNever, ""},
		{"always madvise never", THPLeave, `transparent huge pages: "always madvise never" names no live mode in brackets`},
		{"[sometimes]", THPLeave, `transparent huge pages: "[sometimes]" names no live mode in brackets`},
		{"[]", THPLeave, `transparent huge pages: "[]" names no live mode in brackets`},
	}
	for _, tt := range tests {
		got, err := ParseTHP(tt.text)
		if got != tt.want || errText(err) != tt.wantErr {
			t.Errorf("ParseTHP(%q) = %q, %v; want %q, %s", tt.text, got, err, tt.want, tt.wantErr)
		}
	}
	if !THPMadvise.Satisfied(THPNever) || THPMadvise.Satisfied(THPAlways) || THPNever.Satisfied(THPMadvise) || !THPLeave.Satisfied(THPAlways) {
		t.Error("madvise accepts never, and nothing else accepts another mode")
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
