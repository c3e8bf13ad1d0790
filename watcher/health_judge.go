package watcher

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// round is one check with what is needed to tell whether it says anything about the service.
type round struct {
	err      error
	late     time.Duration // time that the process was kept from running between the start of the check before and this one's
	lost     time.Duration // likewise during this one
	interval time.Duration
	timeout  time.Duration
}

// doubt returns why a failed check is no evidence against the service, or "". A program
// that is kept from running sees timeouts everywhere, and would take every service of the
// host out of rotation because of itself (airbnb/nerve issues 92 and 113). A pass is
// evidence whatever happened, and so is a refused connection.
func (r round) doubt() string {
	switch {
	case r.err == nil || errors.Is(r.err, syscall.ECONNREFUSED):
		return ""
	case ours(r.err):
		return "zkwatch itself is short of something: " + r.err.Error()
	case r.late > max(r.interval, time.Second):
		return fmt.Sprintf("zkwatch was kept from running for %v before it", r.late.Round(time.Millisecond))
	case errors.Is(r.err, errTimeout) && r.lost > r.timeout/2:
		return fmt.Sprintf("zkwatch was kept from running for %v of the %v that it has", r.lost.Round(time.Millisecond), r.timeout)
	}
	return ""
}
