package zookeeper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

var _ bootstrap.Mover = Role{}

// change is what leads from the live configuration to the one of the spec.
type change struct {
	join, leave     []Server // by host name; of those that leave, the leader last
	promote, demote []Server // as they are wanted
	unable          []string // what no reconfig can do, in words
}

// compare tells two configurations apart. Members are told by their server ids: a server keeps
// its address for life, and one that moves is a new server.
func compare(have, want Dynamic) change {
	var c change
	by := map[int]Server{}
	for _, s := range have.Servers {
		by[s.ID] = s
	}
	for _, w := range want.Servers {
		s, ok := by[w.ID]
		delete(by, w.ID)
		same := s
		same.Role = w.Role
		switch {
		case !ok:
			c.join = append(c.join, w)
		case !same.equal(w):
			c.unable = append(c.unable, fmt.Sprintf("live has %s, the spec has %s", s, w))
		case s.Role == w.Role:
		case w.Role == Participant:
			c.promote = append(c.promote, w)
		default:
			c.demote = append(c.demote, w)
		}
	}
	for _, s := range have.Servers {
		if _, left := by[s.ID]; left {
			c.leave = append(c.leave, s)
		}
	}
	for _, j := range c.join {
		for _, l := range c.leave {
			if slices.ContainsFunc(l.Addresses, func(a Address) bool { return j.on(a.Host) }) {
				c.unable = append(c.unable, fmt.Sprintf("%s has server %d, the spec wants server %d there", l.Addresses[0].Host, l.ID, j.ID))
			}
		}
	}
	return c
}

// Moves implements bootstrap.Mover: members that come back without their data, then those that
// change places, join, change roles and leave, each by a reconfig of its own. A quorum is
// never asked for more than one change at a time, and the leader leaves last.
func (Role) Moves(s *bootstrap.Spec, now bootstrap.Site, in bootstrap.Intent) ([]bootstrap.Move, error) {
	if s.Ensemble == nil || in.Verb == bootstrap.VerbDestroy || in.Verb == bootstrap.VerbRestore {
		return nil, nil // a restore begins with the members of the spec, whoever they were before
	}
	vs := known(s, now)
	d, formed := live(vs)
	rs := roster(vs)
	formed = formed && len(holders(rs)) > 0
	c := compare(d, Founding(s))
	mv := mover{spec: s, vs: vs}
	if in.Verb == bootstrap.VerbReplace {
		if err := replaceable(s, rs, c, formed, in.Hosts); err != nil {
			return nil, err
		}
		mv.anew = in.Hosts
	}
	if !formed {
		return nil, nil
	}
	var out []bootstrap.Move
	for _, v := range rs {
		switch {
		case slices.ContainsFunc(c.leave, func(l Server) bool { return l.ID == v.id }):
		case in.Verb == bootstrap.VerbReplace && slices.Contains(in.Hosts, v.host):
			out = append(out, mv.wipe(v))
		case v.gone() && quorate(rs):
			out = append(out, mv.comeBack(v))
		}
	}
	return append(out, mv.regroup(c)...), nil
}

// gone reports whether a member's host answers and has lost its data, or its list of members.
func (v view) gone() bool {
	return v.err == nil && !v.serving() && !v.foreign &&
		(v.data == bootstrap.DataEmpty || v.data == bootstrap.DataPristine || v.data == bootstrap.DataPresent && v.z.Dynamic == "")
}

// holders are the members that have data.
func holders(vs []view) []view {
	return only(vs, func(v view) bool { return v.data == bootstrap.DataPresent || v.serving() })
}

