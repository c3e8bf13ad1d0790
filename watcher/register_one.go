package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// want is what the registry shall have of a registration.
type want int

const (
	leave    want = iota // as it is: nothing is known yet
	absent               // nothing
	present              // the instance
	draining             // the instance, marked draining
)

const (
	registryTimeout = 5 * time.Second // of one call; it is tried again
	registryPause   = 100 * time.Millisecond
	registryPauses  = 5 * time.Second // the longest pause between two tries
)

// registration is one service of this host. Three loops share it: checks come to a verdict,
// announce makes the registry have what is wanted, drains sees a drain to its end. The
// checks never wait for the registry, and the registry never waits for a check.
type registration struct {
	spec
	r       *Registrations
	log     *slog.Logger
	recheck chan struct{} // check now
	cancel  context.CancelFunc
	stopped chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and made anew whenever what follows changes
	health  health
	since   time.Time // of the verdict up or not up
	held    bool
	drain   *drain
	have    want // what the registry confirmed last
	dirty   bool // a call since then has an unknown outcome
	at      Announced
	calling want // what the call under way is for
	abort   context.CancelFunc
	trouble string // of the registry
	stats   checkStats
}

func (r *Registrations) newRegistration(s spec) *registration {
	return &registration{spec: s, r: r, log: r.Log.With("registration", s.announcement.Name), recheck: make(chan struct{}, 1),
		stopped: make(chan struct{}), changed: make(chan struct{}), since: time.Now(),
		health: health{rise: max(1, s.conf.Rise), fall: max(1, s.conf.Fall)}}
}

func (g *registration) start(ctx context.Context) {
	ctx, g.cancel = context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { g.checks(ctx) })
	loops.Go(func() { g.announce(ctx) })
	loops.Go(func() { g.drains(ctx) })
	go func() {
		loops.Wait()
		close(g.stopped)
	}()
}

// retire ends a registration that a new configuration has no place for. next takes over
// what is announced, if it is at the same place; nil or another place means that it goes.
func (g *registration) retire(ctx context.Context, next *registration) error {
	g.cancel()
	<-g.stopped
	if next != nil && g.handOver(next) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	if err := g.registrar.Withdraw(ctx, g.announcement.Name); err != nil {
		return fmt.Errorf("register[%q]: withdrawing %s, which the new configuration does not have: %w", g.announcement.Name, g.announcement.Instance.Addr(), err)
	}
	return nil
}

// handOver gives next what still holds for it, and tells whether that includes the place.
func (g *registration) handOver(next *registration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	next.mu.Lock()
	defer next.mu.Unlock()
	if g.sameCheck(next.spec) {
		next.health, next.since = g.health, g.since
	}
	if !g.samePlace(next.spec) {
		return false
	}
	next.have, next.at, next.dirty = g.have, g.at, true
	return true
}

// wanted is the one rule of what the registry shall have. The caller holds mu.
func (g *registration) wanted() want {
	switch {
	case g.held, g.drain != nil && g.drain.over:
		return absent
	case g.health.verdict == down:
		return absent
	case g.health.verdict == up && g.drain == nil:
		return present
	case g.health.verdict == up, g.drain != nil && g.have >= present:
		return draining
	case g.drain != nil:
		return absent
	}
	return leave
}

