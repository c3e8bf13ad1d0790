package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
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

// A process that a tracer holds (t) is not stopped.
func TestStoppedProcesses(t *testing.T) {
	states, err := parseStates([]byte("    1 Ss\n  201 T\n   17 Tsl\n   18 tl\n"))
	if err != nil || !slices.Equal(stoppedOf(states), []int{17, 201}) || states[18] != stoppedTraced {
		t.Errorf("%v, %v; want 17 and 201 stopped, 18 traced", states, err)
	}
	if _, err := parseStates([]byte("ps: unknown option\n")); err == nil {
		t.Error("what is no list of processes is taken for one")
	}
}

// The arguments are what decides whether a disk is slow, fails, or kills a JVM under a filter.
func TestTracerArguments(t *testing.T) {
	var b strings.Builder
	for _, i := range []Injection{
		{Fault: FaultSlowDisk, Unit: "zookeeper-main.service", Delay: 20 * time.Millisecond},
		{Fault: FaultEIO, Unit: "zookeeper-main.service"},
		{Fault: FaultEIO, Unit: "zookeeper-main.service", Count: 3},
	} {
		for _, arg := range tracerArgv(i) {
			if arg == traceScript {
				arg = "trace.sh, whole"
			}
			fmt.Fprintln(&b, arg)
		}
		b.WriteString("\n")
	}
	golden(t, "tracers.argv", []byte(b.String()))
}

func TestTraced(t *testing.T) {
	status := func(tracer string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("Name:\tjava\nPPid:\t1\nTracerPid:\t" + tracer + "\nUid:\t0\n")}
	}
	for _, tt := range []struct {
		name string
		root fstest.MapFS
		want bool
	}{
		{"all", fstest.MapFS{"proc/7/task/7/status": status("90"), "proc/7/task/8/status": status("90")}, true},
		{"all but one", fstest.MapFS{"proc/7/task/7/status": status("90"), "proc/7/task/8/status": status("0")}, false},
		{"none", fstest.MapFS{"proc/7/task/7/status": status("0")}, false},
		{"another process", fstest.MapFS{"proc/77/task/77/status": status("90")}, false},
		{"not a status", fstest.MapFS{"proc/7/task/7/status": {Data: []byte("TracerPid\n")}}, false},
	} {
		if got, err := allTraced(tt.root, 7); err != nil || got != tt.want {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	for want, root := range map[bool]fstest.MapFS{
		true:  {"proc/7/status": status("0"), "proc/8/status": status("90")},
		false: {"proc/7/status": status("0"), "proc/self/status": status("90")},
	} {
		if got, err := anyTraced(root); err != nil || got != want {
			t.Errorf("any: %v, %v; want %v", got, err, want)
		}
	}
}
