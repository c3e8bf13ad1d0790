package zookeeper

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// adoption judges whether the server of before can be taken over as the spec says, and
// tells what it has that ours would not. What changes in zoo.cfg is shown by the plan.
func (m member) adoption(seen bootstrap.Seen) bootstrap.Report {
	z, there := m.foreign(seen.State)
	if _, marked := m.readMark(seen.State); !there || !m.pending(seen.State) && marked {
		return bootstrap.Report{}
	}
	r := m.foreignRuns(seen.State, z)
	r.Merge(m.foreignPlace(z))
	r.Merge(m.foreignMembers(z))
	r.Merge(m.foreignKeys(z))
	r.Merge(m.foreignFlags(z))
	r.Merge(m.foreignVersion(seen))
	return r
}

// membersWait refuses to change the members of an ensemble that was taken over and is still
// without reconfig: the next apply turns that on, with the members as they are.
func membersWait(s *bootstrap.Spec, vs []view) bootstrap.Report {
	d, formed := live(vs)
	if s.Ensemble.Adopt == nil || !formed || len(Differences(d, Founding(s))) == 0 {
		return bootstrap.Report{}
	}
	for _, v := range roster(vs) {
		if v.err == nil && v.spec != nil && !v.foreign && v.z.Properties["reconfigEnabled"] == "false" {
			return v.refuse("ensemble.members", "apply with the members as they are first; members change after that",
				"reconfig is still off on %s, which was taken over: members cannot change", v.host)
		}
	}
	return bootstrap.Report{}
}

// adoptPath is where the spec says what is taken over.
const adoptPath = bootstrap.Path("ensemble.adopt")

// warn is a report of something that the operator should know of this member.
func (m member) warn(p bootstrap.Path, hint, format string, args ...any) bootstrap.Report {
	return bootstrap.Report{Findings: []bootstrap.Finding{{Severity: bootstrap.SeverityWarning, Path: p, Host: m.host,
		Text: fmt.Sprintf(format, args...), Hint: hint}}}
}

// foreignRuns refuses a unit that is not the one that runs the server: stopping it would
// leave two servers in one directory.
func (m member) foreignRuns(have bootstrap.State, z bootstrap.ZooKeeper) bootstrap.Report {
	a, _ := m.adopting()
	unit, known := m.foreignUnit(have)
	own, _ := have.Find(bootstrap.NewID(bootstrap.KindUnit, m.unit)).(bootstrap.Unit)
	at := adoptPath.Field("unit")
	switch {
	case own.Running && (unit.Running || len(z.Processes) > 0):
		return m.refuse(at, "stop one of them at once: `systemctl stop "+a.Unit+"`",
			"%s and %s both run, in one data directory", m.unit, a.Unit)
	case len(z.Processes) > 1:
		return m.refuse(at, "stop those that do not belong there", "%d servers run with %s (pids %s)", len(z.Processes), z.Config, pids(z.Processes))
	case len(z.Processes) == 1 && z.Processes[0].Unit != a.Unit:
		return m.refuse(at, "name the unit that runs the server; a server without one has to be started by a unit first",
			"the server of %s (pid %d) is run by %s, not by %s", z.Config, z.Processes[0].PID, orNone(z.Processes[0].Unit), a.Unit)
	case !known:
		return m.refuse(at, "name the unit that runs the server", "there is no unit %s on the host", a.Unit)
	case len(z.Processes) == 0 && !own.Running && (unit.Running || z.Srvr != ""):
		return m.refuse(adoptPath.Field("config"), "name the zoo.cfg that the running server was started with",
			"%s runs, and no process was started with %s", a.Unit, z.Config)
	}
	return bootstrap.Report{}
}

func orNone(unit string) string {
	if unit == "" {
		return "no unit"
	}
	return unit
}

func pids(ps []bootstrap.ServerProcess) string {
	var out []string
	for _, p := range ps {
		out = append(out, strconv.Itoa(p.PID))
	}
	return strings.Join(out, ", ")
}

