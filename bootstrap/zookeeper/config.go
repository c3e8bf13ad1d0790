package zookeeper

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// superMarker stands for the digest of the super secret until the host fills it in.
const superMarker = "@ZKBOOT_SUPER@"

// Property is one line of a zoo.cfg.
type Property struct{ Key, Value string }

// Config is a zoo.cfg as an ordered list of properties. Keys that are not in the template
// stand at its end, sorted.
type Config []Property

// String renders the file.
func (c Config) String() string {
	var b strings.Builder
	for _, p := range c {
		fmt.Fprintf(&b, "%s=%s\n", p.Key, p.Value)
	}
	return b.String()
}

// Get returns the value of a key, or "".
func (c Config) Get(key string) string {
	for _, p := range c {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// number returns the value of a numeric key, 0 when it is no number.
func (c Config) number(key string) int {
	n, err := strconv.Atoi(c.Get(key))
	if err != nil {
		return 0
	}
	return n
}

func (c *Config) set(key, value string) {
	for i, p := range *c {
		if p.Key == key {
			(*c)[i].Value = value
			return
		}
	}
	*c = append(*c, Property{key, value})
}

// settings is the part of zoo.cfg that is the same on every member: the template with the
// spec's overrides. Its values and their reasons are those of
// https://zookeeper.apache.org/doc/r3.9.3/zookeeperAdmin.html#sc_configuration
func settings(s *bootstrap.Spec) Config {
	l, ports := layoutOf(s), s.Ensemble.Ports.WithDefaults()
	c := Config{
		{"tickTime", "2000"},
		{"initLimit", "10"},
		{"syncLimit", "5"},
		{"dataDir", l.data},
		{"dataLogDir", l.dataLog},
		{"dynamicConfigFile", l.dynamic},
		{"standaloneEnabled", "false"},
		{"reconfigEnabled", "true"},
		{"maxClientCnxns", "60"},
		{"maxSessionTimeout", ""}, // 20 ticks, set below
		{"autopurge.snapRetainCount", "5"},
		{"autopurge.purgeInterval", "1"},
		{"quorumListenOnAllIPs", "false"},
		{"electionPortBindRetry", "10"},
		{"tcpKeepAlive", "true"},
		{"clientTcpKeepAlive", "true"},
		{"4lw.commands.whitelist", "srvr,ruok,mntr,conf,isro"},
		{"admin.enableServer", "true"},
		{"admin.serverAddress", "127.0.0.1"},
		{"admin.serverPort", strconv.Itoa(ports.Admin)},
		{"jvm.pause.monitor", "true"},
		{"jvm.pause.warn-threshold.ms", "1000"},
		{"jvm.pause.info-threshold.ms", "500"},
		{"digest.enabled", "true"},
		{"snapshot.trust.empty", "false"},
		{"fsync.warningthresholdms", "100"},
		// Its default is false in 3.8 and true from 3.9 on, where it takes DIGEST-MD5 and the
		// check of host names between members away. Written out, also for versions before 3.8.2
		// that take no notice of it, it stays what it is when 3.8 becomes 3.9 (ZOOKEEPER-4889).
		{"fips-mode", "false"},
		// A follower tries a new leader five times with this pause and then elects again. With
		// the 100 ms of the code, members that start together on slow processors miss each
		// other, and the leader waits alone for all of initLimit (seen: 27 s to a quorum).
		// https://github.com/apache/zookeeper/blob/release-3.8.0/zookeeper-server/src/main/java/org/apache/zookeeper/server/quorum/Learner.java
		{"leaderConnectDelayDuringRetryMs", "300"},
		// The server turns keys it does not know into system properties before it opens its
		// database, so that these two work from here as well as with -D (tried on 3.8.0).
		{"datadir.autocreate", "false"},
		{"db.autocreate", "false"},
	}
	for _, k := range slices.Sorted(maps.Keys(s.Ensemble.Config)) {
		c.set(k, s.Ensemble.Config[k])
	}
	if c.Get("maxSessionTimeout") == "" {
		c.set("maxSessionTimeout", strconv.Itoa(20*c.number("tickTime")))
	}
	return c
}

// prometheus is the metrics provider of a release archive. Debian's package has none, and a
// config that names it makes the server exit with 2.
const prometheus = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"

// metered reports whether the member serves metrics. A spec may name another provider for
// an archive without this one.
func (m member) metered() bool {
	other, named := m.spec.Ensemble.Config["metricsProvider.className"]
	return m.spec.Ensemble.Source.Tarball != nil && (!named || other == prometheus)
}

// config is the zoo.cfg of one member, with the marker in the place of its digest.
func (m member) config() Config {
	c := settings(m.spec)
	if m.metered() {
		c.set("metricsProvider.className", prometheus)
		c.set("metricsProvider.httpHost", m.addr)
		c.set("metricsProvider.httpPort", strconv.Itoa(m.ports.Metrics))
	}
	if m.static {
		c.set("reconfigEnabled", "false")
	}
	c.set("DigestAuthenticationProvider.superDigest", "super:"+superMarker)
	return c
}

// validateConfig checks ensemble.config: every key is known, free and in bounds, and the
// values fit together.
func validateConfig(s *bootstrap.Spec) bootstrap.Report {
	var r bootstrap.Report
	at := bootstrap.Path("ensemble.config")
	for _, name := range slices.Sorted(maps.Keys(s.Ensemble.Config)) {
		value, p := s.Ensemble.Config[name], at.Key(name)
		k, known := findKey(name)
		switch why := takenWhy(name); {
		case !known && why != "":
			r.Errorf(p, "%s is not set here: %s", name, why)
			continue
		case !known:
			r.Errorf(p, "unknown key %q%s", name, suggest(name))
			continue
		case k.tarball && s.Ensemble.Source.Tarball == nil:
			r.Errorf(p, "%s needs source.tarball: Debian's package lacks the Prometheus provider, and the server exits 2", name)
		}
		if text := k.problem(value); text != "" {
			r.Errorf(p, "%s", text)
		} else if only, ok := unsafe()[name]; ok && value != only[0] {
			r.Errorf(p, "%s=%s is refused: %s", name, value, only[1])
		}
	}
	if !r.Failed() {
		r.Merge(consistent(s))
	}
	return r
}

// consistent checks keys against each other.
func consistent(s *bootstrap.Spec) bootstrap.Report {
	var r bootstrap.Report
	at := func(key string) bootstrap.Path { return bootstrap.Path("ensemble.config").Key(key) }
	c := settings(s)
	tick, longest, shortest := c.number("tickTime"), c.number("maxSessionTimeout"), c.number("minSessionTimeout")
	if shortest == 0 {
		shortest = 2 * tick // what the server takes
	}
	if shortest > longest {
		r.Errorf(at("maxSessionTimeout"), "want at least minSessionTimeout (%d ms, by default two ticks), found %d", shortest, longest)
	}
	if c.number("initLimit") < c.number("syncLimit") {
		r.Errorf(at("initLimit"), "want at least syncLimit (%d): joining takes longer than staying, found %d", c.number("syncLimit"), c.number("initLimit"))
	}
	if lag := c.number("syncLimit") * tick; lag > longest {
		r.Warnf(at("syncLimit"), "a follower may lag for %d ms, longer than the longest session (%d ms): its clients lose theirs first", lag, longest)
	}
	if c.Get("jvm.pause.info-threshold.ms") != "" && c.number("jvm.pause.info-threshold.ms") > c.number("jvm.pause.warn-threshold.ms") {
		r.Errorf(at("jvm.pause.info-threshold.ms"), "want at most jvm.pause.warn-threshold.ms (%d), found %d",
			c.number("jvm.pause.warn-threshold.ms"), c.number("jvm.pause.info-threshold.ms"))
	}
	return r
}

// tooNew reports keys that the version does not know: it would take them for system
// properties and say nothing.
func tooNew(s *bootstrap.Spec, v Version) bootstrap.Report {
	var r bootstrap.Report
	for _, name := range slices.Sorted(maps.Keys(s.Ensemble.Config)) {
		if k, ok := findKey(name); ok && v.Less(k.since) {
			r.Errorf(bootstrap.Path("ensemble.config").Key(name), "%s came with ZooKeeper %s; this is %s", name, k.since, v)
		}
	}
	return r
}

// validateFlags refuses JVM flags that would undo what zoo.cfg settles: a key of zoo.cfg
// is a system property as well.
func validateFlags(s *bootstrap.Spec) bootstrap.Report {
	var r bootstrap.Report
	for i, flag := range s.Ensemble.JVMFlags {
		p := bootstrap.Path("ensemble.jvm_flags").Index(i)
		if strings.HasPrefix(flag, "-Xmx") || strings.HasPrefix(flag, "-Xms") {
			r.Errorf(p, "%s is not set here: set ensemble.heap", flag)
			continue
		}
		property, ok := strings.CutPrefix(flag, "-Dzookeeper.")
		if !ok {
			continue
		}
		name, value, _ := strings.Cut(property, "=")
		if why := takenWhy(name); why != "" {
			r.Errorf(p, "%s is not set here: %s", name, why)
		} else if only, ok := unsafe()[name]; ok && value != only[0] {
			r.Errorf(p, "%s=%s is refused: %s", name, value, only[1])
		} else if _, known := findKey(name); known {
			r.Errorf(p, "%s is a key of zoo.cfg: set ensemble.config[%q]", name, name)
		}
	}
	return r
}
