package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zkboot/zkboot/bootstrap/lab"
)

// quorum compares `zkboot apply` on three fresh hosts, which ends with a verified quorum,
// with the same packages put on three equal hosts by bare apt-get, in alternating order.
// The bare side has no SSH, no probe and no server to start: what zkboot adds is the price.
func (b *bench) quorum(ctx context.Context) ([]figure, error) {
	var applies, apts, peaks []float64
	sides := [2]func() error{
		func() error { return b.apply(ctx, &applies, &peaks) },
		func() error { return b.bareApt(ctx, &apts) },
	}
	for round := range b.rounds {
		for i := range sides {
			b.tidy(ctx) // the other side must not run beside this one
			if err := sides[(i+round)%2](); err != nil {
				return nil, err
			}
		}
	}
	ratio := figure{
		Name: "three fresh hosts to a verified quorum, against bare apt-get", Unit: "x", Max: new(1.3),
		Measured: median(applies) / median(apts),
		Samples:  map[string][]float64{"apply_s": applies, "apt_s": apts},
		Note:     fmt.Sprintf("zkboot apply %s s; apt-get update and install of %v %s s", list(applies, "%.1f"), b.packages, list(apts, "%.1f")),
	}
	memory := figure{
		Name: "peak memory of zkboot apply on 3 hosts", Unit: "MB", Measured: median(peaks),
		Samples: map[string][]float64{"peak_mb": peaks},
	}
	return []figure{ratio.judged(), memory.judged()}, nil
}

// apply measures one apply. Its lab stays, for the next figures that need an ensemble.
func (b *bench) apply(ctx context.Context, times, peaks *[]float64) error {
	s, err := b.fresh(ctx, labZkboot)
	if err != nil {
		return err
	}
	b.formed = s // so that it is removed whatever happens
	r, err := b.zkboot(ctx, "apply", "--auto-approve", "-f", s.file())
	if err != nil {
		return err
	}
	if err := b.quorate(ctx, s); err != nil {
		return err
	}
	b.say("apply: %.1f s, %.0f MB", r.wall.Seconds(), r.peak)
	*times, *peaks = append(*times, r.wall.Seconds()), append(*peaks, r.peak)
	return nil
}

// bareApt measures what a plain installation of the same packages takes.
func (b *bench) bareApt(ctx context.Context, times *[]float64) (err error) {
	s, err := b.fresh(ctx, labApt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, s)) }()
	// On this lab and not on the other: an agent that is there already would be a head start.
	if err := b.meet(ctx, s); err != nil {
		return err
	}
	install := append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends", "install"}, b.packages...)
	start := time.Now()
	err = s.each(ctx, func(ctx context.Context, h *lab.Host) error {
		if _, err := h.Exec(ctx, "apt-get", "-qq", "update"); err != nil {
			return err
		}
		_, err := h.Exec(ctx, install...)
		return err
	})
	if err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	b.say("apt-get: %.1f s", took)
	*times = append(*times, took)
	return nil
}
