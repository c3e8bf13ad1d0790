package haproxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// admin is what an operator, here zkwatch, asked of a server.
type admin uint8

const (
	maint admin = iota // out of rotation, not checked
	drain              // no new traffic, checked
	ready
)

func (a admin) String() string { return [...]string{"maint", "drain", "ready"}[a] }

// overflowBase is added to the number of an overflow server for its id, far above any slot.
const overflowBase = 100_000

// placeholder is where a free slot points: nothing listens on it, and a connection by
// mistake is refused at once.
var placeholder = netip.MustParseAddrPort("127.0.0.1:1")

// server is one server of a backend as HAProxy last said, or acknowledged, that it is. There
// are tens of thousands of them, so the fields lie in the order that leaves no gaps.
type server struct {
	name   string
	addr   netip.AddrPort
	id     int
	weight int
	// drained is since when the server has been in drain; nil when it is not.
	drained *time.Time
	// leave is set on a server that somebody else changed, where such changes are to be
	// reported only: what was wanted of it then. It is left alone until that changes.
	leave *target
	// freed orders servers in maintenance: the smaller, the longer ago.
	freed uint32
	since int32 // seconds since HAProxy last changed its mind
	admin admin
	// down is the verdict of HAProxy's checks or of the breaker.
	down bool
	// ejected says that real traffic put it down, and no check has failed since.
	ejected bool
	// suspect was down in the worker before this one.
	suspect bool
	// busy is a server in maintenance that may still have connections of its last address.
	busy bool
	// foreign is a server that somebody else added to a backend of ours.
	foreign bool
}

// slotNames are shared: the slots of hundreds of backends have the same few names.
var slotNames = func() (names [256]string) {
	for n := range names {
		names[n] = "s" + strconv.Itoa(n)
	}
	return names
}()

func slotName(n int) string {
	if n >= 0 && n < len(slotNames) {
		return slotNames[n]
	}
	return "s" + strconv.Itoa(n)
}

func overflowName(n int) string { return "x" + strconv.Itoa(n) }

// number returns the number in a name of ours such as s12, with its kind 's' or 'x', or
// false for a name that somebody else gave.
func number(name string) (kind byte, n int, ok bool) {
	if len(name) < 2 || name[0] != 's' && name[0] != 'x' {
		return 0, 0, false
	}
	n, err := strconv.Atoi(name[1:])
	if err != nil || n < 1 || name[1:] != strconv.Itoa(n) {
		return 0, 0, false
	}
	return name[0], n, true
}

func (s server) overflow() bool { return strings.HasPrefix(s.name, "x") }

// free says whether another address may be put on the server now. A connection that is in
// use while the address changes goes to the idle pool of the server afterwards, and the
// next requests with it to the old address (seen on 2.6.12).
func (s server) free() bool { return s.admin == maint && !s.busy }

// commands returns what turns the server from into to. Only a server in maintenance takes
// another address: address and port are not changed in one step (HAProxy commit cd994407a,
// not in 2.6).
func commands(backend string, from, to server) []command {
	set := func(format string, args ...any) command {
		return command{text: "set server " + backend + "/" + to.name + " " + fmt.Sprintf(format, args...), want: answerNone}
	}
	if to.admin == maint {
		if from.admin == maint {
			return nil
		}
		return []command{set("state maint")}
	}
	var out []command
	if from.addr != to.addr {
		if from.admin != maint {
			out = append(out, set("state maint"))
			from.admin = maint
		}
		c := set("addr %s port %d", to.addr.Addr(), to.addr.Port())
		c.want, c.addr = answerAddr, to.addr
		out = append(out, c)
	}
	// The weight of a server in drain does nothing, and the file says 0 for it.
	if to.admin == ready && from.weight != to.weight {
		out = append(out, set("weight %d", to.weight))
	}
	if from.admin != to.admin {
		out = append(out, set("state %s", to.admin))
	}
	return out
}
