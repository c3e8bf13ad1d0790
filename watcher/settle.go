package watcher

import (
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// settler coalesces the bursts of one service. The first snapshot after a silence passes at
// once; what follows it within Quiet waits until there is silence again, and never longer
// than Max. It keeps the newest snapshot alone, so a storm costs the memory of one set.
type settler struct {
	rules   config.Settle
	pending *Snapshot
	first   time.Time // when the oldest of what pending stands for came
	last    time.Time // when the newest snapshot came
	lead    bool      // pending is the first after a silence
}

// offer takes a snapshot that came now.
func (s *settler) offer(snap Snapshot, now time.Time) {
	if s.pending == nil {
		s.first = now
		s.lead = s.last.IsZero() || now.Sub(s.last) >= time.Duration(s.rules.Quiet)
	}
	s.pending, s.last = &snap, now
}

// due tells when what is pending may pass; false when nothing is.
func (s *settler) due() (time.Time, bool) {
	if s.pending == nil {
		return time.Time{}, false
	}
	if s.lead {
		return s.first, true
	}
	quiet, most := s.last.Add(time.Duration(s.rules.Quiet)), s.first.Add(time.Duration(s.rules.Max))
	if most.Before(quiet) {
		return most, true
	}
	return quiet, true
}

// take returns what is pending when it is due.
func (s *settler) take(now time.Time) (Snapshot, bool) {
	if at, ok := s.due(); !ok || now.Before(at) {
		return Snapshot{}, false
	}
	return s.flush()
}

// flush returns what is pending, due or not.
func (s *settler) flush() (Snapshot, bool) {
	if s.pending == nil {
		return Snapshot{}, false
	}
	snap := *s.pending
	s.pending = nil
	return snap, true
}
