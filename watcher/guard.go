package watcher

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// Hold is a loss that the guard does not believe yet.
type Hold struct {
	Since time.Time `json:"since"`
	// Until is when all of it will be believed if nothing else happens. The clock of a hold
	// stands still while the registry cannot be read, so this moves away meanwhile.
	Until time.Time `json:"until"`
	From  int       `json:"from"` // instances before the loss
	To    int       `json:"to"`   // instances that the registry still shows
	Rule  string    `json:"rule"` // which rule holds, for people
}

// guard decides what of one service is served, given what the registry shows. It is a state
// machine over times that its caller gives; it starts nothing and waits for nothing.
//
// A loss is believed at once unless it takes away everything, or more than Threshold of the
// greatest set that was served within the last Hold. That maximum, and not the set before,
// is the measure, so that a bleed of small steps counts together. What is lost beyond that
// is held back: it stays served beside all that the registry shows, each instance for Hold.
// Serving too many is safe, because the proxy checks every one itself. When enough instances
// are there again, what is held back is let go at once.
//
// An instance that announced that it drains is expected to leave, and is no loss. One whose
// address came back under another ID has not left. While the registry cannot be read nothing
// changes, and the time does not count towards any hold: nobody saw that the loss lasted.
type guard struct {
	rules  config.Guard
	served []Instance // sorted by ID, with what is held back; nil until there was a set
	want   []Instance // what the registry showed last, sorted by ID
	sizes  peaks
	stable []Instance      // whose size is the newest of sizes
	turned map[string]bool // of stable, those that began or stopped to drain since

	lost    map[string]time.Time // what is held back, since when on the guard's clock
	empty   time.Time            // the first answer ever was empty, at this time of the guard's clock
	started time.Time            // of the hold, for people
	rule    string

	blind      time.Duration // time for which the registry could not be read, before blindSince
	blindSince time.Time     // zero while it can be read
}

// restore begins with a set of an earlier run, which counts as served but not as read.
func (g *guard) restore(served []Instance, now time.Time) {
	g.served, g.want = served, served
	g.settleOn(served)
	g.sizes.reset(live(served))
	g.unknown(now)
}

// unknown notes that the registry cannot be read.
func (g *guard) unknown(now time.Time) {
	if g.blindSince.IsZero() {
		g.blindSince = now
	}
}

// skip leaves a time out in which nobody could have seen anything, because this process did not run.
func (g *guard) skip(d time.Duration) {
	if g.blindSince.IsZero() {
		g.blind += d
	}
}

// see takes what the registry shows: whole, sorted by ID, and empty only when that was verified.
func (g *guard) see(want []Instance, now time.Time) {
	if !g.blindSince.IsZero() {
		g.blind += now.Sub(g.blindSince)
		g.blindSince = time.Time{}
	}
	g.sizes.excuse(g.newlyDraining(want))
	g.want = want
	g.decide(now)
}

// tick decides what has been held long enough.
func (g *guard) tick(now time.Time) {
	if g.holding() {
		g.decide(now)
	}
}

// accept believes what is held, because an operator says so. It reports whether anything was held.
func (g *guard) accept(now time.Time) bool {
	if !g.holding() {
		return false
	}
	g.believe(g.clock(now))
	return true
}

