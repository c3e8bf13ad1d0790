package bootstrap

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Engine plans and applies. Its fields are set once, before the first call. It keeps the
// hosts it opened until Close, so that a plan and its apply share one connection each.
type Engine struct {
	Roles []Role
	// Open connects to a host: over SSH, on this machine, or to a fake.
	Open func(ctx context.Context, s *Spec, host string) (Host, error)
	// Log gets what an engineer wants to read afterwards; nil for nothing.
	Log *slog.Logger
	// Events gets progress for the operator; calls come one at a time; nil for nothing.
	Events func(Event)
	// Limit bounds how many hosts are worked on at once; 0 means 32.
	Limit int
	// LookOnly is for whoever plans or looks and does not apply: each host is closed as soon
	// as it has been seen, so that there are never more than Limit connections, and Look
	// returns no hosts.
	LookOnly bool
	// Patience bounds how long Plan waits for the first boot of a host (cloud-init) to end
	// before it plans a change; 0 means 10 minutes.
	Patience time.Duration
	// LockPatience bounds how long Apply waits for a lock that another run holds; 0 means that
	// it does not wait.
	LockPatience time.Duration
	// BootPatience bounds how long Apply waits for a host that it rebooted; 0 means 15 minutes.
	BootPatience time.Duration
	// Who is told to whoever finds the lock taken, such as "user@machine".
	Who string

	mu     sync.Mutex
	open   Hosts
	last   Site
	events sync.Mutex
}

// EventKind tells events apart.
type EventKind string

// The kinds of events. A note says what a step is waiting for or doing.
const (
	EventStarted EventKind = "started"
	EventDone    EventKind = "done"
	EventFailed  EventKind = "failed"
	EventNote    EventKind = "note"
)

// Event is progress: a host (or "" for the site), what is being done there, and how it went.
type Event struct {
	Kind EventKind     `json:"kind"`
	Host string        `json:"host,omitempty"`
	Step string        `json:"step"`
	Took time.Duration `json:"took,omitempty"`
	Err  error         `json:"-"`
}

// Emit hands an event to Events; it may be called from any goroutine.
func (e *Engine) Emit(ev Event) {
	if e.Log != nil {
		e.Log.Info(string(ev.Kind), "host", ev.Host, "step", ev.Step, "took", ev.Took, "err", ev.Err)
	}
	if e.Events == nil {
		return
	}
	e.events.Lock()
	defer e.events.Unlock()
	e.Events(ev)
}

// timed runs one piece of work and reports its start and its end.
func (e *Engine) timed(host, step string, work func() error) error {
	e.Emit(Event{Kind: EventStarted, Host: host, Step: step})
	start := time.Now()
	err := work()
	ev := Event{Kind: EventDone, Host: host, Step: step, Took: time.Since(start), Err: err}
	if err != nil {
		ev.Kind = EventFailed
	}
	e.Emit(ev)
	return err
}

// Close closes every open host, which gives their locks back. They are closed together,
// because each takes a few round trips.
func (e *Engine) Close() error {
	e.mu.Lock()
	open := e.open
	e.open = nil
	e.mu.Unlock()
	var report Report
	var mu sync.Mutex
	e.each(open.Names(), func(name string) {
		if err := open[name].Close(); err != nil {
			mu.Lock()
			defer mu.Unlock()
			report.HostError(name, "", err)
		}
	})
	sortFindings(&report)
	return report.Err()
}

// Hosts opens every host of the spec that is not open yet, all at once. Those that cannot
// be reached are missing from the result and in the report, as errors that wrap
// ErrUnreachable.
func (e *Engine) Hosts(ctx context.Context, s *Spec) (Hosts, Report) {
	var report Report
	var mu sync.Mutex
	hosts := Hosts{}
	e.each(s.HostNames(), func(name string) {
		h, err := e.host(ctx, s, name)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			report.HostError(name, "connect", err)
			return
		}
		hosts[name] = h
	})
	sortFindings(&report)
	return hosts, report
}

