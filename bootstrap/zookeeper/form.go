package zookeeper

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/bootstrap"
)

// Do implements bootstrap.Role.
func (r Role) Do(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, st bootstrap.SiteStep) error {
	if s.Ensemble == nil {
		return fmt.Errorf("%s: this spec has no ensemble", st.Name)
	}
	switch st.Name {
	case stepForm:
		return form(ctx, s, h)
	case stepRecover:
		return recoverQuorum(ctx, s, h, st.Hosts)
	case stepQuorumWithout:
		return quorumWithout(ctx, s, h, st.Hosts)
	case stepEveryone:
		return everyone(ctx, s, h)
	case stepCanary:
		return canary(ctx, s, h)
	case stepRestore:
		return putBack(ctx, s, h, st.Backup)
	case stepRestored:
		return proveRestored(ctx, s, h, st.Backup)
	}
	if do, ok := r.moving()[st.Name]; ok {
		return do(ctx, s, h, st.Hosts)
	}
	return fmt.Errorf("the zookeeper role has no site step %q", st.Name)
}

// leftovers are the files of a server that started once and never saw a quorum. Nothing
// can be lost with them, and a half-written one would keep it from starting.
func (m member) leftovers() []string {
	return []string{versionDir(m.data) + "/snapshot.0", versionDir(m.data) + "/acceptedEpoch", versionDir(m.data) + "/currentEpoch"}
}

// form gives every member the founding configuration and the marker that lets an empty
// server vote, in parallel. The engine starts the units afterwards. It looks again first:
// a member that has data or serves since the plan ends it before anything is changed. When
// the members of an earlier run that was cut off have formed meanwhile, nothing is left to do.
func form(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts) error {
	ms := members(s)
	states, vs := make([]bootstrap.State, len(ms)), make([]view, len(ms))
	err := parallel(ctx, ms, func(ctx context.Context, i int, m member) (err error) {
		states[i], err = m.lookToForm(ctx, h)
		vs[i] = m.look(bootstrap.Seen{State: states[i]}, true)
		return err
	})
	if err != nil || formed(vs, Founding(s)) {
		return err
	}
	for _, v := range vs {
		if !v.blank() {
			return bootstrap.Finding{Severity: bootstrap.SeverityError, Host: v.host, Step: stepForm, Hint: "plan again",
				Text: fmt.Sprintf("expected an empty member, found data %q, mode %s", v.data, v.mode), Err: bootstrap.ErrRefused}
		}
	}
	return parallel(ctx, ms, func(ctx context.Context, i int, m member) error {
		mark := bootstrap.File{Path: initialize(m.dataLog), Mode: 0o640, Owner: account, Group: account}
		return h[m.host].Change(ctx, m.firstStart(states[i], Founding(m.spec), append(m.clear(states[i]), put(states[i], mark))...)...)
	})
}

// blank reports whether a member has nothing that could be lost.
func (v view) blank() bool {
	return !v.serving() && (v.data == bootstrap.DataEmpty || v.data == bootstrap.DataPristine)
}

// formed reports whether an earlier formation has taken effect: every member has the
// founding configuration, and some have agreed on it.
func formed(vs []view, founding Dynamic) bool {
	for _, v := range vs {
		if d, err := ParseDynamic(v.z.Dynamic); v.z.Dynamic == "" || err != nil || len(Differences(d, founding)) > 0 {
			return false
		}
	}
	return slices.ContainsFunc(vs, func(v view) bool { return !v.blank() })
}

// lookToForm looks at a member that is about to be formed.
func (m member) lookToForm(ctx context.Context, h bootstrap.Hosts) (bootstrap.State, error) {
	return m.lookBefore(ctx, h, stepForm, "an ensemble is formed only when every member is reachable", m.formationIDs())
}

// lookBefore looks at a member that a step is about to change; away is said of a host that was
// not reached.
func (m member) lookBefore(ctx context.Context, h bootstrap.Hosts, name, away string, ids []bootstrap.ID) (bootstrap.State, error) {
	host, ok := h[m.host]
	if !ok {
		return bootstrap.State{}, bootstrap.Finding{Severity: bootstrap.SeverityError, Host: m.host, Step: name,
			Text: away, Hint: "apply again when it answers", Err: bootstrap.ErrUnreachable}
	}
	_, state, err := host.Look(ctx, ids...)
	if err != nil {
		return state, fmt.Errorf("%s: look before %s: %w", m.host, name, err)
	}
	return state, nil
}

