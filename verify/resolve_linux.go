package verify

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// resolveTime bounds one look-up; a name that takes longer is as good as absent
// to a server that starts.
const resolveTime = 2 * time.Second

// reverseMost bounds how many addresses are looked up: hosts of containers have
// hundreds, and members use one.
const reverseMost = 16

// resolver is the part of net.Resolver that a test replaces.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

func readResolution(ctx context.Context, names []string, to *[]Resolution) error {
	own, err := os.Hostname()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	*to = resolve(ctx, net.DefaultResolver, append([]string{own}, names...))
	return nil
}

// resolve looks all names up side by side.
func resolve(ctx context.Context, r resolver, names []string) []Resolution {
	out := make([]Resolution, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			out[i].Name = name
			addrs, err := r.LookupNetIP(ctx, "ip", name)
			if err != nil {
				out[i].Error = err.Error()
				return
			}
			slices.SortFunc(addrs, netip.Addr.Compare)
			for _, a := range slices.Compact(addrs) {
				out[i].Addresses = append(out[i].Addresses, a.Unmap().String())
			}
		})
	}
	wg.Wait()
	return out
}

// readReverse asks what the host's own addresses are called, and where those names
// lead. Both together take resolveTime at most.
func readReverse(ctx context.Context, r resolver, to *[]Reverse) error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	var own []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			own = append(own, p.Addr().Unmap())
		}
	}
	slices.SortFunc(own, netip.Addr.Compare)
	own = slices.Compact(own)
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	*to = reverse(ctx, r, own[:min(len(own), reverseMost)])
	return nil
}

func reverse(ctx context.Context, r resolver, own []netip.Addr) []Reverse {
	out := make([]Reverse, len(own))
	var wg sync.WaitGroup
	for i, a := range own {
		wg.Go(func() {
			out[i].Address = a.String()
			names, err := r.LookupAddr(ctx, a.String())
			var failed *net.DNSError
			if errors.As(err, &failed) && failed.IsNotFound { // has no name: most private addresses
				return
			}
			if err != nil {
				out[i].Error = err.Error()
				return
			}
			for n := range names {
				names[n] = strings.TrimSuffix(names[n], ".")
			}
			slices.Sort(names)
			out[i].Names = resolve(ctx, r, slices.Compact(names))
		})
	}
	wg.Wait()
	return out
}
