package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// Discovery makes a sink serve what sources see: the services that the routes of Config use,
// and no others. The fields are set before Run and not changed after it.
type Discovery struct {
	Config  *config.Config
	Sources map[string]Source // by the name of the registry
	Sink    Sink              // Run runs it as well
	Board   Board             // nil: nothing is posted
	Store   *Store            // nil: a restart begins with what the registry says
	Journal *Journal          // nil: none is kept
	Log     *slog.Logger      // nil: nothing is logged
	Version string            // of zkwatch, for the notice

	once     sync.Once
	mu       sync.Mutex // guards the services
	services map[string]*service
	names    []string // of services, sorted
	inbox    inbox
}

// ServiceStatus is what is known of a service and what has been done about it.
type ServiceStatus struct {
	Service string `json:"service"`
	Truth   Truth  `json:"truth"`
	Reason  string `json:"reason,omitempty"` // why it is unknown, or how it is empty
	// Since is when the truth became this one. Read is when the registry was read last, by an
	// earlier run perhaps; zero if never. A set that is unknown is as old as Read says.
	Since     time.Time   `json:"since"`
	Read      time.Time   `json:"read,omitzero"`
	Revision  int64       `json:"revision"`  // the greatest that the proxy serves
	Instances []Instance  `json:"instances"` // served, with what is held back
	Rejected  []Rejection `json:"rejected,omitempty"`
	Held      *Hold       `json:"held,omitempty"`
	Pending   bool        `json:"pending,omitempty"` // the proxy does not serve all of it yet
	Applied   time.Time   `json:"applied,omitzero"`  // when the sink last took a set
	Changes   int64       `json:"changes"`           // sets that the sink took
	Missed    int64       `json:"missed"`            // changes that an audit found and no event told
	Holds     int64       `json:"holds"`             // times that the guard began to hold a loss back
}

// ErrNothingHeld is what Accept returns when the guard holds nothing of a service.
var ErrNothingHeld = errors.New("nothing is held")

// ErrNoRoute is what a service gets that no route of this host uses.
var ErrNoRoute = errors.New("no route of this host uses it")

// Run serves until ctx ends and then returns nil. A source or a sink that ends by itself is
// started again after a pause. The first call of the sink has everything that the store has,
// and waits for no source. The error is of a Discovery that cannot work.
func (d *Discovery) Run(ctx context.Context) error {
	if d.Sink == nil || d.Config.Guard.Hold <= 0 || d.Config.Audit <= 0 {
		return errors.New("discovery needs a sink, and a configuration with its defaults filled in")
	}
	d.setup()
	if d.Store != nil && d.Store.notice != "" {
		d.Log.Warn("the stored sets are of no use", "reason", d.Store.notice)
	}
	var all sync.WaitGroup
	all.Go(func() {
		d.supervise(ctx, "sink", func(ctx context.Context) error {
			return d.Sink.Run(ctx, func(out Outcome) { d.inbox.call(func(l *loop, now time.Time) { l.reported(out, now) }) })
		}, func(string) {})
	})
	for registry, services := range d.byRegistry() {
		lost := func(reason string) {
			for name := range services {
				d.inbox.put(Snapshot{Service: name, Truth: Unknown, Reason: reason, Event: "source stopped", At: time.Now()})
			}
		}
		source := d.Sources[registry]
		if source == nil {
			lost(fmt.Sprintf("there is no source for registry %q", registry))
			continue
		}
		all.Go(func() {
			d.supervise(ctx, "source of registry "+registry, func(ctx context.Context) error {
				return source.Run(ctx, services, d.publisher(services))
			}, lost)
		})
	}
	newLoop(d).run(ctx)
	all.Wait()
	return nil
}

// Services returns every service that a route uses, sorted by name. It may be called at any
// time; what it returns must not be changed.
func (d *Discovery) Services() []ServiceStatus {
	d.setup()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	out := make([]ServiceStatus, len(d.names))
	for n, name := range d.names {
		out[n] = d.services[name].status(now)
	}
	return out
}

