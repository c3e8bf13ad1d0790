package zookeeper

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// valueType is how the value of a zoo.cfg key is written.
type valueType int

const (
	number  valueType = iota // a whole number within the key's bounds
	boolean                  // true or false
	yesNo                    // yes or no
	word                     // any text on one line
)

// key is one zoo.cfg key that a spec may set.
type key struct {
	name     string
	is       valueType
	min, max int     // of a number
	since    Version // zero: as long as zkboot's oldest version
	unit     string
	tarball  bool // needs a jar that Debian's package lacks
}

const noMax = 1<<31 - 1

// keys is the whitelist of ensemble.config, sorted by name. ZooKeeper itself takes
// anything: a key it does not know becomes a system property, so that a typo is silence.
// Names, units and versions are those of
// https://zookeeper.apache.org/doc/r3.9.3/zookeeperAdmin.html
func keys() []key {
	v36, v37, v382, v39 := Version{3, 6, 0}, Version{3, 7, 0}, Version{3, 8, 2}, Version{3, 9, 0}
	return []key{
		{name: "autopurge.purgeInterval", min: 1, max: 8760, unit: "h"},
		{name: "autopurge.snapRetainCount", min: 3, max: 1000},
		{name: "clientTcpKeepAlive", is: boolean, since: v36},
		{name: "cnxTimeout", min: 1, max: 3600, unit: "s"},
		{name: "commitLogCount", min: 1, max: noMax},
		{name: "commitProcessor.numWorkerThreads", min: 0, max: 1024},
		{name: "commitProcessor.shutdownTimeout", min: 0, max: 600000, unit: "ms"},
		{name: "connectToLearnerMasterLimit", min: 0, max: 10000, unit: "ticks", since: v36},
		{name: "electionPortBindRetry", min: 0, max: 10000},
		{name: "enforce.auth.enabled", is: boolean, since: v37},
		{name: "enforce.auth.schemes", is: word, since: v37},
		{name: "extendedTypesEnabled", is: boolean},
		{name: "fastleader.maxNotificationInterval", min: 100, max: 600000, unit: "ms"},
		{name: "fastleader.minNotificationInterval", min: 10, max: 60000, unit: "ms"},
		{name: "fips-mode", is: boolean, since: v382},
		{name: "flushDelay", min: 0, max: 1000, unit: "ms", since: v36},
		{name: "forceSync", is: yesNo},
		{name: "fsync.warningthresholdms", min: 1, max: 60000, unit: "ms"},
		{name: "globalOutstandingLimit", min: 1, max: noMax},
		{name: "initLimit", min: 2, max: 10000, unit: "ticks"},
		{name: "jvm.pause.info-threshold.ms", min: 1, max: 600000, unit: "ms"},
		{name: "jvm.pause.monitor", is: boolean},
		{name: "jvm.pause.sleep.time.ms", min: 1, max: 600000, unit: "ms"},
		{name: "jvm.pause.warn-threshold.ms", min: 1, max: 600000, unit: "ms"},
		{name: "leader.closeSocketAsync", is: boolean, since: v36},
		{name: "leaderConnectDelayDuringRetryMs", min: 100, max: 5000, unit: "ms", since: v36},
		{name: "leaderServes", is: yesNo},
		{name: "learner.asyncSending", is: boolean, since: v37},
		{name: "learner.closeSocketAsync", is: boolean, since: v36},
		{name: "maxBatchSize", min: 1, max: noMax, since: v36},
		{name: "maxClientCnxns", min: 0, max: noMax},
		{name: "maxCnxns", min: 0, max: noMax, since: v36},
		{name: "maxGetChildrenResponseCacheSize", min: 0, max: noMax, since: v36},
		{name: "maxResponseCacheSize", min: 0, max: noMax},
		{name: "maxSessionTimeout", min: 1, max: noMax, unit: "ms"},
		{name: "maxWriteQueuePollTime", min: 0, max: 1000, unit: "ms", since: v36},
		{name: "metricsProvider.className", is: word, since: v36, tarball: true},
		{name: "metricsProvider.exportJvmInfo", is: boolean, since: v36, tarball: true},
		{name: "metricsProvider.maxQueueSize", min: 1, max: noMax, since: v37, tarball: true},
		{name: "metricsProvider.numWorkerThreads", min: 1, max: 1024, since: v37, tarball: true},
		{name: "minSessionTimeout", min: 1, max: noMax, unit: "ms"},
		{name: "nio.numSelectorThreads", min: 1, max: 1024},
		{name: "nio.numWorkerThreads", min: 0, max: 1024},
		{name: "preAllocSize", min: 64, max: 1 << 21, unit: "KiB"},
		{name: "quorumCnxnTimeoutMs", min: -1, max: 600000, unit: "ms", since: v36},
		{name: "quorumListenOnAllIPs", is: boolean},
		{name: "serializeLastProcessedZxid.enabled", is: boolean, since: v39},
		{name: "skipACL", is: yesNo},
		{name: "snapCount", min: 2, max: noMax},
		{name: "snapshot.trust.empty", is: boolean},
		{name: "snapSizeLimitInKb", min: 0, max: noMax, unit: "KiB", since: v36},
		{name: "syncLimit", min: 2, max: 10000, unit: "ticks"},
		{name: "tcpKeepAlive", is: boolean},
		{name: "tickTime", min: 100, max: 60000, unit: "ms"},
		{name: "txnLogSizeLimitInKb", min: 0, max: noMax, unit: "KiB", since: v36},
		{name: "watchManagerName", is: word, since: v36},
	}
}

