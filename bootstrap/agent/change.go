package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zkboot/zkboot/bootstrap"
)

// Change implements bootstrap.Host.
//
// The manifests are written so that a crash at any point leaves a host from which the
// next plan converges: a thing is in the manifest, with an empty hash, before it is
// made or changed, gets its hash when it is as wanted, and leaves the manifest after
// it is gone. So whatever we made is owned, and whatever broke half-way is planned
// again.
func (h *Host) Change(ctx context.Context, steps ...bootstrap.Step) error {
	if err := h.enter(ctx); err != nil {
		return err
	}
	defer h.leave()
	if h.lock == nil {
		return fmt.Errorf("%w: take the lock of the host before changing it", bootstrap.ErrLocked)
	}
	for i, s := range steps {
		if err := valid(s); err != nil {
			return &bootstrap.StepError{Index: i, Step: s, Err: err}
		}
	}
	m, err := h.store.load()
	if err != nil {
		return err
	}
	c := change{host: h, manifests: m, steps: steps, note: h.noteFor(ctx)}
	if err := c.premises(ctx); err != nil {
		return err
	}
	for first := 0; first < len(steps); {
		next := c.runEnd(first)
		if err := ctx.Err(); err != nil {
			return c.fail(first, err)
		}
		if err := c.run(ctx, first, next); err != nil {
			return err
		}
		first = next
	}
	return nil
}

// valid refuses a step that contradicts itself.
func valid(s bootstrap.Step) error {
	if s.Owner != "" && !ownerRE.MatchString(string(s.Owner)) {
		return fmt.Errorf("%q is not an owner: want <spec>.<role>", s.Owner)
	}
	for _, t := range []bootstrap.Thing{s.Was, s.Want} {
		if t.Resource != nil && t.ID() != s.Target {
			return fmt.Errorf("the step is about %s and speaks of %s", s.Target, t.ID())
		}
	}
	was, want := s.Was.Resource != nil, s.Want.Resource != nil
	ok := false
	switch s.Action {
	case bootstrap.ActionCreate:
		ok = !was && want
	case bootstrap.ActionUpdate:
		ok = was && want
	case bootstrap.ActionAdopt:
		ok = want && s.Owner != ""
	case bootstrap.ActionDelete:
		ok = !want
	case bootstrap.ActionRelease:
		ok = !want && s.Owner != ""
	case bootstrap.ActionRestart, bootstrap.ActionStop, bootstrap.ActionKill:
		u, unit := s.Want.Resource.(bootstrap.Unit)
		ok = was && unit && u.Running && s.Owner != ""
	case bootstrap.ActionFetch, bootstrap.ActionUpgrade:
		p, pkg := s.Want.Resource.(bootstrap.Package)
		ok = was && pkg && p.Version != "" && s.Owner != ""
	case bootstrap.ActionReboot:
		b, boot := s.Was.Resource.(bootstrap.Boot)
		ok = boot && b.BootID != "" && want && s.Owner != ""
	default:
		return fmt.Errorf("action %q is unknown to this agent", s.Action)
	}
	if !ok {
		return fmt.Errorf("%s does not fit owner %q, was %t and want %t", s.Action, s.Owner, was, want)
	}
	return nil
}

// change is one call of Change.
type change struct {
	host      *Host
	manifests manifests
	steps     []bootstrap.Step
	note      func(string)
}

func (c *change) fail(i int, err error) error {
	return &bootstrap.StepError{Index: i, Step: c.steps[i], Err: err}
}

func (c *change) stale(i int, format string, args ...any) error {
	return c.fail(i, fmt.Errorf("%w: %s; plan again", bootstrap.ErrStale, fmt.Sprintf(format, args...)))
}

