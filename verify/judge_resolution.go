package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func judgeResolution(f Facts, n HostNeeds) Check {
	const id = "host.resolution"
	if c, missing := f.missing(id, "resolution"); missing {
		return c
	}
	_, notAddress := netip.ParseAddr(n.Address)
	byName := n.Address != "" && notAddress != nil
	var texts []string
	verdict, why := Pass, ""
	for _, r := range f.Resolution {
		if r.Error != "" {
			verdict, why = worseOf(verdict, why, Warn, r.Error)
			if r.Name == n.Address {
				verdict, why = Fail, r.Error
			}
			continue
		}
		texts = append(texts, r.Name+" is "+strings.Join(r.Addresses, ", "))
		if byName && r.Name == n.Address && slices.ContainsFunc(r.Addresses, loopback) {
			verdict, why = Fail, fmt.Sprintf("%s resolves to the host's own loopback, where no other member can reach it", r.Name)
		}
	}
	if len(f.Resolution) == 0 {
		verdict, why = Unknown, "no name was looked up"
	}
	if stranger := strangeName(f, n.Address); stranger != "" {
		verdict, why = worseOf(verdict, why, Warn, stranger)
	}
	return Finding(id, verdict, strings.Join(texts, "; "), why)
}

// strangeName says what is wrong when the member's address is called something that is
// neither the host's own name nor leads back to the address; "" when nothing is. The
// generic names that providers give lead back. Logs and TLS host name checks go by it.
func strangeName(f Facts, address string) string {
	for _, r := range f.Reverse {
		if !equalAddress(r.Address, address) || len(r.Names) == 0 {
			continue
		}
		ours := slices.ContainsFunc(r.Names, func(name Resolution) bool {
			return sameHost(name.Name, f.Hostname) ||
				slices.ContainsFunc(name.Addresses, func(a string) bool { return equalAddress(a, address) })
		})
		if !ours {
			leads := strings.Join(r.Names[0].Addresses, ", ")
			if leads == "" {
				leads = "nowhere"
			}
			return fmt.Sprintf("%s is called %s, which leads to %s; this host calls itself %s", address, r.Names[0].Name, leads, f.Hostname)
		}
	}
	return ""
}

// sameHost compares names that may or may not carry their domain.
func sameHost(a, b string) bool {
	a, _, _ = strings.Cut(a, ".")
	b, _, _ = strings.Cut(b, ".")
	return strings.EqualFold(a, b)
}

func equalAddress(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX == nil && errY == nil && x.Unmap() == y.Unmap()
}

func loopback(addr string) bool {
	a, err := netip.ParseAddr(addr)
	return err == nil && a.IsLoopback()
}
