package watcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DrainReport says how a drain ended.
type DrainReport struct {
	Name  string        `json:"name"`
	Ended string        `json:"ended"` // one of the Drained and Drain constants; of "all" the worst
	Took  time.Duration `json:"took"`  // nanoseconds
	// Consumers are those that were waited for, and what they said last.
	Consumers []Consumer `json:"consumers,omitempty"`
	// Board is why the board could not be read the last time, if so.
	Board string        `json:"board,omitempty"`
	Parts []DrainReport `json:"parts,omitempty"` // of "all": one each, by name
}

// drain is one drain of one registration, from its mark to the withdrawal.
type drain struct {
	reason string
	over   bool // nothing is waited for any more; guarded by the registration
	report DrainReport
	err    error         // of the withdrawal
	done   chan struct{} // closed when report and err are final
}

// Drain takes a registration, or "all" of them, out of rotation and waits to the end: the
// instance is marked draining, stays until its consumers have no connections to it (or the
// grace time or the timeout is over), and is withdrawn. It stays away until Undrain, also
// over restarts of zkwatch. When ctx ends only the waiting ends. An error of the
// withdrawal comes with the report.
func (r *Registrations) Drain(ctx context.Context, name string) (DrainReport, error) {
	r.scan.Lock()
	gs, err := r.named(name)
	if err != nil {
		r.scan.Unlock()
		return DrainReport{}, err
	}
	m := mark{Reason: "by an operator's word"}
	if err := r.store(name, false, m); err != nil {
		r.Log.Warn("the drain will be forgotten when zkwatch restarts: it could not be written to the spool", "registration", name, "error", err)
	}
	drains := make([]*drain, len(gs))
	for i, g := range gs {
		drains[i] = g.setMark(m, true)
	}
	r.scan.Unlock()
	parts := make([]DrainReport, len(gs))
	var errs []error
	for i, g := range gs {
		parts[i], err = g.drained(ctx, drains[i])
		errs = append(errs, err)
	}
	if name != spoolAll {
		return parts[0], errs[0]
	}
	return together(parts), errors.Join(errs...)
}

// Undrain takes the mark of a registration, or that of "all", away. It is announced again
// as soon as it is healthy; one whose drain is not over yet just stays.
func (r *Registrations) Undrain(ctx context.Context, name string) error {
	r.scan.Lock()
	if _, err := r.named(name); err != nil {
		r.scan.Unlock()
		return err
	}
	err := r.unstore(name, false)
	r.scan.Unlock()
	if err != nil {
		return fmt.Errorf("register[%q]: taking its mark out of the spool: %w", name, err)
	}
	r.rescan()
	if name != spoolAll {
		r.scan.Lock()
		found, err := r.spool().read(time.Now())
		r.scan.Unlock()
		if _, all := found.drain[spoolAll]; err == nil && all {
			return fmt.Errorf("register[%q]: the mark %q drains it as well; undrain %q", name, spoolAll, spoolAll)
		}
	}
	return ctx.Err()
}

// named returns the registrations that a name of the spool means.
func (r *Registrations) named(name string) ([]*registration, error) {
	if name == spoolAll {
		if gs := r.all(); len(gs) > 0 {
			return gs, nil
		}
	}
	g, err := r.find(name)
	return []*registration{g}, err
}

// together is the report of several drains.
func together(parts []DrainReport) DrainReport {
	worst := []string{"", DrainNotAnnounced, DrainedByConsumers, DrainedByGrace, DrainUndone, DrainInterrupted, DrainedByTimeout}
	rank := func(s string) (n int) {
		for i, w := range worst {
			if w == s {
				n = i
			}
		}
		return n
	}
	all := DrainReport{Name: spoolAll, Ended: DrainNotAnnounced, Parts: parts}
	for _, p := range parts {
		all.Took = max(all.Took, p.Took)
		if rank(p.Ended) > rank(all.Ended) {
			all.Ended = p.Ended
		}
	}
	return all
}

// drainForTerm drains everything because zkwatch ends. It leaves no marks: the next start
// announces again.
func (r *Registrations) drainForTerm(ctx context.Context) {
	r.scan.Lock()
	r.term = true
	gs := r.all()
	drains := make([]*drain, len(gs))
	for i, g := range gs {
		drains[i] = g.setMark(mark{Reason: "zkwatch ends"}, true)
	}
	r.scan.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.settings().Timeout)+2*registryTimeout)
	defer cancel()
	for i, g := range gs {
		if _, err := g.drained(ctx, drains[i]); err != nil {
			g.log.Warn("not withdrawn before the end; it goes with the session", "error", err)
		}
	}
}

// setMark starts or undoes the drain of a registration. The caller holds the scan lock.
func (g *registration) setMark(m mark, marked bool) *drain {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case marked && g.drain == nil:
		g.drain = &drain{reason: m.Reason, done: make(chan struct{})}
		g.poke()
	case !marked && g.drain != nil:
		g.drain = nil
		g.poke()
	}
	return g.drain
}

