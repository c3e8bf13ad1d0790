package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// started is a tree with one instance that a source has read.
func started(t *testing.T, o Options) (*tree, *heard) {
	t.Helper()
	tr := newTree(t, o)
	tr.put("/shop/10.0.0.1:80", `{"weight":2}`, 7)
	h := run(t, tr, config.Plain)
	tr.connect(1)
	expect(t, last(t, h), "10.0.0.1:80 weight 2")
	tr.count()
	return tr, h
}

// Scenario 10, the part of one client: a session that goes on needs no reading, and a new one
// is read into at this host's own moment.
func TestSourceAfterAReconnect(t *testing.T) {
	bubble(t, "the same session", func(t *testing.T) {
		tr, h := started(t, Options{})
		tr.disconnect()
		settle(time.Second)
		tr.connect(1)
		settle(15 * time.Second) // a quarter of an audit interval at most, plus the first audit
		if n := tr.count("childrenW", "getW /shop"); n != 0 {
			t.Errorf("%d readings, want an audit alone", n)
		}
		for _, s := range h.take() {
			if s.Event != "audit" {
				t.Errorf("published %s", brief([]watcher.Snapshot{s}))
			}
		}
	})
	eachWay(t, "a new session", func(t *testing.T) {
		var moments []time.Duration
		for host := range 20 {
			tr, h := started(t, Options{Host: fmt.Sprint("host", host)})
			tr.disconnect()
			tr.expire(1)
			tr.put("/shop/10.0.0.2:80", "", 7)
			start := time.Now()
			tr.connect(2)
			settle(2 * time.Second)
			s := last(t, h)
			expect(t, s, "10.0.0.1:80 weight 2", "10.0.0.2:80")
			moments = append(moments, s.At.Sub(start))
			tr.disconnect()
		}
		early, late := 0, 0
		for _, m := range moments {
			if m < time.Second {
				early++
			} else {
				late++
			}
		}
		if early == 0 || late == 0 {
			t.Errorf("20 hosts read at %v after the new session, want them spread over 2s", moments)
		}
	})
	eachWay(t, "a change while it was away is told by the server", func(t *testing.T) {
		tr, h := started(t, Options{})
		tr.disconnect()
		tr.connect(1)
		tr.put("/shop/10.0.0.2:80", "", 7)
		settle(time.Second)
		expect(t, last(t, h), "10.0.0.1:80 weight 2", "10.0.0.2:80")
	})
}

// Scenarios 1 and 3: nobody answers, and for how long is this side's own to measure.
func TestSourceWithoutAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, h := started(t, Options{Session: 9 * time.Second, Audit: time.Hour})
		settle(time.Minute)
		if all := h.take(); len(all) != 0 {
			t.Fatalf("a connection with pings alone: %s", brief(all))
		}
		start := time.Now()
		tr.disconnect()
		state := func(want string) {
			t.Helper()
			synctest.Wait()
			if s := tr.c.Status(); s.State != want {
				t.Errorf("after %s: %s, want %s", time.Since(start), s.State, want)
			}
		}
		silent := tr.c.silence() // since the last ping
		settle(6*time.Second - silent - time.Millisecond)
		state(StateConnecting)
		settle(2 * time.Millisecond)
		state(StateSuspect)
		settle(6*time.Second - 2*time.Millisecond)
		state(StateSuspect)
		if all := h.take(); len(all) != 0 {
			t.Errorf("before 4/3 of the session: %s", brief(all))
		}
		settle(2 * time.Millisecond)
		state(StateLost)
		s := last(t, h)
		if s.Truth != watcher.Unknown || s.Reason != "no answer from ZooKeeper (192.0.2.1:2181) for 12s" {
			t.Errorf("want it unknown with the reason; got %s", brief([]watcher.Snapshot{s}))
		}
		settle(3 * time.Hour)
		if all := h.take(); len(all) != 0 {
			t.Errorf("hours later: %s", brief(all))
		}
		tr.connect(1) // no leader, no expiry: the session may still be there
		settle(2 * time.Second)
		state(StateConnected)
		s = last(t, h)
		expect(t, s, "10.0.0.1:80 weight 2")
		if n := tr.count("childrenW", "getW /shop"); s.Event != "audit" || n != 0 {
			t.Errorf("known again by %q and %d readings, want by an audit alone", s.Event, n)
		}
		if r := tr.c.Status().Reconnects; r != 1 {
			t.Errorf("%d reconnects, want 1", r)
		}
	})
}