func (e *Engine) host(ctx context.Context, s *Spec, name string) (Host, error) {
	e.mu.Lock()
	h, ok := e.open[name]
	e.mu.Unlock()
	if ok {
		return h, nil
	}
	err := e.timed(name, "connect", func() (err error) {
		h, err = e.Open(ctx, s, name)
		return err
	})
	if err != nil {
		return nil, away(name, "connect", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		e.open = Hosts{}
	}
	e.open[name] = h
	return h, nil
}

// drop closes a host whose connection broke, or which was only to be seen, so that the next
// call opens it anew.
func (e *Engine) drop(name string) {
	e.mu.Lock()
	h, ok := e.open[name]
	delete(e.open, name)
	e.mu.Unlock()
	if ok {
		_ = h.Close() // what matters was reported by the call before
	}
}

// each runs work for every name, at most Limit at once, and waits for all.
func (e *Engine) each(names []string, work func(name string)) {
	limit := e.Limit
	if limit <= 0 {
		limit = 32
	}
	var g errgroup.Group
	g.SetLimit(limit)
	for _, n := range names {
		g.Go(func() error { work(n); return nil })
	}
	_ = g.Wait() // work reports its own errors
}

// Validate checks a spec as far as that goes without looking at a host.
func (e *Engine) Validate(s *Spec) Report {
	r := s.Validate()
	for _, role := range e.Roles {
		r.Merge(s.Locate(role.Validate(s)))
	}
	return r
}

// Plan looks at the site and says what has to be done. The Plan is nil when the report
// failed: an invalid spec, a host that cannot be reached, hardware that facts alone prove
// unfit, or a way that is not safe.
func (e *Engine) Plan(ctx context.Context, s *Spec, in Intent) (*Plan, Report) {
	report := e.Validate(s)
	if report.Failed() {
		return nil, report
	}
	var boot time.Duration
	if in.Verb == VerbConverge || in.Verb == VerbReplace {
		boot = cmp.Or(e.Patience, 10*time.Minute)
	}
	now, _ := e.lookAll(ctx, s, boot)
	plan, r := e.PlanFrom(s, now, in)
	report.Merge(r)
	return plan, report
}

// PlanFrom is Plan for a Site that has been seen already. It is pure.
func (e *Engine) PlanFrom(s *Spec, now Site, in Intent) (*Plan, Report) {
	var report Report
	for _, name := range s.HostNames() {
		seen, ok := now.Hosts[name]
		if !ok {
			seen.Err = fmt.Errorf("%w: it was not looked at", ErrUnreachable)
		}
		if seen.Err != nil {
			report.HostError(name, "look", seen.Err)
		}
	}
	if in.Verb == VerbDestroy && in.Reachable {
		for i := range report.Findings { // the plan goes on without them, and says so
			report.Findings[i].Severity = SeverityWarning
		}
	}
	if report.Failed() {
		return nil, report
	}
	all, r := e.wanted(s, now, in)
	report.Merge(r)
	plan := &Plan{Format: PlanFormat, Spec: s, Intent: in, Seen: Fingerprint{}}
	if r.Failed() {
		return nil, report
	}
	for _, name := range now.Reachable() {
		plan.Seen[name] = now.Hosts[name].State.Fingerprint()
	}
	var err error
	if plan.Waves, err = builder(in.Verb)(s, all, now, in); err != nil {
		report.HostError("", "plan", err)
		return nil, report
	}
	report.Merge(e.gate(plan, all, now))
	if report.Failed() {
		return nil, report
	}
	return plan, report
}

// wanted is what the roles want under the intent: nothing at all when everything goes.
func (e *Engine) wanted(s *Spec, now Site, in Intent) ([]compiled, Report) {
	if in.Verb != VerbDestroy {
		return compile(e.Roles, s, now)
	}
	var all []compiled
	for _, role := range e.Roles {
		all = append(all, compiled{role, map[string]Desired{}})
	}
	return all, Report{}
}

// sortFindings orders findings by host, so that reports do not depend on who answered first.
func sortFindings(r *Report) {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		if a.Host != b.Host {
			if a.Host < b.Host {
				return -1
			}
			return 1
		}
		return 0
	})
}