// Accept believes at once what the guard holds of a service: an operator knows that the loss
// is meant. The error is ErrNoRoute or ErrNothingHeld.
func (d *Discovery) Accept(name string) error {
	d.setup()
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.services[name]
	if !ok {
		return fmt.Errorf("service %q: %w", name, ErrNoRoute)
	}
	if !s.accept(time.Now()) {
		return fmt.Errorf("service %q: %w", name, ErrNothingHeld)
	}
	d.inbox.call(func(l *loop, now time.Time) { l.touch(s, now) })
	return nil
}

// Alive returns nil once the loop has taken a turn after the call, and the error of ctx when
// it does not: the watchdog's question.
func (d *Discovery) Alive(ctx context.Context) error {
	d.setup()
	turned := make(chan struct{})
	d.inbox.call(func(*loop, time.Time) { close(turned) })
	select {
	case <-turned:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("discovery does not turn: %w", ctx.Err())
	}
}

func (d *Discovery) setup() {
	d.once.Do(func() {
		if d.Log == nil {
			d.Log = slog.New(slog.DiscardHandler)
		}
		if d.Journal == nil {
			d.Journal = NewJournal(1)
		}
		d.inbox.letters, d.inbox.wake = map[string]letter{}, make(chan struct{}, 1)
		d.services = map[string]*service{}
		now := time.Now()
		for _, route := range d.Config.Routes {
			name := route.Service
			if d.services[name] == nil {
				d.services[name] = d.newService(name, now)
				d.names = append(d.names, name)
			}
		}
		slices.Sort(d.names)
		if d.Store != nil {
			d.Store.keep(d.names)
		}
	})
}

func (d *Discovery) newService(name string, now time.Time) *service {
	s := &service{name: name, conf: d.Config.Services[name], note: d.Journal.Add, log: d.Log,
		settle: settler{rules: d.Config.Settle}, guard: guard{rules: d.Config.Guard},
		truth: Unknown, reason: "not read yet", since: now, event: "start", rule: "not read yet",
		patience: time.Duration(d.Config.Audit) * 3 / 2}
	if d.Store == nil {
		return s
	}
	if one, ok := d.Store.get(name, s.conf); ok {
		s.read, s.shown, s.believed = one.Read, one.Revision, one.Revision
		s.disk, s.reason, s.rule = true, "from disk; not read yet", "from disk"
		s.guard.restore(one.Instances, now)
	}
	return s
}

func (d *Discovery) byRegistry() map[string]map[string]config.Service {
	out := map[string]map[string]config.Service{}
	for name, s := range d.services {
		if out[s.conf.Registry] == nil {
			out[s.conf.Registry] = map[string]config.Service{}
		}
		out[s.conf.Registry][name] = s.conf
	}
	return out
}

// publisher is what a source calls. It keeps the newest snapshot of each service and never blocks.
func (d *Discovery) publisher(services map[string]config.Service) func(Snapshot) {
	return func(snap Snapshot) {
		if _, ok := services[snap.Service]; !ok {
			d.Log.Warn("a source published a service that it was not asked for", "service", snap.Service)
			return
		}
		d.inbox.put(snap)
	}
}

// supervise runs something until ctx ends, again and again with growing pauses.
func (d *Discovery) supervise(ctx context.Context, what string, run func(context.Context) error, failed func(reason string)) {
	const least, most = time.Second, 30 * time.Second
	for pause := least; ; pause = min(2*pause, most) {
		began := time.Now()
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("it ended by itself")
		}
		if time.Since(began) > time.Minute {
			pause = least
		}
		reason := fmt.Sprintf("%s stopped: %v", what, err)
		d.Log.Error("will be started again", "what", what, "pause", pause, "error", err)
		d.Journal.Add(Entry{At: time.Now(), Event: what + " stopped", Error: err.Error()})
		failed(reason)
		timer := time.NewTimer(spread(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// spread shortens a pause by up to a half, so that what failed together does not come back together.
func spread(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
