package bootstrap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// restartWaves gives every unit that takes turns a new process, in the waves and behind the
// gates in which a change restarts them. It refuses while the site is not as it is wanted:
// a restart would take up whatever lies on a host, and a host whose turn failed before must
// not be passed over. Nothing is kept about who has been restarted, so that a run that was
// cut short starts again with everybody.
func restartWaves(s *Spec, all []compiled, now Site, in Intent) ([]Wave, error) {
	pending, err := buildWaves(s, all, now, Intent{Verb: VerbConverge})
	if err != nil {
		return nil, err
	}
	if len(pending) > 0 {
		return nil, notApplied(pending)
	}
	var waves []Wave
	for _, c := range all {
		if _, _, err := c.role.Next(s, now, in); err != nil {
			return nil, err
		}
		roll := turns("restart", c.role)
		for _, host := range now.Reachable() {
			add(roll, host, restarts(OwnerOf(s.Name, c.role.Name()), c.want[host], now.Hosts[host].State))
		}
		if len(roll.Steps) > 0 {
			waves = append(waves, roll)
		}
	}
	if len(waves) == 0 {
		return nil, fmt.Errorf("%w: no host of %s has anything that is restarted in turn; give the spec an ensemble", ErrRefused, s.Name)
	}
	return waves, nil
}

// restarts lists a restart of every unit of a host that takes turns.
func restarts(owner Owner, d Desired, have State) []Step {
	var steps []Step
	for _, r := range d.Resources {
		if u, ok := r.(Unit); ok && u.Turn && u.Running {
			steps = append(steps, Step{Action: ActionRestart, Owner: owner, Cluster: d.Cluster, Target: u.ID(),
				Was: Thing{have.Find(u.ID())}, Want: Thing{u}, From: d.From[u.ID()]})
		}
	}
	return steps
}

// notApplied is the refusal to restart what is not as it is wanted. It names the hosts that
// an apply would change, and the first thing that it would do.
func notApplied(pending []Wave) error {
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
	return Finding{Severity: SeverityError, Host: at, Step: "restart", Hint: "apply first, then restart", Err: ErrRefused,
		Text: fmt.Sprintf("expected nothing left to apply, found %s on %s, first: %s", plural(steps, "step"), strings.Join(hosts, ", "), first)}
}
