package verify

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
)

// Each target holds that a parser does not crash on any text, and that what it
// accepted survives being printed in the kernel's form and parsed again.

func FuzzMeminfo(f *testing.F) {
	f.Add(procMeminfo)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMeminfo(text)
		if err != nil {
			return
		}
		again, err := parseMeminfo(fmt.Sprintf("MemTotal: %d kB\nMemAvailable: %d kB\nSwapTotal: %d kB\nSwapFree: %d kB\n",
			m.Total>>10, m.Available>>10, m.SwapTotal>>10, (m.SwapTotal-m.SwapUsed)>>10))
		if err != nil || again != m {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}

func FuzzPSI(f *testing.F) {
	f.Add(procPSI)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePSI(text)
		if err != nil {
			return
		}
		print := func(name string, l PSILine) string {
			return fmt.Sprintf("%s avg10=%v avg60=%v avg300=%v total=%d\n", name, l.Avg10, l.Avg60, l.Avg300, l.TotalUS)
		}
		again, err := parsePSI(print("some", p.Some) + print("full", p.Full))
		if err != nil || again != p {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}

func FuzzCPUTimes(f *testing.F) {
	f.Add(procStat)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCPUTimes(text)
		if err != nil {
			return
		}
		again, err := parseCPUTimes(fmt.Sprintf("cpu %d 0 0 0 0 0 0 %d", c.total-c.steal, c.steal))
		if err != nil || again != c {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
		if s, ok := c.stealSince(cpuTimes{}); ok && (math.IsNaN(s) || s < 0) {
			t.Errorf("%+v has %v %% steal", c, s)
		}
	})
}

func FuzzDiskstats(f *testing.F) {
	f.Add(procDisk, "vda")
	f.Add(procDiskOld, "vda")
	f.Fuzz(func(t *testing.T, text, device string) {
		c, err := parseDiskstats(text, device)
		if err != nil {
			return
		}
		line := fmt.Sprintf("254 0 %s 0 0 0 0 %d 0 0 0 0 0 0", device, c.writes)
		if c.hasFlushes {
			line += fmt.Sprintf(" 0 0 0 0 %d 0", c.flushes)
		}
		again, err := parseDiskstats(line, device)
		if err != nil || again != c {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}

func FuzzTCP(f *testing.F) {
	f.Add(procTCP)
	f.Add(procTCP6)
	f.Fuzz(func(t *testing.T, text string) {
		sockets, err := parseTCP(text)
		if err != nil {
			return
		}
		printed := "header\n"
		for _, s := range sockets {
			printed += fmt.Sprintf("0: %s:%04X 0:0 0A 0 0 0 0 0 %d 1\n", hexAddr(s.addr.Addr()), s.addr.Port(), s.inode)
		}
		again, err := parseTCP(printed)
		if err != nil || len(again) != len(sockets) {
			t.Fatalf("%v became %v, %v", sockets, again, err)
		}
		for i := range again {
			if again[i] != sockets[i] {
				t.Errorf("%v became %v", sockets[i], again[i])
			}
		}
	})
}

// hexAddr prints an address as the kernel does: words in little endian.
func hexAddr(a netip.Addr) string {
	var b strings.Builder
	raw := a.AsSlice()
	for i := 0; i < len(raw); i += 4 {
		fmt.Fprintf(&b, "%02X%02X%02X%02X", raw[i+3], raw[i+2], raw[i+1], raw[i])
	}
	return b.String()
}

func FuzzBeancounters(f *testing.F) {
	f.Add(procBeans)
	f.Fuzz(func(t *testing.T, text string) {
		beans, err := parseBeancounters(text)
		if err != nil {
			return
		}
		printed := ""
		for _, b := range beans {
			printed += fmt.Sprintf("0: %s 0 0 0 0 %d\n", b.Resource, b.Failures)
		}
		again, err := parseBeancounters(printed)
		if err != nil || len(again) != len(beans) {
			t.Fatalf("%v became %v, %v", beans, again, err)
		}
		for i := range again {
			if again[i] != beans[i] {
				t.Errorf("%v became %v", beans[i], again[i])
			}
		}
	})
}

func FuzzLimit(f *testing.F) {
	f.Add(procLimits)
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseLimit(text, "Max open files")
		if err != nil {
			return
		}
		if again, err := parseLimit("Max open files "+limitText(n)+" x files\n", "Max open files"); err != nil || again != n {
			t.Errorf("%d became %d, %v", n, again, err)
		}
	})
}

func FuzzJavaVersion(f *testing.F) {
	f.Add("openjdk version \"17.0.13\" 2024-10-15\n")
	f.Add("JAVA_VERSION=\"1.8.0_402\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		version, major, err := parseJavaVersion(text)
		if err != nil {
			return
		}
		v, m, err := parseJavaVersion("JAVA_VERSION=\"" + version + "\"\n")
		if err != nil || v != version || m != major {
			t.Errorf("%q, %d became %q, %d, %v", version, major, v, m, err)
		}
	})
}

func FuzzUnitAndChoice(f *testing.F) {
	f.Add("0::/system.slice/zookeeper.service\n")
	f.Add("always [madvise] never\n")
	f.Fuzz(func(t *testing.T, text string) {
		if unit := parseUnit(text); unit != "" {
			if again := parseUnit("0::/system.slice/" + unit); again != unit {
				t.Errorf("unit %q became %q", unit, again)
			}
		}
		if choice := parseChoice(text); strings.Contains(text, "[") && !strings.Contains(choice, "]") {
			if again := parseChoice("a [" + choice + "] b"); again != choice {
				t.Errorf("choice %q became %q", choice, again)
			}
		}
	})
}
