package main

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// Members and application hosts of the big plan.
const (
	bigMembers = 5
	bigApps    = 95
)

// bigPlan plans for a hundred hosts in a process of its own, while this one is the hosts:
// first for hosts that have never seen an agent, then as it is ever after.
func (b *bench) bigPlan(ctx context.Context) ([]figure, error) {
	dir, err := os.MkdirTemp("", "bench-fleet-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := newFleet(ctx, dir, bigMembers, bigApps, true)
	if err != nil {
		return nil, err
	}
	defer f.close()
	b.say("a plan of %d hosts, which get the agent with the first one", len(f.stations))
	first, err := b.zkboot(ctx, "plan", "-f", f.file())
	if err != nil {
		return nil, err
	}
	f.conns.reset()
	most := watchMost(f.connected)
	var walls, peaks []float64
	for range b.plans {
		r, err := b.zkboot(ctx, "plan", "-f", f.file())
		if err != nil {
			return nil, err
		}
		walls, peaks = append(walls, r.wall.Seconds()), append(peaks, r.peak)
	}
	atOnce := most()
	_, all, _ := f.conns.read()
	if want := b.plans * len(f.stations); all != want {
		return nil, fmt.Errorf("want %d connections for %d plans, one a host each, found %d", want, b.plans, all)
	}
	return []figure{
		figure{Name: "plan of 100 fresh hosts, whole process", Measured: median(walls), Unit: "s", Max: ceiling(10), Samples: map[string][]float64{"wall_s": walls},
			Note: "median of " + list(walls, "%.2f") + " s; the 100 SSH servers run on the same CPUs"}.judged(),
		figure{Name: "memory of a plan of 100 hosts", Measured: slices.Max(peaks), Unit: "MB", Max: ceiling(250), Samples: map[string][]float64{"peak_mb": peaks},
			Note: "resident at its peak, the most of " + list(peaks, "%.0f") + " MB"}.judged(),
		figure{Name: "connections of a plan of 100 hosts, at once", Measured: atOnce, Max: ceiling(40),
			Note: fmt.Sprintf("%d in all, over %d plans; the engine's limit is 32, and the kernel's table changes while it is read", all, b.plans)}.judged(),
		figure{Name: "plan of 100 hosts that have no agent yet", Measured: first.wall.Seconds(), Unit: "s",
			Note: "each gets the agent; once, since it is there then"}.judged(),
		figure{Name: "memory of a plan that sends the agent to 100 hosts", Measured: first.peak, Unit: "MB", Max: ceiling(250), Note: "resident at its peak"}.judged(),
	}, nil
}
