package sysctl

import "fmt"

// Where the values come from. No source of ZooKeeper's own names a sysctl; the
// numbers are those of guides for other programs that wait for fsync, and each
// row says which.
const (
	zookeeperAdmin  = "https://zookeeper.apache.org/doc/current/zookeeperAdmin.html"
	scyllaVM        = "https://github.com/scylladb/scylladb/blob/master/dist/common/sysctl.d/99-scylla-vm.conf"
	tunedOracle     = "https://github.com/redhat-performance/tuned/blob/master/profiles/oracle/tuned.conf"
	tunedPostgreSQL = "https://github.com/redhat-performance/tuned/blob/master/profiles/postgresql/tuned.conf"
	tunedLatency    = "https://github.com/redhat-performance/tuned/blob/master/profiles/network-latency/tuned.conf"
	tunedNetwork    = "https://github.com/redhat-performance/tuned/blob/master/profiles/network-throughput/tuned.conf"
	tunedThroughput = "https://github.com/redhat-performance/tuned/blob/master/profiles/throughput-performance/tuned.conf"
	kernelFS        = "https://docs.kernel.org/admin-guide/sysctl/fs.html"
	kernelIP        = "https://docs.kernel.org/networking/ip-sysctl.html"
	kernelNet       = "https://docs.kernel.org/admin-guide/sysctl/net.html"
	kernelVM        = "https://docs.kernel.org/admin-guide/sysctl/vm.html"
	// The sysctl file of HAProxy Enterprise, as quoted in public.
	haproxySysctl = "https://www.cnblogs.com/rongfengliang/p/15640510.html"
	haproxyConfig = "https://docs.haproxy.org/2.6/configuration.html#3.1-ulimit-n"
	systemdExec   = "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html"
	systemdTasks  = "https://www.freedesktop.org/software/systemd/man/latest/systemd.resource-control.html"
)

// Names of the presets, for [Preset] and [Tune].
const (
	PresetZooKeeper = "zookeeper" // a member of the ensemble
	PresetSidecar   = "sidecar"   // an application host with HAProxy
)

// Preset returns the settings of a role on a host, of both levels and in the
// order of their keys. An unknown name is an error that lists the known ones.
func Preset(name string) ([]Setting, error) {
	switch name {
	case PresetZooKeeper:
		return sorted(zookeeperMemory(), zookeeperNetwork(), zookeeperLeft()), nil
	case PresetSidecar:
		return sorted(sidecarSettings()), nil
	}
	return nil, fmt.Errorf("unknown preset %q: want %s or %s", name, PresetSidecar, PresetZooKeeper)
}

func zookeeperMemory() []Setting {
	return []Setting{
		{Key: "vm.swappiness", Value: "1", Source: scyllaVM,
			Why: "a swapped JVM misses its session deadlines; 1 and not 0, which risks the OOM killer"},
		{Key: "vm.dirty_background_bytes", Value: "67108864", Level: Dedicated, Source: tunedPostgreSQL,
			Why: "64 MiB: write snapshots back early, so that bursts do not delay the fdatasync of the log"},
		{Key: "vm.dirty_bytes", Value: "536870912", Level: Dedicated, Source: tunedPostgreSQL,
			Why: "512 MiB: bound the burst of a snapshot; setting the ratio as well would clear this"},
		{Key: "vm.dirty_expire_centisecs", Value: "500", Level: Dedicated, Source: tunedOracle,
			Why: "5 s: dirty pages grow old sooner, so that writeback comes in small portions"},
		{Key: "vm.dirty_writeback_centisecs", Value: "100", Level: Dedicated, Source: tunedOracle,
			Why: "1 s: wake the flusher often, so that writeback comes in small portions"},
		{Key: "kernel.numa_balancing", Value: "0", Level: Dedicated, Source: tunedLatency,
			Why: "page migration between NUMA nodes pauses threads; the kernel has it off already on one node"},
		{Key: "fs.file-max", Value: "262144", Rule: AtLeast, Source: kernelFS,
			Why: "room for the files of all processes; systemd and today's kernels give more, which stays"},
		{Key: "fs.nr_open", Value: "262144", Rule: AtLeast, Source: kernelFS,
			Why: "ceiling of LimitNOFILE; systemd and today's kernels give more, which stays"},
	}
}