func (m member) formationIDs() []bootstrap.ID {
	ids := []bootstrap.ID{m.observed(), bootstrap.NewID(bootstrap.KindUnit, m.unit)}
	for _, f := range append(m.leftovers(), m.dynamic, m.zooCfg, initialize(m.dataLog)) {
		ids = append(ids, bootstrap.NewID(bootstrap.KindFile, f))
	}
	slices.Sort(ids)
	return ids
}

// firstStart lists the steps that make a member ready to start with a list of members that
// is new to it, and restart it when it runs in vain since an earlier attempt. Further steps
// come while it is stopped. Those of the list have no owner: from here on these files are the
// server's own.
func (m member) firstStart(have bootstrap.State, list Dynamic, further ...bootstrap.Step) []bootstrap.Step {
	var steps []bootstrap.Step
	unit, there := have.Find(bootstrap.NewID(bootstrap.KindUnit, m.unit)).(bootstrap.Unit)
	restart := there && unit.Running
	stopped := unit
	stopped.Running, stopped.Rev = false, ""
	if restart {
		steps = append(steps, bootstrap.Step{Action: bootstrap.ActionUpdate, Target: unit.ID(), Was: bootstrap.Thing{Resource: unit}, Want: bootstrap.Thing{Resource: stopped}})
	}
	if z, ok := m.seen(have); ok && z.Properties["dynamicConfigFile"] != m.dynamic {
		fresh := m.zooCfgFile()
		fresh.Keep = nil // its live value names a list that this one takes the place of
		steps = append(steps, put(have, fresh))
	}
	list.Version = "" // the server keeps it in the name of the file
	steps = append(steps, put(have, bootstrap.File{Path: m.dynamic, Content: list.String(), Mode: 0o640, Owner: account, Group: account}))
	steps = append(steps, further...)
	if restart {
		steps = append(steps, bootstrap.Step{Action: bootstrap.ActionUpdate, Target: unit.ID(), Was: bootstrap.Thing{Resource: stopped}, Want: bootstrap.Thing{Resource: unit}})
	}
	return steps
}

// clear deletes what a server leaves that started and never saw a quorum. The same files belong
// to the data where there is any: without its snapshot a log is nothing.
func (m member) clear(have bootstrap.State) []bootstrap.Step {
	var steps []bootstrap.Step
	if m.dataOn(have) == bootstrap.DataPresent {
		return nil
	}
	for _, f := range m.leftovers() {
		id := bootstrap.NewID(bootstrap.KindFile, f)
		if was := have.Find(id); was != nil {
			steps = append(steps, bootstrap.Step{Action: bootstrap.ActionDelete, Target: id, Was: bootstrap.Thing{Resource: was}})
		}
	}
	return steps
}

// put is the step that writes a file over whatever was seen there.
func put(have bootstrap.State, f bootstrap.File) bootstrap.Step {
	return stepTo(have, f)
}

// recoverQuorum prepares stopped members for a start: one that lost its configuration
// directory but not its data gets the live list of members anew.
func recoverQuorum(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, hosts []string) error {
	list, ok := live(survey(ctx, s, h))
	if !ok {
		list = Founding(s) // no member has one: they were all formed with this one or never
	}
	ms := slices.DeleteFunc(members(s), func(m member) bool { return !slices.Contains(hosts, m.host) })
	return parallel(ctx, ms, func(ctx context.Context, _ int, m member) error {
		have, err := m.lookBefore(ctx, h, stepRecover, "expected a host that answers", m.formationIDs())
		if err != nil {
			return err
		}
		if z, ok := m.seen(have); ok && z.Dynamic != "" {
			return nil
		}
		return h[m.host].Change(ctx, m.firstStart(have, list)...)
	})
}

// parallel works on all members at once and waits for all; the first error wins.
func parallel(ctx context.Context, ms []member, work func(ctx context.Context, i int, m member) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, m := range ms {
		g.Go(func() error { return work(ctx, i, m) })
	}
	return g.Wait()
}
