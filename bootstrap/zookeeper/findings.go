package zookeeper

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

// placed finds the member on a host and the platform of the host.
func placed(s *bootstrap.Spec, host string, facts bootstrap.Facts) (member, platform, error) {
	if s.Ensemble == nil {
		return member{}, platform{}, fmt.Errorf("this spec has no ensemble")
	}
	m, ok := memberOn(s, host)
	if !ok {
		return member{}, platform{}, fmt.Errorf("%s is no member of the ensemble; members: %s", host, strings.Join(s.MemberNames(), ", "))
	}
	p, ok := platformOf(facts.OS.Codename)
	if !ok {
		return member{}, platform{}, fmt.Errorf("%s runs %q, which zkboot does not know", host, osName(facts))
	}
	return m, p, nil
}

// refusals are what forbids any change from here: each with the host, what was expected,
// what was seen and the way out.
func refusals(s *bootstrap.Spec, now bootstrap.Site, cluster string) bootstrap.Report {
	r := versionFindings(s, now)
	for _, m := range members(s) {
		seen, ok := now.Hosts[m.host]
		if !ok || seen.Err != nil {
			continue
		}
		r.Merge(m.foreignData(seen.State, cluster))
		r.Merge(m.foreignPorts(seen.Facts))
		r.Merge(m.unreadable(seen.State))
		r.Merge(m.adoption(seen))
	}
	r.Merge(membership(s, known(s, now)))
	r.Merge(membersWait(s, known(s, now)))
	return r
}

// versionFindings judges the version of every member, hosts with one version together. One
// that the spec states was judged by Validate.
func versionFindings(s *bootstrap.Spec, now bootstrap.Site) bootstrap.Report {
	var r bootstrap.Report
	if stated(s.Ensemble.Source) {
		return r
	}
	by := map[Version][]string{}
	for _, m := range members(s) {
		seen, ok := now.Hosts[m.host]
		if !ok || seen.Err != nil {
			continue
		}
		v, err := versionOn(s, seen)
		if err != nil {
			r.Add(bootstrap.Finding{Severity: bootstrap.SeverityError, Path: sourcePath(s), Host: m.host, Text: err.Error(), Err: err})
			continue
		}
		by[v] = append(by[v], m.host)
	}
	for _, v := range slices.SortedFunc(maps.Keys(by), func(a, b Version) int {
		return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor), cmp.Compare(a.Patch, b.Patch))
	}) {
		r.Merge(issues(s, v, by[v]))
		r.Merge(tooNew(s, v))
	}
	return r
}

// refuse is a report of one refusal that concerns this member.
func (m member) refuse(p bootstrap.Path, hint, format string, args ...any) bootstrap.Report {
	return bootstrap.Report{Findings: []bootstrap.Finding{{Severity: bootstrap.SeverityError, Path: p, Host: m.host,
		Text: fmt.Sprintf(format, args...), Hint: hint, Err: bootstrap.ErrRefused}}}
}

// readMark reads the marker in the data directory; ok is false where there is none.
func (m member) readMark(have bootstrap.State) (mark, bool) {
	f, ok := have.Find(bootstrap.NewID(bootstrap.KindFile, m.marker)).(bootstrap.File)
	if !ok {
		return mark{}, false
	}
	var is mark
	if err := json.Unmarshal([]byte(f.Content), &is); err != nil {
		return mark{}, true // there, and not ours to understand
	}
	return is, true
}

// markedID is the cluster id in the data directories where no manifest has one any more:
// a destroy that kept the data leaves it there. It counts only when all agree.
func markedID(s *bootstrap.Spec, now bootstrap.Site) string {
	id := ""
	for _, m := range members(s) {
		is, ok := m.readMark(now.Hosts[m.host].State)
		if !ok || is.Name != s.Name || is.Server != m.id {
			continue
		}
		if id != "" && is.Cluster != id {
			return ""
		}
		id = is.Cluster
	}
	return id
}

