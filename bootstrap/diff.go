package bootstrap

import (
	"maps"
	"slices"
	"strings"
)

// Diff lists the steps that lead host from have to what owner wants of it: creations and
// updates in the order of kinds, then deletes of what the owner's manifest lists and d no
// longer wants, in reverse. A thing that another owner's manifest lists too is released,
// not deleted. Diff is pure; applying its steps makes the next Diff empty.
func Diff(owner Owner, d Desired, have State, in Intent) []Step {
	mine := have.Manifests[string(owner)]
	wanted := map[ID]bool{}
	var steps []Step
	for _, r := range d.Resources {
		id := r.ID()
		wanted[id] = true
		seen := have.Find(id)
		step := Step{Owner: owner, Cluster: d.Cluster, Target: id, Was: Thing{seen}, Want: Thing{r}, From: d.From[id]}
		switch drift := r.Drift(seen); {
		case len(drift) > 0 && seen == nil:
			step.Action = ActionCreate
		case len(drift) > 0:
			step.Action = ActionUpdate
		default:
			e, owned := mine.Find(id)
			if owned && e.Hash == Hash(r) {
				continue
			}
			step.Action = ActionAdopt
		}
		if seen == nil {
			step.Instead = Thing{d.Takeover.Instead[id]}
		}
		steps = append(steps, step)
	}
	return append(d.Takeover.before(steps), deletes(owner, d, wanted, have, in)...)
}

func deletes(owner Owner, d Desired, wanted map[ID]bool, have State, in Intent) []Step {
	mine := slices.Clone(have.Manifests[string(owner)].Entries)
	slices.SortFunc(mine, func(a, b Entry) int { return compareIDs(b.ID, a.ID) })
	var steps []Step
	for _, e := range mine {
		if wanted[e.ID] {
			continue
		}
		step := Step{Owner: owner, Cluster: d.Cluster, Action: ActionDelete, Target: e.ID, Was: Thing{have.Find(e.ID)}}
		switch {
		case shared(owner, e.ID, have):
			step.Action = ActionRelease
		case e.ID.Kind() == KindHostKey: // a host without one lets nobody in
			step.Action = ActionRelease
		case keptWithData(e, mine) && !in.Wipe:
			step.Action = ActionRelease
		case e.Data:
			step.Wipe = true
		}
		steps = append(steps, step)
	}
	return steps
}

// keptWithData reports whether an entry is a directory of data or a file that lies in one:
// what identifies data, such as myid, stays as long as the data does.
func keptWithData(e Entry, mine []Entry) bool {
	if e.Data {
		return true
	}
	if e.ID.Kind() != KindFile {
		return false
	}
	return slices.ContainsFunc(mine, func(d Entry) bool {
		return d.Data && strings.HasPrefix(e.ID.Name(), d.ID.Name()+"/")
	})
}

func shared(owner Owner, id ID, have State) bool {
	for name, m := range have.Manifests {
		if name == string(owner) {
			continue
		}
		if _, ok := m.Find(id); ok {
			return true
		}
	}
	return false
}

// without is the state as it is once owner has given up what steps delete or release, so
// that of two owners that leave together the second one deletes what they shared.
func (s State) without(owner Owner, steps []Step) State {
	m, ok := s.Manifests[string(owner)]
	if !ok {
		return s
	}
	gone := map[ID]bool{}
	for _, st := range steps {
		if st.Action == ActionDelete || st.Action == ActionRelease {
			gone[st.Target] = true
		}
	}
	m.Entries = slices.DeleteFunc(slices.Clone(m.Entries), func(e Entry) bool { return gone[e.ID] })
	s.Manifests = maps.Clone(s.Manifests)
	s.Manifests[string(owner)] = m
	return s
}
