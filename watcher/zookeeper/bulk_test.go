package zookeeper

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// requests returns what was asked since the last call, credentials and members left out.
func (tr *tree) requests() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	ops := slices.DeleteFunc(tr.ops, func(op string) bool { return op == "getW "+configPath })
	tr.ops = nil
	return ops
}

func wantRequests(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d requests %q, want %q", what, len(got), got, want)
	}
}

// What bulk reads are for: the number of requests does not grow with the instances.
func TestBulkReadsNeedFewRequests(t *testing.T) {
	bubble(t, "at once", func(t *testing.T) {
		tr := newTree(t, Options{})
		for i := range 20 {
			tr.put(fmt.Sprintf("/shop/10.0.0.%d:80", i), "", 7)
		}
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		if s := last(t, h); len(s.Instances) != 20 {
			t.Fatalf("read %d instances, want 20", len(s.Instances))
		}
		wantRequests(t, "the first read", tr.requests(), "watch /shop", "bulkList /shop", "bulk /shop/10.0.0.0:80")
		for _, step := range []struct {
			what string
			do   func()
			want string
		}{
			{"one comes", func() { tr.put("/shop/10.0.1.1:80", `{"weight":3}`, 7) }, "bulkList /shop"},
			{"its weight changes", func() { tr.set("/shop/10.0.1.1:80", `{"weight":4}`) }, "bulk /shop/10.0.1.1:80"},
			{"it goes", func() { tr.delete("/shop/10.0.1.1:80") }, "bulkList /shop"},
		} {
			step.do()
			settle(100 * time.Millisecond)
			wantRequests(t, step.what, tr.requests(), step.want)
		}
		time.Sleep(68 * time.Second) // audits are 22 to 68 s apart
		if got := slices.Compact(tr.requests()); !slices.Equal(got, []string{"bulk /shop"}) {
			t.Errorf("audits: %q, want one request for each", got)
		}
	})
}

func TestBulkReadsAreOfBoundedSize(t *testing.T) {
	bubble(t, "at once", func(t *testing.T) {
		tr := newTree(t, Options{})
		for i := range 2*maxParts + 1 {
			tr.put(fmt.Sprintf("/shop/10.0.%d.%d:80", i/250, i%250), `{"weight":2}`, 7)
		}
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		if s := last(t, h); len(s.Instances) != 2*maxParts+1 || s.Instances[0].Weight != 2 || s.Provisional {
			t.Fatalf("read %d instances, provisional %t", len(s.Instances), s.Provisional)
		}
		wantRequests(t, "the first read", tr.requests(), "watch /shop", "bulkList /shop",
			"bulk /shop/10.0.0.0:80", "bulk /shop/10.0.2.0:80", "bulk /shop/10.0.4.0:80")
	})
}

// Servers drop the watch of bulk reads with the connection (DataTree.setWatches tells nothing
// of what such a watch missed), so it is set again and everything compared.
func TestBulkReadsAfterAReconnectInTheSameSession(t *testing.T) {
	tests := []struct {
		name     string
		meantime func(tr *tree)
		want     []string
		asked    []string
	}{
		{"nothing changed", func(*tree) {}, []string{"10.0.0.1:80 weight 2"}, []string{"watch /shop", "bulk /shop"}},
		{"data changed", func(tr *tree) { tr.set("/shop/10.0.0.1:80", `{"weight":9}`) }, []string{"10.0.0.1:80 weight 9"},
			[]string{"watch /shop", "bulk /shop", "bulkList /shop", "bulk /shop/10.0.0.1:80"}},
		{"one came", func(tr *tree) { tr.put("/shop/10.0.0.2:80", "", 7) }, []string{"10.0.0.1:80 weight 2", "10.0.0.2:80"},
			[]string{"watch /shop", "bulk /shop", "bulkList /shop", "bulk /shop/10.0.0.1:80"}},
		{"it was made anew", func(tr *tree) { tr.delete("/shop/10.0.0.1:80"); tr.put("/shop/10.0.0.1:80", "", 8) }, []string{"10.0.0.1:80"},
			[]string{"watch /shop", "bulk /shop", "bulkList /shop", "bulk /shop/10.0.0.1:80"}},
	}
	for _, test := range tests {
		bubble(t, test.name+" at once", func(t *testing.T) {
			tr, h := started(t, Options{})
			tr.disconnect()
			test.meantime(tr)
			settle(time.Second)
			tr.requests()
			tr.connect(1)
			settle(2 * time.Second)
			expect(t, last(t, h), test.want...)
			wantRequests(t, "after the reconnect", tr.requests(), test.asked...)
			if n := tr.c.Status().MissedEvents; n != 0 {
				t.Errorf("%d missed events: nobody could tell", n)
			}
			tr.set("/shop/10.0.0.1:80", `{"weight":5}`)
			settle(100 * time.Millisecond)
			if s := last(t, h); s.Event != "data changed" || s.Instances[0].Weight != 5 {
				t.Errorf("a later change: %s", brief([]watcher.Snapshot{s}))
			}
		})
	}
}

