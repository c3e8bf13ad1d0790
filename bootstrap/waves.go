package bootstrap

import (
	"fmt"
	"slices"
)

// compiled is one role with what it wants of every host.
type compiled struct {
	role Role
	want map[string]Desired
}

// compile asks every role what it wants, seals it, and reports what two roles want of one
// host differently.
func compile(roles []Role, s *Spec, now Site) ([]compiled, Report) {
	var report Report
	var out []compiled
	for _, role := range roles {
		want, r := role.Compile(s, now)
		report.Merge(r)
		for host, d := range want {
			owner := OwnerOf(s.Name, role.Name())
			if d.SyncDir != "" && now.Hosts[host].State.Find(verdictFile(owner)) != nil {
				d.Resources = append(slices.Clone(d.Resources), verdictResource(owner))
			}
			sealed, err := d.Seal()
			if err != nil {
				report.HostError(host, "compile "+role.Name(), err)
			}
			want[host] = sealed
		}
		out = append(out, compiled{role, want})
	}
	report.Merge(conflicts(s, out))
	return out, s.Locate(report)
}

// conflicts reports things that two roles want differently on one host.
func conflicts(s *Spec, all []compiled) Report {
	var report Report
	for _, host := range s.HostNames() {
		first := map[ID]Resource{}
		by := map[ID]string{}
		for _, c := range all {
			for _, r := range c.want[host].Resources {
				id := r.ID()
				if other, dup := first[id]; dup && Hash(other) != Hash(r) {
					report.HostError(host, "compile "+c.role.Name(),
						fmt.Errorf("%s is wanted differently by %s and %s", id, by[id], c.role.Name()))
				}
				first[id], by[id] = r, c.role.Name()
			}
		}
	}
	return report
}

// hostSteps are the steps of one role on one host, sorted into where they belong.
type hostSteps struct {
	prepare []Step // whatever no running unit waits its turn for
	start   []Step // units whose hosts a site step takes out of turn-taking
	turn    []Step // everything that needs the host's turn
	clean   []Step // deletes
}

// sortSteps splits the steps of one host. fresh says that the site step of this plan makes
// or recovers the service there, so that no running member has to be protected.
func sortSteps(d Desired, steps []Step, fresh bool) hostSteps {
	closure := map[ID]bool{}
	units := map[ID]bool{}
	for _, id := range d.Takeover.Late {
		closure[id] = true
	}
	for _, r := range d.Resources {
		u, ok := r.(Unit)
		if !ok || !u.Turn {
			continue
		}
		units[u.ID()] = true
		for _, id := range u.RestartOn {
			closure[id] = true
		}
	}
	var out hostSteps
	for _, st := range steps {
		silent := st.Action == ActionAdopt || st.Action == ActionRelease
		switch {
		case st.Action == ActionDelete || st.Action == ActionRelease:
			out.clean = append(out.clean, st)
		case units[st.Target] && silent:
			out.prepare = append(out.prepare, st)
		case units[st.Target] && fresh:
			out.start = append(out.start, st)
		case units[st.Target], (closure[st.Target] || st.Owner == "") && !silent && !fresh:
			out.turn = append(out.turn, st)
		default:
			out.prepare = append(out.prepare, st)
		}
	}
	return out
}

// buildWaves turns what every role wants into waves. Tuning, downloads and files go to all
// hosts at once; then each role's site step and the starts that belong to it; then the hosts
// that join or leave, one after the other; then whatever restarts a member, one host at a
// time; deletes come last.
func buildWaves(s *Spec, all []compiled, now Site, in Intent) ([]Wave, error) {
	prepare := Wave{Title: "prepare all hosts at once", Steps: map[string][]Step{}}
	clean := Wave{Title: "remove what is no longer wanted", Steps: map[string][]Step{}}
	var middle []Wave
	left := map[string]State{} // what the roles before this one leave in the manifests
	for _, host := range now.Reachable() {
		left[host] = now.Hosts[host].State
	}
	for _, c := range all {
		site, found, err := c.role.Next(s, now, in)
		if err != nil {
			return nil, err
		}
		moving, err := moves(c.role, s, now, in)
		if err != nil {
			return nil, err
		}
		start := Wave{Title: "start " + c.role.Name(), Steps: map[string][]Step{}}
		roll := turns("change", c.role)
		for _, host := range now.Reachable() {
			d, owner := c.want[host], OwnerOf(s.Name, c.role.Name())
			steps := Diff(owner, d, left[host], in)
			left[host] = left[host].without(owner, steps)
			move, moved := moving.of(host)
			hs := sortSteps(d, steps, moved || found && slices.Contains(site.Hosts, host))
			add(prepare, host, hs.prepare)
			add(roll, host, hs.turn)
			if moved {
				add(move, host, slices.Concat(hs.start, hs.clean))
				continue
			}
			add(start, host, hs.start)
			add(clean, host, hs.clean)
		}
		if g, ok := c.role.(Gated); ok {
			_, start.After = g.Gates("")
		}
		if found {
			middle = append(middle, Wave{Title: site.Title, Site: []SiteStep{site}})
		}
		middle = append(middle, start)
		middle = append(middle, moving.waves...)
		middle = append(middle, roll)
	}
	waves := append([]Wave{prepare}, middle...)
	waves = append(waves, clean)
	return slices.DeleteFunc(waves, func(w Wave) bool { return len(w.Site) == 0 && len(w.Steps) == 0 }), nil
}

// movement is the waves of a role whose set of hosts changes.
type movement struct {
	waves []Wave
	hosts map[string]int // host -> the wave that has its steps
}

// moves asks a role for the changes of its set of hosts and makes each a wave, still without
// the steps of hosts.
func moves(role Role, s *Spec, now Site, in Intent) (movement, error) {
	out := movement{hosts: map[string]int{}}
	m, ok := role.(Mover)
	if !ok {
		return out, nil
	}
	list, err := m.Moves(s, now, in)
	if err != nil {
		return out, err
	}
	for i, mv := range list {
		out.waves = append(out.waves, Wave{Title: mv.Title, Before: mv.Before, Site: mv.Site, Then: mv.Then, After: mv.After, Steps: map[string][]Step{}})
		for _, h := range mv.Hosts {
			out.hosts[h] = i
		}
	}
	return out, nil
}

// of returns the wave that has the steps of a host.
func (m movement) of(host string) (Wave, bool) {
	i, ok := m.hosts[host]
	if !ok {
		return Wave{}, false
	}
	return m.waves[i], true
}

// turns is an empty rolling wave of a role, with its gates.
func turns(what string, role Role) Wave {
	w := Wave{Title: what + " " + role.Name() + " members in turn", Role: role.Name(), Rolling: true,
		Rule: "one at a time, stopped members first, leader last", Steps: map[string][]Step{}}
	if g, ok := role.(Gated); ok {
		w.Before, w.After = g.Gates("")
	}
	return w
}

func add(w Wave, host string, steps []Step) {
	if len(steps) > 0 {
		w.Steps[host] = append(w.Steps[host], steps...)
	}
}
