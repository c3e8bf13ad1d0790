package bootstrap

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zkboot/zkboot/verify"
)

// clockReadings is how often a host's clock is compared with ours: the reading with the
// shortest round trip counts, so that one slow answer does not blur the offset.
const clockReadings = 3

// Verify judges the site: every host by its facts and by probes, every pair of members by
// the way between them, and the roles by what they prove. It changes nothing but the canary
// znode that a role writes and removes. A host that cannot be reached fails host.reachable.
// The Report is of what could not be run at all.
func (e *Engine) Verify(ctx context.Context, s *Spec, o verify.Options) (*verify.Report, Report) {
	report := e.Validate(s)
	t, _ := s.thresholds()
	if report.Failed() {
		return nil, report
	}
	now, hosts := e.Look(ctx, s)
	all, r := compile(e.Roles, s, now)
	for _, f := range r.Findings {
		f.Severity = SeverityWarning // what stands is judged all the same
		report.Add(f)
	}
	var mu sync.Mutex
	judged := map[string]*hostVerifier{}
	e.each(s.HostNames(), func(name string) {
		v := &hostVerifier{engine: e, spec: s, name: name, now: now, seen: now.Hosts[name], host: hosts[name], all: all, limits: t, opts: o}
		v.run(ctx)
		mu.Lock()
		defer mu.Unlock()
		judged[name] = v
	})
	out := &verify.Report{Hosts: map[string]verify.HostReport{}}
	for name, v := range judged {
		out.Hosts[name] = v.report
		v.seen.Probed = v.result
		now.Hosts[name] = v.seen
	}
	if !o.DiskOnly {
		out.Pairs = pairs(s, judged, t)
		for _, role := range e.Roles {
			for _, c := range role.Prove(ctx, s, now, hosts) {
				to := &out.Checks
				if strings.HasPrefix(c.ID, "ensemble.") {
					to = &out.Ensemble.Checks
				}
				*to = append(*to, c)
			}
		}
	}
	out.Conclude()
	return out, report
}

// pairs judges the way between every two members that answered.
func pairs(s *Spec, judged map[string]*hostVerifier, t verify.Thresholds) []verify.PairReport {
	var out []verify.PairReport
	for _, from := range s.MemberNames() {
		for _, to := range s.MemberNames() {
			a, b := judged[from], judged[to]
			if from == to || a.host == nil {
				continue
			}
			facts := verify.PairFacts{From: &a.seen.Facts, FromClock: a.clock}
			if b.host != nil {
				facts.To, facts.ToClock = &b.seen.Facts, b.clock
			}
			facts.Net, facts.Back = a.way(to), b.way(from)
			out = append(out, verify.PairReport{From: from, To: to, Checks: verify.JudgePair(facts, t)})
		}
	}
	return out
}

// hostVerifier judges one host.
type hostVerifier struct {
	engine *Engine
	spec   *Spec
	name   string
	now    Site // of all hosts
	seen   Seen
	host   Host // nil: could not be reached
	all    []compiled
	limits verify.Thresholds
	opts   verify.Options

	result verify.Result
	clock  []verify.ClockReading
	report verify.HostReport
}

func (v *hostVerifier) run(ctx context.Context) {
	if v.host == nil {
		v.unreachable("could not be asked", v.seen.Err)
		return
	}
	err := v.engine.timed(v.name, "probe", func() (err error) {
		v.result, err = v.host.Probe(ctx, v.query())
		return err
	})
	for i := 0; err == nil && i < clockReadings && !v.opts.DiskOnly; i++ {
		err = v.readClock(ctx)
	}
	if err != nil {
		v.host = nil
		v.unreachable("answered, but not to the end of the probes", err)
		return
	}
	checks := []verify.Check{{ID: "host.reachable", Verdict: verify.Pass, Text: "answers"}}
	for _, c := range v.all {
		if d, ok := c.want[v.name]; ok && d.SyncDir != "" { // as the gate: what lives by the hardware
			checks = append(checks, verify.JudgeHost(v.seen.Facts, d.Needs, v.limits)...)
		}
	}
	checks = verify.Join(checks, verify.JudgeProbe(v.result, v.limits))
	v.report.Checks = v.opts.Keep(checks)
	v.report.Fsync = v.result.Fsync
}

func (v *hostVerifier) unreachable(text string, err error) {
	v.report.Checks = []verify.Check{{ID: "host.reachable", Verdict: verify.Fail, Text: text,
		Why: err.Error(), Hint: "see that the host is up and that SSH lets zkboot in"}}
}

// way is what was measured from here to another host; nil where nothing was.
func (v *hostVerifier) way(to string) *verify.NetResult {
	for i := range v.result.Net {
		if v.result.Net[i].Name == to {
			return &v.result.Net[i]
		}
	}
	return nil
}

func (v *hostVerifier) readClock(ctx context.Context) error {
	sent := time.Now()
	res, err := v.host.Probe(ctx, verify.Query{Clock: true})
	if err == nil && res.Clock != nil {
		v.clock = append(v.clock, verify.ClockReading{Sent: sent, Remote: *res.Clock, Received: time.Now()})
	}
	return err
}

// query is what to probe on the host. A running member's disk is not loaded unless asked.
func (v *hostVerifier) query() verify.Query {
	q := v.opts.Query(verify.HostNeeds{}, false)
	for _, c := range v.all {
		if d, ok := c.want[v.name]; ok && d.SyncDir != "" {
			q = v.opts.Query(d.Needs, running(d, v.seen.State))
		}
	}
	if targets := v.targets(); len(targets) > 0 && !v.opts.DiskOnly {
		q.Net = &verify.NetQuery{Targets: targets}
	}
	return q
}

// targets are the other members' election ports: the way that a quorum depends on.
func (v *hostVerifier) targets() []verify.NetTarget {
	members := v.spec.MemberNames()
	if !slices.Contains(members, v.name) {
		return nil
	}
	port := v.spec.Ensemble.Ports.WithDefaults().Election
	var out []verify.NetTarget
	for _, other := range members {
		if other != v.name {
			out = append(out, verify.NetTarget{Name: other, Burst: v.ours(other, port),
				Addr: net.JoinHostPort(v.spec.Hosts[other].Address, strconv.Itoa(port))})
		}
	}
	return out
}

// ours reports whether a unit of ours listens on that port of a host: what a stranger
// makes of bytes that it did not ask for, nobody knows.
func (v *hostVerifier) ours(host string, port int) bool {
	for _, l := range v.now.Hosts[host].Facts.Listeners {
		if l.Port != port || l.Process == nil || l.Process.Unit == "" {
			continue
		}
		for _, c := range v.all {
			if slices.Contains(c.want[host].Needs.Units, l.Process.Unit) {
				return true
			}
		}
	}
	return false
}
