package zookeeper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustHosts(t *testing.T, seeds ...string) *hosts {
	t.Helper()
	h, err := newHosts(seeds)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// take returns the next n servers, sorted.
func take(h *hosts, n int) []string {
	var out []string
	for range n {
		s, _ := h.Next()
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// Scenario 14: names are looked up for every round, and a dead one costs nothing but itself.
func TestHostsAreLookedUpForEveryRound(t *testing.T) {
	h := mustHosts(t, "zk1:2181", "zk2:2181", "10.0.0.3:2181")
	addrs := map[string][]string{"zk1": {"10.0.0.1", "10.0.0.11"}}
	h.lookup = func(_ context.Context, host string) ([]string, error) {
		if a := addrs[host]; a != nil {
			return a, nil
		}
		return nil, errors.New("no such host")
	}
	want := []string{"10.0.0.11:2181", "10.0.0.1:2181", "10.0.0.3:2181"}
	if diff := cmp.Diff(want, take(h, 3)); diff != "" {
		t.Errorf("zk2 is dead (-want +got):\n%s", diff)
	}
	addrs["zk1"], addrs["zk2"] = []string{"10.9.0.1"}, []string{"10.9.0.2"}
	want = []string{"10.0.0.3:2181", "10.9.0.1:2181", "10.9.0.2:2181"}
	if diff := cmp.Diff(want, take(h, 3)); diff != "" {
		t.Errorf("zk1 moved and zk2 is back (-want +got):\n%s", diff)
	}
	take(h, 1)
	addrs["zk1"] = []string{"10.9.9.1"}
	h.Connected()
	if got := take(h, 3); !slices.Contains(got, "10.9.9.1:2181") {
		t.Errorf("after a connection: %v, want a new look-up", got)
	}
	addrs = nil
	h.seeds = []string{"zk1:2181"}
	h.Connected()
	if got := take(h, 1); got[0] != "zk1:2181" {
		t.Errorf("nothing resolves: %v, want the name for the dialer", got)
	}
}

func TestHostsDoNotWaitForADeadNameServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := mustHosts(t, "zk1:2181", "zk2:2181", "10.0.0.3:2181")
		h.lookup = func(ctx context.Context, _ string) ([]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		if got := take(h, 1); got[0] != "10.0.0.3:2181" || time.Since(start) != lookupLimit {
			t.Errorf("%v after %s, want the address after %s", got, time.Since(start), lookupLimit)
		}
	})
}

func TestHostsTryMembersBeforeSeeds(t *testing.T) {
	h := mustHosts(t, "10.0.0.1:2181", "10.0.0.2:2181")
	h.follow([]string{"10.0.0.2:2181", "10.0.0.3:2181"})
	if diff := cmp.Diff([]string{"10.0.0.2:2181", "10.0.0.3:2181"}, take(h, 2)); diff != "" {
		t.Errorf("first the members (-want +got):\n%s", diff)
	}
	if got := take(h, 1); got[0] != "10.0.0.1:2181" {
		t.Errorf("then %v, want the seed that is no member", got)
	}
	if h.Len() != 3 {
		t.Errorf("%d servers, want 3", h.Len())
	}
}

func TestHostsSpread(t *testing.T) {
	first := map[string]int{}
	for range 300 {
		h := mustHosts(t, "10.0.0.1:2181", "10.0.0.2:2181", "10.0.0.3:2181")
		s, _ := h.Next()
		first[s]++
	}
	for s, n := range first {
		if n < 50 || len(first) != 3 {
			t.Errorf("%s is first %d times of 300", s, n)
		}
	}
}

// A server that hangs would cost a third of a session more if it were tried again first.
func TestHostsTryTheOneThatWasLostLast(t *testing.T) {
	for range 50 {
		h := mustHosts(t, "10.0.0.1:2181", "10.0.0.2:2181", "10.0.0.3:2181")
		lost, _ := h.Next()
		h.Connected()
		if first := take(h, 2); slices.Contains(first, lost) {
			t.Fatalf("%s was lost, and then came %v", lost, first)
		}
		if third := take(h, 1); third[0] != lost {
			t.Fatalf("last came %s, want %s", third, lost)
		}
	}
}

func TestHostsPauseBetweenRounds(t *testing.T) {
	h := mustHosts(t, "10.0.0.1:2181", "10.0.0.2:2181")
	var got []time.Duration
	for range 12 {
		if _, again := h.Next(); again {
			t.Error("the library is told to pause")
		}
		got = append(got, h.breath())
	}
	for i, d := range got {
		most := time.Duration(0)
		if i > 0 && i%2 == 0 {
			most = min(firstPause<<(i/2-1), mostPause)
		}
		if d < most/2 || d > most {
			t.Errorf("try %d waits %s, want %s to %s; all: %v", i, d, most/2, most, got)
		}
	}
	h.Connected() // but it did not last
	if h.Next(); h.breath() < mostPause/2 {
		t.Error("a server that drops sessions at once is not waited for")
	}
	h.lasted()
	h.Connected()
	if h.Next(); h.breath() != 0 {
		t.Error("a server that was lost is not replaced at once")
	}
	h.close()
	if _, again := h.Next(); !again {
		t.Error("the library does not look whether it was closed")
	}
}

func TestServersAreHostAndPort(t *testing.T) {
	for _, bad := range []string{"", "zk1", ":2181", "zk1:", "zk1:0", "zk1:65536", "zk1:x", "::1:2181"} {
		if _, err := newHosts([]string{"10.0.0.1:2181", bad}); err == nil || !strings.Contains(err.Error(), `server "`+bad+`"`) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := newHosts(nil); err == nil {
		t.Error("no servers are accepted")
	}
	if _, err := newHosts([]string{"a", "b"}); err == nil || !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("two bad ones: %v, want both named", err)
	}
}

func TestMembers(t *testing.T) {
	config := strings.Join([]string{
		"server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181",
		"server.2=zk2.example.net:2888:3888:observer;zk2.example.net:2182",
		"server.3=[2001:db8::3]:2888:3888:participant;[2001:db8::3]:2181",
		"server.4=10.0.0.4:2888:3888:participant;0.0.0.0:2181",
		"server.5=10.0.0.5:2888:3888:participant;2181",
		"server.6=10.0.0.6:2888:3888:participant",
		"server.7=10.0.0.7:2888:3888;evil host:2181",
		"server.8=10.0.0.1:2888:3888:participant;10.0.0.1:2181",
		"group.1=1:2", "version=100000000", "",
	}, "\n")
	want := []string{"10.0.0.1:2181", "[2001:db8::3]:2181", "zk2.example.net:2182"}
	if diff := cmp.Diff(want, members([]byte(config))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzMembers: whatever the znode holds, what comes out is host:port and can be dialed.
func FuzzMembers(f *testing.F) {
	f.Add("server.1=10.0.0.1:2888:3888:participant;10.0.0.1:2181\nversion=100000000")
	f.Add("server.2=a|b;[::1]:2181\nserver.=;x:1\nserver.3=;\x00:1")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range members([]byte(text)) {
			host, port, err := splitAddr(m)
			if err != nil || port < 1 || strings.ContainsAny(host, " \t\r\n\x00/") {
				t.Errorf("%q: %v", m, err)
			}
		}
	})
}
