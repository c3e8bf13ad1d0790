package zookeeper

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/watcher"
)

func TestBoardKeepsANoticeForEachHost(t *testing.T) {
	eachWay(t, "", func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		b := tr.c.Board("/zkwatch/hosts")
		if all, err := b.Notices(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("before anybody has posted: %v, %v", all, err)
		}
		mine := watcher.Notice{Host: "host1", Version: "1", Services: map[string]watcher.Applied{"shop": {Revision: 7, Truth: watcher.Known, Instances: 2}},
			Draining: map[string]map[string]int{"shop": {"10.0.0.1:80": 0}}}
		if err := b.Post(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		tr.put("/zkwatch/hosts/host0", `{"host":"host0","version":"1"}`, 99)
		tr.put("/zkwatch/hosts/host2", `{"host":"host1"}`, 99) // another's name
		tr.put("/zkwatch/hosts/host3", `{"host":`, 99)
		read := func() []watcher.Notice {
			t.Helper()
			all, err := b.Notices(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		want := []watcher.Notice{{Host: "host0", Version: "1"}, mine}
		if diff := cmp.Diff(want, read()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		mine.Version, want[1].Version = "2", "2"
		if err := b.Post(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		tr.disconnect()
		tr.expire(1)
		if _, _, ok := tr.at("/zkwatch/hosts/host1"); ok {
			t.Error("the notice outlived its session")
		}
		tr.connect(2)
		synctest.Wait()
		if diff := cmp.Diff(want, read()); diff != "" {
			t.Errorf("in the next session (-want +got):\n%s", diff)
		}
	})
}

func TestBoardRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, Options{})
		tr.connect(1)
		for _, host := range []string{"", "a/b", "..", "a b"} {
			if err := tr.c.Board("/hosts").Post(t.Context(), watcher.Notice{Host: host}); err == nil {
				t.Errorf("host %q is accepted", host)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		tr.put("/hosts/host1", "", 0)
		tr.mu.Lock()
		tr.nodes["/hosts"].denied = true
		tr.mu.Unlock()
		if _, err := tr.c.Board("/hosts").Notices(ctx); err == nil {
			t.Error("a board that may not be read is empty")
		}
	})
}
