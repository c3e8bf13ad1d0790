package sysctl

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSatisfiedAndTarget(t *testing.T) {
	tests := []struct {
		name       string
		setting    Setting
		live       string
		satisfied  bool
		wantTarget string
	}{
		{"equal after the kernel's tabs", Setting{Key: "net.ipv4.ip_local_port_range", Value: "15000 65000"}, "15000\t65000\n", true, "15000 65000"},
		{"exact lowers too", Setting{Key: "vm.swappiness", Value: "1"}, "60\n", false, "1"},
		{"raised", Setting{Value: "4096", Rule: AtLeast}, "128\n", false, "4096"},
		{"an operator's higher value stays", Setting{Value: "4096", Rule: AtLeast}, "65535\n", true, "65535"},
		{"numbers are not text", Setting{Value: "4096", Rule: AtLeast}, "10000", true, "10000"},
		{"systemd's fs.file-max", Setting{Value: "262144", Rule: AtLeast}, "9223372036854775807", true, "9223372036854775807"},
		{"beyond int64", Setting{Value: "262144", Rule: AtLeast}, "18446744073692774399", true, "18446744073692774399"},
		{"negative is below", Setting{Value: "0", Rule: AtLeast}, "-1", false, "0"},
		{"each field by itself", Setting{Value: "4096 131072 1000", Rule: AtLeast}, "8192\t1\t2000", false, "8192 131072 2000"},
		{"unequal fields take the wish", Setting{Value: "4096 131072", Rule: AtLeast}, "8192", false, "4096 131072"},
		{"text takes the wish", Setting{Value: "4096", Rule: AtLeast}, "cubic", false, "4096"},
		{"nothing read", Setting{Value: "4096", Rule: AtLeast}, "", false, "4096"},
		{"ports are added", Setting{Value: "2181,3888", Rule: PortSet}, "9000-9002\n", false, "2181,3888,9000-9002"},
		{"more ports than wanted stay", Setting{Value: "2181", Rule: PortSet}, "2000-3000\n", true, "2000-3000"},
		{"no ports reserved", Setting{Value: "2181", Rule: PortSet}, "\n", false, "2181"},
		{"exact ports compare as a set", Setting{Key: ReservedPorts, Value: "7001,7000"}, "7000-7001\n", true, "7001,7000"},
		{"left alone", Setting{Rule: Leave}, "2\n", true, "2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.setting.Satisfied(tt.live); got != tt.satisfied {
				t.Errorf("Satisfied(%q) = %v", tt.live, got)
			}
			if got := tt.setting.Target(tt.live); got != tt.wantTarget {
				t.Errorf("Target(%q) = %q, want %q", tt.live, got, tt.wantTarget)
			}
		})
	}
}

func TestTargetNeverLowersAndAlwaysSatisfies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, live := genRaiseOnly(t, "want"), ""
		if s.Rule == PortSet {
			live = genPorts(t, "live").String()
		} else {
			live = genNumbers(t, "live", 2)
		}
		target := s.Target(live)
		if !s.Satisfied(target) {
			t.Fatalf("target %q of live %q does not satisfy %s %q", target, live, s.Rule, s.Value)
		}
		if asked := (Setting{Value: live, Rule: s.Rule}); !asked.Satisfied(target) {
			t.Fatalf("target %q takes away from live %q", target, live)
		}
		if s.Satisfied(live) && target != live {
			t.Fatalf("live %q satisfies but target is %q", live, target)
		}
		if again := s.Target(target); again != target {
			t.Fatalf("target of target %q is %q", target, again)
		}
	})
}

