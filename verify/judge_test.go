package verify

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// goodFacts are those of a host that passes everything goodNeeds asks for.
func goodFacts() Facts {
	return Facts{
		Hostname: "zk1", OS: OS{ID: "debian", VersionID: "12", Pretty: "Debian GNU/Linux 12 (bookworm)"},
		Arch: "amd64", Kernel: "6.1.0-18-amd64", Systemd: Systemd{252, "running"},
		Virtualization: Virtualization{VM: "kvm", Container: "none"},
		CPU:            CPU{Count: 4, Steal: ptr(0.1)},
		Memory:         Memory{Total: 4 * gib, Available: 3 * gib},
		Pressure:       Pressure{CPU: &PSI{}, IO: &PSI{}, Memory: &PSI{}},
		THP:            "madvise", Clocksource: "kvm-clock", BootID: "b1", MachineID: "m1", ProductUUID: "p1",
		Time:      TimeSync{Synced: true, OffsetMS: -0.2},
		Addresses: []Address{{"eth0", "10.0.0.1/24", 1500}},
		Listeners: []Listener{
			{"0.0.0.0", 22, &Process{500, "sshd", "ssh.service"}},
			{"10.0.0.1", 2181, &Process{812, "java", "zk-main.service"}},
		},
		Dirs:       goodDirs(),
		Java:       &Java{"/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "17.0.13", 17},
		Resolution: []Resolution{{Name: "zk1", Addresses: []string{"127.0.1.1"}}},
		Reverse:    []Reverse{{Address: "10.0.0.1", Names: []Resolution{{Name: "ZK1.example.net", Error: "no such host"}}}},
		CloudInit:  "done",
		ZooKeepers: []Process{{812, "java", "zk-main.service"}},
		Processes:  []ProcessLimits{{Process: Process{812, "java", "zk-main.service"}, OpenFiles: 65536, Tasks: 16384}},
	}
}

func goodDirs() []Dir {
	log, data := goodDir("/zk/log"), goodDir("/zk/data")
	log.LogBytes, data.SnapshotBytes = 64*mib, 32*mib
	return []Dir{log, data}
}

func goodDir(path string) Dir {
	return Dir{
		Path: path, Existing: path, MountPoint: "/zk", Source: "/dev/vdb", FSType: "ext4", Options: []string{"noatime", "rw"},
		FreeBytes: 40 * gib, TotalInodes: 1e6, FreeInodes: 9e5, Device: "vdb", WriteCache: "write back",
	}
}

func goodNeeds() HostNeeds {
	return HostNeeds{
		Address: "10.0.0.1", Ports: []PortNeed{{2181, "10.0.0.1", "client"}, {2888, "10.0.0.1", "quorum"}},
		Dirs:      []DirNeed{{Path: "/zk/log", Use: "log", MinBytes: 4 * gib}, {Path: "/zk/data", Use: "data", MinBytes: 6 * gib}},
		HeapBytes: gib, OpenFiles: 65536, Tasks: 8192, Units: []string{"zk-main.service"}, JavaMajor: []int{11, 17},
	}
}

func TestJudgeHostPasses(t *testing.T) {
	for _, c := range JudgeHost(goodFacts(), goodNeeds(), profile(t, ProfileSSD)) {
		if c.Verdict != Pass {
			t.Errorf("%s is %s: %s", c.ID, c.Verdict, c.Why)
		}
	}
}

func TestJudgeHost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Facts, *HostNeeds)
		id     string
		want   Verdict
		lab    Verdict
		why    string // part of it, on ssd-kvm
	}{
		{"nspawn container", func(f *Facts, _ *HostNeeds) { f.Virtualization.Container = "systemd-nspawn" }, "host.virtualization", Fail, Warn, "systemd-nspawn is a container"},
		{"OpenVZ container", func(f *Facts, _ *HostNeeds) { f.Virtualization.Container = "openvz" }, "host.virtualization", Fail, Warn, "openvz is a container"},
		{"OpenVZ refused memory", func(f *Facts, _ *HostNeeds) { f.Virtualization.Beancounters = []Beancounter{{"privvmpages", 17}} }, "host.virtualization", Fail, Warn, "refused privvmpages 17 times"},
		{"fsync switched off", func(f *Facts, _ *HostNeeds) { f.Virtualization.FsyncEnable = ptr(0) }, "host.virtualization", Fail, Warn, "fs.fsync-enable is 0"},
		{"TCG", func(f *Facts, _ *HostNeeds) { f.Virtualization.VM = "qemu" }, "host.virtualization", Fail, Warn, "emulates"},
		{"VirtualBox", func(f *Facts, _ *HostNeeds) { f.Virtualization.VM = "oracle" }, "host.virtualization", Warn, Warn, "oracle"},
		{"bare metal", func(f *Facts, _ *HostNeeds) { f.Virtualization.VM = "none" }, "host.virtualization", Pass, Pass, ""},
		{"undetected", func(f *Facts, _ *HostNeeds) { f.Virtualization = Virtualization{} }, "host.virtualization", Unknown, Unknown, "not detected"},
		{"not root", func(f *Facts, _ *HostNeeds) { f.UserID = 1000 }, "host.privilege", Warn, Warn, "without root"},
		{"old kernel", func(f *Facts, _ *HostNeeds) { f.Kernel = "4.9.0-8-amd64" }, "host.os", Fail, Fail, "Linux 4.18"},
		{"32 bit", func(f *Facts, _ *HostNeeds) { f.Arch = "386" }, "host.os", Fail, Fail, "architecture 386"},
		{"old Ubuntu", func(f *Facts, _ *HostNeeds) { f.OS = OS{ID: "ubuntu", VersionID: "20.04"} }, "host.os", Warn, Warn, "older than ubuntu 22.04"},
		{"Debian testing", func(f *Facts, _ *HostNeeds) { f.OS = OS{ID: "debian"} }, "host.os", Pass, Pass, ""},
		{"Fedora", func(f *Facts, _ *HostNeeds) { f.OS = OS{ID: "fedora", VersionID: "43"} }, "host.os", Warn, Warn, "not tried"},
		{"no systemd", func(f *Facts, _ *HostNeeds) { f.Systemd = Systemd{State: "offline"} }, "host.systemd", Fail, Fail, "not in charge"},
		{"degraded", func(f *Facts, _ *HostNeeds) { f.Systemd.State = "degraded" }, "host.systemd", Pass, Pass, ""},
		{"starting", func(f *Facts, _ *HostNeeds) { f.Systemd.State = "starting" }, "host.systemd", Warn, Warn, "still starting"},
		{"first boot", func(f *Facts, _ *HostNeeds) { f.CloudInit = "running" }, "host.cloud_init", Warn, Warn, "still changes the host"},
		{"apt runs", func(f *Facts, _ *HostNeeds) {
			f.PackageLock = &Process{77, "unattended-upgr", "apt-daily-upgrade.service"}
		}, "host.package_lock", Warn, Warn, "dpkg's lock"},
		{"1 GB", func(f *Facts, _ *HostNeeds) { f.Memory.Total = 980 * mib }, "host.memory", Warn, Pass, "below 1.75 GiB"},
		{"512 MB", func(f *Facts, _ *HostNeeds) { f.Memory.Total = 480 * mib }, "host.memory", Fail, Warn, "below the limit of 896 MiB"},
		{"large heap", func(_ *Facts, n *HostNeeds) { n.HeapBytes = 3*gib + mib }, "host.heap", Fail, Warn, "75"},
		{"swap in use", func(f *Facts, _ *HostNeeds) { f.Memory.SwapTotal, f.Memory.SwapUsed = gib, mib }, "host.swap", Warn, Pass, "1 MiB"},
		{"member in swap", func(f *Facts, _ *HostNeeds) { f.Processes[0].SwapBytes = mib }, "host.swap", Warn, Warn, "java (pid 812, zk-main.service) has 1 MiB in swap"},
		{"swap of a container", func(f *Facts, _ *HostNeeds) { f.Virtualization.Container, f.Memory.SwapUsed = "lxc", gib }, "host.swap", NotApplicable, NotApplicable, "outer host"},
		{"few files", func(f *Facts, _ *HostNeeds) { f.Processes[0].OpenFiles = 1024 }, "host.limits", Warn, Warn, "may open 1024 files, want 65536"},
		{"member has ended", func(f *Facts, _ *HostNeeds) { f.Processes[0] = ProcessLimits{Error: "no such process"} }, "host.limits", Unknown, Unknown, "no such process"},
		{"THP forced", func(f *Facts, _ *HostNeeds) { f.THP = "always" }, "host.thp", Warn, Warn, "compaction"},
		{"Java 8", func(f *Facts, _ *HostNeeds) { f.Java.Major = 8 }, "host.java", Fail, Fail, "Java 8, want one of 11 17"},
		{"no Java", func(f *Facts, _ *HostNeeds) { f.Java = nil }, "host.java", Fail, Fail, "no java"},
		{"Java comes", func(f *Facts, n *HostNeeds) { f.Java, n.JavaComes = nil, true }, "host.java", Pass, Pass, ""},
		{"Java comes beside an old one", func(f *Facts, n *HostNeeds) { f.Java.Major, n.JavaComes = 8, true }, "host.java", Pass, Pass, ""},
		{"broken Java", func(f *Facts, _ *HostNeeds) { f.Java, f.Unknown = nil, map[string]string{"java": "exit status 127"} }, "host.java", Unknown, Unknown, "exit status 127"},
		{"behind NAT", func(_ *Facts, n *HostNeeds) { n.Address = "203.0.113.11" }, "host.address", Fail, Fail, "203.0.113.11"},
		{"by name", func(_ *Facts, n *HostNeeds) { n.Address = "zk1" }, "host.address", NotApplicable, NotApplicable, "by a name"},
		{"name on loopback", func(_ *Facts, n *HostNeeds) { n.Address = "zk1" }, "host.resolution", Fail, Fail, "zk1 resolves to the host's own loopback"},
		{"own name unknown", func(f *Facts, _ *HostNeeds) { f.Resolution[0] = Resolution{Name: "zk1", Error: "no such host"} }, "host.resolution", Warn, Warn, "no such host"},
		{"address called another host", func(f *Facts, _ *HostNeeds) {
			f.Reverse[0].Names = []Resolution{{Name: "db7.example.net", Addresses: []string{"10.0.0.9"}}}
		}, "host.resolution", Warn, Warn, "10.0.0.1 is called db7.example.net, which leads to 10.0.0.9; this host calls itself zk1"},
		{"address with a stale name", func(f *Facts, _ *HostNeeds) {
			f.Reverse[0].Names = []Resolution{{Name: "old.example.net", Error: "no such host"}}
		}, "host.resolution", Warn, Warn, "old.example.net, which leads to nowhere"},
		{"address with a provider's name", func(f *Facts, _ *HostNeeds) {
			f.Reverse[0].Names = []Resolution{{Name: "static-1.provider.example", Addresses: []string{"10.0.0.1"}}}
		}, "host.resolution", Pass, Pass, ""},
		{"address without a name", func(f *Facts, _ *HostNeeds) { f.Reverse[0].Names = nil }, "host.resolution", Pass, Pass, ""},
		{"no resolver", func(f *Facts, _ *HostNeeds) {
			f.Reverse[0] = Reverse{Address: "10.0.0.1", Error: "connection refused"}
		}, "host.resolution", Pass, Pass, ""},
		{"another address of the host", func(f *Facts, _ *HostNeeds) {
			f.Reverse[0] = Reverse{Address: "192.0.2.1", Names: []Resolution{{Name: "db7"}}}
		}, "host.resolution", Pass, Pass, ""},
		{"foreign ZooKeeper", func(f *Facts, _ *HostNeeds) { f.ZooKeepers[0].Unit = "zookeeper.service" }, "host.foreign_zookeeper", Fail, Fail, "not ours"},
		{"foreign package", func(f *Facts, _ *HostNeeds) { f.ZooKeeperPkgs = []string{"zookeeperd"} }, "host.foreign_zookeeper", Warn, Warn, "at boot"},
		{"port taken", func(f *Facts, _ *HostNeeds) { f.Listeners[1].Process.Unit = "kafka.service" }, "host.ports", Fail, Fail, "port 2181 (client) is held by java (pid 812, kafka.service)"},
		{"port taken everywhere", func(f *Facts, _ *HostNeeds) { f.Listeners[1] = Listener{Address: "::", Port: 2888} }, "host.ports", Fail, Fail, "port 2888 (quorum) is held by a process that cannot be seen"},
		{"port of another address", func(f *Facts, _ *HostNeeds) { f.Listeners[1] = Listener{Address: "127.0.0.1", Port: 2888} }, "host.ports", Pass, Pass, ""},
		{"one CPU", func(f *Facts, _ *HostNeeds) { f.CPU.Count = 1 }, "cpu.count", Warn, Pass, "below 2"},
		{"stolen since boot", func(f *Facts, _ *HostNeeds) { f.CPU.Steal = ptr(11.0) }, "cpu.steal", Fail, Pass, "limit of 10%"},
		{"slow clock", func(f *Facts, _ *HostNeeds) { f.Clocksource = "acpi_pm" }, "cpu.clocksource", Warn, Warn, "slow"},
		{"busy disk", func(f *Facts, _ *HostNeeds) { f.Pressure.IO.Full.Avg60 = 6 }, "psi.io", Warn, Pass, "above 5%"},
		{"no PSI", func(f *Facts, _ *HostNeeds) { f.Pressure = Pressure{} }, "psi.io", Unknown, Unknown, "does not offer"},
		{"overlay", func(f *Facts, _ *HostNeeds) { f.Dirs[0].FSType = "overlay" }, "disk.mount", Fail, Warn, "/zk/log lies on overlay"},
		{"sshfs", func(f *Facts, _ *HostNeeds) { f.Dirs[0].FSType = "fuse.sshfs" }, "disk.mount", Fail, Warn, "/zk/log lies on fuse.sshfs"},
		{"no barriers", func(f *Facts, _ *HostNeeds) { f.Dirs[1].Options = []string{"nobarrier", "rw"} }, "disk.mount", Fail, Warn, "/zk is mounted with nobarrier"},
		{"btrfs", func(f *Facts, _ *HostNeeds) { f.Dirs[0].FSType = "btrfs" }, "disk.mount", Warn, Warn, "not tried"},
		{"read-only", func(f *Facts, _ *HostNeeds) { f.Dirs[0].Options = []string{"ro"} }, "disk.mount", Fail, Fail, "read-only"},
		{"mount that is missing", func(f *Facts, n *HostNeeds) { f.Dirs[0].MountPoint, n.Dirs[0].Mount = "/", "/zk" }, "disk.mount", Fail, Warn, "/zk is not mounted: /zk/log lies on / instead"},
		{"mount beside one of like name", func(f *Facts, n *HostNeeds) { f.Dirs[0].MountPoint, n.Dirs[0].Mount = "/zk2", "/zk" }, "disk.mount", Fail, Warn, "/zk is not mounted"},
		{"mount that is there", func(_ *Facts, n *HostNeeds) { n.Dirs[0].Mount, n.Dirs[1].Mount = "/zk", "/zk" }, "disk.mount", Pass, Pass, ""},
		{"mount below the one wanted", func(f *Facts, n *HostNeeds) { f.Dirs[0].MountPoint, n.Dirs[0].Mount = "/zk/log", "/zk" }, "disk.mount", Pass, Pass, ""},
		{"mount that apply makes", func(f *Facts, n *HostNeeds) {
			f.Dirs[0].MountPoint, f.Dirs[0].FSType, n.Dirs[0].Mount, n.Dirs[0].MountComes = "/", "overlay", "/zk", true
		}, "disk.mount", Pass, Pass, ""},
		{"mount that apply made on overlay", func(f *Facts, n *HostNeeds) {
			f.Dirs[0].FSType, n.Dirs[0].Mount, n.Dirs[0].MountComes = "overlay", "/zk", true
		}, "disk.mount", Fail, Warn, "/zk/log lies on overlay"},
		{"directory not asked for", func(_ *Facts, n *HostNeeds) { n.Dirs[1].Path = "/other" }, "disk.mount", Unknown, Unknown, "/other was not looked at"},
		{"needs on one disk add up", func(f *Facts, _ *HostNeeds) { f.Dirs[0].FreeBytes, f.Dirs[1].FreeBytes = 9*gib, 9*gib }, "disk.free", Fail, Pass, "9 GiB is below the limit of 10 GiB"},
		{"no data yet", func(f *Facts, _ *HostNeeds) { f.Dirs[0].LogBytes, f.Dirs[1].SnapshotBytes = 0, 0 }, "disk.headroom", NotApplicable, NotApplicable, "no log and no snapshot yet"},
		{"logs and snapshots on one disk add up", func(f *Facts, _ *HostNeeds) { f.Dirs[0].LogBytes, f.Dirs[1].SnapshotBytes = 5*gib, 4*gib }, "disk.headroom", Warn, Pass, "0.909x is below 1x"},
		{"logs and snapshots on two disks do not", func(f *Facts, _ *HostNeeds) {
			f.Dirs[0].LogBytes, f.Dirs[1].SnapshotBytes, f.Dirs[1].MountPoint = 5*gib, 4*gib, "/snap"
		}, "disk.headroom", Pass, Pass, ""},
		{"the next snapshot does not fit", func(f *Facts, _ *HostNeeds) { f.Dirs[1].SnapshotBytes = 41 * gib }, "disk.headroom", Fail, Warn, "0.162x is below the limit of 0.2x"},
		{"sizes that cannot be read", func(f *Facts, _ *HostNeeds) { f.Dirs[0].SizesUnknown = "version-2: permission denied" }, "disk.headroom", Unknown, Unknown, "permission denied"},
		{"no inodes left", func(f *Facts, _ *HostNeeds) { f.Dirs[1].FreeInodes = 999 }, "disk.inodes", Fail, Warn, "below the limit of 1000"},
		{"XFS has no fixed inodes", func(f *Facts, _ *HostNeeds) { f.Dirs[0].TotalInodes, f.Dirs[1].TotalInodes = 0, 0 }, "disk.inodes", NotApplicable, NotApplicable, "no fixed number"},
		{"unsynchronized", func(f *Facts, _ *HostNeeds) { f.Time.Synced = false }, "time.sync", Warn, Warn, "follows no time server"},
		{"far off", func(f *Facts, _ *HostNeeds) { f.Time.OffsetMS = -101 }, "time.offset", Warn, Warn, "101 ms"},
		{"adjtimex forbidden", func(f *Facts, _ *HostNeeds) {
			f.Unknown = map[string]string{"time": "adjtimex: operation not permitted"}
		}, "time.sync", Unknown, Unknown, "not permitted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, n := goodFacts(), goodNeeds()
			tt.change(&f, &n)
			c := find(t, JudgeHost(f, n, profile(t, ProfileSSD)), tt.id)
			if c.Verdict != tt.want || !strings.Contains(c.Why, tt.why) || (tt.want == Pass && c.Why != "") {
				t.Errorf("%s is %s because %q, want %s because %q", c.ID, c.Verdict, c.Why, tt.want, tt.why)
			}
			if c := find(t, JudgeHost(f, n, profile(t, ProfileLab)), tt.id); c.Verdict != tt.lab {
				t.Errorf("in the lab %s is %s because %q, want %s", c.ID, c.Verdict, c.Why, tt.lab)
			}
		})
	}
}

