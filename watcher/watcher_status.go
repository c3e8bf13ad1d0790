package watcher

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Status is all that a host knows of itself.
type Status struct {
	Host          string               `json:"host"`
	Version       string               `json:"version"`
	Started       time.Time            `json:"started"`
	Uptime        float64              `json:"uptime"`            // seconds
	Loaded        time.Time            `json:"loaded,omitzero"`   // when the configuration in force was loaded
	Refused       string               `json:"refused,omitempty"` // why a newer configuration is not in force
	Services      []ServiceStatus      `json:"services"`
	Routes        []RouteStatus        `json:"routes"`
	Registrations []RegistrationStatus `json:"registrations"`
	Registries    []RegistryStatus     `json:"registries"`
	HAProxy       *ProxyStatus         `json:"haproxy,omitempty"` // nil where it is disabled
}

// RouteStatus says where a service is reached on this host.
type RouteStatus struct {
	Name    string `json:"name"`
	Service string `json:"service"`
	Bind    string `json:"bind"`
	Mode    string `json:"mode"`
}

// ProxyStatus is what is known of the proxy.
type ProxyStatus struct {
	Version    string        `json:"version,omitempty"`
	Worker     int           `json:"worker,omitempty"` // process id; 0: none answers
	OldWorkers int           `json:"old_workers"`      // that finish what they have
	Reloads    int64         `json:"reloads"`          // by zkwatch, since it started
	LastReload time.Time     `json:"last_reload,omitzero"`
	Why        string        `json:"why,omitempty"`     // it was reloaded last
	Due        string        `json:"due,omitempty"`     // why another reload is to come
	Refused    string        `json:"refused,omitempty"` // why it does not run what it should
	Routes     []ServerCount `json:"routes,omitempty"`
}

// ServerCount is how the servers of a route stand in the proxy.
type ServerCount struct {
	Route    string `json:"route"`
	Slots    int    `json:"slots"`    // for instances to come and go without a reload
	Overflow int    `json:"overflow"` // servers beyond the slots
	Ready    int    `json:"ready"`
	Draining int    `json:"draining"`
	Down     int    `json:"down"`    // of the ready ones
	Ejected  int    `json:"ejected"` // of those, because they answered with errors
	Missing  int    `json:"missing"` // instances that are not served yet
}

// Describer is a Sink that tells about its proxy: all of ProxyStatus but the reloads, which
// outlive a sink and are counted here.
type Describer interface{ Describe() ProxyStatus }

// Word is how a service stands: known, empty, unknown, held, or being applied.
func (s ServiceStatus) Word() string {
	switch {
	case s.Held != nil:
		return "held"
	case s.Truth == Known && s.Pending:
		return "being applied"
	}
	return string(s.Truth)
}

// Word is how a registration stands: announced, being announced, not healthy, draining,
// drained, or stopped.
func (r RegistrationStatus) Word() string {
	switch {
	case r.Held:
		return "stopped"
	case r.Draining && r.Announced:
		return "draining"
	case r.Draining:
		return "drained"
	case r.Announced && r.Healthy:
		return "announced"
	case r.Healthy:
		return "being announced"
	}
	return "not healthy"
}

// Well tells whether nothing needs a look: every service is known and served, every
// registration is where it should be, registries and proxy answer.
func (s Status) Well() bool {
	well := s.Refused == ""
	for _, one := range s.Services {
		well = well && one.Word() == "known"
	}
	for _, r := range s.Registrations {
		well = well && (r.Word() == "announced" || r.Held || r.Draining && !r.Announced)
	}
	for _, r := range s.Registries {
		well = well && r.Connected
	}
	if p := s.HAProxy; p != nil {
		well = well && p.Worker > 0 && p.Refused == ""
		for _, r := range p.Routes {
			well = well && r.Missing == 0 && (r.Ready == 0 || r.Down < r.Ready)
		}
	}
	return well
}

func (w *Watcher) current() running {
	w.setup()
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.now
}

// Status returns what is known of the host right now. With the name of a service only that
// one is in it.
func (w *Watcher) Status(service string) Status {
	now := w.current()
	s := Status{Version: w.Version, Started: w.started, Uptime: time.Since(w.started).Seconds(), Loaded: now.loaded, Refused: now.refused,
		Services: []ServiceStatus{}, Routes: []RouteStatus{}, Registrations: []RegistrationStatus{}, Registries: []RegistryStatus{}}
	if now.config == nil {
		return s
	}
	s.Host = now.config.Host
	wanted := func(name string) bool { return service == "" || service == name }
	if now.discovery != nil {
		for _, one := range now.discovery.Services() {
			if wanted(one.Service) {
				s.Services = append(s.Services, one)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(now.config.Routes)) {
			if r := now.config.Routes[name]; wanted(r.Service) {
				s.Routes = append(s.Routes, RouteStatus{Name: name, Service: r.Service, Bind: r.Bind, Mode: r.Mode})
			}
		}
		s.HAProxy = now.sink.status()
	}
	if now.registrations != nil {
		for _, one := range now.registrations.Status() {
			if wanted(one.Service) {
				s.Registrations = append(s.Registrations, one)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now.registries)) {
		r := now.registries[name].Status()
		r.Name = name
		s.Registries = append(s.Registries, r)
	}
	return s
}

// reloadLog outlives the sinks that one configuration after the other makes.
type reloadLog struct {
	mu    sync.Mutex
	count int64
	at    time.Time
	why   string
}

// meteredSink counts what a sink does, whoever made it do so.
type meteredSink struct {
	Sink
	metrics *metrics
	reloads *reloadLog
}

// Run implements Sink.
func (s *meteredSink) Run(ctx context.Context, report func(Outcome)) error {
	return s.Sink.Run(ctx, func(o Outcome) {
		s.count(o)
		report(o)
	})
}

// Apply implements Sink.
func (s *meteredSink) Apply(ctx context.Context, sets []Set) (Outcome, error) {
	began := time.Now()
	o, err := s.Sink.Apply(ctx, sets)
	s.metrics.applied(time.Since(began), err)
	s.count(o)
	return o, err
}

// Audit implements Sink.
func (s *meteredSink) Audit(ctx context.Context) (Outcome, error) {
	o, err := s.Sink.Audit(ctx)
	s.count(o)
	return o, err
}

func (s *meteredSink) count(o Outcome) {
	for _, a := range o.Actions {
		s.metrics.action(a.Kind)
		if a.Kind == "reload" {
			s.reloads.mu.Lock()
			s.reloads.count, s.reloads.at, s.reloads.why = s.reloads.count+1, time.Now(), a.Why
			s.reloads.mu.Unlock()
		}
	}
}

func (s *meteredSink) status() *ProxyStatus {
	p := ProxyStatus{}
	if d, ok := s.Sink.(Describer); ok {
		p = d.Describe()
	}
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	p.Reloads, p.LastReload, p.Why = s.reloads.count, s.reloads.at, s.reloads.why
	return &p
}

// meteredBoard counts posts.
type meteredBoard struct {
	Board
	metrics *metrics
}

// Post implements Board.
func (b *meteredBoard) Post(ctx context.Context, n Notice) error {
	err := b.Board.Post(ctx, n)
	b.metrics.posted(err)
	return err
}
