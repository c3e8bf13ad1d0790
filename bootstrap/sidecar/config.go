package sidecar

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/watcher/config"
)

// config is what zkwatch is told on this host. What the spec leaves out is left to zkwatch's
// defaults.
func (n node) config(have bootstrap.State) *config.Config {
	c := n.spec.WatcherConfig(n.host)
	if before := previous(have); before != nil {
		for name, r := range c.Registries {
			if b := before.Registries[name]; n.spec.Registries[name].Ensemble && b.ZooKeeper != nil && enoughSeeds(b.ZooKeeper.Servers, r.ZooKeeper.Servers) {
				r.ZooKeeper.Servers = b.ZooKeeper.Servers
			}
		}
	}
	c.HAProxy.Disabled = !n.proxied()
	if n.proxied() {
		c.HAProxy.SocketGroup = account
	}
	return c
}

// enoughSeeds reports whether zkwatch still finds the ensemble by the seeds that it has: most
// of them are members, and there are two where there can be. It follows the live members by
// itself, and need not be restarted whenever one of them changes.
func enoughSeeds(has, members []string) bool {
	known := 0
	for _, s := range has {
		if slices.Contains(members, s) {
			known++
		}
	}
	return 2*known > len(has) && known >= min(2, len(members))
}

// routed are the names of the services that the host sends traffic to, sorted.
func (n node) routed() []string {
	used := map[string]bool{}
	for _, r := range n.is.Routes {
		used[r.Service] = true
	}
	return slices.Sorted(maps.Keys(used))
}

// configText is the file that zkwatch reads.
func (n node) configText(have bootstrap.State) (string, error) {
	c := n.config(have)
	b, err := config.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("rendering %s: %w", confFile, err)
	}
	if _, err := config.Load(confFile, b); err != nil {
		return "", fmt.Errorf("zkwatch would refuse its file: %w", err)
	}
	return "# Written by zkboot for " + n.spec.Name + "; the next apply overwrites changes made here.\n" + string(b), nil
}

// firstProxyText is what HAProxy starts with: zkwatch takes the file over as soon as it
// runs, and needs the runtime socket for that.
func firstProxyText() string {
	return fmt.Sprintf(`# Written by zkboot for the first start of HAProxy. From then on the file is zkwatch's.
global
    stats socket %s/runtime.sock mode 660 group %s level admin
`, proxyRun, account)
}

// bind is an address that a unit of ours listens on, and the place below the host's sidecar
// that says so.
type bind struct {
	listener
	unit string
	at   bootstrap.Path
}

// binds are the addresses that HAProxy is to listen on for zkwatch, by route.
func binds(c *config.Config) []bind {
	var out []bind
	add := func(text string, at bootstrap.Path) {
		if l, ok := parseListener(text); ok {
			out = append(out, bind{l, proxyUnit, at})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		add(c.Routes[name].Bind, bootstrap.Path(".routes").Key(name).Field("bind"))
	}
	add(c.HAProxy.Stats, ".stats")
	return out
}

// listener is an address to listen on; the host "" is any.
type listener struct {
	host string
	port int
}

func parseListener(text string) (listener, bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return listener{}, false
	}
	n, err := strconv.Atoi(port)
	if host == "*" {
		host = ""
	}
	return listener{host, n}, err == nil
}

// previous is what zkwatch was told by the last apply, or nil.
func previous(have bootstrap.State) *config.Config {
	f, ok := have.Find(bootstrap.NewID(bootstrap.KindFile, confFile)).(bootstrap.File)
	if !ok {
		return nil
	}
	c, err := config.Load(confFile, []byte(f.Content))
	if err != nil {
		return nil // edited by hand until it was wrong, or of another version
	}
	return c
}