// foreignPlace holds directories and the server id against the spec: a server finds its
// data where it was, or starts empty.
func (m member) foreignPlace(z bootstrap.ZooKeeper) bootstrap.Report {
	var r bootstrap.Report
	data, log := foreignDirs(z)
	if data != m.data {
		r.Merge(m.refuse("ensemble.data_dir", "write `data_dir: "+data+"`", "%s has dataDir %s, the spec %s", z.Config, data, m.data))
	}
	if log != m.dataLog {
		r.Merge(m.refuse("ensemble.data_log_dir", "write `data_log_dir: "+log+"`", "%s has its transaction log in %s, the spec in %s", z.Config, log, m.dataLog))
	}
	if z.MyID != strconv.Itoa(m.id) {
		r.Merge(m.refuse(bootstrap.Path("ensemble.members").Key(m.host).Field("id"), "a server keeps its id for life: write `id: "+z.MyID+"`",
			"%s/myid says server %q, the spec says server %d", data, z.MyID, m.id))
	}
	return r
}

// foreignMembers holds the server lines against the spec. Ours starts with the list of the
// spec, so that any difference would be a change of members behind the ensemble's back.
func (m member) foreignMembers(z bootstrap.ZooKeeper) bootstrap.Report {
	at := bootstrap.Path("ensemble.members")
	live, err := ForeignServers(z)
	switch {
	case err != nil:
		return m.refuse(at, "look at the file on the host", "the members in %s cannot be read: %v", z.Config, err)
	case len(live.Servers) == 0:
		return m.refuse(at, "make it a member of an ensemble of one first: a server.1 line, initLimit and syncLimit",
			"%s has no server lines: a standalone server is not taken over", z.Config)
	case len(live.Groups) > 0:
		return m.refuse(at, "zkboot knows ensembles of equal voters alone", "%s has groups or weights: %s", z.Config, strings.Join(slices.Sorted(keysOf(live.Groups)), ", "))
	}
	for i, s := range live.Servers {
		for j, a := range s.Addresses {
			addr, why := m.resolve(z, s.ID, a.Host)
			if why != "" {
				return m.refuse(at, "make the name known to the host, or use addresses", "%s: server.%d: %s", z.Config, s.ID, why)
			}
			live.Servers[i].Addresses[j].Host = addr
		}
		if z.Dynamic == "" && everywhere(s.ClientHost) {
			live.Servers[i].ClientHost = live.Servers[i].Addresses[0].Host // where ours will listen
		}
	}
	var r bootstrap.Report
	if diffs := Differences(live, Founding(m.spec)); len(diffs) > 0 {
		r.Merge(m.refuse(at, "write the spec as the ensemble is; members change after it was taken over", "%s", strings.Join(diffs, "; ")))
	}
	if z.Dynamic == "" && everywhere(z.Properties["clientPortAddress"]) {
		r.Merge(m.warn(adoptPath, "let clients on the host use that address too",
			"clients reach the server on every address of the host today, and at %s alone afterwards", m.client()))
	}
	return r
}

func everywhere(addr string) bool {
	a, err := netip.ParseAddr(addr)
	return addr == "" || err == nil && a.IsUnspecified()
}

