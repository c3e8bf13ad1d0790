package watcher

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
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
	Version    string    `json:"version,omitempty"`
	Worker     int       `json:"worker,omitempty"` // process id; 0: none answers
	Reloads    int64     `json:"reloads"`          // by zkwatch, since it started
	LastReload time.Time `json:"last_reload,omitzero"`
	Why        string    `json:"why,omitempty"` // it was reloaded last
	Alarm      string    `json:"alarm,omitempty"`
}

// described is a sink that tells about its proxy: Version, Worker and Alarm.
type described interface{ Describe() ProxyStatus }

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

// meteredSink counts what a sink does, whoever made it do so.
type meteredSink struct {
	Sink
	metrics *metrics
	last    atomic.Pointer[lastReload]
	reloads atomic.Int64
}

type lastReload struct {
	at  time.Time
	why string
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
			s.reloads.Add(1)
			s.last.Store(&lastReload{time.Now(), a.Why})
		}
	}
}

func (s *meteredSink) status() *ProxyStatus {
	p := ProxyStatus{}
	if d, ok := s.Sink.(described); ok {
		p = d.Describe()
	}
	p.Reloads = s.reloads.Load()
	if last := s.last.Load(); last != nil {
		p.LastReload, p.Why = last.at, last.why
	}
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