// goodResult is what a healthy disk and CPU give.
func goodResult() Result {
	l := Latency{Samples: 20_000, P50: 0.15, P90: 0.2, P95: 0.3, P99: 0.4, P999: ptr(1.3), Max: 5, Mean: 0.17}
	return Result{
		Fsync: &FsyncResult{
			Latency: l, OpsPerSecond: 5800, Flushes: ptr(1.0), Writes: ptr(2.1), Dir: goodDir("/zk/log"),
			Windows:      []Window{{0, 6000, 0.15, 0.4, 5}, {10, 6000, 0.15, 0.5, 3}},
			Paced:        &Latency{Samples: 3000, P50: 0.3, P99: 0.9, Max: 6},
			Interference: &Interference{Latency: Latency{Samples: 9000, P50: 0.2, P99: 0.8, Max: 9}, Ratio: 2},
		},
		Jitter: &Latency{Samples: 1000, P99: 0.2},
		Steal:  &StealResult{Mean: 0.1, Max: 0.5},
	}
}

func TestJudgeProbePasses(t *testing.T) {
	for _, c := range JudgeProbe(goodResult(), profile(t, ProfileSSD)) {
		if c.Verdict != Pass {
			t.Errorf("%s is %s: %s", c.ID, c.Verdict, c.Why)
		}
	}
}

