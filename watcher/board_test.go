package watcher

import (
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

func startWithBoard(t *testing.T, services ...string) *rig {
	r := newRig(t, services...)
	r.d.Board = r.board
	return r.start()
}

// posted returns the posts so far, and the time of the last one since the beginning.
func (r *rig) posted() ([]Notice, time.Duration) {
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	if len(r.board.posts) == 0 {
		return nil, 0
	}
	return r.board.posts, r.board.at[len(r.board.at)-1].Sub(r.begin)
}

func TestAHostPostsWhatItServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startWithBoard(t, "api", "db", "web")
		defer r.stop()
		r.show("api", "a b c")
		r.show("db", "x")
		r.show("db", "")
		r.wait(500 * time.Millisecond)
		posts, _ := r.posted()
		want := map[string]Applied{"api": {1, Known, 3, false}, "db": {2, Empty, 1, true}, "web": {0, Unknown, 0, false}}
		if len(posts) != 1 || posts[0].Host != "app1" || posts[0].Version != "v1" || !maps.Equal(posts[0].Services, want) || posts[0].Draining != nil {
			t.Fatalf("posted %+v, want once %+v", posts, want)
		}
		r.wait(time.Hour)
		r.show("api", "a b c")
		r.wait(time.Hour)
		posts, _ = r.posted()
		want["api"] = Applied{4, Known, 3, false} // the same set, as of a later revision
		want["db"] = Applied{3, Empty, 0, false}
		if len(posts) != 3 || !maps.Equal(posts[2].Services, want) {
			t.Errorf("posted %+v, want the end of the hold and then %+v, and nothing in two hours without news", posts[1:], want)
		}
	})
}

func TestAHostPostsAtMostOnceInTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startWithBoard(t, "api")
		defer r.stop()
		for n := range 600 { // a minute
			r.show("api", []string{"a", "a b"}[n%2])
			r.wait(100 * time.Millisecond)
		}
		if n := len(r.board.at); n < 6 || n > 7 {
			t.Errorf("%d posts in a minute", n)
		}
		for n := 1; n < len(r.board.at); n++ {
			if gap := r.board.at[n].Sub(r.board.at[n-1]); gap < 10*time.Second {
				t.Errorf("two posts within %s", gap)
			}
		}
		r.wait(10 * time.Second)
		if posts, _ := r.posted(); posts[len(posts)-1].Services["api"].Revision != 600 {
			t.Errorf("the last post is %+v, want revision 600", posts[len(posts)-1])
		}
	})
}

func TestConnectionsAreCountedWhileSomethingDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startWithBoard(t, "api")
		defer r.stop()
		r.sink.conns = map[InstanceKey]int{{"api", "b"}: 3}
		r.show("api", "a b")
		r.wait(time.Minute)
		if len(r.sink.counts) != 0 {
			t.Fatalf("counted %d times although nothing drains", len(r.sink.counts))
		}
		drain := time.Since(r.begin)
		r.show("api", "a b*")
		r.wait(time.Second)
		posts, at := r.posted()
		if last := posts[len(posts)-1]; last.Draining["api"]["b"] != 3 || last.Services["api"].Revision != 2 || at > drain+500*time.Millisecond {
			t.Fatalf("posted %+v at %s, want 3 connections and revision 2 soon after %s", last, at, drain)
		}
		counts := len(r.sink.counts)
		r.wait(8 * time.Second)
		if len(r.sink.counts) > counts {
			t.Errorf("counted %d times although no post is due", len(r.sink.counts)-counts)
		}
		r.wait(30 * time.Second)
		r.sink.conns[InstanceKey{"api", "b"}] = 0
		r.wait(1500 * time.Millisecond)
		posts, at = r.posted()
		if n, ok := posts[len(posts)-1].Draining["api"]["b"]; !ok || n != 0 || len(posts) != 3 {
			t.Fatalf("posted %+v at %s, want a third one with 0 connections", posts[len(posts)-1], at)
		}
		r.show("api", "a")
		r.wait(time.Minute)
		posts, _ = r.posted()
		if last := posts[len(posts)-1]; last.Draining != nil || last.Services["api"].Instances != 1 {
			t.Errorf("posted %+v, want nothing that drains", last)
		}
		counts = len(r.sink.counts)
		r.wait(time.Hour)
		if len(r.sink.counts) > counts {
			t.Error("counted although nothing drains any more")
		}
	})
}

// What was counted before the proxy stopped sending traffic there proves nothing, and neither
// does a count that failed or left an instance out.
func TestOnlyAProvenZeroIsPosted(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(s *fakeSink)
	}{
		{"the proxy has not taken it yet", func(s *fakeSink) { s.pending = true }},
		{"the sink refuses", func(s *fakeSink) { s.err = errors.New("no") }},
		{"the count fails", func(s *fakeSink) { s.connErr = errors.New("no") }},
		{"the count leaves it out", func(s *fakeSink) { s.conns = nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startWithBoard(t, "api")
				defer r.stop()
				r.show("api", "a b")
				r.wait(time.Minute)
				r.sink.conns = map[InstanceKey]int{{"api", "b"}: 0}
				tt.prepare(r.sink)
				r.show("api", "a b*")
				r.wait(time.Minute)
				posts, _ := r.posted()
				if last := posts[len(posts)-1]; last.Draining != nil {
					t.Errorf("posted %+v", last)
				}
				r.sink.pending, r.sink.err, r.sink.connErr = false, nil, nil
				r.sink.conns = map[InstanceKey]int{{"api", "b"}: 0}
				r.sink.report(Outcome{})
				r.wait(time.Minute)
				posts, _ = r.posted()
				last := posts[len(posts)-1]
				if n, ok := last.Draining["api"]["b"]; !ok || n != 0 || last.Services["api"].Revision != 2 {
					t.Errorf("posted %+v after all was well again", last)
				}
			})
		})
	}
}

func TestAPostThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startWithBoard(t, "api")
		defer r.stop()
		r.board.err = errors.New("no session")
		r.show("api", "a")
		r.wait(time.Minute)
		if posts, _ := r.posted(); len(posts) < 5 || len(posts) > 7 {
			t.Errorf("%d attempts in a minute, want one in ten seconds", len(posts))
		}
		r.board.err = nil
		r.wait(11 * time.Second)
		attempts := len(r.board.at)
		r.wait(time.Hour)
		if len(r.board.at) != attempts {
			t.Errorf("%d more posts after the one that worked", len(r.board.at)-attempts)
		}
	})
}