// replaceable refuses to take the data of a member that the others cannot give back to it.
// One that has not joined yet has nothing that anybody would miss.
func replaceable(s *bootstrap.Spec, rs []view, c change, formed bool, hosts []string) error {
	for _, host := range hosts {
		m, ok := memberOn(s, host)
		if !ok {
			return fmt.Errorf("%w: %s is no member of the ensemble; members: %s", bootstrap.ErrRefused, host, strings.Join(s.MemberNames(), ", "))
		}
		if !formed {
			return refusedf(view{member: m}, "apply", "there is no live ensemble, so that %s could copy from nobody", host)
		}
		if slices.ContainsFunc(c.join, func(j Server) bool { return j.ID == m.id }) {
			continue
		}
		if err := othersHold(rs, host); err != nil {
			return err
		}
	}
	return nil
}

// mover words the moves of one plan.
type mover struct {
	spec *bootstrap.Spec
	vs   []view
	anew []string // hosts whose data goes
}

func step(name, title string, hosts ...string) bootstrap.SiteStep {
	return bootstrap.SiteStep{Role: roleName, Name: name, Hosts: hosts, Title: title}
}

// whole are the gates behind every move.
func whole() []bootstrap.SiteStep {
	_, after := Role{}.Gates("")
	return after
}

// wipe takes what a member holds and lets it copy everything from the others.
func (mv mover) wipe(v view) bootstrap.Move {
	return bootstrap.Move{Title: v.host + " begins anew and copies everything from the others", Hosts: []string{v.host},
		Before: []bootstrap.SiteStep{step(stepOthersHold, "the others have a quorum without "+v.host+" and no reason to doubt their data", v.host)},
		Site:   []bootstrap.SiteStep{mv.empty(v.host, "the live list of members")},
		After:  whole()}
}

// comeBack starts a member of the live configuration that has an empty disk. It cannot vote
// before it has copied the leader's data (db.autocreate=false).
func (mv mover) comeBack(v view) bootstrap.Move {
	lost := "its data"
	if v.data == bootstrap.DataPresent {
		lost = "its list of members"
	}
	return bootstrap.Move{Title: v.host + " has lost " + lost + " and comes back", Hosts: []string{v.host},
		Before: []bootstrap.SiteStep{step(stepOthersHold, "the others have a quorum without "+v.host+" and no reason to doubt their data", v.host)},
		Site:   []bootstrap.SiteStep{step(stepInvite, "give "+v.host+" the live list of members", v.host)},
		After:  whole()}
}

// regroup orders the changes of the configuration. A voter that joins takes the place of one
// that leaves, where there is one, in one reconfig: the number of voters stays odd, and one
// that is dead never counts beside a third that is new.
func (mv mover) regroup(c change) []bootstrap.Move {
	var out []bootstrap.Move
	join, leave := mv.byHost(c.join), mv.leaderLast(c.leave)
	for len(join) > 0 {
		j := join[0]
		join = join[1:]
		i := slices.IndexFunc(leave, func(l Server) bool { return l.Role == j.Role })
		if i < 0 {
			out = append(out, mv.join(j))
			continue
		}
		out = append(out, mv.swap(j, leave[i])...)
		leave = slices.Delete(leave, i, i+1)
	}
	for _, p := range c.promote {
		out = append(out, mv.promote(p))
	}
	for _, d := range mv.leaderLast(c.demote) {
		out = append(out, mv.demote(d))
	}
	for _, l := range leave {
		out = append(out, mv.leave(l))
	}
	return out
}

// byHost orders servers by the names of their hosts.
func (mv mover) byHost(list []Server) []Server {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b Server) int { return cmp.Compare(hostOf(mv.spec, a), hostOf(mv.spec, b)) })
	return out
}