func zookeeperNetwork() []Setting {
	settings := []Setting{
		{Key: "net.core.somaxconn", Value: "4096", Rule: AtLeast, Source: tunedThroughput,
			Why: "caps clientPortListenBacklog=1024, which alone would be cut by the 128 of kernels before 5.4"},
		{Key: "net.ipv4.tcp_max_syn_backlog", Value: "4096", Rule: AtLeast, Source: kernelIP,
			Why: "all clients reconnect at once after an election"},
		{Key: "net.ipv4.ip_local_port_range", Value: "15000 65000", Source: kernelIP,
			Why: "outgoing connections must not take 2181, 2281, 2888, 3888, 7000 or 8080 while a member restarts"},
		{Key: ReservedPorts, Value: "2181,2281,2888,3888,7000,8080", Rule: PortSet, Source: kernelIP,
			Why: "keeps the ports of ZooKeeper free also where the local port range was widened"},
		{Key: "net.ipv4.tcp_keepalive_time", Value: "60", Source: kernelIP,
			Why: "notice peers lost behind a firewall or NAT; works with tcpKeepAlive=true"},
		{Key: "net.ipv4.tcp_keepalive_intvl", Value: "10", Source: kernelIP,
			Why: "notice peers lost behind a firewall or NAT; works with tcpKeepAlive=true"},
		{Key: "net.ipv4.tcp_keepalive_probes", Value: "6", Source: kernelIP,
			Why: "60 s of unanswered probes, then the connection is dead"},
		{Key: "net.ipv4.tcp_slow_start_after_idle", Value: "0", Source: tunedNetwork,
			Why: "a snapshot sent over an idle quorum connection starts at full speed"},
		{Key: "net.ipv4.tcp_retries2", Value: "8", Level: Dedicated, Source: kernelIP,
			Why: "give a dead peer up after about 100 s, the least that RFC 1122 allows, and not after 15 minutes"},
		{Key: "net.ipv4.tcp_syncookies", Value: "1", Source: kernelIP,
			Why: "a flood of half-open connections must not keep members apart"},
		{Key: "net.ipv4.tcp_fin_timeout", Value: "30", Rule: AtLeast, Source: haproxySysctl,
			Why: "below 25-30 s peers on slow paths are cut off; the default of 60 stays"},
	}
	for i := range settings {
		settings[i].Namespaced = true
	}
	return settings
}

// zookeeperLeft is what guides for other programs set and this preset does not.
func zookeeperLeft() []Setting {
	const noEvidence = "no measurement shows a gain for ZooKeeper"
	return []Setting{
		{Key: "vm.max_map_count", Rule: Leave, Why: "no ZooKeeper source asks for it", Source: zookeeperAdmin},
		{Key: "vm.overcommit_memory", Rule: Leave, Why: "no ZooKeeper source asks for it", Source: zookeeperAdmin},
		{Key: "net.ipv4.tcp_tw_reuse", Rule: Leave, Namespaced: true, Source: kernelIP,
			Why: "the default of 2 reuses on loopback, and members open few connections"},
		{Key: "net.ipv4.tcp_rmem", Rule: Leave, Namespaced: true, Why: noEvidence, Source: kernelIP},
		{Key: "net.ipv4.tcp_wmem", Rule: Leave, Namespaced: true, Why: noEvidence, Source: kernelIP},
		{Key: "net.core.rmem_max", Rule: Leave, Why: noEvidence, Source: kernelNet},
		{Key: "net.core.wmem_max", Rule: Leave, Why: noEvidence, Source: kernelNet},
		{Key: "net.core.netdev_budget", Rule: Leave, Why: noEvidence, Source: kernelNet},
		{Key: "net.core.netdev_max_backlog", Rule: Leave, Why: noEvidence, Source: kernelNet},
		{Key: "net.core.busy_poll", Rule: Leave, Why: noEvidence, Source: kernelNet},
	}
}

func sidecarSettings() []Setting {
	return []Setting{
		{Key: "fs.file-max", Value: "262144", Rule: AtLeast, Source: kernelFS,
			Why: "each proxied connection takes two files; systemd and today's kernels give more, which stays"},
		{Key: "fs.nr_open", Value: "262144", Rule: AtLeast, Source: kernelFS,
			Why: "ceiling of LimitNOFILE; systemd and today's kernels give more, which stays"},
		{Key: "net.core.somaxconn", Value: "4096", Rule: AtLeast, Namespaced: true, Source: tunedThroughput,
			Why: "caps the listen backlog of HAProxy, which is its maxconn"},
		{Key: "net.ipv4.tcp_max_syn_backlog", Value: "4096", Rule: AtLeast, Namespaced: true, Source: kernelIP,
			Why: "bursts of new connections; the 60000 of HAProxy's own file is for balancers at the edge"},
		{Key: "net.ipv4.ip_local_port_range", Value: "15000 65000", Namespaced: true, Source: kernelIP,
			Why: "50000 source ports for backends, and none on the ports that services listen on"},
		{Key: "net.ipv4.tcp_slow_start_after_idle", Value: "0", Namespaced: true, Source: tunedNetwork,
			Why: "kept-alive connections to backends start at full speed after a pause"},
		{Key: "net.ipv4.tcp_syncookies", Value: "1", Namespaced: true, Source: kernelIP,
			Why: "a flood of half-open connections must not stop the proxy"},
		{Key: "net.ipv4.tcp_tw_reuse", Value: "1", Namespaced: true, Source: haproxySysctl,
			Why: "reuse source ports of closed connections; needed above a few hundred new ones a second"},
		{Key: "net.ipv4.tcp_fin_timeout", Value: "30", Rule: AtLeast, Namespaced: true, Source: haproxySysctl,
			Why: "below 25-30 s peers on slow paths are cut off; the default of 60 stays"},
	}
}
