package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// terraform compares examples/lab with what it is made of: a fresh apply with that of
// zkboot on hosts of the same sort, and a plan with nothing to do with a plan of nothing.
func (b *bench) terraform(ctx context.Context) ([]figure, error) {
	var cli, applies []float64
	var figures []figure
	for round := range b.rounds {
		b.say("zkboot apply and terraform apply on fresh hosts, round %d of %d", round+1, b.rounds)
		wall, err := b.applyWith(ctx, func(s *standing) (float64, error) {
			r, err := b.zkboot(ctx, "apply", "--auto-approve", "-f", s.file())
			return r.wall.Seconds(), err
		})
		if err != nil {
			return nil, err
		}
		cli = append(cli, wall)
		wall, err = b.applyWith(ctx, func(s *standing) (float64, error) {
			wall, idle, err := b.terraformOn(ctx, s, round == 0)
			figures = append(figures, idle...)
			return wall, err
		})
		if err != nil {
			return nil, err
		}
		applies = append(applies, wall)
	}
	apply := figure{Name: "fresh terraform apply of 3+2 hosts beyond zkboot apply", Unit: "s", Max: ceiling(5), Measured: median(applies) - median(cli),
		Samples: map[string][]float64{"terraform_s": applies, "zkboot_s": cli},
		Note:    fmt.Sprintf("medians of terraform %s s and zkboot %s s, each on a lab of its own", list(applies, "%.1f"), list(cli, "%.1f"))}
	return append(figures, apply.judged()), nil
}

// applyWith times an apply on a fresh lab, which must serve afterwards.
func (b *bench) applyWith(ctx context.Context, apply func(*standing) (float64, error)) (wall float64, err error) {
	s, err := b.freshSite(ctx, labTerraform, 2)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, s)) }()
	if wall, err = apply(s); err != nil {
		return 0, err
	}
	return wall, b.quorate(ctx, s)
}

// terraformOn times an apply of examples/lab and, if asked, plans with nothing to do after it.
func (b *bench) terraformOn(ctx context.Context, s *standing, idle bool) (wall float64, figures []figure, err error) {
	empty, err := source("empty")
	if err != nil {
		return 0, nil, err
	}
	t, err := b.newTerraform(ctx, map[string]fs.FS{"lab": os.DirFS("examples/lab"), "empty": empty})
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, t.remove()) }()
	at := "-var=lab_dir=" + s.dir
	took, err := t.run(ctx, "lab", "apply", "-input=false", "-auto-approve", at)
	if err != nil || !idle {
		return took.wall.Seconds(), nil, err
	}
	var plans, starts, cpu []float64
	for range b.plans {
		nothing, err := t.run(ctx, "empty", "plan", "-input=false")
		if err != nil {
			return 0, nil, err
		}
		plan, err := t.run(ctx, "lab", "plan", "-input=false", "-detailed-exitcode", at)
		if err != nil {
			return 0, nil, fmt.Errorf("want nothing to do: %w", err)
		}
		starts, plans = append(starts, nothing.wall.Seconds()), append(plans, plan.wall.Seconds())
		cpu = append(cpu, plan.cpu.Seconds())
	}
	return took.wall.Seconds(), []figure{figure{Name: "terraform plan with nothing to do on 3+2 hosts, beyond an empty one", Unit: "s", Max: ceiling(2),
		Measured: median(plans) - median(starts), Samples: map[string][]float64{"plan_s": plans, "empty_s": starts, "cpu_s": cpu},
		Note: fmt.Sprintf("medians of %s s and, of an empty configuration, %s s, in turn; a plan takes %.2f s of CPU here",
			list(plans, "%.2f"), list(starts, "%.2f"), median(cpu))}.judged()}, nil
}
