package watcher

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (v verdict) String() string { return []string{"?", "down", "up"}[v] }

// course runs results, one a second, through rise 2 and fall 3, and returns the verdicts.
func course(results string) string {
	h := health{rise: 2, fall: 3}
	now := time.Now()
	var out strings.Builder
	for _, c := range results {
		switch now = now.Add(time.Second); c {
		case '+', '-':
			h.result(now, c == '+')
		case 's':
			h.stop(now)
		case 'r':
			h.started()
		case 'm': // a minute passes
			now = now.Add(time.Minute)
		}
		out.WriteByte(map[verdict]byte{unjudged: '?', down: 'd', up: 'u'}[h.verdict])
	}
	return out.String()
}

func TestVerdict(t *testing.T) {
	for name, tt := range map[string]struct{ results, want string }{
		"up after rise passes":                          {"++", "?u"},
		"one pass is not enough":                        {"+-+-+-", "??????"},
		"down after fall failures":                      {"---", "??d"},
		"a failure after the start is no verdict yet":   {"--++", "???u"},
		"two failures are forgiven":                     {"++--+--+", "?uuuuuuu"},
		"down, and up again":                            {"++---++", "?uuuddu"},
		"stopped at once, and not up by one pass":       {"++s+", "?udd"},
		"started: one pass will do":                     {"++s-r+", "?udddu"},
		"started: one pass will do, also after failing": {"---r-+", "??dddu"},
		"started: that counts once":                     {"++s+r+---+", "?uddduuudd"},
		"started: of one that is up it means nothing":   {"++r---+", "?uuuudd"},
		"a first recovery never waits":                  {"++---++", "?uuuddu"},
		"nor after a start that failed at first":        {"---++---++", "??dduuuddu"},
		"nor of one that is stopped and started":        {"++s+r+", "?udddu"},
		"three flips are free, the next up waits":       {"++---++---++m+", "?uuudduuuddddu"},
		"and has to pass all the while":                 {"++---++---++m-++", "?uuudduuuddddddu"},
		"starting on purpose is no way around it":       {"++s+r+s+r+", "?udddudddd"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := course(tt.results); got != tt.want {
				t.Errorf("%s\ngot  %s\nwant %s", tt.results, got, tt.want)
			}
		})
	}
}

func TestDoubt(t *testing.T) {
	timeout := fmt.Errorf("GET http://h/: %w", errTimeout)
	for name, tt := range map[string]struct {
		round round
		want  string // "" means that the result counts
	}{
		"a pass always counts":                                 {round{late: time.Hour, lost: time.Hour}, ""},
		"a timeout on an idle machine":                         {round{err: timeout}, ""},
		"a timeout, and a little time lost":                    {round{err: timeout, lost: 500 * time.Millisecond}, ""},
		"a timeout, and most of the time lost":                 {round{err: timeout, lost: 501 * time.Millisecond}, "kept from running for 501ms of the 1s"},
		"a status, and most of the time lost":                  {round{err: errors.New("status 503"), lost: time.Second}, ""},
		"as much lost before it as the interval":               {round{err: timeout, late: 2 * time.Second}, ""},
		"more lost before it":                                  {round{err: timeout, late: 2*time.Second + 1}, "kept from running for 2s before it"},
		"much lost before it, and a script may have timed out": {round{err: errors.New("exit status 28"), late: 3 * time.Second}, "kept from running for 3s"},
		"refused is refused, however late":                     {round{err: fmt.Errorf("tcp h: %w", syscall.ECONNREFUSED), late: time.Hour, lost: time.Hour}, ""},
		"out of file descriptors":                              {round{err: fmt.Errorf("tcp h: %w", syscall.EMFILE)}, "short of something: tcp h: too many open files"},
		"out of processes":                                     {round{err: fmt.Errorf("exec x: %w", syscall.EAGAIN)}, "short of something"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.round.interval, tt.round.timeout = 2*time.Second, time.Second
			if got := tt.round.doubt(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	short := round{err: timeout, late: 900 * time.Millisecond, interval: 100 * time.Millisecond, timeout: time.Second}
	if got := short.doubt(); got != "" {
		t.Errorf("a short interval: 900ms late is within the second that is allowed, got %q", got)
	}
}

func TestLag(t *testing.T) {
	var l lag
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	if got := l.total(at(0)); got != 0 {
		t.Errorf("before the first beat: %v", got)
	}
	l.beat(at(0))
	l.beat(at(100)) // in time
	if got := l.total(at(150)); got != 0 {
		t.Errorf("in time: lost %v", got)
	}
	if got := l.total(at(1200)); got != time.Second {
		t.Errorf("a beat that is 1s overdue: lost %v", got)
	}
	l.beat(at(1200))
	l.beat(at(1250)) // early does not give back
	if got := l.total(at(1250)); got != time.Second {
		t.Errorf("after it: lost %v", got)
	}
}

// Whatever the service does, it flips three times at once and then at most once in 10 s;
// it is never up without enough passes nor kept up by damping; and in the end, when it
// passes all the time, it is up.
func TestFlappingIsDamped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := health{rise: rapid.IntRange(1, 4).Draw(t, "rise"), fall: rapid.IntRange(1, 4).Draw(t, "fall")}
		interval := time.Duration(rapid.IntRange(1, 30).Draw(t, "tenths")) * 100 * time.Millisecond
		now, start := time.Now(), time.Now()
		var ups, downs []time.Time
		fails := 0
		for _, ok := range rapid.SliceOfN(rapid.Bool(), 0, 400).Draw(t, "results") {
			now = now.Add(interval)
			was := h.verdict
			changed := h.result(now, ok)
			if fails++; ok {
				fails = 0
			}
			if changed != (h.verdict != was) {
				t.Fatalf("changed is %v from %v to %v", changed, was, h.verdict)
			}
			if h.verdict != down && fails >= h.fall {
				t.Fatalf("%v after %d failures", h.verdict, fails)
			}
			switch {
			case changed && h.verdict == up && was == down:
				ups = append(ups, now)
			case changed && h.verdict == down && was == up:
				downs = append(downs, now)
			}
		}
		// A bucket of n gives at most n + t/10s, and may be overdrawn by the one way down.
		most := flipBurst + int(now.Sub(start)/flipEvery) + 1
		if got := len(ups) + len(downs); got > most {
			t.Fatalf("%d flips in %v, want at most %d", got, now.Sub(start), most)
		}
		for range 200 {
			now = now.Add(interval)
			h.result(now, true)
		}
		if h.verdict != up && now.Sub(start) > 4*flipEvery {
			t.Fatalf("%v after 200 passes", h.verdict)
		}
	})
}

func TestJitterNeverLengthens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "interval"))
		if got := jitter(d); got > d || got < d-d/10 {
			t.Fatalf("jitter(%v) = %v", d, got)
		}
	})
}
