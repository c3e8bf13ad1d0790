package zookeeper

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// Taking over an ensemble that somebody else set up goes member by member, in the turns of
// an ordinary rolling wave: the unit of today is stopped and disabled, ours starts on the
// same directories. What makes that safe:
//
//   - Until every member is ours, ours run with reconfigEnabled=false where the others do.
//     A leader with reconfig gives the configuration a version (ZOOKEEPER-1783); a server
//     with such a version is refused by a leader without ("Follower is ahead of the
//     leader"), and a server with static lines restarts its election whenever it hears of
//     one, because those lines lack the client addresses of the others (LearnerHandler.java,
//     FastLeaderElection.java). Both were seen on 3.8.0: after one change of leaders in the
//     middle of the way such members stay out for good. So nobody has a version while both
//     kinds may lead. The plan after the last take-over turns reconfig on.
//   - The members are those of the server lines, or the plan is refused.
//   - Our unit conflicts with the one of before, so that systemd never runs both.

// adopting returns where the servers of today are; false where the spec adopts none.
func (m member) adopting() (bootstrap.Adopt, bool) {
	if m.spec.Ensemble.Adopt == nil {
		return bootstrap.Adopt{}, false
	}
	return m.spec.Ensemble.Adopt.WithDefaults(), true
}

// watched are the servers to look at: ours and the one of before.
func (m member) watched() []bootstrap.ID {
	ids := []bootstrap.ID{m.observed()}
	if a, ok := m.adopting(); ok {
		ids = append(ids, bootstrap.NewID(bootstrap.KindZooKeeper, a.Config))
	}
	return ids
}

// adoptIDs are what to look at on a host because of an adoption.
func (m member) adoptIDs() []bootstrap.ID {
	a, ok := m.adopting()
	if !ok {
		return nil
	}
	return append(m.watched(), bootstrap.NewID(bootstrap.KindUnit, a.Unit), bootstrap.NewID(bootstrap.KindFile, m.dynamic))
}

// foreign is the server of before, as its zoo.cfg describes it.
func (m member) foreign(have bootstrap.State) (bootstrap.ZooKeeper, bool) {
	a, ok := m.adopting()
	if !ok {
		return bootstrap.ZooKeeper{}, false
	}
	z, ok := have.Find(bootstrap.NewID(bootstrap.KindZooKeeper, a.Config)).(bootstrap.ZooKeeper)
	return z, ok
}

// foreignUnit is the unit of before; false where the host has none of that name.
func (m member) foreignUnit(have bootstrap.State) (bootstrap.Unit, bool) {
	a, ok := m.adopting()
	if !ok {
		return bootstrap.Unit{}, false
	}
	u, ok := have.Find(bootstrap.NewID(bootstrap.KindUnit, a.Unit)).(bootstrap.Unit)
	return u, ok
}

// pending reports whether the member is still to be taken over: its own zoo.cfg is written
// after the unit of before was stopped and disabled and the list of members was written, and
// not earlier.
func (m member) pending(have bootstrap.State) bool {
	_, there := m.foreign(have)
	return there && have.Find(m.observed()) == nil
}

// static reports whether a member that is still to be taken over runs without reconfig:
// then all do without, see above.
func static(s *bootstrap.Spec, now bootstrap.Site) bool {
	return slices.ContainsFunc(members(s), func(m member) bool {
		seen, ok := now.Hosts[m.host]
		if !ok || seen.Err != nil || !m.pending(seen.State) {
			return false
		}
		z, _ := m.foreign(seen.State)
		return z.Properties["reconfigEnabled"] != "true"
	})
}

// onceOurs tells that one more apply is to come.
func onceOurs() bootstrap.Report {
	var r bootstrap.Report
	r.Add(bootstrap.Finding{Severity: bootstrap.SeverityWarning, Path: "ensemble.adopt",
		Text: "reconfig stays off as long as a member is to be taken over: leaders with and without it do not accept each other's members",
		Hint: "apply once more when all are taken over; that turns it on, one member at a time"})
	return r
}

// units are those whose processes may hold the ports and the data of this member.
func (m member) units() []string {
	if a, ok := m.adopting(); ok {
		return []string{m.unit, a.Unit}
	}
	return []string{m.unit}
}

// conflicts are the lines of our unit that keep the one of before from running beside it.
func (m member) conflicts() string {
	a, ok := m.adopting()
	if !ok {
		return ""
	}
	return fmt.Sprintf("# It ran this member before; two servers in one directory would destroy the data.\nConflicts=%s\nAfter=%[1]s\n", a.Unit)
}

