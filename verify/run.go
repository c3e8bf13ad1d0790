package verify

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Run measures what q asks for, on the host it runs on. A probe that cannot run
// leaves its reason in Result.Unknown; the error is that of ctx alone, and what
// was measured until then is returned with it. progress is told what happens,
// about once a second, from one goroutine at a time; it may be nil.
//
// The probes run one after the other, quiet ones first, so that none measures
// another; steal is watched beside all of them.
func Run(ctx context.Context, q Query, progress func(string)) (Result, error) {
	if progress == nil {
		progress = func(string) {}
	}
	var r Result
	fail := func(probe string, err error) {
		if err == nil {
			return
		}
		if r.Unknown == nil {
			r.Unknown = map[string]string{}
		}
		r.Unknown[probe] = err.Error()
	}
	if q.Clock {
		now := time.Now()
		r.Clock = &now
	}
	steal := startSteal(ctx, q.Steal)
	if q.Net != nil {
		progress("net: " + plural(len(q.Net.Targets), "target"))
		r.Net = probeNet(ctx, *q.Net)
	}
	if q.Jitter != nil {
		progress("jitter")
		l, err := probeJitter(ctx, *q.Jitter)
		r.Jitter = l
		fail("jitter", err)
	}
	if q.Fsync != nil {
		progress("fsync: warming up")
		f, err := thisHost().probeFsync(ctx, *q.Fsync, progress)
		r.Fsync = f
		fail("fsync", err)
	}
	s, err := steal()
	r.Steal = s
	fail("steal", err)
	return r, ctx.Err()
}

// startSteal samples once a second until the returned function is called and
// the query's duration is over; that function returns what was seen.
func startSteal(ctx context.Context, q *StealQuery) func() (*StealResult, error) {
	if q == nil {
		return func() (*StealResult, error) { return nil, nil }
	}
	least := q.Duration
	if least <= 0 {
		least = time.Second
	}
	done := make(chan struct{})
	var readings []cpuTimes
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		var first cpuTimes
		if first, err = thisHost().cpuTimes(); err != nil {
			return
		}
		readings = append(readings, first)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		began, finished := time.Now(), done
		for finished != nil || time.Since(began) < least {
			select {
			case <-ctx.Done():
				return
			case <-finished:
				finished = nil // from here on only the duration counts
				continue
			case <-ticker.C:
			}
			var now cpuTimes
			if now, err = thisHost().cpuTimes(); err != nil {
				return
			}
			readings = append(readings, now)
		}
		if len(readings) > 1 {
			return // the rest of a second would be too short to be compared
		}
		var last cpuTimes
		if last, err = thisHost().cpuTimes(); err == nil {
			readings = append(readings, last)
		}
	})
	return func() (*StealResult, error) {
		close(done)
		wg.Wait()
		return summarizeSteal(readings), err
	}
}

// summarizeSteal is nil for fewer than two readings.
func summarizeSteal(readings []cpuTimes) *StealResult {
	if len(readings) < 2 {
		return nil
	}
	mean, ok := readings[len(readings)-1].stealSince(readings[0])
	if !ok {
		return nil
	}
	r := StealResult{Mean: mean}
	for i, now := range readings[1:] {
		if s, ok := now.stealSince(readings[i]); ok {
			r.Max = max(r.Max, s)
		}
	}
	return &r
}

// ClockReading is one comparison of a host's clock with the caller's: the
// caller's time before and after a Run with Query.Clock alone, and the result.
type ClockReading struct {
	Sent     time.Time `json:"sent"`
	Remote   time.Time `json:"remote"`
	Received time.Time `json:"received"`
}

// Offset returns how far the host's clock is ahead of the caller's, and by how
// much that may be wrong: half the round trip.
func (c ClockReading) Offset() (offset, uncertainty time.Duration) {
	// Round strips the monotonic reading: only wall clocks can be compared.
	trip := c.Received.Sub(c.Sent)
	return c.Remote.Round(0).Sub(c.Sent.Round(0).Add(trip / 2)), trip / 2
}

// best returns the readings' most certain offset; false for none.
func best(readings []ClockReading) (offset, uncertainty time.Duration, ok bool) {
	if len(readings) == 0 {
		return 0, 0, false
	}
	offset, uncertainty = slices.MinFunc(readings, func(a, b ClockReading) int {
		return int(a.Received.Sub(a.Sent) - b.Received.Sub(b.Sent))
	}).Offset()
	return offset, uncertainty, true
}
