package machine

import (
	"crypto/sha256"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ChooseSubnet returns the first /24 of a /16, from a start that the name decides, which
// overlaps nothing in taken. So a lab usually gets the same addresses again, and examples and
// known_hosts of a person stay valid from one lab of a name to the next.
func ChooseSubnet(within netip.Prefix, name string, taken []netip.Prefix) (netip.Prefix, error) {
	start := int(sha256.Sum256([]byte(name))[0])
	base := within.Addr().As4()
	for i := range 256 {
		base[2] = byte(start + i)
		p := netip.PrefixFrom(netip.AddrFrom4(base), 24)
		free := true
		for _, t := range taken {
			// A default route overlaps everything and takes nothing.
			if t.Bits() > 0 && t.Overlaps(p) {
				free = false
			}
		}
		if free {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("no free /24 in %s: routes and labs take all of it", within)
}

// Routed returns what IPv4 routes of this machine lead to.
func Routed() ([]netip.Prefix, error) {
	routes, err := netlink.RouteList(nil, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var taken []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if addr, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			ones, _ := r.Dst.Mask.Size()
			taken = append(taken, netip.PrefixFrom(addr, ones))
		}
	}
	return taken, nil
}
