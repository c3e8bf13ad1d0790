package verify

import (
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	procMeminfo = "MemTotal:        2014124 kB\nMemFree:          123456 kB\nMemAvailable:    1500000 kB\nHugePages_Total:       0\nSwapTotal:        524284 kB\nSwapFree:         500000 kB\n"
	procPSI     = "some avg10=0.12 avg60=1.50 avg300=0.00 total=123456\nfull avg10=0.10 avg60=1.25 avg300=0.00 total=100000\n"
	procStat    = "cpu  100 5 50 800 20 0 5 20 7 0\ncpu0 50 2 25 400 10 0 2 10 3 0\nintr 12345\n"
	procDisk    = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n" +
		" 254       0 vda 1000 10 20000 300 4000 500 60000 700 0 800 900 11 0 12 13 2000 640\n" +
		" 254       1 vda1 900 9 18000 290 3900 490 59000 690 0 790 890 11 0 12 13 0 0\n"
	procDiskOld = " 254 0 vda 1000 10 20000 300 4000 500 60000 700 0 800 900\n"
	procTCP     = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:0885 00000000:0000 0A 00000000:00000000 00:00000000 00000000   109        0 21501 1 0000000000000000 100 0 0 10 0\n" +
		"   1: 0A00000A:0016 0B00000A:D431 01 00000000:00000000 02:000A0B3C 00000000     0        0 21777 2 0000000000000000 20 4 30 10 -1\n"
	procTCP6 = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   109        0 30001 1 0 100 0 0 10 0\n" +
		"   1: 0000000000000000FFFF00000101007F:0885 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   109        0 30002 1 0 100 0 0 10 0\n"
	procBeans = "Version: 2.5\n       uid  resource                     held              maxheld              barrier                limit              failcnt\n" +
		"      101:  kmemsize                  1000                 2000                 3000                 4000                    0\n" +
		"            privvmpages              65000                70000                69632                71936                   17\n" +
		"            numproc                     20                   35                  240                  240                    3\n" +
		"            dummy                        0                    0                    0                    0                    0\n"
	procLimits = "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max processes             7823                 7823                 processes \n" +
		"Max open files            65536                524288               files     \n" +
		"Max locked memory         unlimited            unlimited            bytes     \n"
)

