package zookeeper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

func announcement(format string) watcher.Announcement {
	return watcher.Announcement{Name: "shop-1", Service: "shop", At: config.Service{Path: "/shop", Format: format},
		Instance: watcher.Instance{Host: "10.0.0.1", Port: 80, Weight: 1}}
}

// announce waits for 5 s at most, as registrations do.
func announce(tr *tree, a watcher.Announcement) (watcher.Announced, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return tr.c.Registrar().Announce(ctx, a)
}

func withdraw(tr *tree, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return tr.c.Registrar().Withdraw(ctx, name)
}

func mustAnnounce(t *testing.T, tr *tree, a watcher.Announcement) watcher.Announced {
	t.Helper()
	at, err := announce(tr, a)
	if err != nil {
		t.Fatalf("announce: %v", err)
	}
	return at
}

// only fails unless the shop has one znode, and it is of this session.
func only(t *testing.T, tr *tree, session int64) string {
	t.Helper()
	synctest.Wait()
	names := tr.below("/shop")
	if len(names) != 1 {
		t.Fatalf("the shop has %v, want one", names)
	}
	data, owner, _ := tr.at("/shop/" + names[0])
	if owner != session {
		t.Fatalf("%s belongs to session %d, want %d", names[0], owner, session)
	}
	return data
}

// formats runs a test in both layouts.
func formats(t *testing.T, test func(t *testing.T, format string)) {
	for _, format := range []string{config.Plain, config.Nerve} {
		bubble(t, format, func(t *testing.T) { test(t, format) })
	}
}

func TestAnnounceTellsWhereItIs(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		tr := newTree(t, Options{})
		tr.connect(1)
		a := announcement(format)
		at := mustAnnounce(t, tr, a)
		only(t, tr, 1)
		h := run(t, tr, format)
		s := last(t, h)
		if at.ID != "10.0.0.1:80" || len(s.Instances) != 1 || s.Instances[0].ID != at.ID || s.Revision < at.Revision {
			t.Errorf("announced %+v, and a source sees %s", at, brief([]watcher.Snapshot{s}))
		}
		tr.count()
		if again := mustAnnounce(t, tr, a); again != at || tr.count("set", "create", "multi") != 0 {
			t.Errorf("the same again: %+v, want %+v and nothing written", again, at)
		}
		a.Instance.Draining = true
		drain := mustAnnounce(t, tr, a)
		if n := tr.count("set"); drain.ID != at.ID || drain.Revision <= at.Revision || n != 1 {
			t.Errorf("draining: %+v after %+v with %d writes, want the same id and one", drain, at, n)
		}
		settle(time.Second)
		if s := last(t, h); s.Revision < drain.Revision || !s.Instances[0].Draining {
			t.Errorf("draining: a source sees %s", brief([]watcher.Snapshot{s}))
		}
		if err := withdraw(tr, a.Name); err != nil {
			t.Fatal(err)
		}
		if names := tr.below("/shop"); len(names) != 0 {
			t.Errorf("after Withdraw the shop has %v", names)
		}
		if err := withdraw(tr, a.Name); err != nil {
			t.Errorf("withdraw again: %v", err)
		}
	})
}

// Scenario 5.
func TestAnnouncementSurvivesTheSession(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(format))
		tr.disconnect()
		tr.expire(1)
		settle(time.Minute)
		start := time.Now()
		tr.connect(2)
		settle(500 * time.Millisecond)
		only(t, tr, 2)
		if s := time.Since(start); s >= time.Second {
			t.Errorf("announced again after %s", s)
		}
	})
}

// Scenario 10: nothing is announced again in a session that goes on.
func TestAnnouncementIsVerifiedInTheSameSession(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(format))
		tr.count()
		tr.disconnect()
		tr.connect(1)
		settle(time.Second)
		only(t, tr, 1)
		tr.mu.Lock()
		ops := slices.Clone(tr.ops)
		tr.mu.Unlock()
		if writes := tr.count("create", "multi", "set", "delete"); writes != 0 || len(ops) == 0 {
			t.Errorf("%d writes of %v, want it only looked at", writes, ops)
		}
	})
}

// Scenario 6: the znode of a session that is about to end is not ours.
func TestAnnounceReplacesWhatADeadSessionLeft(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		tr := newTree(t, Options{})
		names := map[string][]string{
			config.Plain: {"10.0.0.1:80"},
			config.Nerve: {"10.0.0.1:80_0000000003", "_c_0123456789abcdef0123456789abcdef-10.0.0.1:80_0000000004"},
		}[format]
		for _, name := range names {
			tr.put("/shop/"+name, "", 99)
		}
		tr.connect(1)
		gap := atomic.Bool{}
		hook(tr, &tr.then, func(op, p string) {
			if len(tr.below("/shop")) == 0 {
				gap.Store(true)
			}
		})
		mustAnnounce(t, tr, announcement(format))
		only(t, tr, 1)
		if gap.Load() {
			t.Error("there was a moment without the instance")
		}
		tr.expire(99) // must not take ours away
		settle(time.Minute)
		only(t, tr, 1)
	})
}