// Scenario 1: from the beginning.
func TestSourceThatNeverConnected(t *testing.T) {
	eachWay(t, "", func(t *testing.T) {
		tr := newTree(t, Options{Session: 9 * time.Second})
		tr.put("/shop/10.0.0.1:80", "", 7)
		h := run(t, tr, config.Plain)
		settle(13 * time.Second)
		if s := last(t, h); s.Truth != watcher.Unknown {
			t.Errorf("want it unknown; got %s", brief([]watcher.Snapshot{s}))
		}
		start := time.Now()
		tr.connect(1)
		s := last(t, h)
		expect(t, s, "10.0.0.1:80")
		if late := s.At.Sub(start); late > 0 {
			t.Errorf("the first reading waited for %s", late)
		}
	})
}

// Scenario 8: watches that are gone without a word.
func TestAuditFindsWhatNoWatchTold(t *testing.T) {
	changes := map[string]func(tr *tree){
		"one came":          func(tr *tree) { tr.put("/shop/10.0.0.2:80", "", 7) },
		"one went":          func(tr *tree) { tr.delete("/shop/10.0.0.1:80") },
		"data changed":      func(tr *tree) { tr.set("/shop/10.0.0.1:80", "") },
		"the path was lost": func(tr *tree) { tr.delete("/shop/10.0.0.1:80"); tr.delete("/shop") },
	}
	for name, change := range changes {
		eachWay(t, name, func(t *testing.T) {
			tr, h := started(t, Options{Audit: 45 * time.Second})
			tr.forgetWatches()
			change(tr)
			settle(time.Second)
			if all := h.take(); len(all) != 0 {
				t.Fatalf("the watch was not gone: %s", brief(all))
			}
			settle(68 * time.Second) // 45s and a half
			all := h.take()
			if len(all) == 0 || !strings.HasPrefix(all[0].Event, "audit: ") {
				t.Fatalf("want what the audit found; got %s", brief(all))
			}
			if s := tr.c.Status(); s.MissedEvents != 1 {
				t.Errorf("%d missed events counted, want 1", s.MissedEvents)
			}
			// Watches are there again.
			tr.put("/shop/10.0.0.9:80", "", 7)
			settle(time.Second)
			if s := last(t, h); !strings.Contains(brief([]watcher.Snapshot{s}), "10.0.0.9:80") {
				t.Errorf("after the audit: %s", brief([]watcher.Snapshot{s}))
			}
		})
	}
}

func TestAuditOfAnUnchangedService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, h := started(t, Options{Audit: 45 * time.Second})
		settle(10 * time.Minute)
		all := h.take()
		if len(all) < 10*60/68 || len(all) > 10*60/22+1 {
			t.Errorf("%d audits in 10 minutes, want one in 45s, more or less by half", len(all))
		}
		for _, s := range all {
			if s.Event != "audit" || !has("10.0.0.1:80 weight 2")(s) {
				t.Errorf("published %s", brief([]watcher.Snapshot{s}))
			}
		}
		if n := len(all); tr.count("exists /shop") != 2*n {
			t.Errorf("want one request for the path and one for its instance in each of %d audits", n)
		}
		if s := tr.c.Status(); s.MissedEvents != 0 {
			t.Errorf("%d missed events", s.MissedEvents)
		}
	})
}

// An event that comes while an audit is under way is no miss.
func TestAuditKnowsAnEventThatIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, h := started(t, Options{Audit: 45 * time.Second})
		var once atomic.Bool
		hook(tr, &tr.fail, func(op, p string) error {
			if op == "exists" && once.CompareAndSwap(false, true) {
				tr.put("/shop/10.0.0.2:80", "", 7)
			}
			return nil
		})
		settle(68 * time.Second)
		s := h.take()[0]
		if !has("10.0.0.1:80 weight 2", "10.0.0.2:80")(s) || s.Event != "children changed" || tr.c.Status().MissedEvents != 0 {
			t.Errorf("%d missed events and %s", tr.c.Status().MissedEvents, brief([]watcher.Snapshot{s}))
		}
	})
}

