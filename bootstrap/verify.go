package bootstrap

import (
	"context"
	"net"
	"strconv"
	"sync"

	"github.com/zkboot/zkboot/verify"
)

// Verify judges the site: every host by its facts and by probes, every pair of hosts by the
// way between them, and the roles by what they prove. It changes nothing but the canary
// znode that a role writes and removes. A host that cannot be reached fails host.reachable.
// The Report is of what could not be run at all.
func (e *Engine) Verify(ctx context.Context, s *Spec, o verify.Options) (*verify.Report, Report) {
	report := e.Validate(s)
	if report.Failed() {
		return nil, report
	}
	t, r := s.thresholds()
	if report.Merge(r); report.Failed() {
		return nil, report
	}
	now, hosts := e.Look(ctx, s)
	all, r := compile(e.Roles, s, now)
	for _, f := range r.Findings {
		f.Severity = SeverityWarning // what stands is judged all the same
		report.Add(f)
	}
	out := &verify.Report{Hosts: map[string]verify.HostReport{}}
	var mu sync.Mutex
	e.each(s.HostNames(), func(name string) {
		v := hostVerifier{engine: e, spec: s, name: name, seen: now.Hosts[name], host: hosts[name], all: all, limits: t, opts: o}
		hr, pairs := v.run(ctx)
		mu.Lock()
		defer mu.Unlock()
		out.Hosts[name] = hr
		out.Pairs = append(out.Pairs, pairs...)
	})
	if !o.DiskOnly {
		for _, role := range e.Roles {
			out.Ensemble.Checks = append(out.Ensemble.Checks, role.Prove(ctx, s, now, hosts)...)
		}
	}
	out.Conclude()
	return out, report
}

// hostVerifier judges one host.
type hostVerifier struct {
	engine *Engine
	spec   *Spec
	name   string
	seen   Seen
	host   Host
	all    []compiled
	limits verify.Thresholds
	opts   verify.Options
}

func (v hostVerifier) run(ctx context.Context) (verify.HostReport, []verify.PairReport) {
	var hr verify.HostReport
	if v.host == nil {
		hr.Checks = []verify.Check{{ID: "host.reachable", Verdict: verify.Fail, Text: "could not be asked",
			Why: v.seen.Err.Error(), Hint: "see that the host is up and that SSH lets zkboot in"}}
		return hr, nil
	}
	hr.Checks = append(hr.Checks, verify.Check{ID: "host.reachable", Verdict: verify.Pass, Text: "answers"})
	q := v.query()
	var res verify.Result
	err := v.engine.timed(v.name, "probe", func() (err error) {
		res, err = v.host.Probe(ctx, q)
		return err
	})
	if err != nil {
		hr.Checks = append(hr.Checks, verify.Check{ID: "host.reachable", Verdict: verify.Fail,
			Text: "answered, but not to the end of the probes", Why: err.Error(), Hint: "run verify again"})
		return hr, nil
	}
	if !v.opts.DiskOnly {
		for _, c := range v.all {
			if d, ok := c.want[v.name]; ok {
				hr.Checks = append(hr.Checks, verify.JudgeHost(v.seen.Facts, d.Needs, v.limits)...)
			}
		}
	}
	hr.Checks = append(hr.Checks, verify.JudgeProbe(res, v.limits)...)
	hr.Fsync = res.Fsync
	var pairs []verify.PairReport
	for _, n := range res.Net {
		pairs = append(pairs, verify.PairReport{From: v.name, To: n.Name, Checks: verify.JudgePair(n, v.limits)})
	}
	return hr, pairs
}

// query is what to probe on the host. A running member's disk is not loaded unless asked.
func (v hostVerifier) query() verify.Query {
	var q verify.Query
	for _, c := range v.all {
		d, ok := c.want[v.name]
		if !ok || d.SyncDir == "" || running(d, v.seen.State) && !v.opts.OnLiveMembers {
			continue
		}
		q.Fsync = verify.LongFsync(d.SyncDir, d.DataDir, v.opts.Duration)
	}
	if v.opts.DiskOnly {
		return q
	}
	q.Clock = true
	q.Jitter = &verify.JitterQuery{}
	q.Steal = &verify.StealQuery{}
	if targets := v.targets(); len(targets) > 0 {
		q.Net = &verify.NetQuery{Targets: targets}
	}
	return q
}

// targets are the other members' election ports: the way that a quorum depends on.
func (v hostVerifier) targets() []verify.NetTarget {
	if v.spec.Ensemble == nil {
		return nil
	}
	if _, member := v.spec.Ensemble.Members[v.name]; !member {
		return nil
	}
	port := strconv.Itoa(v.spec.Ensemble.Ports.WithDefaults().Election)
	var out []verify.NetTarget
	for _, other := range v.spec.MemberNames() {
		if other != v.name {
			out = append(out, verify.NetTarget{Name: other, Addr: net.JoinHostPort(v.spec.Hosts[other].Address, port)})
		}
	}
	return out
}
