package lab

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInjectionSaysWhatIsWrong(t *testing.T) {
	peer := []netip.Addr{netip.MustParseAddr("10.231.7.12")}
	for _, tt := range []struct {
		name string
		in   Injection
		want []string // none: it is valid
	}{
		{"kill", Injection{Fault: FaultKill, Unit: "zookeeper-main.service"}, nil},
		{"pause", Injection{Fault: FaultPause, Unit: "nginx.service"}, nil},
		{"partition from everyone", Injection{Fault: FaultPartition}, nil},
		{"one-way partition", Injection{Fault: FaultPartitionIn, Peers: peer}, nil},
		{"slow disk", Injection{Fault: FaultSlowDisk, Unit: "zookeeper-main.service", Delay: 20 * time.Millisecond}, nil},
		{"three syncs that fail", Injection{Fault: FaultEIO, Unit: "zookeeper-main.service", Count: 3}, nil},
		{"full log", Injection{Fault: FaultFillDisk}, nil},
		{"full data", Injection{Fault: FaultFillDisk, Dir: "/var/lib/zookeeper"}, nil},
		{"a unit that is not looked at", Injection{Fault: FaultReboot, Unit: "zookeeper-main.service"}, nil},
		{"unknown", Injection{Fault: "earthquake"},
			[]string{`fault: "earthquake" is unknown, want one of kill, pause, partition, partition-in, partition-out, slow-disk, eio, fill-disk, reboot, power-cut`}},
		{"no unit", Injection{Fault: FaultKill}, []string{`unit: "": kill wants`}},
		{"a unit that is an option", Injection{Fault: FaultPause, Unit: "--all.service"}, []string{`unit: "--all.service"`}},
		{"a unit without its type", Injection{Fault: FaultPause, Unit: "nginx"}, []string{`with .service`}},
		{"no delay", Injection{Fault: FaultSlowDisk, Unit: "a.service"}, []string{"delay: 0s: want 1ms to 1m0s"}},
		{"too many", Injection{Fault: FaultEIO, Unit: "a.service", Count: -1}, []string{"count: -1"}},
		{"a directory of somebody else", Injection{Fault: FaultFillDisk, Dir: "/etc"}, []string{`dir: "/etc": want one of /var/lib/zookeeper-log, /var/lib/zookeeper`}},
		{"IPv6", Injection{Fault: FaultPartition, Peers: []netip.Addr{netip.MustParseAddr("::1")}}, []string{"peers: ::1 is not an IPv4 address"}},
		{"all that belongs elsewhere", Injection{Fault: FaultPowerCut, Peers: peer, Delay: 1, Count: 1, Dir: "/etc"},
			[]string{"peers: power-cut", "delay: power-cut", "count: power-cut", "dir: power-cut"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.in.validate()
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: want %q in it", err, want)
				}
			}
		})
	}
}

func TestEveryFaultIsKnownByItsName(t *testing.T) {
	for _, f := range Faults() {
		if got, err := ParseFault(string(f)); err != nil || got != f {
			t.Errorf("%s: %q, %v", f, got, err)
		}
	}
}

func TestParseUnit(t *testing.T) {
	for _, tt := range []struct {
		text string
		want unitState
		err  string
	}{
		{"LoadState=loaded\nActiveState=active\nMainPID=42\n", unitState{"active", 42}, ""},
		{"MainPID=0\nActiveState=activating\nLoadState=loaded\n", unitState{"activating", 0}, ""},
		{"MainPID=0\nLoadState=not-found\nActiveState=inactive\n", unitState{}, `unit x.service is not there: systemd says "not-found"`},
		{"LoadState=loaded\n", unitState{}, "main process"},
		{"", unitState{}, "is not there"},
	} {
		got, err := parseUnit("x.service", tt.text)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %+v, %v; want %+v, %q", tt.text, got, err, tt.want, tt.err)
		}
	}
}

// A process that a tracer holds for a moment (t) is not stopped.
func TestParseStopped(t *testing.T) {
	got, err := parseStopped([]byte("    1 Ss\n   17 Tsl\n   18 tl\n  201 T\n"))
	if err != nil || !slices.Equal(got, []int{17, 201}) {
		t.Errorf("%v, %v; want 17 and 201", got, err)
	}
	if _, err := parseStopped([]byte("ps: unknown option\n")); err == nil {
		t.Error("what is no list of processes is taken for one")
	}
}
