package watcher

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	sinkTimeout  = time.Minute      // of one call: a reload of a great configuration takes seconds
	sinkPause    = 5 * time.Second  // at most, before a call that failed is tried again
	storeDelay   = time.Second      // between a change and its being stored, so that a burst is one write
	storePause   = 10 * time.Second // before a write that failed is tried again
	boardTimeout = 30 * time.Second

	// While time decides something the loop turns once in a beat. Turns that are starved
	// apart mean that this process did not run, as on a host that is paused or moved. That
	// time proves nothing: what the registry said before it may long be otherwise.
	beat    = time.Second
	starved = 5 * time.Second
)

// loop is the one goroutine that changes services. What may take time (sink, disk, board) runs
// beside it, at most one call to each, and comes back through the inbox.
type loop struct {
	d        *Discovery
	waiting  map[string]*service // those with something to do, now or later
	owed     map[string]*service // sent, and not all of it served yet
	inflight int                 // calls beside the loop
	sinkBusy bool
	auditAt  time.Time
	turned   time.Time // the last turn

	storeAt   time.Time // zero: nothing to write
	storeBusy bool

	board noticeboard

	// What failed the last time is told once, when it begins: a broken proxy or a full disk
	// may stay so for long, and the journal is short.
	applyFails, auditFails, storeFails bool
}

func newLoop(d *Discovery) *loop {
	return &loop{d: d, turned: time.Now(), waiting: map[string]*service{}, owed: map[string]*service{},
		board: noticeboard{every: time.Duration(d.Config.Board.Every), draining: map[string]*service{}}}
}

func (l *loop) run(ctx context.Context) {
	l.begin(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		if next, ok := l.turn(ctx, now); ok {
			timer.Reset(next.Sub(now))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			l.end()
			return
		case <-l.d.inbox.wake:
		case <-timer.C:
		}
	}
}

// begin has what came from disk served. The audit of the sink begins somewhere in its
// interval, so that hosts that were started together do not audit together.
func (l *loop) begin(now time.Time) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	for _, s := range l.d.services {
		l.touch(s, now)
	}
	l.auditAt = now.Add(l.auditPause())
}

func (l *loop) auditPause() time.Duration {
	every := time.Duration(l.d.Config.Audit)
	return every/2 + rand.N(every+1)
}

// end waits for what runs beside the loop, and stores what is not stored yet.
func (l *loop) end() {
	for {
		l.d.mu.Lock()
		_, calls := l.d.inbox.take()
		for _, call := range calls {
			call(l, time.Now())
		}
		done := l.inflight == 0
		l.d.mu.Unlock()
		if done {
			break
		}
		<-l.d.inbox.wake
	}
	if l.d.Store != nil {
		l.stored(l.d.Store.close(), time.Now())
	}
}

// touch has a service looked at in this turn.
func (l *loop) touch(s *service, now time.Time) {
	l.waiting[s.name] = s
	l.board.changed(now)
}

// turn does all that is due and tells when there will be more.
func (l *loop) turn(ctx context.Context, now time.Time) (time.Time, bool) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if gap := now.Sub(l.turned); gap >= starved {
		for _, s := range l.waiting {
			s.skip(gap)
		}
	}
	l.turned = now
	letters, calls := l.d.inbox.take()
	for _, call := range calls {
		call(l, now)
	}
	for _, name := range slices.Sorted(maps.Keys(letters)) {
		s := l.d.services[name]
		l.waiting[name] = s
		l.noting(s, now, func() { s.receive(letters[name], now) })
	}
	var due []*service
	for _, name := range slices.Sorted(maps.Keys(l.waiting)) {
		s := l.waiting[name]
		l.noting(s, now, func() {
			s.advance(now)
			l.keep(s, now)
		})
		if s.stale() && !s.out.flying && !now.Before(s.out.retry) {
			due = append(due, s)
		}
	}
	switch {
	case l.sinkBusy:
	case len(due) > 0:
		l.apply(ctx, due, now)
	case !now.Before(l.auditAt):
		l.audit(ctx, now)
	case l.d.Board != nil && l.board.wantsCount(now):
		l.count(ctx, now)
	}
	l.write(now)
	l.post(ctx, now)
	return l.next(now)
}

// noting tells the board when something that others are told has changed.
func (l *loop) noting(s *service, now time.Time, change func()) {
	was := s.notice()
	if change(); s.notice() != was {
		l.board.changed(now)
	}
}

// keep stores what is served of a service, when that is believed.
func (l *loop) keep(s *service, now time.Time) {
	s.served()
	if l.d.Store == nil || s.guard.served == nil {
		return
	}
	one := stored{Service: s.conf, Revision: s.believed, Read: s.read, Instances: s.guard.served}
	if l.d.Store.put(s.name, one) && l.storeAt.IsZero() {
		l.storeAt = now.Add(storeDelay)
	}
}

