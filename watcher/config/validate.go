package config

import (
	"maps"
	pathpkg "path"
	"slices"
	"strings"
	"time"
)

// Validate returns everything that is wrong with c. What c leaves out is judged by its
// default; c itself stays as it is.
func (c *Config) Validate() Findings {
	all := *c
	fill(&all)
	var found Findings
	all.check(checker{found: &found})
	return found
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (c *Config) check(k checker) {
	if !hostRE.MatchString(c.Host) {
		k.field("host").errorf("want the name of this host, found %q", c.Host)
	}
	if c.Address != "" {
		k.field("address").announced(c.Address)
	}
	k.field("zone").zone(c.Zone)
	k.field("state_dir").file(c.StateDir)
	for _, name := range sorted(c.Registries) {
		k := k.field("registries").key(name)
		k.name(name)
		if name == "none" {
			k.errorf(`"none" is no name for a registry: it says that there is no board`)
		}
		c.Registries[name].check(k)
	}
	for _, name := range sorted(c.Services) {
		k := k.field("services").key(name)
		k.name(name)
		c.Services[name].check(k, c.Registries)
		s, b := c.Services[name], c.Board
		if s.Registry == b.Registry && znodePath(s.Path) == nil && (within(s.Path, b.Path) || within(b.Path, s.Path)) {
			k.field("path").errorf("%s overlaps with %s, where hosts post what they have applied (board.path)", s.Path, b.Path)
		}
	}
	c.checkCare(k)
	c.HAProxy.check(k.field("haproxy"))
	if c.HAProxy.Disabled && len(c.Routes) > 0 {
		k.field("routes").errorf("routes need HAProxy, which haproxy.disabled turns off")
	}
	k.field("status").field("socket").socket(c.Status.Socket)
	c.checkBoard(k.field("board"))
	c.Drain.check(k.field("drain"))
	c.checkSpool(k.field("drain").field("spool"))
	routes := c.checkListeners(k)
	for _, name := range sorted(c.Routes) {
		k := k.field("routes").key(name)
		k.name(name)
		c.knownService(k.field("service"), c.Routes[name].Service)
		c.Routes[name].check(k, c.Zone)
	}
	c.checkRegister(k.field("register"), routes)
}

func (c *Config) knownService(k checker, name string) {
	if _, ok := c.Services[name]; !ok {
		k.errorf("there is no service %q under services", name)
	}
}

// checkCare checks guard, settle and audit.
func (c *Config) checkCare(k checker) {
	g := k.field("guard")
	g.field("threshold").count(int(c.Guard.Threshold), 1, 100)
	g.field("min").count(c.Guard.Min, 1, 10000)
	g.field("hold").duration(c.Guard.Hold, time.Second, 24*time.Hour)
	s := k.field("settle")
	s.field("quiet").duration(c.Settle.Quiet, time.Millisecond, time.Minute)
	s.field("max").duration(c.Settle.Max, time.Millisecond, time.Minute)
	if c.Settle.Quiet > c.Settle.Max {
		s.field("quiet").errorf("want at most max, which is %s, found %s", c.Settle.Max, c.Settle.Quiet)
	}
	k.field("audit").duration(c.Audit, 100*time.Millisecond, time.Hour)
}

// checkListeners checks that everything that listens on this host can do so, and returns
// where routes do.
func (c *Config) checkListeners(k checker) map[string]bind {
	var all listeners
	if listen := c.Status.Listen; listen != "none" {
		at := k.field("status").field("listen")
		if b, err := parseBind(listen); err == nil && !b.addr.IsLoopback() {
			at.errorf(`want a loopback address such as 127.0.0.1:9180, since whoever asks is told everything, or "none", found %q`, listen)
		}
		all.add(at, listen, "status.listen")
	}
	if c.HAProxy.Stats != "" {
		all.add(k.field("haproxy").field("stats"), c.HAProxy.Stats, "haproxy.stats")
	}
	routes := map[string]bind{}
	for _, name := range sorted(c.Routes) {
		at := k.field("routes").key(name).field("bind")
		all.add(at, c.Routes[name].Bind, "route "+name)
		if b, err := parseBind(c.Routes[name].Bind); err == nil {
			routes[name] = b
		}
	}
	return routes
}

// checkSpool wants the spool for marks alone: there a file drains the registration of its name,
// and undoing that removes the file.
func (c *Config) checkSpool(k checker) {
	for _, other := range []struct{ field, file string }{
		{"state_dir", c.StateDir + "/sets.json"}, {"haproxy.file", c.HAProxy.File}, {"haproxy.socket", c.HAProxy.Socket},
		{"haproxy.master", c.HAProxy.Master}, {"status.socket", c.Status.Socket},
	} {
		if pathpkg.Dir(other.file) == c.Drain.Spool {
			k.errorf("want a directory of its own, since every file in it drains a registration, found that of %s", other.field)
		}
	}
}

func (c *Config) checkBoard(k checker) {
	switch _, ok := c.Registries[c.Board.Registry]; {
	case c.Board.Registry == "none":
	case c.Board.Registry == "" && len(c.Registries) > 1:
		k.field("registry").errorf(`there are several registries: want one of %s, or "none"`, strings.Join(sorted(c.Registries), ", "))
	case c.Board.Registry != "" && !ok:
		k.field("registry").errorf("there is no registry %q under registries", c.Board.Registry)
	}
	k.field("path").znode(c.Board.Path)
	k.field("every").duration(c.Board.Every, time.Second, time.Hour)
}

// within reports whether znode a is b or below it.
func within(a, b string) bool { return a == b || strings.HasPrefix(a, b+"/") }

func (r Registry) check(k checker) {
	if r.ZooKeeper == nil {
		k.errorf("want zookeeper: {servers: [host:port, ...]}")
		return
	}
	r.ZooKeeper.check(k.field("zookeeper"))
}

func (z ZooKeeper) check(k checker) {
	if len(z.Servers) == 0 {
		k.field("servers").errorf("want at least one host:port")
	}
	for i, s := range z.Servers {
		k.field("servers").index(i).say(hostPort(s))
		if first := slices.Index(z.Servers, s); first < i {
			k.field("servers").index(i).errorf("%s is already server %d", s, first)
		}
	}
	k.field("session").duration(z.Session, time.Second, 10*time.Minute)
	if z.AuthFile != "" {
		k.field("auth_file").file(z.AuthFile)
	}
}

func (s Service) check(k checker, registries map[string]Registry) {
	if _, ok := registries[s.Registry]; !ok {
		k.field("registry").errorf("there is no registry %q under registries", s.Registry)
	}
	k.field("path").znode(s.Path)
	k.field("format").oneOf(s.Format, Plain, Nerve)
}

func (h HAProxy) check(k checker) {
	k.field("binary").file(h.Binary)
	k.field("file").file(h.File)
	for i, s := range h.Before {
		k.field("before").index(i).file(s)
		if s == h.File {
			k.field("before").index(i).errorf("%s is zkwatch's own file", s)
		}
	}
	k.field("socket").socket(h.Socket)
	k.field("master").socket(h.Master)
	if h.Socket == h.Master {
		k.field("master").errorf("want a socket of its own, found that of the runtime API")
	}
	if h.SocketGroup != "" && !nameRE.MatchString(h.SocketGroup) {
		k.field("socket_group").errorf("want the name of a group, found %q", h.SocketGroup)
	}
	k.field("reload_interval").duration(h.ReloadInterval, time.Millisecond, time.Hour)
	k.field("slots_min").count(h.SlotsMin, 1, 1000)
	k.field("hard_stop_after").haproxyTime(h.HardStopAfter)
	k.field("old_workers").count(h.OldWorkers, 1, 100)
	k.field("foreign").oneOf(h.Foreign, "repair", "report")
}

func (d Drain) check(k checker) {
	k.field("spool").file(d.Spool)
	k.field("on_term").oneOf(d.OnTerm, "keep", "drain")
	k.field("grace").duration(d.Grace, time.Millisecond, time.Hour)
	k.field("timeout").duration(d.Timeout, time.Millisecond, time.Hour)
	if d.Grace > d.Timeout {
		k.field("grace").errorf("want at most timeout, which is %s, found %s", d.Timeout, d.Grace)
	}
}