// foreignData refuses data that is not this member's: it would be served as if it were.
func (m member) foreignData(have bootstrap.State, cluster string) bootstrap.Report {
	at := bootstrap.Path("ensemble.members").Key(m.host)
	if m.dataOn(have) != bootstrap.DataPresent && m.dataOn(have) != bootstrap.DataUnknown {
		return bootstrap.Report{}
	}
	const keep = "take the host out of the members, or move the directory away if nobody needs it"
	is, marked := m.readMark(have)
	want := mark{Format: 1, Name: m.spec.Name, Cluster: cluster, Server: m.id}
	_, foreign := m.foreign(have)
	switch {
	case !marked && foreign: // adoption judges it
	case !marked:
		own := fmt.Sprintf("; if it is this member's own, kept by a destroy, write %s there", want)
		return m.refuse(at, keep+own, "%s holds the data of a server that zkboot did not make: there is no %s", m.data, m.marker)
	case is.Format != 1:
		return m.refuse(at, "use the zkboot that wrote it", "%s is of format %d, this zkboot reads format 1", m.marker, is.Format)
	case is != want:
		return m.refuse(at, keep, "%s holds the data of server %d of ensemble %q (cluster %s), the spec wants server %d of %q (cluster %s)",
			m.data, is.Server, is.Name, is.Cluster, want.Server, want.Name, want.Cluster)
	}
	if z, ok := m.seen(have); ok {
		if id := strings.TrimSpace(z.MyID); id != "" && id != fmt.Sprint(m.id) {
			return m.refuse(at.Field("id"), "a server keeps its id for life: put the old one back",
				"%s says server %s, the spec says server %d", m.myID, id, m.id)
		}
	}
	return bootstrap.Report{}
}

// foreignPorts refuses ports that somebody else listens on.
func (m member) foreignPorts(f bootstrap.Facts) bootstrap.Report {
	var r bootstrap.Report
	for _, need := range m.needs(platform{}).Ports {
		for _, l := range f.Listeners {
			if l.Port != need.Port || !overlap(l.Address, need.Address) || l.Process == nil || slices.Contains(m.units(), l.Process.Unit) {
				continue
			}
			r.Merge(m.refuse(bootstrap.Path("ensemble.ports").Field(need.Use), "stop it, or choose another port",
				"port %d (%s) is taken by %s on %s", need.Port, need.Use, processName(l.Process), l.Address))
		}
	}
	return r
}

// processName is what an operator needs to find a process: its unit, where it has one.
func processName(p *verify.Process) string {
	if p.Unit != "" {
		return fmt.Sprintf("%s (pid %d, unit %s)", p.Name, p.PID, p.Unit)
	}
	return fmt.Sprintf("%s (pid %d)", p.Name, p.PID)
}

// overlap reports whether listening on both addresses collides.
func overlap(a, b string) bool {
	everywhere := func(s string) bool { return s == "" || s == "0.0.0.0" || s == "::" || s == "*" }
	return everywhere(a) || everywhere(b) || sameAddress(a, b)
}

// unreadable refuses a list of members that nobody can read: it would count as none.
func (m member) unreadable(have bootstrap.State) bootstrap.Report {
	z, ok := m.seen(have)
	if !ok || z.Data != bootstrap.DataPresent || z.Dynamic == "" {
		return bootstrap.Report{}
	}
	if _, err := ParseDynamic(z.Dynamic); err != nil {
		return m.refuse("ensemble.members", "look at the file on the host", "the dynamic configuration cannot be read: %v", err)
	}
	return bootstrap.Report{}
}

// membership refuses what no reconfig can do: to keep a server id for another address, and to
// lose sight of a server that counts in the live quorum.
func membership(s *bootstrap.Spec, vs []view) bootstrap.Report {
	var r bootstrap.Report
	d, ok := live(vs)
	rs := roster(vs)
	if !ok || len(holders(rs)) == 0 {
		return r
	}
	at := bootstrap.Path("ensemble.members")
	refuse := func(p bootstrap.Path, hint, text string) {
		r.Add(bootstrap.Finding{Severity: bootstrap.SeverityError, Path: p, Text: text, Hint: hint, Err: bootstrap.ErrRefused})
	}
	for _, srv := range d.Servers {
		if hostOf(s, srv) == "" {
			refuse("hosts", "put the host back under hosts; it leaves the members first and the hosts when that is applied. One that is gone for good is marked lost: true",
				fmt.Sprintf("the live ensemble has %s, a host that the spec does not know", srv))
		}
	}
	if r.Failed() {
		return r
	}
	for _, text := range compare(d, Founding(s)).unable {
		refuse(at, "a server keeps its id, address and ports for life: give the new one an id of its own", text)
	}
	return r
}