// next tells when turn has something to do, and forgets the services that wait for nothing.
func (l *loop) next(now time.Time) (at time.Time, ok bool) {
	sooner := func(t time.Time, has bool) {
		if has && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	for name, s := range l.waiting {
		t, more := s.next(now)
		sooner(t, more)
		sooner(now.Add(beat), s.watchful())
		stale := s.stale()
		sooner(s.out.retry, stale && !l.sinkBusy) // a busy sink wakes the loop when it is done
		if !more && !stale {
			delete(l.waiting, name)
		}
	}
	sooner(l.auditAt, !l.sinkBusy)
	sooner(l.storeAt, !l.storeAt.IsZero() && !l.storeBusy)
	if l.d.Board != nil {
		t, more := l.board.next(l.sinkBusy)
		sooner(t, more)
	}
	return at, ok
}

// beside runs work beside the loop, and what it returns in the loop.
func (l *loop) beside(work func() func(now time.Time)) {
	l.inflight++
	go func() {
		finish := work()
		l.d.inbox.call(func(l *loop, now time.Time) {
			l.inflight--
			finish(now)
		})
	}()
}

func (l *loop) apply(ctx context.Context, due []*service, began time.Time) {
	sets := make([]Set, len(due))
	for n, s := range due {
		sets[n] = s.send()
	}
	l.sinkBusy = true
	l.beside(func() func(time.Time) {
		ctx, cancel := context.WithTimeout(ctx, sinkTimeout)
		defer cancel()
		out, err := l.d.Sink.Apply(ctx, sets)
		return func(now time.Time) { l.applied(due, out, err, began, now) }
	})
}

// applied takes what came of a batch into account.
func (l *loop) applied(batch []*service, out Outcome, err error, began, now time.Time) {
	l.sinkBusy = false
	text := ""
	if err != nil {
		text = err.Error()
		if !l.applyFails {
			l.d.Log.Error("the sink refused a batch; it is tried again", "services", len(batch), "error", err)
		}
	}
	l.applyFails = err != nil
	for _, s := range batch {
		s.sentOut(out.Pending, err, now)
		l.touch(s, now)
		l.board.applied(s)
		if err == nil && out.Pending {
			l.owed[s.name] = s
		} else {
			delete(l.owed, s.name)
		}
		if s.out.failures < 2 {
			l.d.Journal.Add(Entry{At: now, Service: s.name, Event: s.out.event, Rule: s.out.rule, Took: now.Sub(began), Error: text,
				Actions: ofService(out, s.name, len(batch) == 1)})
		}
	}
	if rest := ofService(out, "", false); len(rest) > 0 && len(batch) > 1 {
		l.d.Journal.Add(Entry{At: now, Event: "batch", Rule: "several services in one", Took: now.Sub(began), Actions: rest})
	}
}

// ofService picks the actions of a service out of a batch; alone, what names no service is its own too.
func ofService(out Outcome, service string, alone bool) []Action {
	var own []Action
	for _, a := range out.Actions {
		if a.Service == service || alone && a.Service == "" {
			own = append(own, a)
		}
	}
	return own
}

// settleOwed notes that the proxy serves all that it was told, when the sink says so of
// everything: Apply speaks of its own sets alone.
func (l *loop) settleOwed(out Outcome, now time.Time) {
	if out.Pending {
		return
	}
	for name, s := range l.owed {
		s.out.owed = false
		delete(l.owed, name)
		l.touch(s, now)
		l.board.applied(s)
	}
}

func (l *loop) audit(ctx context.Context, began time.Time) {
	l.sinkBusy, l.auditAt = true, began.Add(l.auditPause())
	l.beside(func() func(time.Time) {
		ctx, cancel := context.WithTimeout(ctx, sinkTimeout)
		defer cancel()
		out, err := l.d.Sink.Audit(ctx)
		return func(now time.Time) { l.audited(out, err, began, now) }
	})
}

func (l *loop) audited(out Outcome, err error, began, now time.Time) {
	l.sinkBusy = false
	text := ""
	if err != nil && !l.auditFails {
		text = err.Error()
		l.d.Log.Error("the audit of the sink failed", "error", err)
	}
	l.auditFails = err != nil
	if len(out.Actions) > 0 || text != "" {
		l.d.Journal.Add(Entry{At: now, Event: "audit", Actions: out.Actions, Took: now.Sub(began), Error: text})
	}
	if err == nil {
		l.settleOwed(out, now)
	}
}

// reported takes what the sink did by itself.
func (l *loop) reported(out Outcome, now time.Time) {
	if len(out.Actions) > 0 {
		l.d.Journal.Add(Entry{At: now, Event: "sink", Rule: "done by itself", Actions: out.Actions})
	}
	l.settleOwed(out, now)
}

// write has the store written when that is due.
func (l *loop) write(now time.Time) {
	if l.storeBusy || l.storeAt.IsZero() || now.Before(l.storeAt) {
		return
	}
	l.storeBusy, l.storeAt = true, time.Time{}
	l.beside(func() func(time.Time) {
		err := l.d.Store.flush()
		return func(now time.Time) {
			l.storeBusy = false
			l.stored(err, now)
		}
	})
}

func (l *loop) stored(err error, now time.Time) {
	if err != nil {
		l.storeAt = now.Add(storePause)
		if !l.storeFails {
			l.d.Log.Warn("what is served is not stored; a restart without a registry would serve an older set", "error", err)
			l.d.Journal.Add(Entry{At: now, Event: "store", Error: err.Error()})
		}
	}
	l.storeFails = err != nil
}
