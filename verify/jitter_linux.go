package verify

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

func probeJitter(ctx context.Context, q JitterQuery) (*Latency, error) {
	return measureJitter(ctx, q, nanosleep)
}

// nanosleep sleeps in the kernel; Go's timers would add its own scheduler. The
// runtime's preemption signals interrupt it, so it sleeps on for what is left.
func nanosleep(d time.Duration) error {
	left := unix.NsecToTimespec(int64(d))
	for {
		err := unix.Nanosleep(&left, &left)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
