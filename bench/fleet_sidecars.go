package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// configurations are those that only the bench has.
//
//go:embed testdata/fleet testdata/empty
var configurations embed.FS

// source is the configuration of that name.
func source(name string) (fs.FS, error) { return fs.Sub(configurations, "testdata/"+name) }

// sidecarHosts are the hosts with a zkboot_sidecar each.
const sidecarHosts = 50

// sidecars lets Terraform make one zkboot_sidecar for each of fifty hosts, change nothing,
// and take them away again, all through one provider process at a time.
func (b *bench) sidecars(ctx context.Context) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "bench-fleet-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := newFleet(ctx, dir, 0, sidecarHosts, false)
	if err != nil {
		return nil, err
	}
	defer f.close()
	src, err := source("fleet")
	if err != nil {
		return nil, err
	}
	t, err := b.newTerraform(ctx, map[string]fs.FS{"fleet": src})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.remove()) }()
	for _, walk := range []struct {
		title string
		args  []string
	}{
		{"an apply", []string{"apply", "-auto-approve"}},
		{"a plan with nothing to do", []string{"plan", "-detailed-exitcode"}},
		{"a destroy", []string{"destroy", "-auto-approve"}},
	} {
		b.say("%s of %d zkboot_sidecar", walk.title, sidecarHosts)
		some, err := t.walk(ctx, f, walk.title, append(walk.args, "-input=false", "-var=spec="+f.file()))
		if err != nil {
			return figures, err
		}
		figures = append(figures, some...)
	}
	return figures, nil
}

// walk measures the provider while Terraform walks over the sidecars.
func (t *workspace) walk(ctx context.Context, f *fleet, title string, args []string) ([]figure, error) {
	f.conns.reset()
	peak := watchMost(func() float64 { return peakOf(running(t.provider)...) })
	most := watchMost(f.connected)
	r, err := t.run(ctx, "fleet", args...)
	memory, atOnce := peak(), most()
	if err != nil {
		return nil, err
	}
	if memory == 0 {
		return nil, fmt.Errorf("%s: no process was seen that runs %s", title, t.provider)
	}
	_, all, _ := f.conns.read()
	name := fmt.Sprintf("%s of %d zkboot_sidecar", title, sidecarHosts)
	return []figure{
		figure{Name: "memory of the provider, " + name, Measured: memory, Unit: "MB", Max: ceiling(250),
			Note: fmt.Sprintf("resident at its peak; Terraform took %.1f s, %.1f s of CPU with its providers", r.wall.Seconds(), r.cpu.Seconds())}.judged(),
		figure{Name: "connections at once, " + name, Measured: atOnce, Max: ceiling(40), Note: fmt.Sprintf("%d in all", all)}.judged(),
	}, nil
}
