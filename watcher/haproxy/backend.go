package haproxy

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// prefix begins the names of all proxies of this package.
const prefix = "zkwatch-"

// backend is one route: what is wanted of it, and what HAProxy has.
type backend struct {
	route config.Route
	zone  string
	name  string // of the frontend and the backend

	known   bool // a set has arrived; before that its servers stay as they are
	set     watcher.Set
	members []member
	refused []watcher.Rejection

	live    bool     // HAProxy runs this backend
	servers []server // slots, then overflow servers, then those of others
	quiet   bool     // no server is busy: nothing has to be looked for until one is touched
	frees   uint32   // counts servers that were freed
	missing int      // targets that found no server
	// limit is how many slots are known to be too many for HAProxy to start; 0 for none.
	limit int
	// noAdd is why this backend must do without overflow servers until the next worker.
	noAdd string
	// stuck is why HAProxy did not do what this backend needs; a reload is tried once for it.
	stuck      string
	stuckTried bool

	sections [2]section // of the file: as it is, and for a reload; no text when it has to be made
}

// change is one server that has to become another.
type change struct {
	index    int // into servers; len(servers) or more for a new one
	to       server
	commands []command
}

// wanted returns what each address shall be, with the tiers that are in use now.
func (b *backend) wanted() []target {
	var down map[netip.AddrPort]bool // but for tiers nobody asks
	for _, s := range b.servers {
		if b.route.Tiers != nil && s.down && s.admin != maint {
			if down == nil {
				down = map[netip.AddrPort]bool{}
			}
			down[s.addr] = true
		}
	}
	return targets(b.members, b.route.Tiers, b.zone, func(a netip.AddrPort) bool { return down[a] })
}

// plan returns what makes the servers serve want: changes of those that shall serve, then
// parks of those that no longer do, and the targets for which no server is free. Parks come
// last, and where targets are missing only when something else serves, so that a backend is
// never emptied on the way. It changes nothing.
//
// A live instance stays where it is. A returning one finds its server again by the
// address. A new one takes the server that was freed the longest ago.
func (b *backend) plan(want []target) (changes, parks []change, missing []target) {
	at := b.byAddress()
	kept := make([]bool, len(b.servers))
	var adds []target
	for _, t := range want {
		i, ok := at[t.addr]
		if !ok {
			adds = append(adds, t)
			continue
		}
		kept[i] = true
		changes = b.change(changes, i, t)
	}
	var free []int
	if len(adds) > 0 {
		free = b.freeServers(kept)
	}
	for n, t := range adds {
		if n == len(free) {
			missing = adds[n:]
			break
		}
		changes = b.change(changes, free[n], t)
	}
	for i, s := range b.servers {
		if !kept[i] && s.admin != maint && s.leave == nil {
			to := s
			to.admin, to.busy, to.down, to.ejected = maint, true, false, false
			parks = append(parks, change{index: i, to: to, commands: commands(b.name, s, to)})
		}
	}
	return changes, parks, missing
}

// allButOne leaves one of the servers that are to go in place when none of want is served
// yet: the first that is up.
func (b *backend) allButOne(parks []change, want []target) []change {
	at := b.byAddress()
	if slices.ContainsFunc(want, func(t target) bool { i, ok := at[t.addr]; return ok && b.servers[i].admin == ready }) {
		return parks
	}
	for n, c := range parks {
		if s := b.servers[c.index]; s.admin == ready && !s.down {
			return slices.Delete(slices.Clone(parks), n, n+1)
		}
	}
	return parks
}

// byAddress finds servers by address. Where two have one, those in rotation come first,
// then the lower number.
func (b *backend) byAddress() map[netip.AddrPort]int {
	at := make(map[netip.AddrPort]int, len(b.servers))
	for i, s := range b.servers {
		if s.addr == placeholder || s.foreign {
			continue
		}
		j, twice := at[s.addr]
		if !twice || b.servers[j].admin == maint && s.admin != maint {
			at[s.addr] = i
		}
	}
	return at
}

// freeServers returns the servers that a new address may take, slots before overflow
// servers, then those that were freed the longest ago.
func (b *backend) freeServers(kept []bool) []int {
	var out []int
	for i, s := range b.servers {
		if !kept[i] && s.free() && !s.foreign && s.leave == nil {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(i, j int) int {
		x, y := b.servers[i], b.servers[j]
		return cmp.Or(order(x.overflow(), y.overflow()), cmp.Compare(x.freed, y.freed), cmp.Compare(i, j))
	})
	return out
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (b *backend) change(changes []change, i int, t target) []change {
	from := b.servers[i]
	if from.leave != nil && *from.leave == t {
		return changes
	}
	to := from
	to.leave = nil
	to.addr, to.admin = t.addr, t.admin()
	if to.admin == ready {
		to.weight = t.weight
	}
	if from.admin == maint || from.addr != to.addr {
		to.down, to.ejected, to.busy = false, false, false
	}
	if cmds := commands(b.name, from, to); len(cmds) > 0 {
		return append(changes, change{index: i, to: to, commands: cmds})
	}
	return changes
}

// done takes over a change that HAProxy acknowledged.
func (b *backend) done(c change) {
	b.touch()
	if c.to.admin == maint {
		b.frees++
		c.to.freed = b.frees
	}
	switch {
	case c.to.admin != drain:
		c.to.drained = nil
	case c.index >= len(b.servers) || b.servers[c.index].admin != drain:
		c.to.drained = new(time.Now())
	}
	if c.index >= len(b.servers) {
		b.servers = append(b.servers, c.to)
		return
	}
	b.servers[c.index] = c.to
}

// overflow returns the changes that add one server for each of the missing targets.
func (b *backend) overflow(missing []target) []change {
	last := 0
	for _, s := range b.servers {
		if kind, n, ok := number(s.name); ok && kind == 'x' {
			last = max(last, n)
		}
	}
	out := make([]change, len(missing))
	for i, t := range missing {
		n := last + 1 + i
		s := server{name: overflowName(n), id: overflowBase + n, addr: t.addr, admin: t.admin(), weight: t.weight}
		out[i] = change{index: len(b.servers) + i, to: s, commands: addServer(b, s)}
	}
	return out
}
