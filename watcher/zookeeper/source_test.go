package zookeeper

import (
	"context"
	"errors"
	"fmt"
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

// bubble runs a test in fake time.
func bubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// eachWay runs a test in fake time twice: with servers that know bulk reads and with older ones.
func eachWay(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	bubble(t, strings.TrimSpace(name+" at once"), test)
	bubble(t, strings.TrimSpace(name+" one by one"), test)
}

// run starts a source for the shop.
func run(t *testing.T, tr *tree, format string) *heard {
	t.Helper()
	h := &heard{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.c.Source().Run(ctx, shop(format), h.add) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return h
}

// settle lets everything happen that d brings.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// last returns the newest snapshot, and fails when there is none.
func last(t *testing.T, h *heard) watcher.Snapshot {
	t.Helper()
	synctest.Wait()
	all := h.take()
	if len(all) == 0 {
		t.Fatal("nothing was published")
	}
	return all[len(all)-1]
}

func expect(t *testing.T, s watcher.Snapshot, want ...string) {
	t.Helper()
	if !has(want...)(s) {
		t.Errorf("want %v known; got %s", want, brief([]watcher.Snapshot{s}))
	}
}

func TestSourceBelievesEmptyOnlyAfterASync(t *testing.T) {
	tests := []struct {
		name  string
		setup func(tr *tree)
		want  watcher.Truth
		why   string
	}{
		{"no instances", func(tr *tree) { tr.put("/shop", "", 0) }, watcher.Empty, "/shop has no instances"},
		{"no path", func(*tree) {}, watcher.Empty, "/shop does not exist"},
		{"only the other layout's directory", func(tr *tree) { tr.put("/shop/instances/10.0.0.1:80", "", 0) }, watcher.Empty, "/shop has no instances"},
		{"a server that lags shows none yet", func(tr *tree) {
			tr.put("/shop", "", 0)
			tr.lag()
			tr.put("/shop/10.0.0.1:80", "", 7)
		}, watcher.Known, ""},
		{"a server that lags does not have the path yet", func(tr *tree) {
			tr.lag()
			tr.put("/shop/10.0.0.1:80", "", 7)
		}, watcher.Known, ""},
		{"none can be used", func(tr *tree) { tr.put("/shop/garbage", "", 7) }, watcher.Unknown,
			"none of 1 znodes below /shop can be used; garbage: the name is not host:port and there is no data"},
	}
	for _, test := range tests {
		eachWay(t, test.name, func(t *testing.T) {
			tr := newTree(t, Options{})
			test.setup(tr)
			h := run(t, tr, config.Plain)
			tr.connect(1)
			synctest.Wait()
			all := h.take()
			if len(all) != 1 || all[0].Truth != test.want || all[0].Reason != test.why {
				t.Fatalf("want one snapshot, %s %q; got\n%s", test.want, test.why, brief(all))
			}
			if syncs := tr.count("sync"); (syncs > 0) != (test.want == watcher.Empty || test.why == "") {
				t.Errorf("%d syncs", syncs)
			}
			if test.want == watcher.Empty && all[0].Revision < 1 {
				t.Errorf("revision %d: an empty set has one too", all[0].Revision)
			}
		})
	}
}

func TestSourceTellsNerveThatNobodyIsAvailable(t *testing.T) {
	eachWay(t, "", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.put("/shop/web1_0000000001", `{"host":"10.0.0.1","port":80,"available":false,"unavailable_reason":"check failed"}`, 7)
		h := run(t, tr, config.Nerve)
		tr.connect(1)
		s := last(t, h)
		if s.Truth != watcher.Empty || s.Reason != "none of 1 instances below /shop is available" || tr.count("sync") == 0 {
			t.Errorf("want it empty after a sync; got %s", brief([]watcher.Snapshot{s}))
		}
		tr.set("/shop/web1_0000000001", `{"host":"10.0.0.1","port":80,"available":true}`)
		settle(time.Second)
		expect(t, last(t, h), "10.0.0.1:80")
	})
}

func TestSourceFollowsChanges(t *testing.T) {
	eachWay(t, "", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.put("/shop/10.0.0.1:80", "", 7)
		h := run(t, tr, config.Plain)
		tr.connect(1)
		first := last(t, h)
		expect(t, first, "10.0.0.1:80")
		steps := []struct {
			name string
			do   func()
			want []string
		}{
			{"one comes", func() { tr.put("/shop/[2001:db8::1]:80", "", 7) }, []string{"10.0.0.1:80", "[2001:db8::1]:80"}},
			{"it gets a weight", func() { tr.set("/shop/10.0.0.1:80", `{"weight":9}`) }, []string{"10.0.0.1:80 weight 9", "[2001:db8::1]:80"}},
			{"it drains", func() { tr.set("/shop/10.0.0.1:80", `{"state":"draining"}`) }, []string{"10.0.0.1:80 draining", "[2001:db8::1]:80"}},
			{"it is made anew under the same name", func() { tr.delete("/shop/10.0.0.1:80"); tr.put("/shop/10.0.0.1:80", `{"weight":3}`, 8) },
				[]string{"10.0.0.1:80 weight 3", "[2001:db8::1]:80"}},
			{"its data changes again", func() { tr.set("/shop/10.0.0.1:80", "") }, []string{"10.0.0.1:80", "[2001:db8::1]:80"}},
			{"it goes", func() { tr.delete("/shop/10.0.0.1:80") }, []string{"[2001:db8::1]:80"}},
		}
		revision := first.Revision
		for _, step := range steps {
			step.do()
			settle(100 * time.Millisecond)
			s := last(t, h)
			if !has(step.want...)(s) || s.Revision <= revision {
				t.Fatalf("%s: want %v with a revision after %d; got %s", step.name, step.want, revision, brief([]watcher.Snapshot{s}))
			}
			revision = s.Revision
		}
	})
}

