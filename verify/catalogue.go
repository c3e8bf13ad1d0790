package verify

import "slices"

// CheckInfo documents a check.
type CheckInfo struct {
	ID     string
	What   string // the question it answers
	Unit   string // of its figure; "" for a count or no figure
	Floor  bool   // its limits are lower bounds
	Source string // where the limits or the rule come from
	Hint   string // what to do when it does not pass
}

const (
	sourceEtcd      = "etcd FAQ and hardware guide (https://etcd.io/docs/v3.5/faq/, /op-guide/hardware/), OpenShift etcd-perf"
	sourceAdmin     = "ZooKeeper Administrator's Guide (https://zookeeper.apache.org/doc/current/zookeeperAdmin.html)"
	sourcePSI       = "https://docs.kernel.org/accounting/psi.html; limit is our judgement"
	sourceJudgement = "our judgement"

	hintDisk   = "use a host with local SSD, or give the transaction log a device of its own; a slower disk needs profile hdd-kvm or an override under hardware.fsync"
	hintSteal  = "the provider has oversold the machine: move the host or buy dedicated CPU"
	hintMember = "look at the member's log, and compare it with the others before restarting anything"
)

// catalogue lists every check in the order of reports.
var catalogue = [...]CheckInfo{
	{"host.reachable", "the host answers SSH and lets us become root", "", false, sourceJudgement, "check address, port, key and firewall"},
	{"host.privilege", "facts were read as root", "", false, sourceJudgement, "connect as root or as a user with sudo"},
	{"host.virtualization", "a real kernel, not a container or emulation", "", false, "systemd-detect-virt(1); Virtuozzo user_beancounters", "use a KVM (or other full) virtual machine, or bare metal; profile lab is for trying out only"},
	{"host.os", "Debian or Ubuntu on amd64 or arm64, Linux 4.18 or later", "", false, "Linux 4.18 as floor of RHEL 8; Debian 12 is what the tests run", "use Debian 12 or later, or Ubuntu 22.04 or later"},
	{"host.systemd", "systemd is in charge", "", true, "ProtectSystem=strict came with 232, ProtectClock with 245 (systemd NEWS)", "use a distribution that boots with systemd"},
	{"host.cloud_init", "first boot has ended", "", false, "https://cloudinit.readthedocs.io/en/latest/explanation/failure_states.html", "cloud-init status --long says what it does; apply waits for it"},
	{"host.package_lock", "no other program installs packages", "", false, "dpkg(1), lock-frontend", "wait until it has ended; apply waits for it"},
	{"host.memory", "enough memory", unitBytes, true, sourceAdmin, "use a host with at least 2 GB"},
	{"host.heap", "the JVM's heap leaves room for the page cache", unitPct, false, sourceJudgement, "set ensemble.heap to at most half of the memory"},
	{"host.swap", "no swap in use", unitBytes, false, sourceAdmin + ": do not swap", "swapoff -a, and remove the entry from /etc/fstab"},
	{"host.limits", "running members have the limits we asked for", "", false, "proc(5), limits", "restart the member in its turn, so that its unit's limits take effect"},
	{"host.thp", "transparent huge pages are not forced on every process", "", false, "ClickHouse operations guide; tuned profiles of databases", "set madvise: apply does"},
	{"host.java", "a Java runtime that ZooKeeper runs on", "", false, sourceAdmin, "install a headless JRE 17 or 11"},
	{"host.address", "the host owns the address that others reach it by", "", false, sourceAdmin + ": quorumListenOnAllIPs", "give the private address of an interface of the host"},
	{"host.resolution", "the host's names do not lead to its loopback, nor its address to another host's name", "", false, "Debian Reference, 127.0.1.1 (https://www.debian.org/doc/manuals/debian-reference/ch05); RFC 1912, section 2.1 (PTR)", "use IP addresses for members, or fix /etc/hosts and the PTR record"},
	{"host.foreign_zookeeper", "no ZooKeeper but ours", "", false, sourceJudgement, "stop and remove the other ZooKeeper, or choose another host"},
	{"host.ports", "the wanted ports are free or ours", "", false, sourceJudgement, "stop the other program, or choose other ports"},
	{"cpu.count", "enough CPUs", unitCount, true, sourceAdmin, "use a host with two or more CPUs"},
	{"cpu.steal", "the hypervisor gives the CPU time it sold", unitPct, false, "proc(5), stat; limits are our judgement below the 10 % rule of thumb", hintSteal},
	{"cpu.jitter", "a sleeper is woken in time (p99)", unitMS, false, sourceJudgement, hintSteal},
	{"cpu.clocksource", "reading the clock is cheap", "", false, "Redpanda rpk prefers tsc", "boot with clocksource=tsc or kvm-clock where the hypervisor offers it"},
	{"psi.io", "tasks do not wait for I/O (full, 60 s)", unitPct, false, sourcePSI, "find what loads the disk: iotop, or a noisy neighbour"},
	{"psi.memory", "tasks do not wait for memory (full, 60 s)", unitPct, false, sourcePSI, "add memory, or move other services away"},
	{"disk.mount", "the directories lie on their mounts, and on a local file system that keeps its word", "", false, "ext4(5): barrier, data; OpenShift etcd: avoid network file systems", "use ext4 or XFS on a local disk, with barriers; mount what is missing before the member starts"},
	{"disk.free", "enough free space", unitBytes, true, "ZooKeeper's log padding is sparse and reserves nothing (FilePadding.java)", "make room, or give the directory a larger disk"},
	{"disk.headroom", "free space for 4 transaction logs and 6 snapshots of the size there is", unitRatio, true, "autopurge.snapRetainCount 5, and the one being written; limits are our judgement", "make room, or give the directory a larger disk"},
	{"disk.inodes", "enough free inodes", unitCount, true, sourceJudgement, "remove small files, or make the file system anew with more inodes"},
	{"disk.fsync.p50", "median time of a sync", unitMS, false, sourceEtcd, hintDisk},
	{"disk.fsync.p99", "p99 time of a sync, the worse of closed loop and paced", unitMS, false, sourceEtcd, hintDisk},
	{"disk.fsync.p999", "p99.9 time of a sync", unitMS, false, sourceJudgement, hintDisk},
	{"disk.fsync.max", "longest sync", unitMS, false, "ZooKeeper's fsync.warningthresholdms is 1000", hintDisk},
	{"disk.fsync.rate", "sequential syncs a second", unitRate, true, sourceEtcd, hintDisk},
	{"disk.fsync.spread", "p99 of the worst window against the best", unitRatio, false, sourceJudgement, "neighbours load the disk in bursts: measure again at another hour, or move the host"},
	{"disk.fsync.interference", "p99 beside a snapshot against p99 alone", unitRatio, false, sourceJudgement, "put log and data directory on separate devices"},
	{"disk.durability", "what was synced is really on the disk", "", false, "docs.kernel.org writeback_cache_control; Virtuozzo fs.fsync-enable; QEMU cache=unsafe", "ask the provider for a disk that honours flushes; never run a quorum on one that does not"},
	{"time.sync", "the clock is synchronized", "", false, "adjtimex(2), STA_UNSYNC", "install and start chrony or systemd-timesyncd"},
	{"time.offset", "distance from the right time, or between two hosts", unitMS, false, sourceJudgement, "check the time servers: chronyc sources, timedatectl timesync-status"},
	{"placement.apart", "two hosts are two machines", "", false, sourceJudgement, "ask the provider for anti-affinity, or place the members in different zones"},
	{"net.rtt.p99", "p99 of a TCP handshake between hosts", unitMS, false, "a tenth of tickTime 2000 as the upper end; warn is our judgement", "place the members closer together, or raise tickTime"},
	{"net.loss", "handshakes without an answer", unitPct, false, sourceJudgement, "open the port between the hosts, and look for a bad link"},
	{"net.mtu", "packets of full size pass, as large as the interface's MTU, and both ways alike", "", false, "RFC 1191; RFC 2923, section 2.1 (black holes)", "let ICMP \"fragmentation needed\" (IPv6: \"packet too big\") through, or set the MTU of the interfaces to what the way carries"},
	{"ensemble.quorum", "a majority serves", "", false, sourceAdmin, hintMember},
	{"ensemble.leader", "exactly one leader", "", false, sourceAdmin, hintMember},
	{"ensemble.voting", "every voter votes", "", false, sourceAdmin, hintMember},
	{"ensemble.synced", "every follower is in sync with the leader", "", false, sourceAdmin, hintMember},
	{"ensemble.config", "every member knows the same members", "", false, sourceAdmin, hintMember},
	{"ensemble.exposure", "members listen on private addresses alone", "", false, sourceAdmin, "bind it to the private address, or close the port in the firewall"},
	{"ensemble.digest", "every member holds the same data", "", false, "ZOOKEEPER-4882", "wipe and replace the member that differs; do not just restart it"},
	{"ensemble.canary", "a write through each member is read on every other", "", false, sourceJudgement, hintMember},
	{"ensemble.version", "one version, without known data loss", "", false, "ZOOKEEPER-4785, ZOOKEEPER-4925", "upgrade, or list the issue under accept_known_issues"},
	{"ensemble.java", "one major version of Java on every member", "", false, sourceJudgement, "install the same JRE on every member, and restart them one at a time"},
	{"ensemble.flush.p99", "p99 time of a sync, as the member itself counts it", unitMS, false, sourceEtcd, hintDisk},
	{"ensemble.sync_limit", "syncLimit x tickTime against the slowest member's p99.9 of a sync", unitRatio, true, sourceAdmin + ": syncLimit; the ratio is our judgement", "raise syncLimit under ensemble.config, or use faster disks: a follower that is late for so long is dropped"},
	{"ensemble.tick_time", "tickTime against the longest p99 of a round trip between members", unitRatio, true, sourceAdmin + ": tickTime; the ratio is our judgement", "raise tickTime under ensemble.config, or place the members closer together"},
	{"ensemble.disk_errors", "no slow or failed sync since the member started", unitCount, false, "ZOOKEEPER-4882; fsync_threshold_exceed_count", "wipe and replace a member whose disk failed; do not just restart it"},
	{"ensemble.errors", "no unrecoverable error", unitCount, false, "unrecoverable_error_count", hintMember},
	{"ensemble.limits", "file descriptors to spare", unitPct, false, "open_file_descriptor_count, max_file_descriptor_count", "raise LimitNOFILE, and look for clients that leak connections"},
	{"sidecar.running", "HAProxy and zkwatch run, and zkwatch answers", "", false, sourceJudgement, "journalctl -u zkwatch -u haproxy on that host"},
	{"sidecar.applied", "every host serves what the registry last said", "", false, sourceJudgement, "zkwatch explain SERVICE on that host"},
	{"sidecar.registered", "what passes its check is announced", "", false, sourceJudgement, "zkwatch status on that host"},
}

// Checks returns all checks there are, in the order of reports. An id, once
// published, keeps its meaning.
func Checks() []CheckInfo { return slices.Clone(catalogue[:]) }

// info returns the documentation of a check, and its place in the order. An
// unlisted id comes last and has no limits, hint or unit.
func info(id string) (CheckInfo, int) {
	for i, c := range catalogue {
		if c.ID == id {
			return c, i
		}
	}
	return CheckInfo{ID: id}, len(catalogue)
}