func TestJudgeProbe(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Result)
		id     string
		want   Verdict
		why    string
	}{
		{"HDD-like", func(r *Result) { r.Fsync.P50 = 23.6 }, "disk.fsync.p50", Fail, "23.6 ms is above the limit of 20 ms"},
		{"slow tail", func(r *Result) { r.Fsync.P99 = 12 }, "disk.fsync.p99", Warn, "12 ms is above 10 ms"},
		{"stalls that only the paced phase shows", func(r *Result) { r.Fsync.Paced.P99 = 460 }, "disk.fsync.p99", Fail, "460 ms"},
		{"few samples", func(r *Result) { r.Fsync.Samples, r.Fsync.P999 = 500, nil }, "disk.fsync.p999", NotApplicable, "500 syncs are too few"},
		{"one second", func(r *Result) { r.Fsync.Max = 1001 }, "disk.fsync.max", Fail, "1001 ms"},
		{"low rate", func(r *Result) { r.Fsync.OpsPerSecond = 42 }, "disk.fsync.rate", Fail, "42/s is below the limit of 50/s"},
		{"bursts on a fast disk", func(r *Result) { r.Fsync.Windows[1].P99 = 8 }, "disk.fsync.spread", Warn, "20x is above the limit of 10x, though no window is slow"},
		{"bursts on a slow disk", func(r *Result) { r.Fsync.Windows[1].P99 = 11 }, "disk.fsync.spread", Fail, "27.5x"},
		{"one window", func(r *Result) { r.Fsync.Windows = r.Fsync.Windows[:1] }, "disk.fsync.spread", NotApplicable, "too few windows"},
		{"disturbed but quick", func(r *Result) { r.Fsync.Interference.Ratio = 11 }, "disk.fsync.interference", Warn, "though still quick"},
		{"disturbed and slow", func(r *Result) { r.Fsync.Interference.Ratio, r.Fsync.Interference.P99 = 11, 101 }, "disk.fsync.interference", Fail, "11x"},
		{"not disturbed", func(r *Result) { r.Fsync.Interference = nil }, "disk.fsync.interference", NotApplicable, "not measured"},
		{"syncs without flush", func(r *Result) { r.Fsync.Flushes = ptr(0.1) }, "disk.durability", Fail, "did not flush"},
		{"some without flush", func(r *Result) { r.Fsync.Flushes = ptr(0.9) }, "disk.durability", Warn, "some syncs"},
		{"write through", func(r *Result) { r.Fsync.Dir.WriteCache = "write through" }, "disk.durability", Warn, "cannot be seen from here"},
		{"unknown disk", func(r *Result) { r.Fsync.Dir.WriteCache, r.Fsync.Flushes = "", nil }, "disk.durability", Warn, "not known"},
		{"too good", func(r *Result) { r.Fsync.P50 = 0.012 }, "disk.durability", Warn, "too fast"},
		{"tmpfs", func(r *Result) { r.Fsync.Dir.FSType = "tmpfs" }, "disk.durability", Fail, "/zk/log lies on tmpfs"},
		{"no barriers", func(r *Result) { r.Fsync.Dir.Options = []string{"barrier=0"} }, "disk.durability", Fail, "barrier=0"},
		{"Virtuozzo", func(r *Result) { r.Fsync.FsyncEnable = ptr(0) }, "disk.durability", Fail, "fs.fsync-enable is 0"},
		{"broken disk", func(r *Result) { r.Fsync.SyncError = "input/output error" }, "disk.durability", Fail, "input/output error"},
		{"no room", func(r *Result) { r.Fsync, r.Unknown = nil, map[string]string{"fsync": "needs 256 MiB"} }, "disk.fsync.p99", Unknown, "needs 256 MiB"},
		{"jitter", func(r *Result) { r.Jitter.P99 = 51 }, "cpu.jitter", Fail, "51 ms"},
		{"steal", func(r *Result) { r.Steal.Mean = 3 }, "cpu.steal", Warn, "3%"},
		{"one stolen second", func(r *Result) { r.Steal.Max = 40 }, "cpu.steal", Warn, "one second lost 40%"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := goodResult()
			tt.change(&r)
			c := find(t, JudgeProbe(r, profile(t, ProfileSSD)), tt.id)
			if c.Verdict != tt.want || !strings.Contains(c.Why, tt.why) {
				t.Errorf("%s is %s because %q, want %s because %q", c.ID, c.Verdict, c.Why, tt.want, tt.why)
			}
		})
	}
}