// Scenario 11: one that goes between the list and its data.
func TestSourceSkipsWhatVanishesWhileItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, Options{})
		for _, name := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"} {
			tr.put("/shop/"+name, "", 7)
		}
		var once atomic.Bool
		hook(tr, &tr.then, func(op, p string) {
			if op == "childrenW" && once.CompareAndSwap(false, true) {
				tr.delete("/shop/10.0.0.2:80")
			}
		})
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		for _, s := range h.take() {
			expect(t, s, "10.0.0.1:80", "10.0.0.3:80")
		}
	})
}

// Scenario 12: what cannot be used is left out alone.
func TestSourceRejectsBadInstancesOneByOne(t *testing.T) {
	eachWay(t, "", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.put("/shop/10.0.0.1:80", "", 7)
		tr.put("/shop/10.0.0.2:80", `{"weight":`, 7)
		tr.put("/shop/10.0.0.3:80", strings.Repeat("x", maxData+1), 7)
		tr.put("/shop/10.0.0.4:80", "", 7)
		tr.put("/shop/web:70000", "", 7)
		tr.nodes["/shop/10.0.0.4:80"].denied = true
		tr.put("/shop/10.0.0.5:80", `{"weight":-1}`, 7)
		tr.put("/shop/huge", "", 7)
		hook(tr, &tr.fail, func(op, p string) error {
			if p == "/shop/huge" {
				return zk.ErrNothing // what the wire makes of a reply that is too long
			}
			return nil
		})
		h := run(t, tr, config.Plain)
		tr.connect(1)
		s := last(t, h)
		expect(t, s, "10.0.0.1:80")
		want := []string{"10.0.0.2:80: the data is no JSON", "10.0.0.3:80: 65537 bytes of data, more than 65536", "10.0.0.4:80: its data may not be read (ACL)",
			"10.0.0.5:80: weight -1 is not between 0 and 256", "huge: its data is longer than 1048575 bytes", "web:70000: the name is not host:port"}
		if len(s.Rejected) != len(want) {
			t.Fatalf("rejected %v, want %v", s.Rejected, want)
		}
		for i, r := range s.Rejected {
			if !strings.HasPrefix(r.ID+": "+r.Reason, want[i]) {
				t.Errorf("rejected %s: %s, want %s", r.ID, r.Reason, want[i])
			}
		}
	})
}

func TestSourceThatIsRefusedIsUnknownAndTriesAgain(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"credentials", zk.ErrNoAuth, "/shop may not be read: its ACL needs other credentials (auth_file)"},
		// Scenario 13.
		{"a list beyond 1 MiB", zk.ErrNothing, "the list of children of /shop is longer than 1048575 bytes, ZooKeeper's limit for a message: split the service over several paths"},
		{"something else", errors.New("zk: unknown error"), "reading /shop: zk: unknown error"},
	}
	for _, test := range tests {
		eachWay(t, test.name, func(t *testing.T) {
			tr := newTree(t, Options{})
			tr.put("/shop/10.0.0.1:80", "", 7)
			h := run(t, tr, config.Plain)
			tr.connect(1)
			expect(t, last(t, h), "10.0.0.1:80")
			refuse := atomic.Bool{}
			refuse.Store(true)
			hook(tr, &tr.fail, func(op, p string) error {
				if (op == "childrenW" || op == "bulkList") && refuse.Load() {
					return test.err
				}
				return nil
			})
			tr.put("/shop/10.0.0.2:80", "", 7)
			settle(5 * time.Minute)
			all := h.take()
			if len(all) != 1 || all[0].Truth != watcher.Unknown || all[0].Reason != test.want {
				t.Fatalf("want it unknown, once, because %s; got\n%s", test.want, brief(all))
			}
			// What is too long in a bulk read is asked for again in parts.
			if n := tr.count("childrenW", "bulkList"); n < 8 || n > 80 {
				t.Errorf("%d readings in 5 minutes; want some, further and further apart", n)
			}
			refuse.Store(false)
			settle(retryMost)
			expect(t, last(t, h), "10.0.0.1:80", "10.0.0.2:80")
		})
	}
}

