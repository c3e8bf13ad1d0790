package main

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
)

// screen is a terminal in miniature: it knows the two sequences that live writes.
type screen struct {
	lines  []string
	writes []time.Time
}

func (s *screen) Write(p []byte) (int, error) {
	s.writes = append(s.writes, time.Now())
	text := string(p)
	if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
		if n, after, ok := strings.Cut(rest, "A"); ok && len(n) == 1 {
			s.lines = s.lines[:len(s.lines)-int(n[0]-'0')]
			text = after
		}
	}
	text = strings.TrimPrefix(text, "\x1b[J")
	if strings.Contains(text, "\x1b") {
		panic("a sequence that this screen does not know: " + text)
	}
	for line := range strings.Lines(text) {
		s.lines = append(s.lines, strings.TrimSuffix(line, "\n"))
	}
	return len(p), nil
}

func (s *screen) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(s.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("screen shows\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestLiveLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{}
		l := newLive(s, func() int { return 40 })
		started := func(host, step string) {
			l.event(bootstrap.Event{Kind: bootstrap.EventStarted, Host: host, Step: step})
		}
		started("zk2", "prepare (2 steps)")
		started("zk1", "prepare (31 steps)")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		s.expect(t, "zk1  prepare (31 steps)  3s", "zk2  prepare (2 steps)  3s")

		l.event(bootstrap.Event{Kind: bootstrap.EventDone, Host: "zk2", Step: "prepare (2 steps)", Took: 3200 * time.Millisecond})
		l.event(bootstrap.Event{Kind: bootstrap.EventNote, Host: "zk1", Step: "waiting for the package lock held by apt"})
		started("", "form the ensemble")
		time.Sleep(time.Second)
		synctest.Wait()
		s.expect(t, "zk2  prepare (2 steps)  done 3.2s",
			"zk1  prepare (31 steps)  4s  waiting fo", // cut to the width, for a wrapped line would be two
			"site  form the ensemble  1s")

		release := l.hold()
		s.Write([]byte("apply? [y/N] y\n"))
		l.event(bootstrap.Event{Kind: bootstrap.EventFailed, Host: "zk1", Step: "prepare (31 steps)", Took: 5 * time.Second, Err: errors.New("x")})
		time.Sleep(time.Second)
		synctest.Wait()
		if last := s.lines[len(s.lines)-1]; last != "apply? [y/N] y" {
			t.Errorf("drew %q while it was held", last)
		}
		release()
		l.close()
		if last := s.lines[len(s.lines)-1]; last != "zk1  prepare (31 steps)  failed 5.0s" {
			t.Errorf("the last line is %q", last)
		}
	})
}

func TestLiveDrawsAtMostTenTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{}
		l := newLive(s, func() int { return 80 })
		for range 1000 {
			l.event(bootstrap.Event{Kind: bootstrap.EventStarted, Host: "zk1", Step: "look"})
			l.event(bootstrap.Event{Kind: bootstrap.EventDone, Host: "zk1", Step: "look"})
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := len(s.writes); n > 10 {
			t.Errorf("%d writes in a second, want at most 10", n)
		}
		l.close()
		if len(s.lines) != 1000 {
			t.Errorf("%d lines stay, want one for each of 1000 steps", len(s.lines))
		}
	})
}

func TestLiveIsStillWhenNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{}
		l := newLive(s, func() int { return 80 })
		time.Sleep(time.Minute)
		l.close()
		if len(s.writes) != 0 {
			t.Errorf("wrote %d times without an event", len(s.writes))
		}
	})
}