// takeover makes room for our unit where the one of before runs, or would at the next boot.
func (m member) takeover(have bootstrap.State) bootstrap.Takeover {
	var t bootstrap.Takeover
	z, there := m.foreign(have)
	if !there {
		return t
	}
	t.Standing = true
	unit, known := m.foreignUnit(have)
	if known && (unit.Enabled || unit.Running) {
		off := unit
		off.Enabled, off.Running, off.Rev = false, false, ""
		t.Steps = append(t.Steps, bootstrap.Step{Action: bootstrap.ActionUpdate, Target: unit.ID(), From: "ensemble.adopt.unit",
			Was: bootstrap.Thing{Resource: unit}, Want: bootstrap.Thing{Resource: off}})
	}
	_, ours := have.Find(m.observed()).(bootstrap.ZooKeeper)
	if file := m.dynamicFile(); !ours && len(file.Drift(have.Find(file.ID()))) > 0 {
		st := put(have, file)
		st.From = "ensemble.members"
		t.Steps = append(t.Steps, st)
	}
	if !ours || unit.Running {
		t.Late = m.used(have)
	}
	t.Instead = map[bootstrap.ID]bootstrap.Resource{bootstrap.NewID(bootstrap.KindFile, m.zooCfg): m.before(z)}
	return t
}

// dynamicFile is the list of members that our server starts with. Its name has no version,
// so that any that the ensemble has agreed on wins over it.
func (m member) dynamicFile() bootstrap.File {
	return bootstrap.File{Path: m.dynamic, Content: Founding(m.spec).String(), Mode: 0o640, Owner: account, Group: account}
}

// used are the things of ours that the server of before works with as long as it runs: its
// data directories, which may belong to another user, and our account, where it has it too.
func (m member) used(have bootstrap.State) []bootstrap.ID {
	var ids []bootstrap.ID
	if id := (bootstrap.User{Name: account}).ID(); have.Find(id) != nil {
		ids = append(ids, id)
	}
	for _, dir := range distinct(m.data, m.dataLog) {
		ids = append(ids, bootstrap.NewID(bootstrap.KindDir, dir), bootstrap.NewID(bootstrap.KindDir, versionDir(dir)))
	}
	return append(ids, bootstrap.NewID(bootstrap.KindFile, m.myID), bootstrap.NewID(bootstrap.KindFile, m.marker))
}

// before is the zoo.cfg of before in the form of ours, so that a plan shows what changes.
// What moves into the dynamic configuration is left out; that it stays the same is checked.
func (m member) before(z bootstrap.ZooKeeper) bootstrap.File {
	is := maps.Clone(z.Properties)
	maps.DeleteFunc(is, func(k, _ string) bool { return strings.HasPrefix(k, "server.") || k == "clientPort" })
	if is["dataLogDir"] == "" {
		is["dataLogDir"] = is["dataDir"]
	}
	var content strings.Builder
	for _, k := range slices.Sorted(keysOf(is)) {
		fmt.Fprintf(&content, "%s=%s\n", k, is[k])
	}
	f := m.zooCfgFile()
	f.Content = content.String()
	return f
}

// linkedID reports whether myid is a link that the host's packages made, as Debian's does. It
// is read, and stays as it is.
func (m member) linkedID(have bootstrap.State) bool {
	_, unread := have.Unread[bootstrap.NewID(bootstrap.KindFile, m.myID)]
	z, there := m.foreign(have)
	return unread && there && z.MyID == strconv.Itoa(m.id)
}

// ForeignServers reads the members that a server lives by: those of its dynamic file, or of
// the server lines of a static zoo.cfg with the client port beside them. Host names are as
// they are written. The client address is known for the server itself alone, unless the
// lines have it.
func ForeignServers(z bootstrap.ZooKeeper) (Dynamic, error) {
	if z.Dynamic != "" {
		return ParseDynamic(z.Dynamic)
	}
	var lines []string
	for _, k := range slices.Sorted(keysOf(z.Properties)) {
		for _, prefix := range []string{"server.", "group.", "weight."} {
			if strings.HasPrefix(k, prefix) {
				lines = append(lines, k+"="+z.Properties[k])
			}
		}
	}
	d, err := ParseDynamic(strings.Join(lines, "\n"))
	if err != nil {
		return Dynamic{}, err
	}
	port, err := strconv.Atoi(z.Properties["clientPort"])
	for i, s := range d.Servers {
		if s.ClientPort != 0 || err != nil {
			continue
		}
		d.Servers[i].ClientPort = port
		if strconv.Itoa(s.ID) == z.MyID {
			d.Servers[i].ClientHost = z.Properties["clientPortAddress"]
		}
	}
	return d, nil
}

// foreignDirs are the data directories of a zoo.cfg; without dataLogDir both are one.
func foreignDirs(z bootstrap.ZooKeeper) (data, log string) {
	data, log = path.Clean(z.Properties["dataDir"]), z.Properties["dataLogDir"]
	if log == "" {
		return data, data
	}
	return data, path.Clean(log)
}

// showing leaves out those members that cannot show what they hold: not ours yet, and without
// an AdminServer.
func showing(vs []view) []view {
	return only(vs, func(v view) bool { return !v.foreign || v.digests != nil })
}
