package bootstrap

import (
	"context"
	"errors"
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
	// Patience bounds the wait for the first boot of a host (cloud-init) to end before it
	// is planned for; 0 means that a host that is still booting is an error.
	Patience time.Duration
	// Who is told to whoever finds the lock taken, such as "user@machine".
	Who string

	mu     sync.Mutex
	open   Hosts
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

// Close closes every open host, which gives their locks back.
func (e *Engine) Close() error {
	e.mu.Lock()
	open := e.open
	e.open = nil
	e.mu.Unlock()
	var errs []error
	for _, name := range open.Names() {
		if err := open[name].Close(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
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

// drop forgets a host whose connection broke, so that the next call opens it anew.
func (e *Engine) drop(name string) {
	e.mu.Lock()
	h, ok := e.open[name]
	delete(e.open, name)
	e.mu.Unlock()
	if ok {
		_ = h.Close() // it is broken already; what matters was reported by the call that broke
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

// Look sees every host of the spec, one round trip each. A host that does not answer is in
// the Site with its error.
func (e *Engine) Look(ctx context.Context, s *Spec) (Site, Hosts) {
	hosts, report := e.Hosts(ctx, s)
	site := Site{Hosts: map[string]Seen{}}
	for _, f := range report.Findings {
		site.Hosts[f.Host] = Seen{Err: f}
	}
	var mu sync.Mutex
	e.each(hosts.Names(), func(name string) {
		seen := e.look(ctx, s, name, hosts[name])
		mu.Lock()
		defer mu.Unlock()
		site.Hosts[name] = seen
	})
	for name, seen := range site.Hosts {
		if seen.Err != nil {
			delete(hosts, name)
		}
	}
	return site, hosts
}

func (e *Engine) look(ctx context.Context, s *Spec, name string, h Host) Seen {
	ids := []ID{}
	for _, role := range e.Roles {
		ids = append(ids, role.Queries(s, name)...)
		ids = append(ids, verdictFile(OwnerOf(s.Name, role.Name())))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var seen Seen
	seen.Err = e.timed(name, "look", func() (err error) {
		seen.Facts, seen.State, err = h.Look(ctx, ids...)
		if err == nil && seen.Facts.CloudInit == cloudInitRunning {
			seen.Facts, seen.State, err = e.waitBoot(ctx, name, h, ids)
		}
		return err
	})
	if seen.Err != nil {
		e.drop(name)
		seen.Err = away(name, "look", seen.Err)
	}
	return seen
}

// away is a finding about a host that could not be asked: it always wraps ErrUnreachable,
// and says what its cause says.
func away(host, step string, err error) error {
	f := Finding{Severity: SeverityError, Host: host, Step: step, Text: err.Error()}
	var said Finding
	if errors.As(err, &said) {
		f = said
	}
	f.Err = err
	if !errors.Is(err, ErrUnreachable) {
		f.Err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return f
}

// cloudInitRunning is what verify.Facts.CloudInit says while the first boot goes on.
const cloudInitRunning = "running"

// waitBoot looks again until cloud-init is done: until then it installs packages, makes
// users and may even reboot.
func (e *Engine) waitBoot(ctx context.Context, name string, h Host, ids []ID) (Facts, State, error) {
	limit, cancel := context.WithTimeout(ctx, e.Patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	start := time.Now()
	for {
		e.Emit(Event{Kind: EventNote, Host: name, Step: "waiting for cloud-init to end", Took: time.Since(start)})
		select {
		case <-tick.C:
		case <-limit.Done():
			if err := ctx.Err(); err != nil {
				return Facts{}, State{}, err
			}
			return Facts{}, State{}, fmt.Errorf("cloud-init is still running after %s: wait for `cloud-init status --wait` on the host, then run again", e.Patience)
		}
		facts, state, err := h.Look(ctx, ids...)
		if err != nil || facts.CloudInit != cloudInitRunning {
			return facts, state, err
		}
	}
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
	now, _ := e.Look(ctx, s)
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
	if report.Failed() && !(in.Verb == VerbDestroy && in.Reachable) {
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
	if plan.Waves, err = buildWaves(s, all, now, in); err != nil {
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