func TestSourceReadsOnceForEventsThatPileUp(t *testing.T) {
	eachWay(t, "", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.put("/shop/10.0.0.1:80", "", 7)
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		h.take()
		tr.count()
		hook(tr, &tr.delay, 5*time.Millisecond)
		start := time.Now()
		for i := range 1000 { // one a millisecond
			tr.put(fmt.Sprintf("/shop/10.0.1.%d:%d", i%250, 80+i/250), "", 7)
			time.Sleep(time.Millisecond)
		}
		settle(time.Second)
		all := h.take()
		if first := all[0]; len(first.Instances) < 2 || first.At.Sub(start) > time.Millisecond {
			t.Errorf("the first event was read %s after it, with %d instances; want at once", first.At.Sub(start), len(first.Instances))
		}
		if s := all[len(all)-1]; len(s.Instances) != 1001 {
			t.Errorf("%d instances at the end, want all 1001", len(s.Instances))
		}
		if n := tr.count("childrenW", "bulkList"); n > 60 {
			t.Errorf("%d lists read in a second, want the pace kept", n)
		}
	})
}

func TestSourceBoundsReadsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, Options{Limit: 4})
		for i := range 50 {
			tr.put(fmt.Sprintf("/shop/10.0.0.%d:80", i), "", 7)
		}
		var now, most atomic.Int64
		hook(tr, &tr.delay, 10*time.Millisecond)
		hook(tr, &tr.fail, func(op, p string) error {
			if op == "getW" {
				n := now.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
			}
			return nil
		})
		hook(tr, &tr.then, func(op, p string) {
			if op == "getW" {
				now.Add(-1)
			}
		})
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		if s := last(t, h); len(s.Instances) != 50 || most.Load() != 4 {
			t.Errorf("%d instances with at most %d reads in flight, want 50 and 4", len(s.Instances), most.Load())
		}
	})
}

func TestSourceShowsNamesFirstWhenThereIsMuchToRead(t *testing.T) {
	tests := []struct {
		name, format string
		child        func(i int) (string, string)
		n            int
		provisional  bool
	}{
		{"many addresses", config.Plain, func(i int) (string, string) { return fmt.Sprintf("10.0.0.%d:80", i), `{"weight":5}` }, 100, true},
		{"few", config.Plain, func(i int) (string, string) { return fmt.Sprintf("10.0.0.%d:80", i), `{"weight":5}` }, 10, false},
		{"a name that says nothing", config.Plain, func(i int) (string, string) {
			return fmt.Sprintf("i%d", i), fmt.Sprintf(`{"host":"10.0.0.%d","port":80,"weight":5}`, i)
		}, 100, false},
		{"nerve", config.Nerve, func(i int) (string, string) {
			return fmt.Sprintf("i_%010d", i), fmt.Sprintf(`{"host":"10.0.0.%d","port":80,"weight":5}`, i)
		}, 100, false},
	}
	for _, test := range tests {
		eachWay(t, test.name, func(t *testing.T) {
			tr := newTree(t, Options{Limit: 16})
			for i := range test.n {
				name, data := test.child(i)
				tr.put("/shop/"+name, data, 7)
			}
			h := run(t, tr, test.format)
			tr.connect(1)
			synctest.Wait()
			all := h.take()
			if got := all[0].Provisional; got != test.provisional {
				t.Fatalf("the first snapshot is provisional: %t, want %t", got, test.provisional)
			}
			for _, s := range all {
				want := 5
				if s.Provisional {
					want = watcher.DefaultWeight
					if s.Revision != 0 {
						t.Errorf("a provisional snapshot has revision %d and could prove something", s.Revision)
					}
				}
				if len(s.Instances) != test.n || slices.ContainsFunc(s.Instances, func(i watcher.Instance) bool { return i.Weight != want }) {
					t.Errorf("want %d of weight %d; got %s", test.n, want, brief([]watcher.Snapshot{s}))
				}
			}
			if s := all[len(all)-1]; s.Provisional || s.Truth != watcher.Known {
				t.Error("the whole one does not follow")
			}
		})
	}
}

func TestSourceTakesTheNewestOfOneAddress(t *testing.T) {
	eachWay(t, "", func(t *testing.T) {
		tr := newTree(t, Options{})
		// The old one has the greater number: zxids tell the age, not names.
		tr.put("/shop/web1_0000000009", `{"host":"10.0.0.1","port":80,"weight":1}`, 7)
		tr.put("/shop/_c_0123456789abcdef0123456789abcdef-web1_0000000002", `{"host":"10.0.0.1","port":80,"weight":2}`, 8)
		h := run(t, tr, config.Nerve)
		tr.connect(1)
		s := last(t, h)
		expect(t, s, "10.0.0.1:80 weight 2")
		want := []watcher.Rejection{{ID: "web1_0000000009", Reason: "the same address as _c_0123456789abcdef0123456789abcdef-web1_0000000002, which is newer"}}
		if !slices.Equal(s.Rejected, want) {
			t.Errorf("rejected %v, want %v", s.Rejected, want)
		}
	})
}