// Scenario 10: a fleet that lost one server does not fall upon the next one.
func TestManyServicesAreComparedOverALongerTime(t *testing.T) {
	bubble(t, "at once", func(t *testing.T) {
		tr := newTree(t, Options{})
		for _, test := range []struct {
			services int
			want     time.Duration
		}{{1, 2 * time.Second}, {199, 2 * time.Second}, {500, 10 * time.Second}, {10_000, 45 * time.Second / 4}} {
			tr.c.mu.Lock()
			for n := range test.services {
				tr.c.watched[fmt.Sprint("/s", n)] = nil
			}
			tr.c.mu.Unlock()
			if got := tr.c.catchUp(); got != test.want {
				t.Errorf("%d services: over %s, want %s", test.services, got, test.want)
			}
		}
	})
}

// A reading that fails half way leaves nothing behind that looks as if it had been read.
func TestBulkReadThatFailsIsDoneWhole(t *testing.T) {
	for _, op := range []string{"watch", "bulkList", "bulk"} {
		bubble(t, op+" at once", func(t *testing.T) {
			tr, h := started(t, Options{})
			var broken atomic.Bool
			hook(tr, &tr.fail, func(got, p string) error {
				if got == op && p != configPath && broken.CompareAndSwap(false, true) {
					return zk.ErrConnectionClosed
				}
				return nil
			})
			tr.disconnect()
			tr.set("/shop/10.0.0.1:80", `{"weight":9}`)
			tr.put("/shop/10.0.0.2:80", "", 7)
			tr.connect(1)
			settle(5 * time.Second)
			if !broken.Load() {
				t.Fatalf("no %s was asked for", op)
			}
			expect(t, last(t, h), "10.0.0.1:80 weight 9", "10.0.0.2:80")
		})
	}
}

// An audit looks at everything: the first one finds what changed after the watch was lost,
// wherever it is, and sets the watch again.
func TestBulkAuditIsComplete(t *testing.T) {
	bubble(t, "at once", func(t *testing.T) {
		tr := newTree(t, Options{})
		for i := range 50 {
			tr.put(fmt.Sprintf("/shop/10.0.0.%d:80", i), "", 7)
		}
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		tr.forgetWatches()
		tr.set("/shop/10.0.0.37:80", `{"weight":9}`)
		settle(68 * time.Second)
		if s := last(t, h); !slices.Contains(ids(s), "10.0.0.37:80 weight 9") {
			t.Errorf("after the first audit: %s", brief([]watcher.Snapshot{s}))
		}
		if n := tr.c.Status().MissedEvents; n != 1 {
			t.Errorf("%d missed events, want 1", n)
		}
		tr.set("/shop/10.0.0.38:80", `{"weight":8}`)
		settle(100 * time.Millisecond)
		if s := last(t, h); s.Event != "data changed" {
			t.Errorf("a later change: %s", brief([]watcher.Snapshot{s}))
		}
	})
}

// A server before 3.6 refuses what it does not know, and closes the connection with it.
func TestServersWithoutBulkReadsAreReadOneByOne(t *testing.T) {
	bubble(t, "at once", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.ancient = true
		tr.put("/shop/10.0.0.1:80", "", 7)
		h := run(t, tr, config.Plain)
		tr.connect(1)
		settle(time.Second)
		expect(t, last(t, h), "10.0.0.1:80")
		wantRequests(t, "the first read", tr.requests(), "watch /shop", "childrenW /shop", "getW /shop/10.0.0.1:80")
		tr.put("/shop/10.0.0.2:80", "", 7)
		settle(100 * time.Millisecond)
		expect(t, last(t, h), "10.0.0.1:80", "10.0.0.2:80")
	})
	bubble(t, "the leader changed to an older one at once", func(t *testing.T) {
		tr, h := started(t, Options{})
		tr.ancient = true
		tr.disconnect()
		tr.set("/shop/10.0.0.1:80", `{"weight":9}`)
		tr.connect(1)
		settle(5 * time.Second)
		expect(t, last(t, h), "10.0.0.1:80 weight 9")
		tr.set("/shop/10.0.0.1:80", `{"weight":8}`)
		settle(100 * time.Millisecond)
		expect(t, last(t, h), "10.0.0.1:80 weight 8")
	})
}
