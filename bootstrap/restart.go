package bootstrap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// builder is what makes the waves of a plan for a verb.
func builder(v Verb) func(*Spec, []compiled, Site, Intent) ([]Wave, error) {
	switch v {
	case VerbRestart:
		return restartWaves
	case VerbUpgrade:
		return upgradeWaves
	case VerbReboot:
		return rebootWaves
	case VerbRestore:
		return restoreWaves
	}
	return buildWaves
}

// restartWaves gives every unit that takes turns a new process. Nothing is kept about who
// has been restarted, so that a run that was cut short starts again with everybody.
func restartWaves(s *Spec, all []compiled, now Site, in Intent) ([]Wave, error) {
	return turnWaves(s, all, now, in, func(at place) (first, turn []Step) {
		for _, u := range turnUnits(at.want) {
			turn = append(turn, at.step(ActionRestart, u))
		}
		return nil, turn
	})
}

// place is one role on one host.
type place struct {
	host  string
	owner Owner
	want  Desired
	seen  Seen
}

// step is a step about something that the role wants there, as it is now.
func (at place) step(a Action, want Resource) Step {
	id := want.ID()
	return Step{Action: a, Owner: at.owner, Cluster: at.want.Cluster, Target: id,
		Was: Thing{at.seen.State.Find(id)}, Want: Thing{want}, From: at.want.From[id]}
}

// turnWaves does something to every host with a unit that takes turns, in the waves and
// behind the gates in which a change restarts such units. steps says what: what all hosts do
// at once first, and what each does in its turn. It refuses while the site is not as it is
// wanted: a restart would take up whatever lies on a host, and a host whose turn failed
// before must not be passed over.
func turnWaves(s *Spec, all []compiled, now Site, in Intent, steps func(place) (first, turn []Step)) ([]Wave, error) {
	pending, err := buildWaves(s, all, now, Intent{Verb: VerbConverge})
	if err != nil {
		return nil, err
	}
	if len(pending) > 0 {
		return nil, notApplied(in.Verb, pending)
	}
	var waves []Wave
	found := false
	for _, c := range all {
		if _, _, err := c.role.Next(s, now, in); err != nil {
			return nil, err
		}
		owner := OwnerOf(s.Name, c.role.Name())
		ready := Wave{Title: "download to all hosts at once", Steps: map[string][]Step{}}
		roll := turns(string(in.Verb), c.role)
		for _, host := range now.Reachable() {
			if len(turnUnits(c.want[host])) == 0 {
				continue
			}
			found = true
			first, turn := steps(place{host, owner, c.want[host], now.Hosts[host]})
			add(ready, host, first)
			add(roll, host, turn)
		}
		waves = append(waves, ready, roll)
	}
	if !found {
		return nil, fmt.Errorf("%w: no host of %s has anything that is restarted in turn; give the spec an ensemble", ErrRefused, s.Name)
	}
	return slices.DeleteFunc(waves, func(w Wave) bool { return len(w.Steps) == 0 }), nil
}

// turnUnits are the units of a host that take turns and are to run.
func turnUnits(d Desired) []Unit {
	var units []Unit
	for _, r := range d.Resources {
		if u, ok := r.(Unit); ok && u.Turn && u.Running {
			units = append(units, u)
		}
	}
	return units
}

// notApplied is the refusal to restart what is not as it is wanted. It names the hosts that
// an apply would change, and the first thing that it would do.
func notApplied(v Verb, pending []Wave) error {
	apply := Plan{Waves: pending}
	_, steps := apply.Counts()
	changed := map[string]bool{}
	first, at := "", ""
	for _, w := range pending {
		if first == "" && len(w.Site) > 0 {
			first = w.Site[0].Title
		}
		for _, host := range w.Hosts() {
			changed[host] = true
			if first == "" {
				first, at = w.Steps[host][0].String(), host
			}
		}
	}
	hosts := slices.Sorted(maps.Keys(changed))
	if len(hosts) == 1 {
		at = hosts[0] // also where a site step comes first
	}
	return Finding{Severity: SeverityError, Host: at, Step: string(v), Hint: "apply first, then " + string(v), Err: ErrRefused,
		Text: fmt.Sprintf("expected nothing left to apply, found %s on %s, first: %s", plural(steps, "step"), strings.Join(hosts, ", "), first)}
}
