package haproxy

import (
	"context"
	"slices"
	"time"

	"github.com/zkboot/zkboot/watcher"
)

const (
	lookEvery = time.Second
	// statsAtOnce is how many backends are looked at each second; of more, each one is looked at
	// less often: HAProxy stands still while it writes their statistics (7.5 ms for 500 on 2.6).
	statsAtOnce = 100
	// lookForHAProxy is how often a HAProxy that is not there is looked for.
	lookForHAProxy = 200 * time.Millisecond
)

// Run keeps HAProxy as the last sets want it until ctx ends, and then lets go of it: what it
// serves stays as it is.
func (s *Sink) Run(ctx context.Context, report func(watcher.Outcome)) error {
	s.mu.Lock()
	s.reloads.began = time.Now()
	s.mu.Unlock()
	var looked time.Time
	owed := true // nobody knows what an earlier Apply left behind
	for ctx.Err() == nil {
		var out watcher.Outcome
		if time.Since(looked) >= s.pace() {
			s.look(ctx, &out)
			s.thinOut(ctx, &out)
			looked = time.Now()
		}
		s.flush(ctx, false, &out)
		if why, due := s.due(); due {
			s.reload(ctx, why, &out)
		}
		s.mu.Lock()
		out.Pending = slices.ContainsFunc(s.backends, s.waits)
		s.mu.Unlock()
		if len(out.Actions) > 0 || owed && !out.Pending {
			report(out)
		}
		owed = out.Pending
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-time.After(s.rest()):
		}
	}
	s.eye.shut()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnect()
	return nil
}

func (s *Sink) pace() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rt == nil {
		return lookForHAProxy
	}
	return lookEvery
}

// rest is how long Run waits for something to do: until the next look, or until a file that
// had to wait may be written.
func (s *Sink) rest() time.Duration {
	pace := s.pace()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirty {
		return min(pace, max(time.Until(s.file.next), time.Millisecond))
	}
	return pace
}

// thinOut bounds the workers that were replaced and live on for long connections: of those
// beyond OldWorkers the oldest lose a tenth of their sessions with each look. What is left
// of the others hard-stop-after ends.
func (s *Sink) thinOut(ctx context.Context, out *watcher.Outcome) {
	s.mu.Lock()
	idle := s.rt == nil || s.counts.Pid == s.counts.alone
	pid := s.counts.Pid
	s.mu.Unlock()
	if idle {
		return
	}
	p, err := s.master.procs(ctx)
	if err != nil {
		return // it is loading, or not there; a reload says so when one is due
	}
	s.mu.Lock()
	s.counts.OldWorkers = len(p.old)
	if len(p.old) == 0 {
		s.counts.alone = pid
	}
	s.mu.Unlock()
	old := byAge(p.old)
	for _, w := range old[:max(0, len(old)-s.o.Config.OldWorkers)] {
		n, err := s.master.thin(ctx, w.pid)
		s.warn(err)
		if n > 0 {
			out.Actions = append(out.Actions, thinned(w.pid, n, len(old)))
		}
	}
}
