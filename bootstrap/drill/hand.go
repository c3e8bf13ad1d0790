package drill

import (
	"context"
	"errors"
	"fmt"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// OnHosts is the Hand for hosts of any kind: it asks the agent to kill or restart the
// member's process, which systemd then starts again, and refuses everything else.
func OnHosts(s *bootstrap.Spec) func(bootstrap.Hosts) Hand {
	return func(h bootstrap.Hosts) Hand { return hostHand{s, h} }
}

type hostHand struct {
	spec  *bootstrap.Spec
	hosts bootstrap.Hosts // locked
}

// Do implements Hand.
func (h hostHand) Do(ctx context.Context, f Fault, victims []string) error {
	if !f.Safe() {
		return fmt.Errorf("%w: %s can be taken back from outside alone, which only a lab allows", bootstrap.ErrRefused, f.Name)
	}
	for _, name := range victims {
		if err := h.hit(ctx, f.Step, name); err != nil {
			return err
		}
	}
	return nil
}

// hit has one step carried out on what is seen of the unit now.
func (h hostHand) hit(ctx context.Context, action bootstrap.Action, name string) error {
	host, ok := h.hosts[name]
	if !ok {
		return fmt.Errorf("%s: %w", name, bootstrap.ErrUnreachable)
	}
	id := zookeeper.UnitOf(h.spec)
	_, state, err := host.Look(ctx, id)
	if err != nil {
		return fmt.Errorf("%s: look: %w", name, err)
	}
	unit, ok := state.Find(id).(bootstrap.Unit)
	if !ok || !unit.Running {
		return fmt.Errorf("%s: expected %s to run, found that it does not", name, id.Name())
	}
	step := bootstrap.Step{Action: action, Owner: bootstrap.OwnerOf(h.spec.Name, zookeeper.New().Name()), Target: id,
		Was: bootstrap.Thing{Resource: unit}, Want: bootstrap.Thing{Resource: unit}}
	if err := host.Change(ctx, step); err != nil {
		var se *bootstrap.StepError
		if errors.As(err, &se) {
			err = se
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Mend implements Hand: systemd does it.
func (hostHand) Mend(context.Context, []string) error { return nil }
