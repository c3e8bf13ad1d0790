package watcher

import (
	"errors"
	"maps"
	"slices"
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
	return slices.Clone(r.board.posts), r.board.at[len(r.board.at)-1].Sub(r.begin)
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
		r.rev--
		r.show("api", "a b c") // read again, and no news
		r.wait(time.Hour)
		posts, _ = r.posted()
		want["api"] = Applied{4, Known, 3, false} // the same set, as of a later revision
		want["db"] = Applied{3, Empty, 0, false}
		if len(posts) != 3 || !maps.Equal(posts[2].Services, want) {
			t.Errorf("posted %+v, want the end of the hold and then %+v, and nothing in three hours without news", posts[1:], want)
		}
		r.lose("api", "no server answers")
		r.wait(time.Second)
		posts, _ = r.posted()
		if last := posts[len(posts)-1].Services["api"]; last != (Applied{4, Unknown, 3, false}) {
			t.Errorf("posted %+v after the registry was lost", last)
		}
	})
}

func TestATruthThatTimeAloneChangesIsPosted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startWithBoard(t, "api")
		defer r.stop()
		r.rev = 9
		r.show("api", "a")
		r.wait(time.Minute)
		r.rev = 6
		r.show("api", "a")
		r.wait(time.Minute)
		posts, _ := r.posted()
		if want := (Applied{10, Unknown, 1, false}); posts[len(posts)-1].Services["api"] != want {
			t.Errorf("posted %+v, want %+v", posts[len(posts)-1], want)
		}
		r.wait(10 * time.Second)
		posts, _ = r.posted()
		if want := (Applied{7, Known, 1, false}); posts[len(posts)-1].Services["api"] != want {
			t.Errorf("posted %+v, want %+v: the older revision has stood for long enough", posts[len(posts)-1], want)
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
		at := r.board.times()
		if len(at) < 6 || len(at) > 7 {
			t.Errorf("%d posts in a minute", len(at))
		}
		for n := 1; n < len(at); n++ {
			if gap := at[n].Sub(at[n-1]); gap < 10*time.Second {
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
		r.sink.now(func(s *fakeSink) { s.conns = map[InstanceKey]int{{"api", "b"}: 3, {"api", "a"}: 9} })
		r.show("api", "a b")
		r.wait(time.Minute)
		if _, counts, _ := r.sink.did(); counts != 0 {
			t.Fatalf("counted %d times although nothing drains", counts)
		}
		drain := time.Since(r.begin)
		r.show("api", "a b*")
		r.wait(time.Second)
		posts, at := r.posted()
		if last := posts[len(posts)-1]; last.Draining["api"]["b"] != 3 || len(last.Draining["api"]) != 1 || last.Services["api"].Revision != 2 || at > drain+500*time.Millisecond {
			t.Fatalf("posted %+v at %s, want 3 connections and revision 2 soon after %s", last, at, drain)
		}
		_, counts, _ := r.sink.did()
		r.wait(8 * time.Second)
		if _, more, _ := r.sink.did(); more > counts {
			t.Errorf("counted %d times although no post is due", more-counts)
		}
		r.wait(30 * time.Second)
		r.sink.now(func(s *fakeSink) { s.conns[InstanceKey{"api", "b"}] = 0 })
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
		_, counts, _ = r.sink.did()
		r.wait(time.Hour)
		if _, more, _ := r.sink.did(); more > counts {
			t.Error("counted although nothing drains any more")
		}
	})
}

// A post waits for the count that belongs to it.
func TestAPostWaitsForTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startWithBoard(t, "api")
		defer r.stop()
		r.show("api", "a b")
		r.wait(time.Minute)
		gate := make(chan struct{})
		r.sink.now(func(s *fakeSink) { s.conns, s.countGate = map[InstanceKey]int{{"api", "b"}: 1}, gate })
		r.show("api", "a b*")
		r.wait(5 * time.Second)
		if posts, _ := r.posted(); len(posts) != 1 {
			t.Errorf("posted %+v before the connections were counted", posts[1:])
		}
		close(gate)
		r.wait(time.Second)
		if posts, _ := r.posted(); len(posts) != 2 || posts[1].Draining["api"]["b"] != 1 {
			t.Errorf("posted %+v, want a second one with the count", posts)
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
				well := func(s *fakeSink) {
					s.pending, s.err, s.connErr, s.conns = false, nil, nil, map[InstanceKey]int{{"api", "b"}: 0}
				}
				r.sink.now(well)
				r.sink.now(tt.prepare)
				r.show("api", "a b*")
				r.wait(time.Minute)
				posts, _ := r.posted()
				if last := posts[len(posts)-1]; last.Draining != nil {
					t.Errorf("posted %+v", last)
				}
				r.sink.now(well)
				r.sink.tell(Outcome{})
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
		r.board.fail(errors.New("no session"))
		r.show("api", "a")
		r.wait(time.Minute)
		if posts, _ := r.posted(); len(posts) < 5 || len(posts) > 7 {
			t.Errorf("%d attempts in a minute, want one in ten seconds", len(posts))
		}
		r.board.fail(nil)
		r.wait(11 * time.Second)
		attempts := len(r.board.times())
		r.wait(time.Hour)
		if n := len(r.board.times()); n != attempts {
			t.Errorf("%d more posts after the one that worked", n-attempts)
		}
	})
}
