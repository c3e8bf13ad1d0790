package watcher

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/watcher/config"
)

var testSettle = config.Settle{Quiet: config.Duration(20 * time.Millisecond), Max: config.Duration(100 * time.Millisecond)}

// settled offers snapshots at the given milliseconds, with their number as revision, and
// returns when which of them passed, if it is taken as soon as it is due.
func settled(rules config.Settle, offers []int) (at []int, revision []int64) {
	s, begin := settler{rules: rules}, time.Now()
	pass := func(until time.Time) {
		for {
			due, ok := s.due()
			if !ok || due.After(until) {
				return
			}
			snap, _ := s.take(due)
			at, revision = append(at, int(due.Sub(begin).Milliseconds())), append(revision, snap.Revision)
		}
	}
	for n, ms := range offers {
		now := begin.Add(time.Duration(ms) * time.Millisecond)
		pass(now.Add(-1)) // what is due now is taken after what comes now, as the loop does
		s.offer(Snapshot{Revision: int64(n)}, now)
		pass(now)
	}
	pass(begin.Add(time.Hour))
	return at, revision
}

func TestSettle(t *testing.T) {
	tests := []struct {
		name     string
		offers   []int // milliseconds
		at       []int
		revision []int64
	}{
		{"the first acts at once", []int{5}, []int{5}, []int64{0}},
		{"one that follows waits for silence", []int{0, 5}, []int{0, 25}, []int64{0, 1}},
		{"a burst is two changes, and the second is its last", []int{0, 5, 10, 15, 30}, []int{0, 50}, []int64{0, 4}},
		{"silence makes the next one a first again", []int{0, 20, 40}, []int{0, 20, 40}, []int64{0, 1, 2}},
		{"after a burst silence is needed as well", []int{0, 5, 24, 50}, []int{0, 44, 50}, []int64{0, 2, 3}},
		{"two at the same time are one", []int{7, 7}, []int{7, 27}, []int64{0, 1}},
		{"noise without end passes every max",
			[]int{0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180, 195, 210, 225}, []int{0, 115, 220, 245}, []int64{0, 7, 14, 15}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at, revision := settled(testSettle, tt.offers)
			if !slices.Equal(at, tt.at) || !slices.Equal(revision, tt.revision) {
				t.Errorf("passed at %v revisions %v, want at %v %v", at, revision, tt.at, tt.revision)
			}
		})
	}
}

func TestSettleNeverKeepsANewestLongAndNeverPassesAnOldOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		quiet, most := rapid.IntRange(1, 50).Draw(t, "quiet"), rapid.IntRange(1, 200).Draw(t, "max")
		gaps := rapid.SliceOfN(rapid.IntRange(0, 60), 1, 100).Draw(t, "gaps")
		offers, now := make([]int, len(gaps)), 0
		for n, gap := range gaps {
			now += gap
			offers[n] = now
		}
		at, revision := settled(config.Settle{Quiet: config.Duration(time.Duration(quiet) * time.Millisecond),
			Max: config.Duration(time.Duration(most) * time.Millisecond)}, offers)

		if last := revision[len(revision)-1]; last != int64(len(offers)-1) {
			t.Fatalf("the last to pass was %d of %d", last, len(offers))
		}
		for n, r := range revision {
			from := int64(0) // the oldest that this one stands for
			if n > 0 {
				from = revision[n-1] + 1
			}
			if from > r {
				t.Fatalf("revision %d passed after %d", r, revision[n-1])
			}
			if waited := at[n] - offers[from]; waited > most {
				t.Fatalf("revision %d waited %d ms for others, more than %d", from, waited, most)
			}
			if newest := r == int64(len(offers)-1) || offers[r+1] >= at[n]; !newest {
				t.Fatalf("revision %d passed at %d ms, although %d had come at %d ms", r, at[n], r+1, offers[r+1])
			}
			if n > 0 && at[n]-offers[r] < quiet && at[n]-offers[from] < most && offers[from]-offers[from-1] < quiet {
				t.Fatalf("revision %d passed at %d ms in the middle of a burst", r, at[n])
			}
		}
	})
}
