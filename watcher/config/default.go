package config

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Default fills in what c leaves out. Maps and pointers are copied first, so that what c
// shares with others stays as it is.
func Default(c *Config) { fill(c) }

// filled is a default that was put in.
type filled struct {
	at    path
	value string
}

type filler struct{ done []filled }

func put[T comparable](f *filler, at path, to *T, value T) {
	var zero T
	if *to == zero && value != zero {
		*to = value
		f.done = append(f.done, filled{at, fmt.Sprint(value)})
	}
}

func each[V any](in *map[string]V, at path, do func(p path, v *V)) {
	*in = maps.Clone(*in)
	for _, name := range slices.Sorted(maps.Keys(*in)) {
		v := (*in)[name]
		do(at.Key(name), &v)
		(*in)[name] = v
	}
}

func fill(c *Config) []filled {
	f := &filler{}
	put(f, "state_dir", &c.StateDir, "/var/lib/zkwatch")
	put(f, "audit", &c.Audit, seconds(45))
	put(f, "settle.quiet", &c.Settle.Quiet, Duration(20*time.Millisecond))
	put(f, "settle.max", &c.Settle.Max, Duration(500*time.Millisecond))
	f.guard("guard", &c.Guard)
	f.haproxy("haproxy", &c.HAProxy)
	put(f, "status.listen", &c.Status.Listen, "127.0.0.1:9180")
	put(f, "status.socket", &c.Status.Socket, "/run/zkwatch/zkwatch.sock")
	f.drain("drain", &c.Drain)
	each(&c.Registries, "registries", f.registry)
	each(&c.Services, "services", func(p path, s *Service) { put(f, p.Field("format"), &s.Format, Plain) })
	each(&c.Routes, "routes", f.route)
	each(&c.Register, "register", func(p path, r *Registration) {
		put(f, p.Field("address"), &r.Address, c.Address)
		put(f, p.Field("zone"), &r.Zone, c.Zone)
		put(f, p.Field("weight"), &r.Weight, 1)
		f.serviceCheck(p.Field("check"), &r.Check)
	})
	if len(c.Registries) == 1 {
		for only := range c.Registries {
			put(f, "board.registry", &c.Board.Registry, only)
		}
	}
	put(f, "board.path", &c.Board.Path, "/zkwatch/hosts")
	put(f, "board.every", &c.Board.Every, seconds(10))
	return f.done
}

func seconds(n int) Duration { return Duration(n) * Duration(time.Second) }

func (f *filler) guard(p path, g *Guard) {
	put(f, p.Field("threshold"), &g.Threshold, 50)
	put(f, p.Field("min"), &g.Min, 2)
	put(f, p.Field("hold"), &g.Hold, seconds(300))
}

func (f *filler) haproxy(p path, h *HAProxy) {
	put(f, p.Field("binary"), &h.Binary, "/usr/sbin/haproxy")
	put(f, p.Field("file"), &h.File, "/var/lib/zkwatch/haproxy/zkwatch.cfg")
	if len(h.Before) == 0 {
		h.Before = []string{"/etc/haproxy/haproxy.cfg"}
	}
	put(f, p.Field("socket"), &h.Socket, "/run/zkwatch-haproxy/runtime.sock")
	put(f, p.Field("master"), &h.Master, "/run/zkwatch-haproxy/master.sock")
	put(f, p.Field("reload_interval"), &h.ReloadInterval, seconds(10))
	put(f, p.Field("slots_min"), &h.SlotsMin, 4)
	put(f, p.Field("hard_stop_after"), &h.HardStopAfter, seconds(300))
	put(f, p.Field("old_workers"), &h.OldWorkers, 5)
	put(f, p.Field("foreign"), &h.Foreign, "repair")
}

func (f *filler) drain(p path, d *Drain) {
	put(f, p.Field("spool"), &d.Spool, "/var/spool/zkwatch")
	put(f, p.Field("on_term"), &d.OnTerm, "keep")
	put(f, p.Field("grace"), &d.Grace, seconds(10))
	put(f, p.Field("timeout"), &d.Timeout, seconds(60))
}

func (f *filler) registry(p path, r *Registry) {
	if r.ZooKeeper != nil {
		z := *r.ZooKeeper
		put(f, p.Field("zookeeper").Field("session"), &z.Session, seconds(10))
		r.ZooKeeper = &z
	}
}

func (f *filler) route(p path, r *Route) {
	put(f, p.Field("mode"), &r.Mode, "http")
	put(f, p.Field("balance"), &r.Balance, "roundrobin")
	put(f, p.Field("check").Field("inter"), &r.Check.Inter, seconds(2))
	put(f, p.Field("check").Field("rise"), &r.Check.Rise, 2)
	put(f, p.Field("check").Field("fall"), &r.Check.Fall, 3)
	if r.Retries == nil {
		two := 2
		r.Retries = &two
	}
	t := &r.Timeouts
	put(f, p.Field("timeouts").Field("connect"), &t.Connect, seconds(2))
	put(f, p.Field("timeouts").Field("client"), &t.Client, seconds(60))
	put(f, p.Field("timeouts").Field("server"), &t.Server, seconds(60))
	put(f, p.Field("timeouts").Field("queue"), &t.Queue, seconds(5))
	put(f, p.Field("timeouts").Field("tunnel"), &t.Tunnel, seconds(3600))
	if !r.Breaker.Off {
		put(f, p.Field("breaker").Field("errors"), &r.Breaker.Errors, 20)
		put(f, p.Field("breaker").Field("eject"), &r.Breaker.Eject, 50)
	}
	if r.Tiers != nil {
		tiers := *r.Tiers
		put(f, p.Field("tiers").Field("min"), &tiers.Min, 1)
		r.Tiers = &tiers
	}
}

func (f *filler) serviceCheck(p path, c *ServiceCheck) {
	put(f, p.Field("interval"), &c.Interval, seconds(1))
	put(f, p.Field("timeout"), &c.Timeout, c.Interval)
	put(f, p.Field("rise"), &c.Rise, 2)
	put(f, p.Field("fall"), &c.Fall, 3)
}
