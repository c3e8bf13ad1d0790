package verify

import (
	"context"
	"runtime"
	"time"
)

// measureJitter calls sleep count times and returns by how much each overslept.
func measureJitter(ctx context.Context, q JitterQuery, sleep func(time.Duration) error) (*Latency, error) {
	if q.Count <= 0 {
		q.Count = 1000
	}
	if q.Sleep <= 0 {
		q.Sleep = time.Millisecond
	}
	// A thread of its own, so that the kernel's scheduler is measured and not Go's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h := newHistogram()
	for range q.Count {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := sleep(q.Sleep); err != nil {
			return nil, err
		}
		h.add(time.Since(began) - q.Sleep)
	}
	l := h.latency()
	return &l, nil
}
