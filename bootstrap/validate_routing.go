package bootstrap

import (
	"net/url"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/watcher/config"
)

// validateRouting checks registries, services and sidecars. What zkwatch is told is judged
// by zkwatch's own rules, on the configuration that each host would get.
func (s *Spec) validateRouting(r *Report) {
	for _, name := range sortedKeys(s.Registries) {
		s.validateRegistry(r, Path("registries").Key(name), name)
	}
	for _, name := range sortedKeys(s.Services) {
		s.validateService(r, Path("services").Key(name), name)
	}
	site := config.Config{Host: "site", Registries: s.watcherRegistries(), Services: s.watcherServices(), Board: config.Board{Registry: "none"}}
	said := map[config.Finding]bool{}
	for _, f := range site.Validate() {
		s.adopt(r, "", f)
		said[f] = true
	}
	for _, name := range sortedKeys(s.Sidecars) {
		p, c := Path("sidecars").Key(name), s.WatcherConfig(name)
		if _, ok := s.Hosts[name]; !ok {
			r.Errorf(p, "there is no host %q under hosts", name)
			c.Address = "unknown" // so that registrations are not said to lack an address
		}
		for _, f := range c.Validate() {
			if !said[f] {
				s.adopt(r, p, f)
			}
			said[f] = strings.HasPrefix(f.Path, "services") // one for all hosts
		}
	}
}

func (s *Spec) validateRegistry(r *Report, p Path, name string) {
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

// validateService checks what zkwatch would not see: it is given no service that is in a
// registry of a kind that it cannot watch.
func (s *Spec) validateService(r *Report, p Path, name string) {
	v := s.Services[name]
	g, known := s.Registries[v.Registry]
	if !known {
		r.Errorf(p.Field("registry"), "there is no registry %q under registries", v.Registry)
		return
	}
	if _, ok := s.watcherRegistry(g); ok {
		return
	}
	usesIt := func(host string) bool { return slices.Contains(s.Sidecars[host].services(), name) }
	if hosts := sortedKeys(s.Sidecars); slices.ContainsFunc(hosts, usesIt) && (g.Etcd != nil || g.Consul != nil) {
		r.Errorf(p.Field("registry"), "registry %s is not supported by sidecars yet: want one with ensemble or zookeeper", v.Registry)
	}
}

// adopt adds what zkwatch says of the sidecar at p, or of the site, to the place in the
// spec that it came from. Nothing is said of what is made from other parts of the spec
// (the host's name and address, the servers of its ensemble, whether a registry can be
// used): whatever is wrong with that is reported there.
func (s *Spec) adopt(r *Report, p Path, f config.Finding) {
	at := Path(f.Path)
	entry, top := at, at // such as services["x"], services
	for top.Parent() != "" {
		entry, top = top, top.Parent()
	}
	switch top {
	case "host", "address":
		return
	case "registries":
		for name, g := range s.Registries {
			if g.Ensemble && entry == top.Key(name) && at != entry {
				return
			}
		}
	case "services":
		if at == entry.Field("registry") {
			return
		}
	case "haproxy":
		at = p + Path(strings.TrimPrefix(f.Path, "haproxy"))
	default:
		at = p.Field(f.Path)
	}
	r.Errorf(at, "%s", f.Text)
}