// Scenario 8: the server refuses the watches, and the library only logs it. Or the connection
// is lost before all of them were set: the next one sets them relative to the answers of this
// one, so that a change before those is told by nobody.
func TestWatchesThatWereNotTakenAreSetAgain(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int64
	}{{zk.ErrNoAuth, 1}, {zk.ErrConnectionClosed, 0}} {
		bubble(t, test.err.Error(), func(t *testing.T) {
			tr, h := started(t, Options{Audit: time.Hour})
			tr.disconnect()
			tr.forgetWatches()
			tr.connect(1)
			library{tr.c}.Printf("Failed to set previous watches: %v", test.err)
			settle(time.Second)
			if n := tr.c.Status().WatchErrors; n != test.want {
				t.Errorf("%d errors counted, want %d", n, test.want)
			}
			if n := tr.count("childrenW"); n != 1 {
				t.Errorf("%d lists read with new watches, want 1", n)
			}
			h.take()
			tr.put("/shop/10.0.0.2:80", "", 7)
			settle(time.Second)
			if got := len(h.take()); got != 1 {
				t.Errorf("%d snapshots after a change, want 1", got)
			}
		})
	}
}

// Changes of data, however many, do not put off the audit that looks at the list.
func TestDataDoesNotPutOffTheAudit(t *testing.T) {
	bubble(t, "a service whose data changes all the time", func(t *testing.T) {
		tr, h := started(t, Options{Audit: 10 * time.Second})
		tr.mu.Lock()
		delete(tr.watches, "kids/shop")
		tr.mu.Unlock()
		tr.put("/shop/10.0.0.2:80", "", 7)
		for i := range 40 { // once a second
			tr.set("/shop/10.0.0.1:80", fmt.Sprintf(`{"weight":%d}`, 2+i%2))
			settle(time.Second)
		}
		if tr.c.Status().MissedEvents != 1 {
			t.Errorf("%d missed events, want 1", tr.c.Status().MissedEvents)
		}
		if s := last(t, h); len(s.Instances) != 2 {
			t.Errorf("after 40 s the new instance is not there: %s", brief([]watcher.Snapshot{s}))
		}
	})
}

// A new session forgets how far the old one had seen, so its server may be further back.
func TestSourceAsksAgainWhatIsOlderThanWhatItSaw(t *testing.T) {
	eachWay(t, "a server that lags", func(t *testing.T) {
		tr, h := started(t, Options{Audit: time.Hour})
		tr.lag()
		tr.put("/shop/10.0.0.2:80", "", 7)
		settle(time.Second)
		tr.mu.Lock()
		tr.old = nil
		tr.mu.Unlock()
		tr.c.rearm()
		settle(time.Second)
		expect(t, last(t, h), "10.0.0.1:80 weight 2", "10.0.0.2:80")
		old := map[string]*tnode{"/shop": {stat: zk.Stat{Pzxid: 5}}, "/shop/10.0.0.1:80": {stat: zk.Stat{Mzxid: 5}}}
		tr.mu.Lock()
		tr.old = old
		tr.mu.Unlock()
		tr.disconnect()
		tr.expire(1)
		tr.connect(2)
		settle(2 * time.Second)
		all := h.take()
		if len(all) != 1 || !has("10.0.0.1:80 weight 2", "10.0.0.2:80")(all[0]) {
			t.Errorf("want the present alone; got %s", brief(all))
		}
	})
	eachWay(t, "a registry that was restored", func(t *testing.T) {
		tr, h := started(t, Options{Audit: 10 * time.Second})
		tr.mu.Lock()
		tr.nodes["/shop"].stat.Pzxid, tr.nodes["/shop"].stat.Czxid, tr.nodes["/shop/10.0.0.1:80"].stat.Mzxid = 3, 3, 4
		tr.mu.Unlock()
		settle(time.Minute)
		all := h.take()
		if s := all[0]; s.Revision != 4 || s.Truth != watcher.Known {
			t.Fatalf("want its own revision, after a sync; got %s", brief(all))
		}
		for _, s := range all[1:] {
			if s.Revision != 4 {
				t.Errorf("audits afterwards: %s", brief([]watcher.Snapshot{s}))
			}
		}
		if len(all) < 3 || tr.count("sync") != 1 {
			t.Errorf("%d snapshots; want audits to confirm it, and one sync", len(all))
		}
	})
}

func TestCredentialsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, Options{Auth: "zkwatch:secret"})
		tr.put("/shop/10.0.0.1:80", "", 7)
		var refused atomic.Int64
		hook(tr, &tr.fail, func(op, p string) error {
			if op == "auth" && refused.Add(1) == 1 {
				return zk.ErrConnectionClosed
			}
			return nil
		})
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		if n := tr.count("childrenW", "getW"); n != 0 || len(h.take()) != 0 {
			t.Errorf("%d readings without credentials", n)
		}
		tr.disconnect()
		tr.connect(1)
		expect(t, last(t, h), "10.0.0.1:80")
		if tr.auth != "digest zkwatch:secret" {
			t.Errorf("the server got %q", tr.auth)
		}
	})
}

func TestMembersAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.set(configPath, "server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181\nversion=100000000")
		tr.connect(1)
		synctest.Wait()
		if got := tr.c.hosts.live; fmt.Sprint(got) != "[10.0.0.1:2181]" {
			t.Errorf("members %v", got)
		}
		tr.set(configPath, "server.2=10.0.0.2:2888:3888:observer;10.0.0.2:2181\nversion=100000001")
		synctest.Wait()
		if got := tr.c.hosts.live; fmt.Sprint(got) != "[10.0.0.2:2181]" {
			t.Errorf("members after a change %v", got)
		}
	})
}

func TestClosedClient(t *testing.T) {
	eachWay(t, "", func(t *testing.T) {
		tr, h := started(t, Options{})
		tr.c.Close()
		settle(time.Hour)
		if all := h.take(); len(all) != 0 {
			t.Errorf("after Close: %s", brief(all))
		}
		if s := tr.c.Status(); s.State != StateClosed {
			t.Errorf("state %s", s.State)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := tr.c.Board("/board").Post(ctx, watcher.Notice{Host: "host1"}); !errors.Is(err, errClosed) {
			t.Errorf("Post: %v, want %v", err, errClosed)
		}
	})
}

// Scenario 38, here: the library keeps every watch that is asked for until it fires, so a
// configuration that is loaded again and again must not ask again.
func TestWatchesDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, _ := started(t, Options{})
		a := announcement(config.Plain)
		a.Instance.Port = 81
		mustAnnounce(t, tr, a)
		settle(time.Second)
		tr.count()
		for range 100 {
			h := &heard{}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if err := tr.c.Source().Run(ctx, shop(config.Plain), h.add); err != nil {
				t.Fatal(err)
			}
			cancel()
			if s := last(t, h); len(s.Instances) != 2 {
				t.Fatalf("read %s", brief([]watcher.Snapshot{s}))
			}
		}
		settle(10 * time.Minute)
		if n := tr.count("childrenW", "getW", "existsW"); n != 0 {
			t.Errorf("%d requests asked for a watch that was there", n)
		}
		h := run(t, tr, config.Plain)
		settle(time.Second)
		h.take()
		tr.set("/shop/10.0.0.1:80", `{"weight":9}`)
		tr.put("/shop/10.0.0.2:80", "", 7)
		settle(time.Second)
		expect(t, last(t, h), "10.0.0.1:80 weight 9", "10.0.0.1:81", "10.0.0.2:80")
	})
}

// A change that comes between a request for a watch and its answer has taken the watch with it.
func TestAWatchMayFireBeforeItsAnswerIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.put("/shop/10.0.0.1:80", "", 7)
		var mu sync.Mutex // requests end side by side; the k-th change is one step
		k := 0
		hook(tr, &tr.then, func(op, p string) {
			mu.Lock()
			defer mu.Unlock()
			if (op == "childrenW" || op == "getW") && k < 6 {
				k++
				tr.put(fmt.Sprintf("/shop/10.0.1.%d:80", k), "", 7)
				tr.set("/shop/10.0.0.1:80", fmt.Sprintf(`{"weight":%d}`, k+1))
			}
		})
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		want := []string{"10.0.0.1:80 weight 7"}
		for i := range 6 {
			want = append(want, fmt.Sprintf("10.0.1.%d:80", i+1))
		}
		expect(t, last(t, h), want...)
	})
}
