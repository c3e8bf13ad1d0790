package verify

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestHardwareThresholds(t *testing.T) {
	for _, tt := range []struct {
		name       string
		h          Hardware
		id         string
		warn, fail *float64
	}{
		{"default profile", Hardware{}, "disk.fsync.p99", ptr(10.0), ptr(50.0)},
		{"profile", Hardware{Profile: ProfileHDD}, "disk.fsync.p50", ptr(20.0), ptr(40.0)},
		{"a row the profile does not change", Hardware{Profile: ProfileHDD}, "cpu.steal", ptr(2.0), ptr(10.0)},
		{"both", Hardware{Fsync: FsyncLimits{P99: Override{"8ms", "1s"}}}, "disk.fsync.p99", ptr(8.0), ptr(1000.0)},
		{"also for live members", Hardware{Fsync: FsyncLimits{P99: Override{"8ms", "1s"}}}, "ensemble.flush.p99", ptr(8.0), ptr(1000.0)},
		{"only warn", Hardware{Fsync: FsyncLimits{P99: Override{Warn: "20ms"}}}, "disk.fsync.p99", ptr(20.0), ptr(50.0)},
		{"warn takes fail along", Hardware{Fsync: FsyncLimits{P99: Override{Warn: "80ms"}}}, "disk.fsync.p99", ptr(80.0), ptr(80.0)},
		{"fail takes warn along", Hardware{Fsync: FsyncLimits{Rate: Override{Fail: "600/s"}}}, "disk.fsync.rate", ptr(600.0), ptr(600.0)},
		{"bytes", Hardware{Memory: MemoryLimits{Total: Override{"1.5GiB", "512MiB"}}}, "host.memory", ptr(1.5 * gib), ptr(512.0 * mib)},
		{"percent", Hardware{CPU: CPULimits{Steal: Override{"5%", "20"}}}, "cpu.steal", ptr(5.0), ptr(20.0)},
		{"count", Hardware{CPU: CPULimits{Count: Override{Warn: "4"}}}, "cpu.count", ptr(4.0), ptr(1.0)},
		{"ratio", Hardware{Fsync: FsyncLimits{Spread: Override{Fail: "20x"}}}, "disk.fsync.spread", ptr(3.0), ptr(20.0)},
		{"a limit the profile lacks", Hardware{PSI: PressureLimits{IO: Override{Fail: "50%"}}}, "psi.io", ptr(5.0), ptr(50.0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			th, findings := tt.h.Thresholds()
			if len(findings) > 0 {
				t.Fatal(findings)
			}
			l := th.Limits[tt.id]
			if *l.Warn != *tt.warn || *l.Fail != *tt.fail {
				t.Errorf("%s: warn %v, fail %v; want %v, %v", tt.id, *l.Warn, *l.Fail, *tt.warn, *tt.fail)
			}
		})
	}
}

func TestHardwareFindings(t *testing.T) {
	h := Hardware{
		Profile: "ssd",
		Fsync: FsyncLimits{
			P50: Override{Warn: "10"}, P99: Override{"1 fortnight", "-5ms"},
			Max: Override{"2s", "1s"}, Rate: Override{"50/s", "500/s"},
		},
		Disk: DiskLimits{Free: Override{Fail: "4GB"}},
		CPU:  CPULimits{Steal: Override{Warn: "NaN"}},
		Net:  NetLimits{Loss: Override{Fail: "5ms"}},
	}
	_, findings := h.Thresholds()
	want := []string{
		`profile: unknown profile "ssd", want one of ssd-kvm, hdd-kvm, lab`,
		`fsync.p50.warn: "10" is not a duration such as 10ms`,
		`fsync.p99.warn: "1 fortnight" is not a duration such as 10ms`,
		`fsync.p99.fail: "-5ms" is negative`,
		`fsync.max: warn 2s lies beyond fail 1s`,
		`fsync.rate: warn 50/s lies beyond fail 500/s`,
		`disk.free.fail: "4GB" is not a figure in bytes`,
		`cpu.steal.warn: "NaN" is not a figure in %`,
		`net.loss.fail: "5ms" is not a figure in %`,
	}
	for i := range max(len(want), len(findings)) {
		var got, expect string
		if i < len(findings) {
			got = findings[i].Error()
		}
		if i < len(want) {
			expect = want[i]
		}
		if got != expect {
			t.Errorf("finding %d is %q, want %q", i, got, expect)
		}
	}
}

func TestProfilesShareNothing(t *testing.T) {
	a := profile(t, ProfileSSD)
	a.Limits["disk.fsync.p99"] = Limit{}
	if b := profile(t, ProfileSSD); b.Limits["disk.fsync.p99"].Warn == nil {
		t.Error("a change to one copy of a profile shows in the next")
	}
}

func TestFormatFigure(t *testing.T) {
	for _, tt := range []struct {
		unit string
		v    float64
		want string
	}{
		{unitMS, 0.1234, "0.123 ms"}, {unitMS, 12.345, "12.3 ms"}, {unitMS, 1234.5, "1234 ms"}, {unitMS, 20, "20 ms"},
		{unitBytes, 1.5 * gib, "1.5 GiB"}, {unitBytes, 512, "512 B"}, {unitPct, 0, "0%"}, {unitRatio, 2.5, "2.5x"},
		{unitRate, 5909.3, "5909/s"}, {unitCount, 2, "2"}, {unitMS, 0.0000001, "0 ms"},
	} {
		if got := formatFigure(tt.unit, tt.v); got != tt.want {
			t.Errorf("%v in %q is %q, want %q", tt.v, tt.unit, got, tt.want)
		}
	}
}

func FuzzFigure(f *testing.F) {
	for _, unit := range []string{unitMS, unitPct, unitBytes, unitRate, unitRatio, unitCount} {
		f.Add(unit, "10ms")
		f.Add(unit, "1.5GiB")
		f.Add(unit, "3"+unit)
	}
	f.Fuzz(func(t *testing.T, unit, text string) {
		if !slices.Contains([]string{unitMS, unitPct, unitBytes, unitRate, unitRatio, unitCount}, unit) {
			return
		}
		v, err := parseFigure(unit, text)
		if err != nil {
			return
		}
		if !(v >= 0) {
			t.Errorf("%q in %q was accepted as %v", text, unit, v)
		}
		printed := strconv.FormatFloat(v, 'f', -1, 64)
		if unit == unitMS {
			printed = time.Duration(v * float64(time.Millisecond)).String()
		}
		if again, err := parseFigure(unit, printed); err != nil || again != v {
			t.Errorf("%q in %q is %v, printed as %q it is %v, %v", text, unit, v, printed, again, err)
		}
	})
}
