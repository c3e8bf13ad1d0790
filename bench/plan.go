package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/ssh"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// plan measures a plan of an ensemble that is as it should be: what it costs to ask.
func (b *bench) plan(ctx context.Context) ([]figure, error) {
	s, err := b.ensemble(ctx)
	if err != nil {
		return nil, err
	}
	var walls []float64
	for range b.plans {
		r, err := b.zkboot(ctx, "plan", "--detailed-exitcode", "-f", s.file())
		if err != nil {
			return nil, fmt.Errorf("want nothing to do: %w", err)
		}
		walls = append(walls, r.wall.Seconds())
	}
	plan, r, err := planOf(ctx, s)
	if err != nil {
		return nil, err
	}
	if !plan.Empty() {
		return nil, fmt.Errorf("want nothing to do, found:\n%s", plan)
	}
	wall := figure{
		Name: "plan with nothing to do on 3 hosts, whole process", Unit: "s", Max: new(1.0), Measured: median(walls),
		Samples: map[string][]float64{"wall_s": walls}, Note: fmt.Sprintf("median of %s s", list(walls, "%.2f")),
	}
	trips := figure{
		Name: "round trips a host after connect", Max: new(2.0), Measured: float64(r.calls()),
		Note: "calls on the agent's stream until it is closed, closing included, of the host with most",
	}
	return []figure{wall.judged(), trips.judged()}, nil
}

// planOf plans for a lab in this process, where calls and uploads can be counted.
func planOf(ctx context.Context, s *standing) (plan *bootstrap.Plan, r *reach, err error) {
	spec, err := s.spec()
	if err != nil {
		return nil, nil, err
	}
	if r, err = newReach(); err != nil {
		return nil, nil, err
	}
	e := &bootstrap.Engine{Roles: []bootstrap.Role{zookeeper.New()}, Open: r.open}
	defer func() { err = errors.Join(err, e.Close()) }()
	plan, report := e.Plan(ctx, spec, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	if plan == nil {
		return nil, nil, report.Err()
	}
	return plan, r, nil
}

// meet plans twice for fresh hosts: once to learn which packages zkboot installs and what
// the agent's first upload costs, and again to see that there is no second one.
func (b *bench) meet(ctx context.Context, s *standing) error {
	if len(b.sent) > 0 {
		return nil
	}
	for range 2 {
		plan, r, err := planOf(ctx, s)
		if err != nil {
			return err
		}
		b.packages = packagesOf(plan)
		b.sent = append(b.sent, float64(r.sent.Load()))
	}
	if len(b.packages) == 0 {
		return errors.New("the plan for fresh hosts installs no package")
	}
	return nil
}

// packagesOf lists what a plan installs, as arguments of apt-get install.
func packagesOf(p *bootstrap.Plan) []string {
	var out []string
	for _, w := range p.Waves {
		for _, host := range w.Hosts() {
			for _, st := range w.Steps[host] {
				if pkg, ok := st.Want.Resource.(bootstrap.Package); ok {
					name := pkg.Name
					if pkg.Version != "" {
						name += "=" + pkg.Version
					}
					out = append(out, name)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// uploads tells what a second connection with the same version sends.
func (b *bench) uploads(ctx context.Context) (figures []figure, err error) {
	if len(b.sent) == 0 {
		s, err := b.fresh(ctx, labApt)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, b.remove(ctx, s)) }()
		if err := b.meet(ctx, s); err != nil {
			return nil, err
		}
	}
	if b.sent[0] == 0 {
		return nil, errors.New("fresh hosts had the agent already")
	}
	again := figure{
		Name: "agent sent to 3 hosts that have it", Unit: "MB", Max: new(0.0), Measured: b.sent[1] / 1e6,
		Samples: map[string][]float64{"sent_bytes": b.sent}, Note: fmt.Sprintf("first connection %.0f bytes, second %.0f", b.sent[0], b.sent[1]),
	}
	return []figure{again.judged()}, nil
}

// size is that of the agent as it is on a host and as it is carried.
func (b *bench) size(context.Context) ([]figure, error) {
	builds, err := ssh.Embedded()
	if err != nil {
		return nil, err
	}
	if len(builds) == 0 {
		return nil, errors.New("no agent is embedded; run: make build")
	}
	var unpacked, packed []float64
	var names []string
	for _, a := range builds {
		bin, err := a.Bytes()
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(filepath.Join("bootstrap", "ssh", "agentbin", "zkagent-linux-"+a.Arch+".zst"))
		if err != nil {
			return nil, err
		}
		unpacked, packed = append(unpacked, float64(len(bin))/1e6), append(packed, float64(info.Size())/1e6)
		names = append(names, a.Arch)
	}
	note := fmt.Sprintf("the larger of %s: ", strings.Join(names, " and "))
	onHost := figure{Name: "agent", Unit: "MB", Max: new(9.0), Measured: slices.Max(unpacked), Note: note + list(unpacked, "%.2f MB")}
	carried := figure{Name: "agent, compressed", Unit: "MB", Max: new(4.0), Measured: slices.Max(packed), Note: note + list(packed, "%.2f MB")}
	return []figure{onHost.judged(), carried.judged()}, nil
}
