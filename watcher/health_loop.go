package watcher

import (
	"context"
	"fmt"
	"time"
)

// checkStats is counted for people.
type checkStats struct {
	last                          string
	checks, fails, ignored, flips int64
	doubt                         string // why the last failure was ignored
}

// checkSlack is how much longer than its timeout a check may take to return. One that takes
// longer cannot be ended: a program that waits for a dead disk cannot even be killed.
const checkSlack = time.Second

// checks runs the check again and again, from start to start in the interval, one at a time.
func (g *registration) checks(ctx context.Context) {
	var running chan error // of a check that did not return in time
	last := g.r.lag.total(time.Now())
	for {
		began := time.Now()
		before := g.r.lag.total(began)
		var err error
		running, err = g.once(ctx, running)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		g.judge(now, round{err: err, late: before - last, lost: g.r.lag.total(now) - before, interval: g.interval(), timeout: g.timeout()})
		last = before
		timer := time.NewTimer(began.Add(jitter(g.interval())).Sub(now)) // at once where it took longer than that
		select {
		case <-timer.C:
		case <-g.recheck:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// once runs the check, or waits for the last one as long as a check may take. It returns
// the channel of one that is still running.
func (g *registration) once(ctx context.Context, running chan error) (chan error, error) {
	stuck := running != nil
	call, cancel := context.WithTimeout(ctx, g.timeout())
	if !stuck {
		running = make(chan error, 1)
		go func(out chan<- error) {
			defer cancel()
			out <- g.check(call)
		}(running)
	} else {
		defer cancel()
	}
	limit := time.NewTimer(g.timeout() + checkSlack)
	defer limit.Stop()
	var err error
	select {
	case err = <-running:
	case <-ctx.Done():
		return running, ctx.Err()
	case <-limit.C:
		select { // after a pause of this process both are due
		case err = <-running:
		default:
			return running, fmt.Errorf("the check does not return and cannot be ended: %w", errTimeout)
		}
	}
	if stuck { // an old answer says nothing of now
		return nil, fmt.Errorf("the check before returned only now: %w", errTimeout)
	}
	return nil, err
}

// judge takes the result of one check.
func (g *registration) judge(now time.Time, r round) {
	g.mu.Lock()
	defer g.mu.Unlock()
	st := &g.stats
	st.checks++
	st.last = "ok"
	if r.err != nil {
		st.fails++
		st.last = r.err.Error()
	}
	doubt := r.doubt()
	if doubt != "" {
		st.ignored++
		if st.doubt == "" {
			g.log.Warn("a failed check is ignored", "error", r.err, "why", doubt)
			g.r.journal(Entry{At: now, Service: g.announcement.Service, Event: "check of " + g.announcement.Name + " failed: " + st.last,
				Rule: "ignored: " + doubt})
		}
	}
	st.doubt = doubt
	if doubt != "" || g.held {
		return
	}
	if g.health.result(now, r.err == nil) {
		st.flips++
		g.since = now
		g.log.Info("verdict", "healthy", g.health.verdict == up, "why", g.healthText(now))
		g.poke()
	}
}

// healthText says what the checks have come to. The caller holds mu.
func (g *registration) healthText(now time.Time) string {
	h, last := &g.health, g.stats.last
	if g.stats.doubt != "" {
		return fmt.Sprintf("the last check is ignored, since %s; it saw: %s", g.stats.doubt, last)
	}
	if wait := h.wait(now); wait > 0 {
		return fmt.Sprintf("passes again, but it goes up and down too often: up in %v at the earliest", wait.Round(100*time.Millisecond))
	}
	switch {
	case h.run < 0:
		return fmt.Sprintf("%s (%d in a row, down after %d)", last, -h.run, h.fall)
	case h.run > 0 && h.verdict != up:
		return fmt.Sprintf("passes (%d in a row, up after %d)", h.run, h.rise)
	case h.run > 0:
		return fmt.Sprintf("passes, %d in a row", h.run)
	}
	return "not checked yet"
}
