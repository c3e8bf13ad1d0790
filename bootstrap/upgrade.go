package bootstrap

import "slices"

// upgradeWaves brings the packages that units with turns run on to what apt offers, one host
// at a time. All hosts download first, so that a mirror that does not answer keeps nobody
// stopped. In its turn a unit is stopped before anything is installed: a program whose files
// change under it may break, and a run that is cut off there leaves a unit that does not run,
// which the next plan starts. Nothing else would tell that a process is older than its files.
func upgradeWaves(s *Spec, all []compiled, now Site, in Intent) ([]Wave, error) {
	return turnWaves(s, all, now, in, func(at place) (first, turn []Step) {
		for _, u := range turnUnits(at.want) {
			packages := Upgrades(at.want, u, at.seen.State)
			if len(packages) == 0 {
				continue
			}
			turn = append(turn, at.step(ActionStop, u))
			for _, p := range packages {
				first = append(first, at.step(ActionFetch, p))
				turn = append(turn, at.step(ActionUpgrade, p))
			}
			turn = append(turn, at.step(ActionRestart, u))
		}
		return first, turn
	})
}

// Upgrades lists the packages that a unit is restarted for and that apt offers in another
// version than the one that is installed, with that version. What the spec pins to a version
// is not among them, nor is what nobody holds: apt itself sees to that.
func Upgrades(d Desired, u Unit, have State) []Package {
	var out []Package
	for _, r := range d.Resources {
		p, ok := r.(Package)
		if !ok || !p.Hold || p.Version != "" || !slices.Contains(u.RestartOn, p.ID()) {
			continue
		}
		offer, known := have.Find(NewID(KindCandidate, p.Name)).(Candidate)
		seen, installed := have.Find(p.ID()).(Package)
		if known && installed && offer.Version != seen.Version {
			p.Version = offer.Version
			out = append(out, p)
		}
	}
	return out
}