// leaderLast orders servers that give up their vote: those that do not serve cost nothing, the
// leader costs an election.
func (mv mover) leaderLast(list []Server) []Server {
	rank := func(s Server) int {
		for _, v := range mv.vs {
			if v.id == s.ID && s.on(v.addr) && v.serving() {
				if v.mode == modeLeader {
					return 2
				}
				return 1
			}
		}
		return 0
	}
	out := mv.byHost(list)
	slices.SortStableFunc(out, func(a, b Server) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

func (mv mover) name(s Server) string {
	return cmp.Or(hostOf(mv.spec, s), fmt.Sprintf("server %d", s.ID))
}

func (mv mover) invite(host string) bootstrap.SiteStep {
	const list = "the live list of members, with itself as an observer"
	if slices.Contains(mv.anew, host) {
		return mv.empty(host, list)
	}
	return step(stepInvite, "give "+host+" "+list, host)
}

func (mv mover) empty(host, list string) bootstrap.SiteStep {
	l := layoutOf(mv.spec)
	dirs := strings.Join(distinct(versionDir(l.data), versionDir(l.dataLog)), " and ")
	return step(stepWipe, "stop "+host+", delete "+dirs+", give it "+list, host)
}

func (mv mover) join(s Server) bootstrap.Move {
	host, as := mv.name(s), "a voter"
	if s.Role == Observer {
		as = "an observer"
	}
	return bootstrap.Move{Title: fmt.Sprintf("%s joins the ensemble as server %d", host, s.ID), Hosts: []string{host},
		Before: []bootstrap.SiteStep{step(stepEveryone, "every member votes, is in sync and holds the same data")},
		Site:   []bootstrap.SiteStep{mv.invite(host)},
		Then:   []bootstrap.SiteStep{step(stepJoin, fmt.Sprintf("once %s is in sync, make it %s", host, as), host)},
		After:  whole()}
}

func (mv mover) swap(j, l Server) []bootstrap.Move {
	host, old := mv.name(j), mv.name(l)
	out := []bootstrap.Move{{Title: fmt.Sprintf("%s (server %d) takes the place of %s (server %d)", host, j.ID, old, l.ID), Hosts: []string{host},
		Before: []bootstrap.SiteStep{mv.restHolds(old)},
		Site:   []bootstrap.SiteStep{mv.invite(host)},
		Then:   []bootstrap.SiteStep{step(stepSwap, fmt.Sprintf("once %s is in sync, take it in for %s in one reconfig", host, old), host, old)},
		After:  whole()}}
	if h, standing := mv.spec.Hosts[old]; standing && !h.Lost {
		out = append(out, bootstrap.Move{Title: "take the server of " + old + " away", Hosts: []string{old}})
	}
	return out
}

func (mv mover) leave(s Server) bootstrap.Move {
	host := mv.name(s)
	m := bootstrap.Move{Title: fmt.Sprintf("%s (server %d) leaves the ensemble", host, s.ID),
		Before: []bootstrap.SiteStep{mv.restHolds(host)},
		Site:   []bootstrap.SiteStep{step(stepLeave, "take "+host+" out of the live list of members", host)},
		After:  whole()}
	if h, standing := mv.spec.Hosts[host]; standing && !h.Lost {
		m.Hosts = []string{host}
	}
	return m
}

func (mv mover) promote(s Server) bootstrap.Move {
	host := mv.name(s)
	return bootstrap.Move{Title: host + " becomes a voter",
		Before: []bootstrap.SiteStep{step(stepEveryone, "every member votes, is in sync and holds the same data")},
		// In one reconfig it may fail: a server that observes is not counted among those in sync.
		// https://zookeeper.apache.org/doc/r3.9.3/zookeeperReconfig.html#sc_reconfig_general
		Site:  []bootstrap.SiteStep{step(stepLeave, "take the observer "+host+" out of the live list of members", host), step(stepJoin, "once "+host+" is in sync, make it a voter", host)},
		After: whole()}
}

func (mv mover) demote(s Server) bootstrap.Move {
	host := mv.name(s)
	return bootstrap.Move{Title: host + " becomes an observer",
		Before: []bootstrap.SiteStep{mv.restHolds(host)},
		Site:   []bootstrap.SiteStep{step(stepDemote, "make "+host+" an observer", host)},
		After:  whole()}
}

func (mv mover) restHolds(host string) bootstrap.SiteStep {
	return step(stepRestHolds, "those that stay have a quorum among themselves without "+host, host)
}
