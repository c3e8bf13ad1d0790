package haproxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// Options are what a Sink is made of. The defaults of the configuration are filled in already.
type Options struct {
	Config config.HAProxy
	Routes map[string]config.Route
	Zone   string // where this host stands, for tiers
	Log    *slog.Logger
}

// Sink makes the local HAProxy serve sets. It implements watcher.Sink.
type Sink struct {
	o      Options
	dial   dialer
	check  func(ctx context.Context, files []string) error
	master master
	wake   chan struct{} // there is something for Run to do now
	warned atomic.Pointer[string]

	mu lock
	// wanted is the structure of the options. doc is the one that the file gets: wanted, or
	// the one that HAProxy runs, loaded, when wanted was refused.
	wanted, doc document
	loaded      *document
	backends    []*backend // by name; those of the routes, then those that only HAProxy or the file has
	rt          *runtime   // nil while there is no connection
	eye         eye        // of Run alone; needs no lock
	retryAt     time.Time  // no connection is tried before
	hangs       int        // connections in a row that were not answered
	goneSince   time.Time  // since when there is no HAProxy
	frozen      bool       // a reload is on its way
	dirty       bool       // the file may be other than wanted
	looks       int        // how often HAProxy was looked at
	file        fileState
	reloads     reloadState
	counts      counts
}

var _ watcher.Sink = (*Sink)(nil)

// lock is a mutex that is held over round trips. To testing/synctest waiting for a channel is
// waiting; waiting for a sync.Mutex would keep its clock from moving.
type lock chan struct{}

func (l lock) Lock()   { l <- struct{}{} }
func (l lock) Unlock() { <-l }

// New returns a sink that has not looked at HAProxy yet, or everything in the options that
// must not get into a configuration.
func New(o Options) (*Sink, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	doc, err := build(o)
	if err != nil {
		return nil, err
	}
	s := &Sink{o: o, dial: dialUnix, wanted: doc, doc: doc, wake: make(chan struct{}, 1), mu: make(lock, 1), dirty: true}
	s.check = s.checkFiles
	s.master = master{dial: dialUnix, path: o.Config.Master}
	for _, name := range slices.Sorted(maps.Keys(o.Routes)) {
		s.backends = append(s.backends, &backend{route: o.Routes[name], zone: o.Zone, name: prefix + name})
	}
	return s, nil
}

// Apply takes sets over and makes HAProxy serve them, in one round trip when every new
// instance finds a free slot. Without a HAProxy, or while it reloads, the sets are kept,
// the outcome is pending, and Run does the rest. An error means that HAProxy is there and
// did not do as it was told; Run tries again.
func (s *Sink) Apply(ctx context.Context, sets []watcher.Set) (watcher.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out watcher.Outcome
	var touched, meant []*backend
	for _, set := range sets {
		for _, b := range s.backends {
			if b.orphan() || b.route.Service != set.Service {
				continue
			}
			meant = append(meant, b)
			if b.accept(set, &out) {
				touched = append(touched, b)
			}
		}
	}
	if len(touched) == 0 {
		out.Pending = slices.ContainsFunc(meant, s.waits) // it had them before, and may not serve them yet
		return out, nil
	}
	s.dirty = true
	err := s.sync(ctx, touched, purpose{kind: "command"}, &out)
	s.nudge()
	return out, err
}

// accept takes a set over and says whether it is another one than before.
func (b *backend) accept(set watcher.Set, out *watcher.Outcome) bool {
	old := b.set
	b.set = set
	if b.known && slices.EqualFunc(old.Instances, set.Instances, sameInstance) {
		return false
	}
	var refused []watcher.Rejection
	b.touch()
	b.known = true
	b.members, refused = members(set.Instances, b.route.Labels)
	b.stuck, b.stuckTried = "", false
	for _, r := range refused {
		if !slices.Contains(b.refused, r) {
			out.Actions = append(out.Actions, watcher.Action{Kind: "refused", Text: b.name + ": instance " + fmt.Sprintf("%.200q", r.ID), Why: r.Reason, Service: b.route.Service})
		}
	}
	b.refused = refused
	return true
}

func sameInstance(a, b watcher.Instance) bool {
	return a.ID == b.ID && a.Host == b.Host && a.Port == b.Port && a.Weight == b.Weight && a.Zone == b.Zone &&
		a.Draining == b.Draining && maps.Equal(a.Labels, b.Labels)
}

// orphan says whether the backend belongs to no route any more: it lives in HAProxy until
// the next reload, and keeps what it has.
func (b *backend) orphan() bool { return b.route.Service == "" }

func (s *Sink) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
