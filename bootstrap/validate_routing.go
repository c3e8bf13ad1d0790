package bootstrap

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
)

// validateRouting checks registries, services and sidecars: that each refers to what
// exists, and that no two routes of a host bind to one address.
func (s *Spec) validateRouting(r *Report) {
	for _, name := range slices.Sorted(maps.Keys(s.Registries)) {
		s.validateRegistry(r, Path("registries").Key(name), name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		v, p := s.Services[name], Path("services").Key(name)
		validName(r, p, name)
		if _, ok := s.Registries[v.Registry]; !ok {
			r.Errorf(p.Field("registry"), "there is no registry %q under registries", v.Registry)
		}
		oneOf(r, p.Field("format"), v.Format, "plain", "nerve")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Sidecars)) {
		p := Path("sidecars").Key(name)
		if _, ok := s.Hosts[name]; !ok {
			r.Errorf(p, "there is no host %q under hosts", name)
		}
		s.validateRoutes(r, p.Field("routes"), s.Sidecars[name].Routes)
		s.validateRegistrations(r, p.Field("register"), s.Sidecars[name].Register)
	}
}

func (s *Spec) validateRegistry(r *Report, p Path, name string) {
	validName(r, p, name)
	g := s.Registries[name]
	set := 0
	for _, is := range []bool{g.Ensemble, g.ZooKeeper != nil, g.Etcd != nil, g.Consul != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		r.Errorf(p, "want exactly one of ensemble, zookeeper, etcd and consul")
	}
	if g.Ensemble && s.Ensemble == nil {
		r.Errorf(p.Field("ensemble"), "this spec has no ensemble")
	}
	if g.ZooKeeper != nil {
		for i, a := range g.ZooKeeper.Servers {
			validHostPort(r, p.Field("zookeeper").Field("servers").Index(i), a)
		}
	}
	if g.Etcd != nil {
		for i, e := range g.Etcd.Endpoints {
			if u, err := url.Parse(e); err != nil || u.Host == "" {
				r.Errorf(p.Field("etcd").Field("endpoints").Index(i), "want a URL, found %q", e)
			}
		}
	}
	if g.Consul != nil {
		validHostPort(r, p.Field("consul").Field("address"), g.Consul.Address)
	}
}

func (s *Spec) validateRoutes(r *Report, p Path, routes map[string]Route) {
	bound := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		v, p := routes[name], p.Key(name)
		validName(r, p, name)
		s.knownService(r, p.Field("service"), v.Service)
		validHostPort(r, p.Field("bind"), v.Bind)
		if other, dup := bound[v.Bind]; dup {
			r.Errorf(p.Field("bind"), "%s is already bound by route %s", v.Bind, other)
		}
		bound[v.Bind] = name
		oneOf(r, p.Field("mode"), v.Mode, "http", "tcp")
		validCounts(r, p.Field("check"), v.Check.Rise, v.Check.Fall)
	}
}

func (s *Spec) validateRegistrations(r *Report, p Path, regs map[string]Registration) {
	for _, name := range slices.Sorted(maps.Keys(regs)) {
		v, p := regs[name], p.Key(name)
		validName(r, p, name)
		s.knownService(r, p.Field("service"), v.Service)
		validPort(r, p.Field("port"), v.Port)
		c := v.Check
		kinds := 0
		for _, is := range []bool{c.HTTP != "", c.TCP != "", len(c.Exec) > 0} {
			if is {
				kinds++
			}
		}
		if kinds != 1 {
			r.Errorf(p.Field("check"), "want exactly one of http, tcp and exec: an instance is announced only while its check passes")
		}
		validCounts(r, p.Field("check"), c.Rise, c.Fall)
	}
}

func (s *Spec) knownService(r *Report, p Path, name string) {
	if _, ok := s.Services[name]; !ok {
		r.Errorf(p, "there is no service %q under services", name)
	}
}

func validCounts(r *Report, p Path, rise, fall int) {
	for _, c := range []struct {
		name string
		n    int
	}{{"rise", rise}, {"fall", fall}} {
		if c.n < 0 || c.n > 100 {
			r.Errorf(p.Field(c.name), "want a count from 1 to 100, found %s", fmt.Sprint(c.n))
		}
	}
}
