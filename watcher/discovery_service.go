package watcher

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// service is one service on its way from the registry to the proxy. The loop alone changes
// it, under the lock of Discovery.
//
// A snapshot whose revision is smaller than the last one's is no news: it comes from a server
// that lags behind the one that was asked before. But a registry that was wiped or restored
// goes back for good. So such a snapshot makes the service unknown, and is believed only once
// it was the registry's last word for one and a half audit intervals: within that the source
// has read again (audits are jittered by half) and found the same, and a ZooKeeper server that
// lags for longer than syncLimit is dropped by its leader (zookeeperAdmin, "syncLimit").
// Revision 0 is a registry that had none to tell, and is compared with nothing.
type service struct {
	name string
	conf config.Service
	note func(Entry)
	log  *slog.Logger

	settle settler
	guard  guard

	truth    Truth
	reason   string
	since    time.Time // of truth
	read     time.Time
	disk     bool   // what is served was read by an earlier run
	event    string // what brought the last change about, and
	rule     string // what was made of it
	rejected []Rejection
	missed   int64
	holds    int64 // that began

	shown    int64     // the revision that was read last
	believed int64     // the last one of which nothing was held back
	behind   *Snapshot // older than shown, and not believed yet
	behindAt time.Time // since when
	patience time.Duration

	out outgoing
}

// outgoing is what the sink was told of a service.
type outgoing struct {
	sent     []Instance // nil: nothing yet, or it failed and the proxy may have anything
	sentAs   int64      // believed when it was sent
	flying   bool       // it is being sent
	owed     bool       // the sink has it, and the proxy does not serve all of it yet
	event    string     // why it was sent
	rule     string     // likewise
	failures int        // in a row
	retry    time.Time
	applied  int64 // the greatest revision that the proxy serves
	at       time.Time
	changes  int64
}

// receive takes what came in from the source.
func (s *service) receive(l letter, now time.Time) {
	// Names alone are better than nothing, and worse than a set that was read whole.
	if l.good != nil && (!l.good.Provisional || s.guard.served == nil && len(l.good.Instances) > 0) {
		s.settle.offer(*l.good, now)
	}
	if l.unknown != nil {
		// What was read before the registry was lost is still the best there is.
		if snap, ok := s.settle.flush(); ok {
			s.see(snap, now)
		}
		s.behind = nil
		s.event = l.unknown.Event
		s.lose(l.unknown.Reason, now)
	}
}

// advance does what has become due.
func (s *service) advance(now time.Time) {
	if snap, ok := s.settle.take(now); ok {
		s.see(snap, now)
	}
	if s.behind != nil && now.Sub(s.behindAt) >= s.patience {
		s.event = fmt.Sprintf("revision %d stood for %s", s.behind.Revision, s.patience)
		s.believe(*s.behind, now)
	}
	s.guarded(now, func() { s.guard.tick(now) }, "hold is over")
}

// watchful tells whether time decides something about the service.
func (s *service) watchful() bool { return s.guard.holding() || s.behind != nil }

// skip leaves a time out for which this process did not run.
func (s *service) skip(d time.Duration) {
	s.guard.skip(d)
	s.behindAt = s.behindAt.Add(d)
}

