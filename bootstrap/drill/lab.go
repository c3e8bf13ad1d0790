package drill

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/lab"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// slowBy is how much longer each sync takes on a slow disk: twice what the worst disks of
// shared hosts were seen to take.
const slowBy = 500 * time.Millisecond

// OnLab is the Hand for hosts of a lab: what systemd makes good goes through the agent as
// on any host, the rest is done from outside.
func OnLab(l *lab.Lab, s *bootstrap.Spec) func(bootstrap.Hosts) Hand {
	return func(h bootstrap.Hosts) Hand { return labHand{hostHand{s, h}, l} }
}

type labHand struct {
	hostHand
	lab *lab.Lab
}

// Do implements Hand.
func (h labHand) Do(ctx context.Context, f Fault, victims []string) error {
	if f.Safe() {
		return h.hostHand.Do(ctx, f, victims)
	}
	return h.each(ctx, victims, func(ctx context.Context, host *lab.Host) error {
		i, err := h.injection(f, host)
		if err != nil {
			return err
		}
		return host.Inject(ctx, i)
	})
}

// injection is the fault as the lab is told of it.
func (h labHand) injection(f Fault, host *lab.Host) (lab.Injection, error) {
	kind, err := lab.ParseFault(f.Lab)
	if err != nil {
		return lab.Injection{}, err
	}
	i := lab.Injection{Fault: kind}
	if kind.OfUnit() {
		i.Unit = zookeeper.UnitOf(h.spec).Name()
	}
	if kind == lab.FaultSlowDisk {
		i.Delay = slowBy
	}
	if strings.HasPrefix(f.Lab, string(lab.FaultPartition)) {
		for _, name := range h.spec.MemberNames() {
			addr, err := netip.ParseAddr(h.spec.Hosts[name].Address)
			if err != nil {
				return i, fmt.Errorf("%s: %w", name, err)
			}
			if addr != host.Address { // the operator's own way to it stays
				i.Peers = append(i.Peers, addr)
			}
		}
	}
	return i, nil
}

// Mend implements Hand. A host that is off is started.
func (h labHand) Mend(ctx context.Context, victims []string) error {
	return h.each(ctx, victims, func(ctx context.Context, host *lab.Host) error { return host.Mend(ctx) })
}

// each works on all hosts at once: a power cut of all that comes host by host is another
// fault.
func (h labHand) each(ctx context.Context, names []string, work func(context.Context, *lab.Host) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		host, err := h.lab.Host(name)
		if err != nil {
			return err
		}
		g.Go(func() error { return work(ctx, host) })
	}
	return g.Wait()
}
