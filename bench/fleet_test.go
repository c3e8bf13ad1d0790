package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/sidecar"
	"github.com/zkboot/zkboot/bootstrap/ssh"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// operator is the engine as the programs wire it, but for what a build embeds. conns counts
// its connections, from the first byte until they are closed.
func operator(conns *gauge) *bootstrap.Engine {
	agents := []ssh.AgentBinary{{SHA256: strings.Repeat("ab", 32)}}
	archives := []sidecar.Archive{{Arch: "amd64", SHA512: strings.Repeat("cd", 64)}}
	open := ssh.Opener(ssh.OpenOptions{Agents: agents})
	return &bootstrap.Engine{Roles: []bootstrap.Role{zookeeper.New(), sidecar.New(archives)},
		Open: func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error) {
			leave := conns.enter()
			h, err := open(ctx, s, host)
			if err != nil {
				leave()
				return nil, err
			}
			return counted{h, leave}, nil
		}}
}

type counted struct {
	bootstrap.Host
	leave func()
}

func (c counted) Close() error {
	defer c.leave()
	return c.Host.Close()
}

func startFleet(t *testing.T, members, apps int) (*fleet, *bootstrap.Spec) {
	t.Helper()
	goleak.VerifyNone(t) // what leaks below is ours
	f, err := newFleet(t.Context(), t.TempDir(), members, apps, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.close()
		goleak.VerifyNone(t)
	})
	s, err := f.spec()
	if err != nil {
		t.Fatal(err)
	}
	return f, s
}

// stepsOf lists what a plan does on each host.
func stepsOf(p *bootstrap.Plan) map[string][]string {
	out := map[string][]string{}
	for _, w := range p.Waves {
		for _, host := range w.Hosts() {
			for _, st := range w.Steps[host] {
				out[host] = append(out[host], st.String())
			}
		}
	}
	return out
}

func TestPlanOfAHundredHosts(t *testing.T) {
	f, spec := startFleet(t, 5, 95)
	var conns gauge
	e := operator(&conns)
	e.LookOnly = true
	plan, report := e.Plan(t.Context(), spec, bootstrap.Intent{Verb: bootstrap.VerbConverge})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	steps := stepsOf(plan)
	for _, name := range spec.HostNames() {
		if n := f.stations[name].machine.Looks(); n != 1 {
			t.Errorf("%s was looked at %d times, want once", name, n)
		}
		want := "create unit zkwatch.service"
		if spec.Ensemble.Members[name].ID > 0 {
			want = "create unit zookeeper-fleet.service"
		}
		if !slices.ContainsFunc(steps[name], func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%s: no step %q in %v", name, want, steps[name])
		}
	}
	for what, g := range map[string]*gauge{"connections": &conns, "looks": &f.looks} {
		if _, all, most := g.read(); all != 100 || most > 32 { // 32 is the engine's own limit
			t.Errorf("%d %s, at most %d at once; want 100, and never more than 32", all, what, most)
		}
	}
}

// What is kept for an apply is one connection a host, and all of them end with the engine.
func TestConnectionsOfAnApplyEndWithTheEngine(t *testing.T) {
	f, spec := startFleet(t, 3, 47)
	var conns gauge
	e := operator(&conns)
	if _, report := e.Plan(t.Context(), spec, bootstrap.Intent{Verb: bootstrap.VerbConverge}); report.Failed() {
		t.Fatal(report.Err())
	}
	if now, all, _ := f.conns.read(); now != 50 || all != 50 {
		t.Errorf("%d connections of %d stand after the plan, want one to each of 50 hosts", now, all)
	}
	if _, _, most := f.logins.read(); most > 32 {
		t.Errorf("%d connections were made at once, want at most 32", most)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if now, all, _ := conns.read(); now != 0 || all != 50 {
		t.Errorf("%d connections of %d stand after Close", now, all)
	}
	if err := await(t.Context(), 10*time.Second, func() bool { now, _, _ := f.conns.read(); return now == 0 }); err != nil {
		t.Errorf("hosts have connections after Close: %v", err)
	}
}
