package zookeeper

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
)

// moving are the site steps of moves, by name.
func (Role) moving() map[string]func(context.Context, *bootstrap.Spec, bootstrap.Hosts, []string) error {
	return map[string]func(context.Context, *bootstrap.Spec, bootstrap.Hosts, []string) error{
		stepOthersHold: gateOn(stepOthersHold, othersHold),
		stepRestHolds:  gateOn(stepRestHolds, restHolds),
		stepInvite:     one(stepInvite, invite),
		stepWipe:       one(stepWipe, wipe),
		stepJoin:       one(stepJoin, join),
		stepLeave:      one(stepLeave, leave),
		stepDemote:     one(stepDemote, demote),
		stepSwap:       swap,
	}
}

// one is for steps that are about one host.
func one(name string, do func(context.Context, *bootstrap.Spec, bootstrap.Hosts, string) error) func(context.Context, *bootstrap.Spec, bootstrap.Hosts, []string) error {
	return func(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, hosts []string) error {
		if len(hosts) != 1 {
			return fmt.Errorf("%s: want one host, found %d", name, len(hosts))
		}
		return do(ctx, s, h, hosts[0])
	}
}

// gateOn waits until a check of the live members has nothing to say about a host.
func gateOn(name string, check func([]view, string) error) func(context.Context, *bootstrap.Spec, bootstrap.Hosts, []string) error {
	return one(name, func(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, host string) error {
		return await(ctx, s, h, name, joining(s), func(vs []view) error { return check(roster(vs), host) })
	})
}

// about finds the member on a host, whether the spec still wants it or not, and what the
// ensemble lives by.
func about(s *bootstrap.Spec, vs []view, name, host string) (member, Dynamic, error) {
	m, ok := memberOn(s, host)
	if !ok {
		m = outsider(s, host)
	}
	d, formed := live(vs)
	if !formed || len(leaders(vs)) != 1 {
		return m, d, bootstrap.Finding{Severity: bootstrap.SeverityError, Host: host, Step: name, Err: bootstrap.ErrRefused,
			Text: fmt.Sprintf("expected one leader, who knows the live list of members, found %d", len(leaders(vs))),
			Hint: "apply again when the ensemble has a quorum"}
	}
	for _, srv := range d.Servers {
		if srv.on(m.addr) {
			m.id = srv.ID
		}
	}
	return m, d, nil
}

// invite hands the live list of members to a server that is about to start for the first time,
// or again without what it had. One that is no member yet stands in its own list as an
// observer, alone of all that join: as a voter it could take part in a quorum that the others
// know nothing of.
// https://zookeeper.apache.org/doc/r3.9.3/zookeeperReconfig.html#sc_reconfig_joining
//
// A joiner of a run that was cut short is started again from here, unless it follows already:
// once it has learned a configuration without itself it would not start with that.
func invite(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, host string) error {
	vs := survey(ctx, s, h)
	m, d, err := about(s, vs, stepInvite, host)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(vs, func(v view) bool { return v.host == host }); i >= 0 && vs[i].follows() {
		return nil
	}
	have, err := m.lookToStart(ctx, h, stepInvite)
	if err != nil {
		return err
	}
	return h[host].Change(ctx, m.firstStart(have, m.invited(d), m.clear(have)...)...)
}

// invited is the list that a server starts with.
func (m member) invited(d Dynamic) Dynamic {
	d.Servers = slices.Clone(d.Servers)
	if !slices.ContainsFunc(d.Servers, func(s Server) bool { return s.ID == m.id }) {
		self := m.server()
		self.Role = Observer
		d.Servers = append(d.Servers, self)
	}
	d.sort()
	return d
}

// follows reports whether a server is in touch with the leader, as a member or as a guest.
func (v view) follows() bool {
	return v.serving() && (!v.zab.answered || strings.EqualFold(v.zab.State, "broadcast"))
}

// lookToStart looks at a member that is about to start with another list of members.
func (m member) lookToStart(ctx context.Context, h bootstrap.Hosts, name string) (bootstrap.State, error) {
	ids := m.formationIDs()
	for _, dir := range distinct(versionDir(m.data), versionDir(m.dataLog)) {
		ids = append(ids, bootstrap.NewID(bootstrap.KindDir, dir))
	}
	return m.lookBefore(ctx, h, name, "expected a host that answers", ids)
}

// wipe deletes what a member holds and makes it start anew with the live list of members. The
// leader may be the one: every write that was acknowledged is on another voter that the gate
// before has seen at work, and who lags behind that one does not win the election.
func wipe(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, host string) error {
	vs := survey(ctx, s, h)
	m, d, err := about(s, vs, stepWipe, host)
	if err != nil {
		return err
	}
	have, err := m.lookToStart(ctx, h, stepWipe)
	if err != nil {
		return err
	}
	owner := bootstrap.OwnerOf(s.Name, roleName)
	manifest := have.Manifests[string(owner)]
	var steps []bootstrap.Step
	for _, dir := range distinct(versionDir(m.data), versionDir(m.dataLog)) {
		want := bootstrap.Dir{Path: dir, Mode: 0o750, Owner: account, Group: account, Data: true}
		was := have.Find(want.ID())
		if _, ours := manifest.Find(want.ID()); was == nil || !ours {
			continue // a new host: apply makes it
		}
		common := bootstrap.Step{Owner: owner, Cluster: manifest.Cluster, Target: want.ID()}
		gone, made := common, common
		gone.Action, gone.Was, gone.Wipe = bootstrap.ActionDelete, bootstrap.Thing{Resource: was}, true
		made.Action, made.Want = bootstrap.ActionCreate, bootstrap.Thing{Resource: want}
		steps = append(steps, gone, made)
	}
	return h[host].Change(ctx, m.firstStart(have, m.invited(d), steps...)...)
}
