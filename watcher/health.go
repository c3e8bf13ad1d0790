package watcher

import (
	"math/rand/v2"
	"sync"
	"time"
)

// verdict is what the checks of a registration have come to.
type verdict int

const (
	unjudged verdict = iota // too few results since the start: nothing is announced or withdrawn
	down
	up
)

// health turns results of checks into a verdict: rise passes in a row for up, fall failures
// in a row for down. It has no clock and starts nothing.
type health struct {
	rise, fall int
	verdict    verdict
	run        int // results of one kind in a row: passes above zero, failures below
	eager      bool
	flips      flips
}

// result takes the next result and tells whether the verdict changed.
func (h *health) result(now time.Time, ok bool) bool {
	switch {
	case ok && h.run > 0:
		h.run++
	case ok:
		h.run = 1
	case h.run < 0:
		h.run--
	default:
		h.run = -1
	}
	next := h.verdict
	switch {
	case h.enough():
		// Damping: up may have to wait, and the service has to pass all the while.
		if h.verdict == unjudged || h.flips.wait(now) == 0 {
			next = up
		}
	case -h.run >= h.fall:
		next = down
	}
	if next == h.verdict {
		return false
	}
	if h.verdict != unjudged {
		h.flips.take(now)
	}
	h.verdict, h.eager = next, false
	return true
}

// enough tells whether the passes are enough for up.
func (h *health) enough() bool { return h.run >= h.rise || h.run > 0 && h.eager }

// stop notes that the service is being stopped on purpose.
func (h *health) stop(now time.Time) {
	if h.verdict == up {
		h.flips.take(now)
	}
	h.verdict, h.run = down, 0
}

// started notes that the service was started on purpose: the first pass will do. Damping is
// as ever, because a service that is restarted by its unit in a loop is started on purpose
// each time.
func (h *health) started() {
	if h.verdict != up {
		h.run, h.eager = 0, true
	}
}

// wait is how long a service that passes has to wait before it is up again.
func (h *health) wait(now time.Time) time.Duration {
	if h.verdict != down || !h.enough() {
		return 0
	}
	return h.flips.wait(now)
}

// A flip is a change between up and down. Three may come at once, then one in 10 s: down, up and
// down again, so that a first recovery never waits and a second one waits for 10 s since the first
// loss. It is slow enough that a service which dies and comes back all the time does not make
// every host change its proxy all the time. nerve
// has such a limit since 2015, but only counts with it unless told otherwise.
const (
	flipBurst = 3
	flipEvery = 10 * time.Second
)

// flips is a token bucket that may be overdrawn: to go down is never delayed, and what it
// cost is waited for before the next up. The zero value is full.
type flips struct{ full time.Time } // when it is full again

// take takes one out of the bucket.
func (f *flips) take(now time.Time) {
	if f.full.Before(now) {
		f.full = now
	}
	f.full = f.full.Add(flipEvery)
}

// wait is how long it takes until there is one in the bucket.
func (f *flips) wait(now time.Time) time.Duration {
	return max(0, max(0, f.full.Sub(now))-(flipBurst-1)*flipEvery) // Sub of the zero time is the least there is
}

// jitter shortens an interval by up to a tenth, so that the checks of many hosts do not
// stay in step. It never lengthens it: interval x fall is how long a dead service is
// announced at most.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/10+1))
}

// lag measures how much time this process was kept from running: by other programs, by a
// CPU quota, by a paused machine. Its heart beats every lagBeat; a beat that comes late
// has lost the difference. Time is monotonic, so a stepped clock is not lag.
type lag struct {
	mu   sync.Mutex
	due  time.Time
	lost time.Duration
}

const lagBeat = 100 * time.Millisecond

// beat notes that the process runs, and when it wants to run again.
func (l *lag) beat(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.due.IsZero() {
		l.lost += max(0, now.Sub(l.due))
	}
	l.due = now.Add(lagBeat)
	return l.due
}

// total is all that was lost, including a beat that is overdue at this moment: after a
// pause the check may well be the first to run.
func (l *lag) total(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.due.IsZero() {
		return 0
	}
	return l.lost + max(0, now.Sub(l.due))
}