// premises looks at the things of all steps again and compares. A further step about
// the same thing rests on the one before, such as a start behind a stop. Manifests are
// premises too: a thing that another owner took on meanwhile is not deleted.
func (c *change) premises(ctx context.Context) error {
	var ids []bootstrap.ID
	for _, s := range c.steps {
		ids = append(ids, s.Target)
	}
	slices.Sort(ids)
	now, err := c.host.things.look(ctx, slices.Compact(ids), c.manifests.entries())
	if err != nil {
		return fmt.Errorf("looking at the premises: %w", err)
	}
	checked := map[bootstrap.ID]bool{}
	given := map[claim]bool{} // up, by a step before
	for i, s := range c.steps {
		if why, unread := now.Unread[s.Target]; unread {
			return c.fail(i, fmt.Errorf("its state cannot be read: %s", why))
		}
		if how := moved(s, now.Find(s.Target)); how != "" && !checked[s.Target] {
			return c.stale(i, "%s", how)
		}
		checked[s.Target] = true
		if err := c.ownership(i, s, given); err != nil {
			return err
		}
		if s.Want.Resource == nil {
			given[claim{s.Owner, s.Target}] = true
		}
	}
	return nil
}

// claim is what an owner has.
type claim struct {
	owner  bootstrap.Owner
	target bootstrap.ID
}

func (c *change) ownership(i int, s bootstrap.Step, given map[claim]bool) error {
	mine, known := c.manifests[string(s.Owner)]
	if known && s.Cluster != "" && mine.Cluster != "" && s.Cluster != mine.Cluster {
		return c.fail(i, fmt.Errorf("%w: %s on this host belongs to cluster %s, the step to %s; destroy that one first or use another name",
			bootstrap.ErrRefused, s.Owner, mine.Cluster, s.Cluster))
	}
	e, owned := mine.Find(s.Target)
	if s.Action.Traceless() && s.Action != bootstrap.ActionReboot && !owned {
		return c.stale(i, "%s does not own it", s.Owner)
	}
	if s.Action != bootstrap.ActionDelete {
		return nil
	}
	// Of two owners that leave together the first gives up what the second deletes.
	for _, other := range c.manifests.others(s.Owner, s.Target) {
		if !given[claim{other.Owner, s.Target}] {
			return c.stale(i, "%s owns it too", other.Owner)
		}
	}
	if s.Owner != "" && !owned {
		return c.stale(i, "%s does not own it", s.Owner)
	}
	if e.Data && !s.Wipe {
		return c.fail(i, fmt.Errorf("%w: it holds data, and the step does not wipe", bootstrap.ErrRefused))
	}
	return nil
}

// entry is what the manifest of the step's owner says of its thing.
func (c *change) entry(s bootstrap.Step) bootstrap.Entry {
	e, _ := c.manifests[string(s.Owner)].Find(s.Target)
	return e
}

// runEnd returns the end of the run of steps that begins at first: those of one kind
// and direction, so that one apt-get installs, or only downloads, all packages.
func (c *change) runEnd(first int) int {
	head, _ := deed(c.steps[first], c.entry(c.steps[first]))
	end := first + 1
	for ; end < len(c.steps); end++ {
		next, _ := deed(c.steps[end], c.entry(c.steps[end]))
		if next.Target.Kind() != head.Target.Kind() || deletes(next) != deletes(head) || fetches(next) != fetches(head) {
			break
		}
	}
	return end
}

func deletes(s bootstrap.Step) bool { return s.Action == bootstrap.ActionDelete }

func fetches(s bootstrap.Step) bool { return s.Action == bootstrap.ActionFetch }