// next tells when advance has something to do.
func (s *service) next(now time.Time) (at time.Time, ok bool) {
	sooner := func(t time.Time, has bool) {
		if has && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	sooner(s.settle.due())
	sooner(s.guard.deadline(now))
	sooner(s.behindAt.Add(s.patience), s.behind != nil)
	return at, ok
}

// see judges a snapshot that was read.
func (s *service) see(snap Snapshot, now time.Time) {
	if !oneSlice(snap.Instances, s.guard.want) { // an audit shows what was judged before again
		snap = canonical(snap)
	}
	s.rejected, s.event = snap.Rejected, snap.Event
	switch {
	case snap.Truth == Known && len(snap.Instances) == 0:
		s.behind = nil
		s.lose(unusable(snap), now) // unreadable is not empty
	case snap.Revision > 0 && snap.Revision < s.shown:
		if s.behind == nil {
			s.behindAt = now
		}
		s.behind = &snap
		s.lose(fmt.Sprintf("the registry answers with revision %d, older than %d that was read before; believed if it stands for %s",
			snap.Revision, s.shown, s.patience), now)
	default:
		s.believe(snap, now)
	}
}

func unusable(snap Snapshot) string {
	if len(snap.Rejected) == 0 {
		return "the source shows no instance and does not say that it is empty"
	}
	return fmt.Sprintf("none of %d entries can be used; %s: %s", len(snap.Rejected), snap.Rejected[0].ID, snap.Rejected[0].Reason)
}

// believe takes a snapshot for the registry's word.
func (s *service) believe(snap Snapshot, now time.Time) {
	if strings.HasPrefix(snap.Event, "audit") && !sameSet(s.guard.want, snap.Instances) {
		s.missed++
	}
	s.behind, s.read, s.disk = nil, snap.At, false
	if snap.Revision > 0 {
		s.shown = snap.Revision
	}
	s.turn(snap.Truth, snap.Reason, now)
	s.guarded(now, func() { s.guard.see(snap.Instances, now) }, "as read")
}

// lose notes that the registry cannot be read. What is served stays.
func (s *service) lose(reason string, now time.Time) {
	if s.disk {
		reason = "from disk; " + reason
	}
	s.turn(Unknown, reason, now)
	s.guard.unknown(now)
}

func (s *service) turn(truth Truth, reason string, now time.Time) {
	if truth == s.truth && reason == s.reason {
		return
	}
	if truth != s.truth {
		s.since = now
		s.log.Info("what is known of a service changed", "service", s.name, "truth", truth, "was", s.truth, "reason", reason, "event", s.event)
		s.note(Entry{At: now, Service: s.name, Event: s.event, Rule: strings.TrimSuffix(fmt.Sprintf("%s: %s", truth, reason), ": ")})
	}
	s.truth, s.reason = truth, reason
}

// guarded lets the guard work, and tells of holds that begin and end.
func (s *service) guarded(now time.Time, work func(), rule string) {
	before, was := s.guard.served, s.guard.holding()
	work()
	hold := s.guard.hold(now)
	if hold == nil {
		s.believed = s.shown
	}
	if (before == nil) != (s.guard.served == nil) || !sameSet(before, s.guard.served) || was != (hold != nil) {
		s.rule = rule
		if hold != nil {
			s.rule = "held: " + hold.Rule
		}
	}
	switch {
	case hold != nil && !was:
		s.holds++
		s.log.Warn("a loss is held", "service", s.name, "from", hold.From, "to", hold.To, "rule", hold.Rule, "until", hold.Until, "event", s.event)
		s.note(Entry{At: now, Service: s.name, Event: s.event, Rule: s.rule + "; " + s.heldBack()})
	case hold == nil && was:
		s.log.Warn("a hold has ended", "service", s.name, "rule", rule, "served", len(s.guard.served), "event", s.event)
		s.note(Entry{At: now, Service: s.name, Event: s.event, Rule: fmt.Sprintf("hold ended: %s; %d served", rule, len(s.guard.served))})
	}
}

// heldBack names what is served although the registry does not show it.
func (s *service) heldBack() string {
	const most = 5
	ids := slices.Sorted(maps.Keys(s.guard.lost))
	if len(ids) > most {
		return fmt.Sprintf("held back: %s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
	}
	return "held back: " + strings.Join(ids, ", ")
}

// accept believes at once what is held, or what is older than it should be.
func (s *service) accept(now time.Time) bool {
	const word = "accepted by an operator"
	if s.behind != nil {
		s.event = word
		s.believe(*s.behind, now)
		s.guarded(now, func() { s.guard.accept(now) }, word)
		return true
	}
	if !s.guard.holding() {
		return false
	}
	s.event = word
	s.guarded(now, func() { s.guard.accept(now) }, word)
	return true
}

// stale tells whether the sink is to be told something.
func (s *service) stale() bool {
	return s.guard.served != nil && (s.out.sent == nil || !sameSet(s.out.sent, s.guard.served))
}

// send returns what the sink is to be told, and counts it as being sent.
func (s *service) send() Set {
	s.out.flying, s.out.sent, s.out.sentAs, s.out.event, s.out.rule = true, s.guard.served, s.believed, s.event, s.rule
	return Set{Service: s.name, Revision: s.shown, Instances: s.guard.served, Why: s.event + "; " + s.rule}
}

// sentOut notes what came of it.
func (s *service) sentOut(pending bool, err error, now time.Time) {
	s.out.flying = false
	if err != nil {
		s.out.sent = nil
		s.out.failures++
		s.out.retry = now.Add(spread(min(100*time.Millisecond<<min(s.out.failures-1, 10), sinkPause)))
		return
	}
	s.out.failures, s.out.retry, s.out.at = 0, time.Time{}, now
	s.out.changes++
	s.out.owed = pending
	s.served()
}

// served moves the revision on that the proxy is known to serve.
func (s *service) served() {
	if s.out.flying || s.out.owed || s.out.sent == nil {
		return
	}
	s.out.applied = s.out.sentAs
	if !s.stale() {
		s.out.applied, s.out.sentAs = s.believed, s.believed
		s.out.sent = s.guard.served // the same, and so there is one of it
	}
}

func (s *service) status(now time.Time) ServiceStatus {
	return ServiceStatus{Service: s.name, Truth: s.truth, Reason: s.reason, Since: s.since, Read: s.read, Revision: s.out.applied,
		Instances: s.guard.served, Rejected: s.rejected, Held: s.guard.hold(now), Pending: s.pending(),
		Applied: s.out.at, Changes: s.out.changes, Missed: s.missed, Holds: s.holds}
}

// notice is what other hosts are told.
func (s *service) notice() Applied {
	return Applied{Revision: s.out.applied, Truth: s.truth, Instances: len(s.guard.served), Held: s.guard.holding()}
}

func (s *service) pending() bool { return s.out.flying || s.out.owed || s.stale() }

// canonical returns a snapshot sorted by ID in which every address is there once.
// One that is announced twice, as by a session that died and the one after it,
// is one place and must not get twice the traffic. The greater ID is the newer one.
func canonical(snap Snapshot) Snapshot {
	type place struct {
		host string
		port int
	}
	all := snap.Instances
	if !slices.IsSortedFunc(all, byID) {
		all = slices.Clone(all)
		slices.SortStableFunc(all, byID)
	}
	newest := make(map[place]int, len(all))
	for n, i := range all {
		newest[place{i.Host, i.Port}] = n
	}
	if len(newest) == len(all) {
		snap.Instances = all
		return snap
	}
	snap.Instances, snap.Rejected = nil, slices.Clone(snap.Rejected)
	for n, i := range all {
		if last := newest[place{i.Host, i.Port}]; last == n {
			snap.Instances = append(snap.Instances, i)
		} else {
			snap.Rejected = append(snap.Rejected, Rejection{ID: i.ID, Reason: "the same address as " + all[last].ID})
		}
	}
	slices.SortStableFunc(snap.Rejected, func(a, b Rejection) int { return strings.Compare(a.ID, b.ID) })
	return snap
}

// oneSlice tells whether two sets are the very same memory, which nobody changes.
func oneSlice(a, b []Instance) bool { return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] }

// sameSet compares sets that are sorted by ID.
func sameSet(a, b []Instance) bool {
	return oneSlice(a, b) || slices.EqualFunc(a, b, func(x, y Instance) bool {
		return x.ID == y.ID && x.Host == y.Host && x.Port == y.Port && x.Name == y.Name && x.Weight == y.Weight &&
			x.Zone == y.Zone && x.Draining == y.Draining && maps.Equal(x.Labels, y.Labels)
	})
}