// resolve turns the host of a server line into an address. The own name may be a loopback
// address on the host itself, as Debian's installer writes it into /etc/hosts.
func (m member) resolve(z bootstrap.ZooKeeper, id int, host string) (addr, why string) {
	want := ""
	for _, s := range Founding(m.spec).Servers {
		if s.ID == id {
			want = s.Addresses[0].Host
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsUnspecified() && strconv.Itoa(id) == z.MyID && want != "" {
			return want, "" // it binds to every address; ours will to the one that the others know
		}
		return host, ""
	}
	found := z.Names[host]
	if len(found) == 0 {
		return "", fmt.Sprintf("the name %s is not known on the host", host)
	}
	for _, f := range found {
		a, err := netip.ParseAddr(f)
		if sameAddress(f, want) || err == nil && a.IsLoopback() && strconv.Itoa(id) == z.MyID && want != "" {
			return want, ""
		}
	}
	return found[0], ""
}

// irreplaceable are keys of zoo.cfg, or beginnings of keys, whose loss would cut members or clients
// off; zkboot cannot carry them over.
func irreplaceable() []string {
	return []string{"ssl.", "sslQuorum", "portUnification", "secureClientPort", "serverCnxnFactory", "quorum.auth.", "quorum.cnxn.threads.size",
		"authProvider.", "requireClientAuthScheme", "sessionRequireClientSASLAuth", "kerberos.", "peerType"}
}

// foreignKeys names what the zoo.cfg of before sets and ours would not.
func (m member) foreignKeys(z bootstrap.ZooKeeper) bootstrap.Report {
	var r bootstrap.Report
	var unknown []string
	for _, k := range slices.Sorted(keysOf(z.Properties)) {
		needed := slices.ContainsFunc(irreplaceable(), func(p string) bool { return k == p || strings.HasSuffix(p, ".") && strings.HasPrefix(k, p) })
		switch _, known := findKey(k); {
		case k == "multiAddress.enabled" && z.Properties[k] == "true", needed && z.Properties[k] != "false":
			r.Merge(m.refuse("ensemble.config", "take it out of the running ensemble first, or keep the ensemble as it is",
				"%s sets %s, which zkboot cannot carry over", z.Config, k))
		case !known && takenWhy(k) == "" && m.config().Get(k) == "":
			unknown = append(unknown, k)
		}
	}
	if len(unknown) > 0 {
		r.Merge(m.warn("ensemble.config", "if one of them matters, set it with -Dzookeeper.KEY=VALUE in ensemble.jvm_flags",
			"%s sets keys that zkboot does not know and would leave out: %s", z.Config, strings.Join(unknown, ", ")))
	}
	return r
}

// foreignFlags names what the running JVM was told and ours would not be.
func (m member) foreignFlags(z bootstrap.ZooKeeper) bootstrap.Report {
	if len(z.Processes) != 1 {
		return bootstrap.Report{}
	}
	var r bootstrap.Report
	var others []string
	for _, flag := range ForeignFlags(z.Processes[0].Args) {
		switch {
		case slices.Contains(m.spec.Ensemble.JVMFlags, flag):
		case strings.HasPrefix(flag, "-Djute.maxbuffer="):
			r.Merge(m.refuse("ensemble.jvm_flags", "write `jvm_flags: ["+flag+"]`",
				"the running server has %s: without it ours could not read what the others send", flag))
		default:
			others = append(others, flag)
		}
	}
	if len(others) > 0 {
		r.Merge(m.warn("ensemble.jvm_flags", "put those that matter into ensemble.jvm_flags",
			"the running server has JVM flags that ours would not have: %s", strings.Join(others, " ")))
	}
	if heap := ForeignHeap(z.Processes[0].Args); heap != 0 && heap != m.heap() {
		r.Merge(m.warn("ensemble.heap", "write `heap: "+heap.String()+"` to keep it", "the running server has a heap of %s, ours would have %s", heap, m.heap()))
	}
	return r
}

// ForeignFlags are the system properties of a running server that are not about logging or
// JMX, in their order.
func ForeignFlags(args []string) []string {
	var out []string
	for _, a := range args {
		name, is := strings.CutPrefix(a, "-D")
		noise := slices.ContainsFunc([]string{"zookeeper.log", "zookeeper.root.logger", "zookeeper.console", "zookeeper.tracelog", "com.sun.management.jmxremote",
			"log4j", "logback", "java.net.preferIPv4Stack", "zookeeper.jmx"}, func(p string) bool { return strings.HasPrefix(name, p) })
		if is && !noise {
			out = append(out, a)
		}
	}
	return out
}

// ForeignHeap is the largest heap that a JVM was given, 0 where nobody said.
func ForeignHeap(args []string) bootstrap.Size {
	var heap bootstrap.Size
	for _, a := range args {
		text, ok := strings.CutPrefix(a, "-Xmx")
		if !ok || text == "" {
			continue
		}
		unit := bootstrap.Size(1)
		switch text[len(text)-1] {
		case 'k', 'K':
			unit = 1 << 10
		case 'm', 'M':
			unit = bootstrap.MiB
		case 'g', 'G':
			unit = bootstrap.GiB
		}
		if n, err := strconv.ParseInt(strings.TrimRight(text, "kKmMgG"), 10, 40); err == nil {
			heap = bootstrap.Size(n) * unit // of several the JVM takes the last
		}
	}
	return heap
}

// foreignVersion refuses to start an older server on the data of a newer one.
func (m member) foreignVersion(seen bootstrap.Seen) bootstrap.Report {
	v := m.look(seen, true)
	runs, err := ParseVersion(v.version)
	ours, unknown := versionOn(m.spec, seen)
	switch {
	case err != nil || unknown != nil || runs == ours:
		return bootstrap.Report{}
	case ours.Less(runs):
		return m.refuse(sourcePath(m.spec), "name a source that has the release that runs", "ZooKeeper %s runs, ours would be %s: older than the data", runs, ours)
	}
	return m.warn(sourcePath(m.spec), "adopt with the release that runs and upgrade later, if you would rather do one thing at a time",
		"ZooKeeper %s runs, ours will be %s: the adoption is an upgrade as well", runs, ours)
}