// run carries out steps first to end. Steps before one that broke count as done.
func (c *change) run(ctx context.Context, first, end int) error {
	var deeds []bootstrap.Step
	var of []int // the step of each deed: an adopt between two others is none
	var begun []bootstrap.Step
	for i, s := range c.steps[first:end] {
		d, does := deed(s, c.entry(s))
		if !does {
			continue
		}
		deeds, of = append(deeds, d), append(of, first+i)
		if s.Action != bootstrap.ActionDelete {
			begun = append(begun, s)
		}
	}
	if err := c.record(begun, c.begin); err != nil {
		return c.fail(first, err)
	}
	done := end
	var broke error
	if len(deeds) > 0 {
		if err := c.host.things.apply(ctx, deeds, c.note); err != nil {
			done, broke = c.blame(first, of, err)
		}
	}
	if err := c.record(c.steps[first:done], c.finish); err != nil {
		return errors.Join(broke, c.fail(first, err))
	}
	return broke
}

// blame turns the error of a run that begins at first into one of the call; of names the
// step of each deed.
func (c *change) blame(first int, of []int, err error) (done int, broke error) {
	var step *bootstrap.StepError
	if !errors.As(err, &step) || step.Index < 0 || step.Index >= len(of) {
		return first, c.fail(first, err)
	}
	done = of[step.Index]
	return done, c.fail(done, step.Err)
}

// record applies edit to the manifests of the steps' owners and saves those that
// changed, each once.
func (c *change) record(steps []bootstrap.Step, edit func(bootstrap.Manifest, bootstrap.Step) bootstrap.Manifest) error {
	edited := manifests{}
	for _, s := range steps {
		if s.Owner == "" || s.Action.Traceless() {
			continue // it makes nothing, so that a crash in it leaves nothing to be planned again
		}
		m, ok := edited[string(s.Owner)]
		if !ok {
			m = c.manifests[string(s.Owner)]
			m.Format, m.Owner = bootstrap.ManifestFormat, s.Owner
		}
		if s.Cluster != "" {
			m.Cluster = s.Cluster
		}
		edited[string(s.Owner)] = edit(m, s)
	}
	for _, owner := range slices.Sorted(maps.Keys(edited)) {
		m := edited[owner]
		if old, ok := c.manifests[owner]; ok && (manifests{owner: old}).equal(manifests{owner: m}) {
			continue
		}
		if err := c.host.store.save(m); err != nil {
			return err
		}
		c.manifests[owner] = m
		c.host.emptied = c.manifests.empty()
	}
	return nil
}

// begin notes that a thing is about to become what the step wants.
func (c *change) begin(m bootstrap.Manifest, s bootstrap.Step) bootstrap.Manifest {
	e := c.first(m, s)
	e.Hash = ""
	switch want := s.Want.Resource.(type) {
	case bootstrap.File: // the old or the new one may be there after a crash
		e.Fill = union(e.Fill, want.Fill)
		e.Compare, e.Keep = want.Compare, want.Keep
	case bootstrap.Dir:
		e.Data, e.Contents = e.Data || want.Data, e.Contents || want.Contents
	}
	return put(m, e)
}

// finish notes that a step is done.
func (c *change) finish(m bootstrap.Manifest, s bootstrap.Step) bootstrap.Manifest {
	if s.Want.Resource == nil {
		return drop(m, s.Target)
	}
	e := c.first(m, s)
	e.Hash = bootstrap.Hash(s.Want.Resource)
	switch want := s.Want.Resource.(type) {
	case bootstrap.File:
		e.Fill, e.Compare, e.Keep = want.Fill, want.Compare, want.Keep
	case bootstrap.Dir:
		e.Data, e.Contents = want.Data, want.Contents
	}
	return put(m, e)
}

// first returns the owner's entry for the step's thing, or a new one that remembers
// how the thing was before anybody of ours touched it.
func (c *change) first(m bootstrap.Manifest, s bootstrap.Step) bootstrap.Entry {
	if e, ok := m.Find(s.Target); ok {
		return e
	}
	e := bootstrap.Entry{ID: s.Target, Before: s.Was}
	if others := c.manifests.others(s.Owner, s.Target); len(others) > 0 {
		theirs, _ := others[0].Find(s.Target)
		e.Before = theirs.Before
	}
	return e
}
