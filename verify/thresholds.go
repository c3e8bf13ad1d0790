package verify

import "maps"

// Limit bounds the figure of one check, in the check's unit. A figure beyond
// Warn is a warning, one beyond Fail a failure; nil means no such limit. Beyond
// is above, or below for the checks that CheckInfo marks as Floor.
type Limit struct {
	Warn *float64 `json:"warn"`
	Fail *float64 `json:"fail"`
}

// Thresholds is a profile: the limits by check id, and whether policy bends.
// It is data; copy it with Hardware.Thresholds, never change it in place.
type Thresholds struct {
	Profile string           `json:"profile"`
	Limits  map[string]Limit `json:"limits"`
	// Lenient turns what policy alone refuses (containers, emulation, file
	// systems that are not for data) into warnings. Only profile lab sets it.
	Lenient bool `json:"lenient"`
}

// The profiles.
const (
	ProfileSSD = "ssd-kvm" // the default: a KVM host with a solid state disk
	ProfileHDD = "hdd-kvm" // a KVM host with a spinning or networked disk
	ProfileLab = "lab"     // containers for trying out; proves nothing about hardware
)

// Profiles returns the names that Profile knows, the default first.
func Profiles() []string { return []string{ProfileSSD, ProfileHDD, ProfileLab} }

// Profile returns a profile by name; "" is the default. Each call returns a
// copy of its own. It is false for a name it does not know.
func Profile(name string) (Thresholds, bool) {
	switch name {
	case "", ProfileSSD:
		return Thresholds{Profile: ProfileSSD, Limits: ssdLimits()}, true
	case ProfileHDD:
		return Thresholds{Profile: ProfileHDD, Limits: overlay(ssdLimits(), hddLimits())}, true
	case ProfileLab:
		return Thresholds{Profile: ProfileLab, Limits: overlay(ssdLimits(), labLimits()), Lenient: true}, true
	}
	return Thresholds{}, false
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

// ssdLimits is the one complete table; the other profiles change rows of it.
func ssdLimits() map[string]Limit {
	return map[string]Limit{
		// etcd asks for 50 sequential IOPS (20 ms) and recommends 500 (2 ms).
		// https://etcd.io/docs/v3.5/op-guide/hardware/
		"disk.fsync.p50":  between(2, 20),
		"disk.fsync.rate": between(500, 50),
		// etcd FAQ and OpenShift's etcd-perf: p99 below 10 ms.
		// https://etcd.io/docs/v3.5/faq/
		"disk.fsync.p99":     between(10, 50),
		"ensemble.flush.p99": between(10, 50),
		// 20 times 250 ms is half of syncLimit 5 x tickTime 2000. Our judgement.
		"disk.fsync.p999": between(50, 250),
		// ZooKeeper warns by itself at fsync.warningthresholdms = 1000.
		"disk.fsync.max": between(250, 1000),
		// Our judgement, from runs minutes apart on one shared disk.
		"disk.fsync.spread":       between(3, 10),
		"disk.fsync.interference": between(3, 10),
		// Enough for the log when the role does not say how much it needs.
		"disk.free":   between(4*gib, 1*gib),
		"disk.inodes": between(10_000, 1000),
		// A fifth is about one more log and one more snapshot. Our judgement.
		"disk.headroom": between(1, 0.2),
		// A "2 GB" VPS reports 1.9 GiB or a little less; the JVM's default heap is 1 GB.
		"host.memory": between(1.75*gib, 0.875*gib),
		// Half for the heap, half for the page cache: what makes reads and snapshots cheap.
		"host.heap": between(50, 75),
		"host.swap": warnOnly(0),
		// ProtectClock= came with 245; ProtectSystem=strict, which keeps data safe, with 232.
		"host.systemd": between(245, 232),
		// The Administrator's Guide describes dual-core hosts. One works, with GC pauses.
		"cpu.count": between(2, 1),
		// The rule of thumb is to move away above 10 %; consensus suffers earlier.
		"cpu.steal": between(2, 10),
		// Our judgement: 50 ms is a fortieth of tickTime.
		"cpu.jitter": between(5, 50),
		"psi.io":     warnOnly(5),
		"psi.memory": warnOnly(0),
		// Sessions run on the monotonic clock; only logs and certificates need this.
		"time.offset": between(100, 30_000),
		// A tenth of tickTime 2000.
		"net.rtt.p99":          between(50, 200),
		"net.loss":             between(0, 2),
		"ensemble.disk_errors": warnOnly(0),
		// At the default tickTime and syncLimit these are p99.9 of 500 ms and a round trip of
		// 200 ms; they move with what the spec sets. Our judgement.
		"ensemble.sync_limit": failOnly(20),
		"ensemble.tick_time":  failOnly(10),
		// A member that counts one may have less on its disk than it serves: on 3.8.0 such a
		// follower came back from its restart with other data than the rest.
		"ensemble.errors": failOnly(0),
		"ensemble.limits": between(70, 90),
	}
}

// hddLimits moves the disk to "HDD VPS, 15 to 40 ms": ClickHouse and Cloudera
// run ZooKeeper on such disks, so slow is a warning and unusable a failure.
func hddLimits() map[string]Limit {
	return map[string]Limit{
		"disk.fsync.p50":     between(20, 40),
		"disk.fsync.rate":    between(50, 25),
		"disk.fsync.p99":     between(50, 200),
		"ensemble.flush.p99": between(50, 200),
		// A twentieth of syncLimit 5 x tickTime 2000.
		"disk.fsync.p999": between(250, 500),
		"disk.fsync.max":  between(1000, 2000),
	}
}

// labLimits only catches what would make a demonstration fail: containers that
// share one disk and two CPUs with their neighbours and the test suite.
func labLimits() map[string]Limit {
	return map[string]Limit{
		"disk.fsync.p50":          between(50, 500),
		"disk.fsync.rate":         between(20, 2),
		"disk.fsync.p99":          between(250, 2000),
		"ensemble.flush.p99":      between(250, 2000),
		"disk.fsync.p999":         between(1000, 5000),
		"disk.fsync.max":          between(2000, 20_000),
		"disk.fsync.spread":       warnOnly(100),
		"disk.fsync.interference": warnOnly(100),
		"disk.free":               between(512*mib, 128*mib),
		"disk.inodes":             between(1000, 100),
		"disk.headroom":           between(0.5, 0.1),
		"host.memory":             between(512*mib, 128*mib),
		"host.heap":               between(75, 100),
		"host.swap":               {},
		"cpu.count":               between(1, 1),
		"cpu.steal":               warnOnly(25),
		"cpu.jitter":              warnOnly(100),
		"psi.io":                  warnOnly(80),
		"psi.memory":              warnOnly(50),
		"net.rtt.p99":             between(200, 1000),
		"net.loss":                between(0, 20),
		"ensemble.sync_limit":     warnOnly(2),
		"ensemble.tick_time":      warnOnly(2),
	}
}

func between(warn, fail float64) Limit { return Limit{Warn: &warn, Fail: &fail} }
func warnOnly(warn float64) Limit      { return Limit{Warn: &warn} }
func failOnly(fail float64) Limit      { return Limit{Fail: &fail} }

func overlay(base, changes map[string]Limit) map[string]Limit {
	maps.Copy(base, changes)
	return base
}