// poke tells the loops that something changed, and ends a call that is for something else
// than what is wanted now. The caller holds mu.
func (g *registration) poke() {
	if w := g.wanted(); g.abort != nil && w != g.calling && w != leave {
		g.abort()
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// until waits for a condition, which is asked with mu held.
func (g *registration) until(ctx context.Context, what string, ok func() bool) error {
	for {
		g.mu.Lock()
		done, changed := ok(), g.changed
		g.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
			continue
		case <-g.stopped:
			return fmt.Errorf("register[%q]: waiting for %s: zkwatch ends or the registration was given up", g.announcement.Name, what)
		case <-ctx.Done():
		}
		g.mu.Lock()
		trouble := g.trouble
		g.mu.Unlock()
		if trouble != "" {
			trouble = "; the registry: " + trouble
		}
		return fmt.Errorf("register[%q]: waiting for %s, which is still being tried: %w%s", g.announcement.Name, what, ctx.Err(), trouble)
	}
}

// announce makes the registry have what is wanted, for as long as ctx lives. When ctx ends
// it leaves everything as it is: the session decides, and the next process may be quicker.
func (g *registration) announce(ctx context.Context) {
	failed := 0
	for ctx.Err() == nil {
		g.mu.Lock()
		w, changed := g.wanted(), g.changed
		if w == leave || w == g.have && !g.dirty {
			g.mu.Unlock()
			failed = 0
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		call, cancel := context.WithTimeout(ctx, registryTimeout)
		g.calling, g.abort = w, cancel
		g.mu.Unlock()
		began := time.Now()
		at, err := g.call(call, w)
		cancel()
		if ctx.Err() != nil {
			return
		}
		switch g.called(w, at, err) {
		case callDone:
			g.record(w, time.Since(began), nil)
			failed = 0
		case callAborted:
			failed = 0
		case callFailed:
			if failed++; failed == 1 {
				g.record(w, time.Since(began), err)
			}
			g.pause(ctx, w, failed)
		}
	}
}

func (g *registration) call(ctx context.Context, w want) (Announced, error) {
	if w == absent {
		return Announced{}, g.registrar.Withdraw(ctx, g.announcement.Name)
	}
	a := g.announcement
	a.Instance.Draining = w == draining
	return g.registrar.Announce(ctx, a)
}

type callEnd int

const (
	callDone callEnd = iota
	callFailed
	callAborted // because something else is wanted
)

// called notes what came of a call.
func (g *registration) called(w want, at Announced, err error) callEnd {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.abort = nil
	if err == nil {
		g.have, g.dirty, g.at, g.trouble = w, false, at, ""
		g.poke()
		return callDone
	}
	g.dirty = true
	if errors.Is(err, context.Canceled) && g.wanted() != w {
		return callAborted
	}
	g.trouble = err.Error()
	return callFailed
}

// pause waits between two tries, growing and jittered so that a registry which comes back
// does not meet all hosts at once. It ends early when something else is wanted.
func (g *registration) pause(ctx context.Context, tried want, failed int) {
	longest := min(registryPauses, registryPause<<min(failed-1, 10))
	timer := time.NewTimer(longest/2 + rand.N(longest/2))
	defer timer.Stop()
	for {
		g.mu.Lock()
		w, changed := g.wanted(), g.changed
		g.mu.Unlock()
		if w != tried {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// record tells the journal and the log what was done in the registry.
func (g *registration) record(w want, took time.Duration, err error) {
	kind := map[want]string{absent: "withdraw", present: "announce", draining: "drain"}[w]
	e := Entry{At: time.Now(), Service: g.announcement.Service, Event: g.status().Why, Rule: "registration " + g.announcement.Name, Took: took,
		Actions: []Action{{Kind: kind, Text: g.announcement.Instance.Addr()}}}
	if err != nil {
		e.Error = err.Error()
		g.log.Warn("the registry did not do it; it is tried again", "action", kind, "error", err)
	} else {
		g.log.Info("registry", "action", kind, "addr", g.announcement.Instance.Addr(), "why", e.Event)
	}
	g.r.journal(e)
}

func (r *Registrations) journal(e Entry) {
	if r.Journal != nil {
		r.Journal.Add(e)
	}
}

// setHeld stops or starts a registration on purpose. The caller holds the scan lock.
func (g *registration) setHeld(held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == held {
		return
	}
	if g.held = held; held {
		g.health.stop(time.Now())
		g.since = time.Now()
	}
	g.poke()
}

// eager makes the next pass enough, and asks for it now.
func (g *registration) eager() {
	g.mu.Lock()
	g.health.started()
	g.mu.Unlock()
	select {
	case g.recheck <- struct{}{}:
	default: // one is due already
	}
}

// status is what people are shown.
func (g *registration) status() RegistrationStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := RegistrationStatus{Name: g.announcement.Name, Service: g.announcement.Service, Addr: g.announcement.Instance.Addr(),
		Healthy: g.health.verdict == up, Announced: g.have >= present, Draining: g.drain != nil, Held: g.held, Since: g.since,
		LastCheck: g.stats.last, Checks: g.stats.checks, Fails: g.stats.fails, Ignored: g.stats.ignored, Flips: g.stats.flips}
	switch {
	case g.held:
		s.Why = "stopped on purpose, until it is registered again"
	case g.drain != nil && g.drain.over:
		s.Why = "drained (" + g.drain.report.Ended + "): " + g.drain.reason
	case g.drain != nil:
		s.Why = "draining: " + g.drain.reason
	default:
		s.Why = g.healthText(time.Now())
	}
	if g.trouble != "" {
		s.Why += "; the registry: " + g.trouble
	}
	return s
}