// deadline tells when tick has something to decide; false when time alone changes nothing.
func (g *guard) deadline(now time.Time) (time.Time, bool) {
	if !g.holding() || !g.blindSince.IsZero() {
		return time.Time{}, false
	}
	first := g.empty
	for _, at := range g.lost {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return g.real(first.Add(time.Duration(g.rules.Hold)), now), true
}

// hold describes what is held; nil when nothing is.
func (g *guard) hold(now time.Time) *Hold {
	if !g.holding() {
		return nil
	}
	last := g.empty
	for _, at := range g.lost {
		if at.After(last) {
			last = at
		}
	}
	return &Hold{Since: g.started, Until: g.real(last.Add(time.Duration(g.rules.Hold)), now),
		From: g.sizes.peak(g.clock(now), time.Duration(g.rules.Hold)), To: live(g.want), Rule: g.rule}
}

func (g *guard) holding() bool { return len(g.lost) > 0 || !g.empty.IsZero() }

// clock is now without the time for which the registry could not be read.
func (g *guard) clock(now time.Time) time.Time {
	if !g.blindSince.IsZero() {
		now = g.blindSince
	}
	return now.Add(-g.blind)
}

// real turns a time of the guard's clock into one of the caller's.
func (g *guard) real(t, now time.Time) time.Time { return now.Add(t.Sub(g.clock(now))) }

// decide brings served up to date with want, as far as that is believed.
func (g *guard) decide(now time.Time) {
	t := g.clock(now)
	if g.served == nil && len(g.want) == 0 {
		g.decideFirst(t, now)
		return
	}
	for {
		gone := g.gone()
		rule := g.refusal(gone, t)
		if rule == "" {
			g.believe(t)
			return
		}
		if !g.holding() {
			g.started = now
		}
		g.rule = rule
		if !g.holdBack(gone, t) {
			return
		}
	}
}

// decideFirst holds an empty first answer. There is nothing to compare it with: the proxy may
// well serve instances that an earlier run, whose disk snapshot is gone, has put there.
func (g *guard) decideFirst(t, now time.Time) {
	switch {
	case g.empty.IsZero():
		g.empty, g.started, g.rule = t, now, "the first answer is empty, and there is no earlier set to compare it with"
	case t.Sub(g.empty) >= time.Duration(g.rules.Hold):
		g.believe(t)
	}
}

// refusal says why a loss is not believed at once; empty when it is.
func (g *guard) refusal(gone []Instance, t time.Time) string {
	left := live(g.want)
	if len(gone) == 0 || live(gone) == 0 && len(g.want) > 0 {
		return ""
	}
	base := g.sizes.peak(t, time.Duration(g.rules.Hold))
	switch {
	case len(g.want) == 0:
		return fmt.Sprintf("empty, after %d", base)
	case left == 0:
		return fmt.Sprintf("none left that takes traffic, after %d", base)
	case base <= g.rules.Min || (base-left)*100 <= int(g.rules.Threshold)*base:
		return ""
	}
	return fmt.Sprintf("%d left of %d, a loss of more than %s", left, base, g.rules.Threshold)
}

// holdBack keeps what is gone and was not lost for long enough beside what is there. It
// reports whether it gave something up, after which the rest is to be judged anew.
func (g *guard) holdBack(gone []Instance, t time.Time) (gaveUp bool) {
	lost := map[string]time.Time{}
	var kept []Instance
	for _, i := range gone {
		at, ok := g.lost[i.ID]
		if !ok {
			at = t
		}
		switch {
		case i.Draining && len(g.want) > 0: // it said that it would go
		case t.Sub(at) >= time.Duration(g.rules.Hold):
			gaveUp = true
		default:
			lost[i.ID] = at
			kept = append(kept, i)
		}
	}
	g.lost, g.served = lost, union(g.want, kept)
	if gaveUp {
		g.settleOn(g.served)
		g.sizes.reset(live(g.served))
	}
	return gaveUp
}

func (g *guard) believe(t time.Time) {
	g.served = g.want
	if g.served == nil {
		g.served = []Instance{} // a set, if an empty one
	}
	g.lost, g.empty, g.rule, g.started = nil, time.Time{}, "", time.Time{}
	g.settleOn(g.want)
	g.sizes.set(live(g.want), t)
}

func (g *guard) settleOn(set []Instance) { g.stable, g.turned = set, nil }

// newlyDraining counts the instances of the stable set that began to drain since they were
// seen last, less those that stopped. One that left in between is remembered as it was.
func (g *guard) newlyDraining(want []Instance) int {
	n := 0
	for _, i := range want {
		then, ok := find(g.stable, i.ID)
		if !ok || i.Draining == (then.Draining != g.turned[i.ID]) {
			continue
		}
		if g.turned == nil {
			g.turned = map[string]bool{}
		}
		g.turned[i.ID] = !g.turned[i.ID]
		if i.Draining {
			n++
		} else {
			n--
		}
	}
	return n
}

// gone lists what is served and neither shown any more nor shown under another ID.
func (g *guard) gone() []Instance {
	var gone []Instance
	for _, i := range g.served {
		if _, ok := find(g.want, i.ID); !ok {
			gone = append(gone, i)
		}
	}
	if gone == nil {
		return nil
	}
	there := make(map[string]bool, len(g.want))
	for _, i := range g.want {
		there[i.Addr()] = true
	}
	return slices.DeleteFunc(gone, func(i Instance) bool { return there[i.Addr()] })
}

// find looks an ID up in a set that is sorted by ID.
func find(set []Instance, id string) (Instance, bool) {
	n, ok := slices.BinarySearchFunc(set, id, func(i Instance, id string) int { return strings.Compare(i.ID, id) })
	if !ok {
		return Instance{}, false
	}
	return set[n], true
}

// union is both of two sets without an ID in common, sorted by ID.
func union(a, b []Instance) []Instance {
	all := append(slices.Clone(a), b...)
	slices.SortFunc(all, byID)
	return all
}

func byID(a, b Instance) int { return strings.Compare(a.ID, b.ID) }

// live counts the instances that take new traffic.
func live(set []Instance) int {
	n := 0
	for _, i := range set {
		if !i.Draining {
			n++
		}
	}
	return n
}

// peaks remembers the sizes of a set as far as they are needed to tell its greatest size
// within a span that ends now: each past size greater than all later ones, and its end.
type peaks struct {
	now  int
	past []peak // sizes fall, ends rise
}

type peak struct {
	size int
	end  time.Time
}

// set notes that the size is n from t on.
func (p *peaks) set(n int, t time.Time) {
	if n < p.now {
		p.past = append(p.past, peak{p.now, t})
	}
	p.now = n
	p.past = slices.DeleteFunc(p.past, func(o peak) bool { return o.size <= n })
}

// reset forgets all sizes but n.
func (p *peaks) reset(n int) { p.now, p.past = n, nil }

// excuse takes n of the newest size away from all of them: so many are going to leave as they said.
func (p *peaks) excuse(n int) {
	p.now -= n
	for i := range p.past {
		p.past[i].size -= n
	}
}

// peak is the greatest size within the span that ends at t.
func (p *peaks) peak(t time.Time, span time.Duration) int {
	p.past = slices.DeleteFunc(p.past, func(o peak) bool { return t.Sub(o.end) >= span })
	if len(p.past) > 0 {
		return p.past[0].size
	}
	return p.now
}