func TestJudgeProbeLeavesOutWhatWasNotAsked(t *testing.T) {
	if checks := JudgeProbe(Result{}, profile(t, ProfileSSD)); len(checks) != 0 {
		t.Errorf("of nothing: %+v", checks)
	}
}

func TestJudgePair(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := func(ahead, trip time.Duration) []ClockReading {
		return []ClockReading{
			{Sent: at, Remote: at.Add(ahead + 3*time.Second), Received: at.Add(10 * time.Second)}, // a bad one, to be passed over
			{Sent: at, Remote: at.Add(ahead + trip/2), Received: at.Add(trip)},
		}
	}
	a, b := goodFacts(), goodFacts()
	b.BootID, b.MachineID, b.ProductUUID = "b2", "m2", "p2"
	good := func() PairFacts {
		return PairFacts{
			From: &a, To: &b, FromClock: clock(0, 10*time.Millisecond), ToClock: clock(5*time.Millisecond, 10*time.Millisecond),
			Net: &NetResult{NetTarget: NetTarget{Name: "zk2", Addr: "10.0.0.2:2888"}, Latency: Latency{Samples: 100, P50: 0.3, P99: 0.9}, Sent: 100, Refused: 100,
				Path: &PathResult{Passed: true, MTU: 1500, LinkMTU: 1500}},
			Back: &NetResult{Path: &PathResult{Passed: true, MTU: 1500, LinkMTU: 1500}},
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*PairFacts)
		id     string
		want   Verdict
		why    string
	}{
		{"good", func(*PairFacts) {}, "net.rtt.p99", Pass, ""},
		{"refused is reachable", func(*PairFacts) {}, "net.loss", Pass, ""},
		{"near clocks", func(*PairFacts) {}, "time.offset", Pass, ""},
		{"apart", func(*PairFacts) {}, "placement.apart", Pass, ""},
		{"far", func(p *PairFacts) { p.Net.P99 = 201 }, "net.rtt.p99", Fail, "201 ms"},
		{"one lost", func(p *PairFacts) { p.Net.Lost, p.Net.Error = 1, "i/o timeout" }, "net.loss", Warn, "1% is above 0%: i/o timeout"},
		{"firewall", func(p *PairFacts) { p.Net.Latency, p.Net.Lost = Latency{}, 100 }, "net.loss", Fail, "100%"},
		{"firewall has no figure", func(p *PairFacts) { p.Net.Latency, p.Net.Lost = Latency{}, 100 }, "net.rtt.p99", Unknown, "10.0.0.2:2888"},
		{"full size passes", func(*PairFacts) {}, "net.mtu", Pass, ""},
		{"black hole", func(p *PairFacts) { p.Net.Path.Passed = false }, "net.mtu", Fail, "those of full size vanish"},
		{"tunnel", func(p *PairFacts) { p.Net.Path.MTU, p.Back.Path.MTU = 1420, 1420 }, "net.mtu", Warn, "would send 1500 bytes"},
		{"two ways", func(p *PairFacts) { p.Net.Path.LinkMTU, p.Back.Path.MTU = 0, 1420 }, "net.mtu", Warn, "the way back carries 1420 bytes"},
		{"the way back is not known", func(p *PairFacts) { p.Back = nil }, "net.mtu", Pass, ""},
		{"the way back swallows", func(p *PairFacts) { p.Back.Path = &PathResult{MTU: 9000} }, "net.mtu", Pass, ""},
		{"nothing to measure by", func(p *PairFacts) { p.Net.Path = &PathResult{Error: "no answer"} }, "net.mtu", Unknown, "no answer"},
		{"full size of a dead peer", func(p *PairFacts) { p.Net.Path = nil }, "net.mtu", Unknown, "nothing came back from 10.0.0.2:2888"},
		{"clocks apart", func(p *PairFacts) { p.ToClock = clock(-time.Second, 10*time.Millisecond) }, "time.offset", Warn, "990 ms"},
		{"within the error", func(p *PairFacts) { p.ToClock = clock(120*time.Millisecond, 60*time.Millisecond) }, "time.offset", Pass, ""},
		{"one kernel", func(p *PairFacts) { p.To = &Facts{BootID: "b1"} }, "placement.apart", Warn, "one kernel"},
		{"cloned image", func(p *PairFacts) { p.To = &Facts{BootID: "b2", MachineID: "m1"} }, "placement.apart", Warn, "cloned image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := good()
			tt.change(&p)
			c := find(t, JudgePair(p, profile(t, ProfileSSD)), tt.id)
			if c.Verdict != tt.want || !strings.Contains(c.Why, tt.why) {
				t.Errorf("%s is %s because %q, want %s because %q", c.ID, c.Verdict, c.Why, tt.want, tt.why)
			}
		})
	}
	same := good()
	same.To = &a
	if c := find(t, JudgePair(same, profile(t, ProfileLab)), "placement.apart"); c.Verdict != NotApplicable {
		t.Errorf("lab hosts on one kernel: %s", c.Verdict)
	}
	if checks := JudgePair(PairFacts{}, profile(t, ProfileSSD)); len(checks) != 0 {
		t.Errorf("of nothing: %+v", checks)
	}
}

// TestJudgesStayInTheCatalogue feeds the judges with anything, and holds that
// each id they make is listed and unique.
func TestJudgesStayInTheCatalogue(t *testing.T) {
	listed := map[string]bool{}
	for _, c := range Checks() {
		listed[c.ID] = true
	}
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Make[Facts]().Draw(t, "facts")
		r := rapid.Make[Result]().Draw(t, "result")
		n := rapid.Make[HostNeeds]().Draw(t, "needs")
		th, _ := Profile(rapid.SampledFrom(Profiles()).Draw(t, "profile"))
		for _, checks := range [][]Check{JudgeHost(f, n, th), JudgeProbe(r, th), JudgePair(PairFacts{From: &f, To: &f}, th)} {
			var ids []string
			for _, c := range checks {
				if !listed[c.ID] || slices.Contains(ids, c.ID) {
					t.Fatalf("%s is not listed, or twice in one list", c.ID)
				}
				ids = append(ids, c.ID)
			}
		}
	})
}
