package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// lookupLimit bounds each look-up of a name, so that one dead name server or name delays a
// change of servers by no more.
const lookupLimit = time.Second

// hosts chooses servers for the library (zk.HostProvider). Configured servers are seeds; once
// the ensemble has told its members those come first. Names are looked up anew for every
// round, because servers get new addresses, and one that does not resolve is left out: the
// library's own provider resolves once, and refuses to start because of one dead name.
type hosts struct {
	lookup func(ctx context.Context, host string) ([]string, error)

	mu     sync.Mutex
	seeds  []string      // host:port
	live   []string      // host:port, as the ensemble tells them; nil when it did not
	round  []string      // what is still to be tried
	last   string        // what was tried last; of two that are as good, the other one is tried first
	rounds int           // since a connection lasted
	wait   time.Duration // before the next connection
	closed bool
}

// Pauses before a round, from the second one on: a server that comes back is found within a
// second, and a fleet does not come back at one moment.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 500 * time.Millisecond
)

func newHosts(seeds []string) (*hosts, error) {
	var errs []error
	for _, s := range seeds {
		if _, _, err := splitAddr(s); err != nil {
			errs = append(errs, fmt.Errorf("server %q: %w", s, err))
		}
	}
	if len(seeds) == 0 {
		errs = append(errs, errors.New("no servers are given"))
	}
	return &hosts{lookup: net.DefaultResolver.LookupHost, seeds: slices.Clone(seeds)}, errors.Join(errs...)
}

// splitAddr takes host:port apart and refuses a port that is none.
func splitAddr(s string) (string, int, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return "", 0, errors.New("it is not host:port")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q is not between 1 and 65535", port)
	}
	return host, int(n), nil
}

// Init is called by the library. The servers are known already.
func (h *hosts) Init([]string) error { return nil }

// Len returns how many servers are known.
func (h *hosts) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all())
}

// Next returns the server to try. The library would pause for a second, always the same,
// after a round that failed; the pauses are made in the dialer instead (breath). It looks
// whether it was closed in that pause alone, so then it is told to make one.
func (h *hosts) Next() (server string, retryStart bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.round) == 0 {
		groups := h.groups()
		h.mu.Unlock()
		round := h.resolve(groups)
		h.mu.Lock()
		h.round = round
		if n := slices.Index(round, h.last); n >= 0 {
			h.round = append(slices.Delete(round, n, n+1), h.last)
		}
		if h.rounds > 0 {
			most := min(firstPause<<min(h.rounds-1, 10), mostPause)
			h.wait = most/2 + rand.N(most/2+1)
		}
		h.rounds++
	}
	server = h.round[0]
	h.last, h.round = server, h.round[1:]
	return server, h.closed
}

// Connected begins a new round for the next time.
func (h *hosts) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.round = nil
}

// lasted says that the connection was a good one. A server that accepts sessions and drops
// them at once is paused for like one that refuses.
func (h *hosts) lasted() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rounds = 0
}

// breath returns how long to wait before the next connection.
func (h *hosts) breath() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.wait
	h.wait = 0
	return d
}

func (h *hosts) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// follow takes the members that the ensemble tells.
func (h *hosts) follow(live []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live = live
}

// all returns every known server; the caller holds mu.
func (h *hosts) all() []string {
	groups := h.groups()
	return append(groups[0], groups[1]...)
}

// groups returns the members, and the seeds that are not among them, each shuffled, so that
// clients spread over the servers; the caller holds mu.
func (h *hosts) groups() [2][]string {
	live := slices.Clone(h.live)
	rest := slices.DeleteFunc(slices.Clone(h.seeds), func(s string) bool { return slices.Contains(live, s) })
	for _, g := range [][]string{live, rest} {
		rand.Shuffle(len(g), func(i, j int) { g[i], g[j] = g[j], g[i] })
	}
	return [2][]string{live, rest}
}

// resolve returns the addresses of all that resolve, each once and in order. Where nothing
// does, the names themselves are returned: the dialer then has the error, or knows better.
func (h *hosts) resolve(groups [2][]string) []string {
	names := append(slices.Clone(groups[0]), groups[1]...)
	found := make([][]string, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		host, port, err := net.SplitHostPort(name)
		if err != nil {
			continue // members and seeds were checked when they came
		}
		if _, err := netip.ParseAddr(host); err == nil {
			found[i] = []string{name}
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
			defer cancel()
			ips, err := h.lookup(ctx, host)
			if err != nil {
				return // left out of this round
			}
			for _, ip := range ips {
				found[i] = append(found[i], net.JoinHostPort(ip, port))
			}
		})
	}
	wg.Wait()
	var out []string
	for _, addrs := range found {
		for _, a := range addrs {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	if len(out) == 0 {
		return names
	}
	return out
}

// members reads the client addresses out of the znode /zookeeper/config: lines such as
//
//	server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181
//
// (zookeeperReconfig.md, "Specifying the client port", 3.8). A server without a client
// address, or with one that stands for all of its addresses, does not tell where clients
// reach it and is left out.
func members(config []byte) []string {
	var out []string
	for line := range strings.Lines(string(config)) {
		key, spec, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || !strings.HasPrefix(key, "server.") {
			continue
		}
		_, client, ok := strings.Cut(spec, ";")
		if !ok {
			continue
		}
		host, port, err := splitAddr(client)
		if err != nil || host == "" {
			continue
		}
		ip, err := netip.ParseAddr(host)
		if err == nil && ip.IsUnspecified() || err != nil && !hostname(host) {
			continue
		}
		out = append(out, net.JoinHostPort(host, strconv.Itoa(port)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