// taken says why a key is not for a spec to set, and what to set instead. Prefixes end
// with a dot.
func taken() map[string]string {
	const members = "zkboot writes the members itself; set ensemble.members"
	const health = "zkboot's health gate needs it as it is"
	return map[string]string{
		"4lw.commands.whitelist":  health,
		"admin.":                  "the AdminServer listens on loopback alone; set ensemble.ports.admin",
		"clientPort":              "set ensemble.ports.client",
		"clientPortAddress":       "clients reach a member at hosts[...].address",
		"clientPortListenBacklog": "the server drops every key that begins with clientPort when it rewrites zoo.cfg, so it would not last",
		"dataDir":                 "set ensemble.data_dir",
		"dataLogDir":              "set ensemble.data_log_dir",
		"datadir.autocreate":      "a member on an unmounted disk must not start empty",
		"db.autocreate":           "a member that lost its disk must not vote with an empty one",
		"digest.enabled":          health,
		"DigestAuthenticationProvider.superDigest": "zkboot makes it of a secret that stays on each member",
		"dynamicConfigFile":                        members,
		"electionAlg":                              "algorithm 3 is the only one left; leave it out",
		"group.":                                   members,
		"jute.maxbuffer":                           "it is no zoo.cfg key; add -Djute.maxbuffer=... to ensemble.jvm_flags, and to every client",
		"metricsProvider.httpHost":                 "metrics are served at hosts[...].address",
		"metricsProvider.httpPort":                 "set ensemble.ports.metrics",
		"multiAddress.enabled":                     "it changes the protocol between members and cannot be rolled out one by one",
		"peerType":                                 "set ensemble.members[...].role",
		"portUnification":                          "TLS is not here yet",
		"reconfigEnabled":                          "members change by reconfig and in no other way",
		"secureClientPort":                         "TLS is not here yet",
		"secureClientPortAddress":                  "TLS is not here yet",
		"server.":                                  members,
		"serverCnxnFactory":                        "TLS is not here yet",
		"ssl.":                                     "TLS is not here yet",
		"sslQuorum":                                "TLS is not here yet",
		"standaloneEnabled":                        "with it a single member could never grow",
		"weight.":                                  members,
	}
}

// unsafe gives the only value of a key that is known to keep data, and why.
func unsafe() map[string][2]string {
	return map[string][2]string{
		"forceSync":            {"yes", "without fsync an acknowledged write can be lost with the power"},
		"skipACL":              {"no", "it opens every znode, the ensemble's configuration among them, to everybody"},
		"snapshot.trust.empty": {"false", "a member whose snapshots are gone would come up empty and vote (ZOOKEEPER-3056)"},
	}
}

// problem says what is wrong with a value, or "".
func (k key) problem(value string) string {
	switch {
	case strings.TrimSpace(value) != value || value == "" || strings.ContainsAny(value, "\n\r\\"):
		return fmt.Sprintf("want a value on one line without blanks around it, found %q", value)
	case k.is == boolean && value != "true" && value != "false":
		return fmt.Sprintf("want true or false, found %q", value)
	case k.is == yesNo && value != "yes" && value != "no":
		return fmt.Sprintf("want yes or no, found %q", value)
	case k.is == number:
		n, err := strconv.Atoi(value)
		if err != nil || n < k.min || n > k.max {
			return fmt.Sprintf("want a whole number %s, found %q", k.bounds(), value)
		}
	}
	return ""
}

func (k key) bounds() string {
	text := fmt.Sprintf("from %d to %d", k.min, k.max)
	if k.max == noMax {
		text = fmt.Sprintf("of at least %d", k.min)
	}
	if k.unit != "" {
		text += " (" + k.unit + ")"
	}
	return text
}

func findKey(name string) (key, bool) {
	all := keys()
	i := slices.IndexFunc(all, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return all[i], true
}

// takenWhy returns the reason for a key or for the longest prefix of it, "" when it is free.
func takenWhy(name string) string {
	all := taken()
	if why, ok := all[name]; ok {
		return why
	}
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			if why, ok := all[name[:i+1]]; ok {
				return why
			}
		}
	}
	return ""
}

// suggest names the known key nearest to an unknown one.
func suggest(name string) string {
	best, distance := "", 4
	for _, k := range keys() {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k.name)); d < distance {
			best, distance = k.name, d
		}
	}
	if best == "" {
		return "; ZooKeeper would take it for a system property and say nothing"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