func TestAnnounceLeavesOthersAlone(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		tr := newTree(t, Options{})
		others := []string{"10.0.0.1:8080", "10.0.0.1:8080_0000000001", "110.0.0.1:80_0000000001", "10.0.0.1:80_1", "10.0.0.1:80_000000000x", "web_0000000001"}
		for _, name := range others {
			tr.put("/shop/"+name, "", 99)
		}
		tr.connect(1)
		mustAnnounce(t, tr, announcement(format))
		if err := withdraw(tr, "shop-1"); err != nil {
			t.Fatal(err)
		}
		slices.Sort(others)
		if got := tr.below("/shop"); !slices.Equal(got, others) {
			t.Errorf("left: %v, want %v", got, others)
		}
	})
}

// Scenario 7: it was done, and the answer was lost.
func TestAnnounceAfterALostAnswer(t *testing.T) {
	lostOnce := func(tr *tree, op string) {
		var lost atomic.Bool
		hook(tr, &tr.lose, func(o, p string) bool {
			if o != op || !lost.CompareAndSwap(false, true) {
				return false
			}
			tr.disconnect()
			go func() {
				time.Sleep(time.Second)
				tr.connect(1)
			}()
			return true
		})
	}
	formats(t, func(t *testing.T, format string) {
		tr := newTree(t, Options{})
		tr.put("/shop", "", 0)
		tr.connect(1)
		a := announcement(format)

		lostOnce(tr, "multi") // the create
		if _, err := announce(tr, a); !errors.Is(err, zk.ErrConnectionClosed) {
			t.Fatalf("the first attempt: %v, want its error", err)
		}
		only(t, tr, 1)
		first := mustAnnounce(t, tr, a)
		only(t, tr, 1)

		lostOnce(tr, "set")
		a.Instance.Draining = true
		if _, err := announce(tr, a); !errors.Is(err, zk.ErrConnectionClosed) {
			t.Fatalf("the first attempt to drain: %v, want its error", err)
		}
		tr.count()
		second := mustAnnounce(t, tr, a)
		if only(t, tr, 1); second.ID != first.ID || second.Revision <= first.Revision || tr.count("set", "multi") != 0 {
			t.Errorf("%+v after %+v; want the change of the attempt whose answer was lost", second, first)
		}

		lostOnce(tr, "delete")
		if err := withdraw(tr, a.Name); err != nil {
			t.Errorf("withdraw: %v, want it to wait for success", err)
		}
		if names := tr.below("/shop"); len(names) != 0 {
			t.Errorf("after Withdraw %v", names)
		}
	})
}

func TestAnnounceIsPutBackAndDoesNotFight(t *testing.T) {
	bubble(t, "an operator deletes it", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(config.Plain))
		settle(time.Minute)
		tr.delete("/shop/10.0.0.1:80")
		settle(100 * time.Millisecond)
		only(t, tr, 1)
	})
	bubble(t, "somebody changes its data", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(config.Plain))
		tr.set("/shop/10.0.0.1:80", `{"weight":100}`)
		settle(100 * time.Millisecond)
		if data := only(t, tr, 1); data != "" {
			t.Errorf("it holds %q", data)
		}
	})
	bubble(t, "another host announces the same address", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(config.Plain))
		puts := 0
		for range 600 { // the other one does so every second
			settle(time.Second)
			if _, owner, ok := tr.at("/shop/10.0.0.1:80"); ok && owner == 1 {
				tr.delete("/shop/10.0.0.1:80")
				tr.put("/shop/10.0.0.1:80", "", 99)
				puts++
			}
		}
		if puts < 5 || puts > 30 {
			t.Errorf("put %d times in 10 minutes, want ever more slowly", puts)
		}
		_, err := announce(tr, announcement(config.Plain))
		if err == nil || !strings.Contains(err.Error(), "session 0x63 announces the same address") {
			t.Errorf("the reason: %v, want the other session named", err)
		}
	})
}