func TestValidateNamesEveryFault(t *testing.T) {
	settings := []Setting{
		{Key: "vm.swappiness", Value: "1"},
		{Key: "vm/swappiness", Value: "2"},
		{Key: "", Value: "1"},
		{Key: "net", Value: "1"},
		{Key: "net.ipv4.conf.*.rp_filter", Value: "1"},
		{Key: "kernel/../../etc/passwd", Value: "1"},
		{Key: "kernel.a b", Value: "1"},
		{Key: "kernel.domainname", Value: "a\nvm.swappiness = 100"},
		{Key: "kernel.hostname", Value: " "},
		{Key: "net.core.somaxconn", Value: "many", Rule: AtLeast},
		{Key: ReservedPorts, Value: "3888-2888"},
		{Key: "kernel.pid_max", Rule: Rule(9)},
		{Key: "vm.dirty_bytes", Value: "1"},
		{Key: "vm.dirty_ratio", Value: "1"},
	}
	want := `sysctl["vm/swappiness"]: is given twice; keep one
sysctl[""]: key is empty
sysctl["net"]: key names a directory of /proc/sys; want a name such as vm.swappiness
sysctl["net.ipv4.conf.*.rp_filter"]: key is a pattern; name each key
sysctl["kernel/../../etc/passwd"]: key holds a parent directory
sysctl["kernel.a b"]: key holds a space, a control character, an equals sign or bytes that are not UTF-8
sysctl["kernel.domainname"]: value spans lines; want one line
sysctl["kernel.hostname"]: value is empty
sysctl["net.core.somaxconn"]: value many is not a list of whole numbers, which a raise-only setting needs
sysctl["net.ipv4.ip_local_reserved_ports"]: port list "3888-2888": "3888-2888" is neither a port nor a rising range of ports 0-65535
sysctl["kernel.pid_max"]: rule is unknown
sysctl["vm.dirty_ratio"]: clears vm.dirty_bytes, which is given too; keep one`
	if got := errText(Validate(settings)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := Validate([]Setting{{Key: ReservedPorts, Value: "", Rule: PortSet}, {Key: "vm.overcommit_memory", Rule: Leave}}); err != nil {
		t.Errorf("sound settings are refused: %v", err)
	}
}

func TestCanonicalKeys(t *testing.T) {
	tests := []struct{ key, want, proc string }{
		{"vm.swappiness", "vm.swappiness", "/proc/sys/vm/swappiness"},
		{"vm/swappiness", "vm.swappiness", "/proc/sys/vm/swappiness"},
		{"/vm//swappiness", "vm.swappiness", "/proc/sys/vm/swappiness"},
		{"net.ipv4.conf.eth0/200.forwarding", "net.ipv4.conf.eth0/200.forwarding", "/proc/sys/net/ipv4/conf/eth0.200/forwarding"},
		{"net/ipv4/conf/eth0.200/forwarding", "net.ipv4.conf.eth0/200.forwarding", "/proc/sys/net/ipv4/conf/eth0.200/forwarding"},
	}
	for _, tt := range tests {
		if got := Canonical(tt.key); got != tt.want {
			t.Errorf("Canonical(%q) = %q, want %q", tt.key, got, tt.want)
		}
		if got := ProcPath(tt.key); got != tt.proc {
			t.Errorf("ProcPath(%q) = %q, want %q", tt.key, got, tt.proc)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add("net.ipv4.conf.eth0/200.forwarding")
	f.Add("net/ipv4/conf/eth0.200/forwarding")
	f.Add("/a.b/c")
	f.Fuzz(func(t *testing.T, key string) {
		once := Canonical(key)
		if keyProblem(once) != "" {
			return
		}
		if twice := Canonical(once); twice != once {
			t.Errorf("Canonical(%q) = %q, and of that %q", key, once, twice)
		}
		if ProcPath(key) != ProcPath(once) {
			t.Errorf("%q is the file %s, its canonical form %s", key, ProcPath(key), ProcPath(once))
		}
	})
}

func TestParsePorts(t *testing.T) {
	tests := []struct{ text, want, wantErr string }{
		{"", "", ""},
		{" \n", "", ""},
		{"2181,2888-2890\n", "2181,2888-2890", ""},
		{"8081,8080,8080", "8080-8081", ""},
		{"1-10,5-7,11", "1-11", ""},
		{"0,65535", "0,65535", ""},
		{"65534-65535,65535", "65534-65535", ""},
		{"65536", "", `port list "65536": "65536" is neither a port nor a rising range of ports 0-65535`},
		{"10-5", "", `port list "10-5": "10-5" is neither a port nor a rising range of ports 0-65535`},
		{"1,,2", "", `port list "1,,2": "" is neither a port nor a rising range of ports 0-65535`},
		{"1-2-3", "", `port list "1-2-3": "1-2-3" is neither a port nor a rising range of ports 0-65535`},
		{"zk", "", `port list "zk": "zk" is neither a port nor a rising range of ports 0-65535`},
	}
	for _, tt := range tests {
		got, err := ParsePorts(tt.text)
		if got.String() != tt.want || errText(err) != tt.wantErr {
			t.Errorf("ParsePorts(%q) = %q, %v; want %q, %s", tt.text, got, err, tt.want, tt.wantErr)
		}
	}
}

func FuzzParsePorts(f *testing.F) {
	f.Add("2181,2888-2890")
	f.Add("65535,0-1")
	f.Fuzz(func(t *testing.T, text string) {
		ports, err := ParsePorts(text)
		if err != nil {
			if ports != nil {
				t.Errorf("ParsePorts(%q) gives %s along with %v", text, ports, err)
			}
			return
		}
		again, err := ParsePorts(ports.String())
		if err != nil || again.String() != ports.String() || !again.ContainsAll(ports) {
			t.Errorf("%q reads as %s and that as %s, %v", text, ports, again, err)
		}
	})
}
