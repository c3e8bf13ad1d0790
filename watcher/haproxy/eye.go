package haproxy

import (
	"context"
	"errors"
	"os"
	"time"
)

// eyeFor is how long looks stay on one connection. The next one tells where the socket leads by
// then, should another HAProxy have taken its path over while this one lives on.
const eyeFor = time.Minute

// eye is the connection of looks. It is not that of changes, so that a long answer delays none,
// and it stays open: to dial anew takes twice the processor of a short question. It belongs to
// the goroutine of Run.
type eye struct {
	rt    *runtime
	until time.Time
}

// shut lets go of the worker at the other end: a connection keeps one that was replaced alive
// until hard-stop-after.
func (e *eye) shut() {
	if e.rt != nil {
		e.rt.close()
		e.rt = nil
	}
}

// see asks questions in one line. A worker that has ended since the last time says nothing
// about the one of now, which is asked at once.
func (s *Sink) see(ctx context.Context, lines ...string) ([]string, error) {
	e := &s.eye
	if time.Now().After(e.until) {
		e.shut()
	}
	if e.rt != nil {
		got, err := e.rt.ask(ctx, lines...)
		if err == nil {
			return got, nil
		}
		e.shut()
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
	}
	rt, err := dialPrompt(ctx, s.dial, s.o.Config.Socket)
	if err != nil {
		return nil, err
	}
	e.rt, e.until = rt, time.Now().Add(eyeFor)
	got, err := rt.ask(ctx, lines...)
	if err != nil {
		e.shut()
	}
	return got, err
}

// glance asks which worker has the socket, and with whole how many servers of each backend are
// up. One that is stopping is let go of, and its successor asked, if there is one yet.
func (s *Sink) glance(ctx context.Context, whole bool) (seen info, active map[string]int, err error) {
	lines := []string{"show info"}
	if whole {
		lines = append(lines, "show stat -1 2 -1")
	}
	for range 2 {
		got, err := s.see(ctx, lines...)
		if err != nil {
			return info{}, nil, err
		}
		if seen, err = parseInfo(got[0]); err != nil {
			return info{}, nil, err
		}
		if whole {
			if active, err = parseActive(got[1]); err != nil {
				return info{}, nil, err
			}
		}
		if !seen.stopping {
			break
		}
		s.eye.shut()
	}
	return seen, active, nil
}
