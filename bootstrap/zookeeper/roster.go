package zookeeper

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/zkboot/zkboot/bootstrap"
)

// known looks at the members of the spec and, behind them, at every other host of the spec
// that carries a server of this ensemble: one that the spec does not want any more.
func known(s *bootstrap.Spec, now bootstrap.Site) []view {
	vs := views(s, now)
	for _, host := range s.HostNames() {
		if _, member := memberOn(s, host); member {
			continue
		}
		if v, ok := outsider(s, host).lookOutside(now.Hosts[host]); ok {
			vs = append(vs, v)
		}
	}
	return vs
}

// outsider is a host of the spec that is no member of it. Its server id is not known before
// its server was seen.
func outsider(s *bootstrap.Spec, host string) member {
	return member{layout: layoutOf(s), spec: s, host: host, addr: s.Hosts[host].Address, ports: s.Ensemble.Ports.WithDefaults()}
}

// lookOutside looks at an outsider; false where it has no server of the ensemble.
func (m member) lookOutside(seen bootstrap.Seen) (view, bool) {
	z, ok := m.seen(seen.State)
	if !ok {
		return view{}, false
	}
	m.id, _ = strconv.Atoi(z.MyID) // 0 is no server's id
	return m.look(seen, true), true
}

// live is the configuration that the ensemble lives by: the leader's, else the newest that
// any member has. It is false where no member has one, as before the ensemble is formed.
func live(vs []view) (Dynamic, bool) {
	var best Dynamic
	found, newest := false, uint64(0)
	for _, v := range vs {
		if v.err != nil || v.z.Dynamic == "" {
			continue
		}
		d, err := ParseDynamic(v.z.Dynamic)
		if err != nil {
			continue // membership reports it
		}
		version := v.configNumber()
		if len(leaders(vs)) == 1 && v.serving() && v.mode == modeLeader {
			return d, true
		}
		if !found || version > newest {
			best, found, newest = d, true, version
		}
	}
	return best, found
}

// configNumber is the version of the configuration in use; 0 before the first that the
// ensemble agreed on.
func (v view) configNumber() uint64 {
	n, err := strconv.ParseUint(v.configVersion(), 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// roster returns the members of the live configuration, with the role that each has there:
// they make the quorum, whatever the spec wants. Before there is one it returns the members
// of the spec.
func roster(vs []view) []view {
	d, ok := live(vs)
	if !ok {
		return only(vs, func(v view) bool { return v.planned })
	}
	return staff(d, vs)
}

// staff finds the views of the servers of a configuration, by host name. A server whose host
// was not looked at counts all the same: as one that does not answer.
func staff(d Dynamic, vs []view) []view {
	var out []view
	for _, srv := range d.Servers {
		v := view{member: member{host: srv.Addresses[0].Host, id: srv.ID, addr: srv.Addresses[0].Host}, mode: modeDown, err: bootstrap.ErrUnreachable}
		if i := slices.IndexFunc(vs, func(v view) bool { return v.id == srv.ID && srv.on(v.addr) }); i >= 0 {
			v = vs[i]
		}
		v.voter = srv.Role == Participant
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b view) int { return cmp.Compare(a.host, b.host) })
	return out
}

// on reports whether the server is reached at an address.
func (s Server) on(addr string) bool {
	return slices.ContainsFunc(s.Addresses, func(a Address) bool { return sameAddress(a.Host, addr) })
}

// hostOf finds the host of the spec that a server is on, a lost one too; "" where there is none.
func hostOf(s *bootstrap.Spec, srv Server) string {
	for _, host := range slices.Sorted(keysOf(s.Hosts)) {
		if srv.on(s.Hosts[host].Address) {
			return host
		}
	}
	return ""
}
