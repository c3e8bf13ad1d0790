package haproxy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// member is an instance as a route sees it.
type member struct {
	addr     netip.AddrPort
	weight   int
	zone     string
	draining bool
}

// target is what the server of an address shall be.
type target struct {
	addr   netip.AddrPort
	weight int
	drain  bool
}

func (t target) admin() admin {
	if t.drain {
		return drain
	}
	return ready
}

// address returns where an instance listens, or why HAProxy cannot be sent there. Names
// are refused: "set server addr" takes addresses alone, and a resolver in between would be
// a second, slower registry.
func address(i watcher.Instance) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(i.Host)
	switch {
	case err != nil:
		return netip.AddrPort{}, fmt.Errorf("host %.60q is not an IP address", i.Host)
	case ip.Zone() != "":
		return netip.AddrPort{}, fmt.Errorf("host %s has a zone, which HAProxy cannot be told", ip.WithZone(""))
	case ip.IsUnspecified(), ip.IsMulticast():
		// To HAProxy 0.0.0.0 means "where the client wanted to go".
		return netip.AddrPort{}, fmt.Errorf("host %s is not an address of one host", ip)
	case i.Port < 1 || i.Port > 65535:
		return netip.AddrPort{}, fmt.Errorf("port %d is not between 1 and 65535", i.Port)
	case i.Weight < 0 || i.Weight > watcher.MaxWeight:
		return netip.AddrPort{}, fmt.Errorf("weight %d is not between 0 and %d", i.Weight, watcher.MaxWeight)
	}
	a := netip.AddrPortFrom(ip.Unmap(), uint16(i.Port))
	if a == placeholder {
		return netip.AddrPort{}, fmt.Errorf("%s stands for a free slot", a)
	}
	return a, nil
}

// members returns the instances that a route may use, one an address, in the order of their
// IDs. Of two with one address the one that is not draining counts, then the later ID: an
// old session's node may still be there beside the new one.
func members(instances []watcher.Instance, want config.Labels) (out []member, refused []watcher.Rejection) {
	at := make(map[netip.AddrPort]int, len(instances))
	out = make([]member, 0, len(instances))
	for _, i := range instances {
		a, err := address(i)
		if err != nil {
			refused = append(refused, watcher.Rejection{ID: i.ID, Reason: err.Error()})
			continue
		}
		if !hasLabels(i.Labels, want) {
			continue
		}
		m := member{addr: a, weight: i.Weight, zone: i.Zone, draining: i.Draining}
		n, twice := at[a]
		switch {
		case !twice:
			at[a] = len(out)
			out = append(out, m)
		case !m.draining || out[n].draining:
			out[n] = m
		}
	}
	if len(out) < cap(out) {
		out = slices.Clone(out) // they stay: no room for those that other routes have
	}
	return out, refused
}

func hasLabels(have map[string]string, want config.Labels) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// targets says what each member's server shall be. Tiers that are not in use drain: their
// servers go on being checked, so that they are known to be good when they are needed. A
// tier is in use when those before it have fewer than Min members that are usable: in
// rotation, and not down by what HAProxy says.
func targets(members []member, tiers *config.Tiers, zone string, down func(netip.AddrPort) bool) []target {
	out := make([]target, len(members))
	for i, m := range members {
		out[i] = target{addr: m.addr, weight: m.weight, drain: m.draining}
	}
	order := tierOrder(tiers, zone)
	if len(order) == 0 {
		return out
	}
	usable := make([]int, len(order)+1)
	for _, m := range members {
		if !m.draining && m.weight > 0 && !down(m.addr) {
			usable[tierOf(order, m.zone)]++
		}
	}
	last, sum := 0, usable[0]
	for last < len(order) && sum < tiers.Min {
		last++
		sum += usable[last]
	}
	for i, m := range members {
		if tierOf(order, m.zone) > last {
			out[i].drain = true
		}
	}
	return out
}

func tierOrder(tiers *config.Tiers, zone string) []string {
	switch {
	case tiers == nil:
		return nil
	case len(tiers.Order) > 0:
		return tiers.Order
	case zone != "":
		return []string{zone}
	}
	return nil
}

// tierOf returns the place of a zone; all that are not in order come last.
func tierOf(order []string, zone string) int {
	if i := slices.Index(order, zone); i >= 0 {
		return i
	}
	return len(order)
}
