package bootstrap

import (
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/zkboot/zkboot/watcher/config"
)

// WatcherConfig returns what zkwatch on the host is to be told: the sidecar of that name,
// the services it uses and where their registries are. Defaults are not filled in. Hosts
// post to the ensemble of the spec or else to the first registry, by name, that they use.
func (s *Spec) WatcherConfig(host string) *config.Config {
	v := s.Sidecars[host]
	c := &config.Config{
		Host: host, Zone: v.Zone, Routes: v.Routes, Register: v.Register, Guard: v.Guard, Drain: v.Drain,
		HAProxy:    config.HAProxy{Stats: v.Stats},
		Registries: map[string]config.Registry{}, Services: map[string]Service{}, Board: config.Board{Registry: "none"},
	}
	c.Address = s.Hosts[host].Address
	registries := s.watcherRegistries()
	for _, name := range v.services() {
		service, ok := s.Services[name]
		if !ok {
			continue
		}
		c.Services[name] = service
		if r, ok := registries[service.Registry]; ok {
			c.Registries[service.Registry] = r
		}
	}
	for _, name := range sortedKeys(registries) {
		if s.Registries[name].Ensemble {
			c.Registries[name], c.Board.Registry = registries[name], name
			return c
		}
	}
	if used := sortedKeys(c.Registries); len(used) > 0 {
		c.Board.Registry = used[0]
	}
	return c
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// services returns the names of all services that the sidecar has to do with, sorted.
func (v Sidecar) services() []string {
	all := map[string]bool{}
	for _, r := range v.Routes {
		all[r.Service] = true
	}
	for _, r := range v.Register {
		all[r.Service] = true
	}
	return sortedKeys(all)
}

// watcherRegistries returns the registries that zkwatch can use.
func (s *Spec) watcherRegistries() map[string]config.Registry {
	out := map[string]config.Registry{}
	for name, g := range s.Registries {
		if w, ok := s.watcherRegistry(g); ok {
			out[name] = w
		}
	}
	return out
}

func (s *Spec) watcherRegistry(g Registry) (config.Registry, bool) {
	if g.ZooKeeper != nil {
		return config.Registry{ZooKeeper: g.ZooKeeper}, true
	}
	if !g.Ensemble || s.Ensemble == nil {
		return config.Registry{}, false
	}
	z := &config.ZooKeeper{}
	client := strconv.Itoa(s.Ensemble.Ports.WithDefaults().Client)
	for _, name := range s.MemberNames() {
		if h, ok := s.Hosts[name]; ok {
			z.Servers = append(z.Servers, net.JoinHostPort(h.Address, client))
		}
	}
	return config.Registry{ZooKeeper: z}, true
}

// watcherServices returns the services in those registries.
func (s *Spec) watcherServices() map[string]Service {
	out := map[string]Service{}
	for name, v := range s.Services {
		if _, ok := s.watcherRegistry(s.Registries[v.Registry]); ok {
			out[name] = v
		}
	}
	return out
}