// drained waits for the end of a drain.
func (g *registration) drained(ctx context.Context, d *drain) (DrainReport, error) {
	select {
	case <-d.done:
		return d.report, d.err
	case <-g.stopped:
	case <-ctx.Done():
		return DrainReport{Name: g.announcement.Name}, fmt.Errorf("register[%q]: waiting for its drain, which goes on: %w", g.announcement.Name, ctx.Err())
	}
	select { // both may be
	case <-d.done:
		return d.report, d.err
	default:
		return DrainReport{Name: g.announcement.Name, Ended: DrainInterrupted}, nil
	}
}

// drains sees drains of a registration to their end, one after the other.
func (g *registration) drains(ctx context.Context) {
	for ctx.Err() == nil {
		g.mu.Lock()
		d, changed := g.drain, g.changed
		over := d == nil || d.over
		g.mu.Unlock()
		if !over {
			g.see(ctx, d)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// see waits for the end of one drain and has the instance withdrawn.
func (g *registration) see(ctx context.Context, d *drain) {
	began, s := time.Now(), g.r.settings()
	rule := &drainRule{service: g.announcement.Service, grace: time.Duration(s.Grace)}
	limit, cancel := context.WithTimeout(ctx, time.Duration(s.Timeout))
	ended, board := g.follow(limit, d, rule)
	cancel()
	if ended == DrainedByTimeout && ctx.Err() != nil {
		ended = DrainInterrupted
	}
	report := DrainReport{Name: g.announcement.Name, Ended: ended, Consumers: rule.seen(), Board: board}
	g.mu.Lock()
	d.over, d.report = ended != DrainInterrupted, report
	g.poke()
	g.mu.Unlock()
	if ended != DrainUndone && ended != DrainInterrupted {
		ctx, cancel := context.WithTimeout(ctx, registryTimeout)
		d.err = g.until(ctx, "its removal from the registry after the drain", func() bool { return g.drain != d || g.have == absent && !g.dirty })
		cancel()
	}
	report.Took = time.Since(began)
	g.mu.Lock()
	d.report = report
	g.mu.Unlock()
	close(d.done)
	g.log.Info("drain over", "ended", ended, "took", report.Took)
	g.r.journal(Entry{At: time.Now(), Service: g.announcement.Service, Event: "drain of " + g.announcement.Name + ": " + d.reason,
		Rule: "over by " + ended + rule.text(), Took: report.Took})
}

// follow waits until the instance is marked in the registry and then for the rule. It
// returns why the drain is over, and the last trouble with the board.
func (g *registration) follow(ctx context.Context, d *drain, rule *drainRule) (ended, trouble string) {
	var last time.Time
	for {
		ended, marked, changed := g.drainable(d, rule)
		if ended != "" {
			return ended, trouble
		}
		var again <-chan time.Time
		if marked {
			notices, read, err := g.notices(ctx)
			switch {
			case err != nil:
				trouble, rule.calm = err.Error(), 0
			case read != last:
				trouble = ""
				if ended := rule.see(time.Now(), notices); ended != "" {
					return ended, ""
				}
			}
			last, again = read, time.After(boardEvery)
		}
		select {
		case <-again:
		case <-changed:
		case <-ctx.Done():
			return DrainedByTimeout, trouble
		}
	}
}

// drainable tells whether the drain goes on, and whether the registry has the mark.
func (g *registration) drainable(d *drain, rule *drainRule) (ended string, marked bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.drain != d:
		return DrainUndone, false, nil
	case g.wanted() != draining:
		return DrainNotAnnounced, false, nil
	}
	if marked = g.have == draining && !g.dirty; marked {
		rule.at = g.at
		if rule.since.IsZero() {
			rule.since = time.Now()
		}
	}
	return "", marked, g.changed
}

func (g *registration) notices(ctx context.Context) ([]Notice, time.Time, error) {
	b := g.r.reader(g.announcement.At.Registry)
	if b == nil {
		return nil, time.Now(), nil // nobody can report; grace is all there is
	}
	return b.read(ctx)
}

// text says for people who was waited for at the end.
func (d *drainRule) text() string {
	var waiting []string
	for _, c := range d.seen() {
		switch {
		case c.Done:
		case c.Gone:
			waiting = append(waiting, c.Host+" is gone")
		case !c.Applied:
			waiting = append(waiting, c.Host+" has not applied it")
		case c.Connections < 0:
			waiting = append(waiting, c.Host+" has not counted")
		default:
			waiting = append(waiting, fmt.Sprintf("%s has %d connections", c.Host, c.Connections))
		}
	}
	if len(waiting) == 0 {
		return fmt.Sprintf(", %d consumers", len(d.consumers))
	}
	return "; " + strings.Join(waiting, ", ")
}