func TestParseMeminfo(t *testing.T) {
	got, err := parseMeminfo(procMeminfo)
	want := Memory{Total: 2014124 << 10, Available: 1500000 << 10, SwapTotal: 524284 << 10, SwapUsed: 24284 << 10}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for text, want := range map[string]string{
		"":                                    "no MemTotal",
		"MemTotal: many kB\n":                 "MemTotal: ",
		"MemTotal: 1 kB\nSwapFree:x":          "SwapFree: ",
		"MemTotal: 18446744073709551615 kB\n": "MemTotal: 18446744073709551615 kB is out of range",
	} {
		if _, err := parseMeminfo(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestParsePSI(t *testing.T) {
	got, err := parsePSI(procPSI)
	want := PSI{Some: PSILine{0.12, 1.5, 0, 123456}, Full: PSILine{0.1, 1.25, 0, 100000}}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for text, want := range map[string]string{
		"":                              "no line begins with some",
		"full avg10=1 total=2\n":        "no line begins with some",
		"some avg10=x\n":                "some: avg10: ",
		"some avg60=101\n":              "some: avg60: 101 is not a percentage",
		"some total=-1\n":               "some: total: ",
		"some avg10=0\nfull avg300=NaN": "full: avg300: NaN is not a percentage",
	} {
		if _, err := parsePSI(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestSteal(t *testing.T) {
	before, err := parseCPUTimes(procStat)
	if want := (cpuTimes{total: 1000, steal: 20}); err != nil || before != want {
		t.Fatalf("got %+v, %v; want %+v", before, err, want)
	}
	if got, ok := (cpuTimes{total: 1200, steal: 30}).stealSince(before); !ok || got != 5 {
		t.Errorf("steal %v, %v; want 5 %%", got, ok)
	}
	if got, ok := (cpuTimes{total: 1200, steal: 10}).stealSince(before); ok {
		t.Errorf("steal %v from a counter that ran backwards", got)
	}
	r := summarizeSteal([]cpuTimes{{1000, 0}, {1200, 0}, {1400, 40}})
	if r == nil || r.Mean != 10 || r.Max != 20 {
		t.Errorf("got %+v, want a mean of 10 %% and 20 %% in the worst second", r)
	}
	if r := summarizeSteal([]cpuTimes{{1000, 0}}); r != nil {
		t.Errorf("one reading gives %+v", r)
	}
	if _, err := parseCPUTimes("cpu 1 2 3 4\n"); err == nil || !strings.Contains(err.Error(), "has no steal time") {
		t.Errorf("error %v for a line of four values", err)
	}
}

func TestParseDiskstats(t *testing.T) {
	got, err := parseDiskstats(procDisk, "vda")
	if want := (diskCounters{writes: 4000, flushes: 2000, hasFlushes: true}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	got, err = parseDiskstats(procDiskOld, "vda")
	if want := (diskCounters{writes: 4000}); err != nil || got != want {
		t.Errorf("before Linux 5.5: got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseDiskstats(procDisk, "sda"); err == nil || err.Error() != `no device "sda"` {
		t.Errorf("error %v for an absent device", err)
	}
}

func TestParseTCP(t *testing.T) {
	got, err := parseTCP(procTCP)
	want := []socket{{netip.MustParseAddrPort("127.0.0.1:2181"), 21501}}
	if err != nil || !cmp.Equal(got, want, cmp.AllowUnexported(socket{}), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })) {
		t.Errorf("IPv4: got %v, %v; want %v", got, err, want)
	}
	got, err = parseTCP(procTCP6)
	want = []socket{{netip.MustParseAddrPort("[::]:8080"), 30001}, {netip.MustParseAddrPort("127.0.1.1:2181"), 30002}}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("IPv6: got %v, %v; want %v", got, err, want)
	}
	for addr, want := range map[string]string{"0100:0885": "2 bytes", "0100007F:F0000": "out of range", "zz:1": "invalid byte"} {
		text := strings.Replace(procTCP, "0100007F:0885", addr, 1)
		if _, err := parseTCP(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: error %v, want %q and the address", addr, err, want)
		}
	}
}

func TestParseBeancounters(t *testing.T) {
	got, err := parseBeancounters(procBeans)
	if diff := cmp.Diff([]Beancounter{{"numproc", 3}, {"privvmpages", 17}}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := parseBeancounters("numproc 1 2 3 4 many\n"); err == nil || !strings.HasPrefix(err.Error(), "numproc, failcnt: ") {
		t.Errorf("error %v", err)
	}
}

func TestParseLimit(t *testing.T) {
	for name, want := range map[string]uint64{"Max open files": 65536, "Max processes": 7823, "Max locked memory": math.MaxUint64} {
		if got, err := parseLimit(procLimits, name); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", name, got, err, want)
		}
	}
	if _, err := parseLimit(procLimits, "Max open"); err == nil {
		t.Error("a prefix of a name was taken for the name")
	}
}

func TestParseSmallFiles(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/zookeeper.service\n":                                   "zookeeper.service",
		"12:pids:/x.service\n1:name=systemd:/system.slice/ssh.service\n0::/\n":   "ssh.service",
		"0::/user.slice/user-0.slice/session-3.scope\n":                          "session-3.scope",
		"0::/user.slice/user@0.service/app.slice/run.scope\n":                    "user@0.service",
		"0::/machine.slice/zk1.scope/payload/system.slice/zk-main.service/sub\n": "zk-main.service",
		"0::/\n": "",
	} {
		if got := parseUnit(text); got != want {
			t.Errorf("unit of %q is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"always [madvise] never\n": "madvise", "none\n": "none", "[none] mq-deadline\n": "none"} {
		if got := parseChoice(text); got != want {
			t.Errorf("choice of %q is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]int{
		"IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.13\"\n":                       17,
		"openjdk version \"1.8.0_402\"\nOpenJDK Runtime Environment\n":             8,
		"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"21\" 2023-09-19\n": 21,
		"openjdk version \"22-ea\" 2024-03-19\n":                                   22,
	} {
		if _, got, err := parseJavaVersion(text); err != nil || got != want {
			t.Errorf("major of %q is %d, %v; want %d", text, got, err, want)
		}
	}
	if _, _, err := parseJavaVersion("sh: java: not found\n"); err == nil || err.Error() != `no version in "sh: java: not found"` {
		t.Errorf("error %v", err)
	}
	for text, want := range map[string]string{
		`{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}`:   "done",
		`{"v1": {"errors": ["('runcmd', ProcessExecutionError())"]}}`: "error",
	} {
		if got, err := parseCloudInitResult(text); err != nil || got != want {
			t.Errorf("cloud-init of %s is %q, %v; want %q", text, got, err, want)
		}
	}
	want := OS{ID: "debian", VersionID: "12", Codename: "bookworm", Pretty: "Debian GNU/Linux 12 (bookworm)"}
	if got := parseOSRelease("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\nVERSION_CODENAME=bookworm\nID=debian\nHOME_URL=x\n"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