func TestAnnounceRefusesAZnodeThatIsNotEphemeral(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		tr := newTree(t, Options{})
		name := map[string]string{config.Plain: "10.0.0.1:80", config.Nerve: "10.0.0.1:80_0000000000"}[format]
		tr.put("/shop/"+name, "by hand", 0)
		tr.connect(1)
		_, err := announce(tr, announcement(format))
		if err == nil || !strings.Contains(err.Error(), "/shop/"+name+" is there and is not ephemeral: somebody made it by hand, remove it") {
			t.Errorf("got %v", err)
		}
		if data, _, _ := tr.at("/shop/" + name); data != "by hand" {
			t.Errorf("it holds %q now", data)
		}
		tr.delete("/shop/" + name)
		settle(10 * time.Second)
		only(t, tr, 1) // it went on trying
	})
}

func TestAnnounceWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, Options{})
		_, err := announce(tr, announcement(config.Plain))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "announce shop-1: ZooKeeper has not answered (connecting)") {
			t.Errorf("got %v", err)
		}
		tr.connect(1)
		only(t, tr, 1)
	})
}

func TestWithdraw(t *testing.T) {
	bubble(t, "what was never put", func(t *testing.T) {
		tr := newTree(t, Options{})
		_, _ = announce(tr, announcement(config.Plain)) // there is no connection
		if err := withdraw(tr, "shop-1"); err != nil {
			t.Errorf("got %v", err)
		}
		tr.connect(1)
		settle(time.Minute)
		if names := tr.below("/shop"); len(names) != 0 {
			t.Errorf("it was put afterwards: %v", names)
		}
	})
	bubble(t, "goes on when it fails", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(config.Plain))
		tr.disconnect()
		if err := withdraw(tr, "shop-1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a connection: %v", err)
		}
		tr.connect(1)
		settle(time.Second)
		if names := tr.below("/shop"); len(names) != 0 {
			t.Errorf("it is still there: %v", names)
		}
	})
	bubble(t, "in the session after the one that put it", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(config.Plain))
		tr.disconnect()
		tr.put("/shop/10.0.0.2:80", "", 1) // so that the test sees that session 1 lives
		go func() { time.Sleep(time.Second); tr.connect(2) }()
		if err := withdraw(tr, "shop-1"); err != nil {
			t.Errorf("got %v", err)
		}
		if names := tr.below("/shop"); !slices.Equal(names, []string{"10.0.0.2:80"}) {
			t.Errorf("left: %v", names)
		}
	})
	bubble(t, "leaves what another process has put in its place", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(config.Plain))
		tr.disconnect()
		tr.expire(1)
		tr.put("/shop/10.0.0.1:80", "", 99)
		go func() { time.Sleep(time.Second); tr.connect(2) }()
		if err := withdraw(tr, "shop-1"); err != nil {
			t.Errorf("got %v", err)
		}
		if _, owner, _ := tr.at("/shop/10.0.0.1:80"); owner != 99 {
			t.Errorf("it belongs to %d", owner)
		}
	})
}

func TestAnnounceElsewhereLeavesNothingBehind(t *testing.T) {
	formats(t, func(t *testing.T, format string) {
		tr := newTree(t, Options{})
		tr.connect(1)
		a := announcement(format)
		mustAnnounce(t, tr, a)
		a.At.Path = "/other"
		mustAnnounce(t, tr, a)
		a.Instance.Port = 81
		mustAnnounce(t, tr, a)
		if shop, other := tr.below("/shop"), tr.below("/other"); len(shop) != 0 || len(other) != 1 || !strings.HasPrefix(other[0], "10.0.0.1:81") {
			t.Errorf("left %v and %v", shop, other)
		}
	})
}

func TestAnnounceRefusesWhatReadersWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		for name, change := range map[string]func(*watcher.Instance){
			"no host": func(i *watcher.Instance) { i.Host = "" }, "a port": func(i *watcher.Instance) { i.Port = 70000 },
			"a weight": func(i *watcher.Instance) { i.Weight = 300 }, "a label": func(i *watcher.Instance) { i.Labels = map[string]string{"a": "b\nc"} },
			"every address": func(i *watcher.Instance) { i.Host = "0.0.0.0" }, "a zone": func(i *watcher.Instance) { i.Zone = "\x00" },
		} {
			a := announcement(config.Plain)
			change(&a.Instance)
			if _, err := announce(tr, a); err == nil {
				t.Errorf("%s: announced %+v", name, a.Instance)
			}
		}
		if names := tr.below("/shop"); len(names) != 0 {
			t.Errorf("announced: %v", names)
		}
	})
}

// A call that is given up goes on beside what follows: it may use nothing that changes. The race
// detector sees it where it does.
func TestKeeperGoesOnBesideACallThatWasGivenUp(t *testing.T) {
	bubble(t, "looks that were given up", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		mustAnnounce(t, tr, announcement(config.Plain))
		k := &keeper{c: tr.c}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 {
			_, _, _ = k.exists(ctx, "/shop/10.0.0.1:80")
			k.follow("/shop/10.0.0.1:80")
			k.follow("")
		}
	})
}
