package haproxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// many is a rig with n routes of one service, r00 and so on, with three instances.
func many(t testing.TB, n int, tune ...func(*config.HAProxy)) *rig {
	routes := map[string]config.Route{}
	for i := range n {
		routes[fmt.Sprintf("r%02d", i)] = config.Route{Service: "inventory", Bind: fmt.Sprintf("127.0.0.1:%d", 3000+i)}
	}
	r := newRig(t, routes, tune...)
	r.tick(t)
	r.fake.start()
	r.tick(t)
	r.apply(t, "inventory", some(0, 3)...)
	r.fake.sent()
	r.fake.asked()
	return r
}

func TestAnAuditAsksForTwentyBackendsInALine(t *testing.T) {
	r := many(t, 45)
	out := audit(t, r)
	lines := r.fake.asked()
	var each []int
	for _, l := range lines {
		questions := strings.Split(l, ";")
		each = append(each, len(questions))
		for _, q := range questions {
			if !strings.HasPrefix(q, "show servers state zkwatch-r") {
				t.Errorf("it asked %q", q)
			}
		}
	}
	if want := []int{20, 20, 5}; !slices.Equal(each, want) {
		t.Errorf("lines of %v questions, want %v", each, want)
	}
	if len(out.Actions) > 0 {
		t.Errorf("nothing had changed, and it did %q", texts(out))
	}
}

func TestAnAuditFindsWhatOthersChangedInAnyBackendOfALine(t *testing.T) {
	type rogue struct{ backend, server string }
	tests := []struct {
		name   string
		at     []rogue
		change func(*fakeServer)
		found  []string // report
		repair []string
	}{
		{"the first and the last of a line", []rogue{{"r00", "s1"}, {"r19", "s3"}}, func(s *fakeServer) { s.admin = maint },
			[]string{"foreign: zkwatch-r00/s1: state maint instead of ready", "foreign: zkwatch-r19/s3: state maint instead of ready"},
			[]string{"set server zkwatch-r00/s1 state ready", "set server zkwatch-r19/s3 state ready"}},
		{"in another line", []rogue{{"r20", "s2"}}, func(s *fakeServer) { s.weight = 9 },
			[]string{"foreign: zkwatch-r20/s2: weight 9 instead of 1"}, []string{"set server zkwatch-r20/s2 weight 1"}},
		{"a free slot", []rogue{{"r24", "s4"}}, func(s *fakeServer) { s.admin = ready },
			[]string{"foreign: zkwatch-r24/s4: state ready instead of maint"}, []string{"set server zkwatch-r24/s4 state maint"}},
		{"what serves nobody may be changed", []rogue{{"r07", "s4"}}, func(s *fakeServer) { s.weight = 9 }, nil, nil},
	}
	for _, test := range tests {
		for _, mode := range []string{"repair", "report"} {
			t.Run(test.name+", "+mode, func(t *testing.T) {
				r := many(t, 25, func(c *config.HAProxy) { c.Foreign = mode })
				for _, x := range test.at {
					r.fake.with(prefix+x.backend, x.server, test.change)
				}
				found, sent := audit(t, r), r.fake.sent()
				if mode == "repair" && !slices.Equal(sent, test.repair) {
					t.Errorf("repaired by %q, want %q", sent, test.repair)
				}
				if mode == "report" && (!slices.Equal(texts(found), test.found) || len(sent) > 0) {
					t.Errorf("found %q and sent %q, want %q found and nothing sent", texts(found), sent, test.found)
				}
				if again := audit(t, r); len(again.Actions) > 0 {
					t.Errorf("the next audit did %q", texts(again))
				}
			})
		}
	}
}

// What serves nobody is taken over all the same: the next instance that gets the slot gets its
// own address and weight.
func TestAnAuditKeepsAccountOfFreeSlotsThatOthersChanged(t *testing.T) {
	r := many(t, 1)
	r.fake.with("zkwatch-r00", "s4", func(s *fakeServer) { s.weight, s.addr = 9, r.fake.backends["zkwatch-r00"][0].addr })
	audit(t, r)
	r.apply(t, "inventory", some(0, 4)...)
	want := []string{"set server zkwatch-r00/s4 addr 10.0.0.4 port 80", "set server zkwatch-r00/s4 weight 1", "set server zkwatch-r00/s4 state ready"}
	if got := r.fake.sent(); !slices.Equal(got, want) {
		t.Errorf("commands %q, want %q", got, want)
	}
}

// Tens of thousands of servers are compared again and again, and nearly always nothing is other.
func TestAnAuditThatFindsNothingKeepsTheServers(t *testing.T) {
	r := many(t, 1)
	r.fake.with("zkwatch-r00", "s2", func(s *fakeServer) { s.down, s.failed = true, true })
	b := r.backend("zkwatch-r00")
	before := &b.servers[0]
	text := r.fake.state([]string{b.name})
	allocs := testing.AllocsPerRun(10, func() {
		if same, err := b.agrees(text); err != nil || !same {
			t.Errorf("the same: %v, %v", same, err)
		}
	})
	if &b.servers[0] != before || allocs > 2 {
		t.Errorf("the servers were moved: %v; %v allocations, want at most those of the iteration", &b.servers[0] != before, allocs)
	}
	if st := r.Status().Backends[0]; st.Down != 1 {
		t.Errorf("%d servers are down, want the one that HAProxy says", st.Down)
	}
}

// A line is answered or not as a whole: what is behind a wrong answer is not believed either.
func TestAnAuditThatIsNotUnderstoodStartsOver(t *testing.T) {
	r := many(t, 5)
	r.fake.answer = func(cmd string) (string, bool) {
		return "Can't find backend.\n", cmd == "show servers state zkwatch-r03"
	}
	if _, err := r.Audit(t.Context()); err == nil || !strings.Contains(err.Error(), "Can't find backend.") {
		t.Errorf("error %v, want one with the answer", err)
	}
	if r.Status().Connected {
		t.Error("the connection is believed, want a new one")
	}
	r.fake.answer = nil
	var out watcher.Outcome
	r.look(t.Context(), &out)
	if got := audit(t, r); len(got.Actions) > 0 || !r.Status().Connected {
		t.Errorf("the next audit did %q, connected %v", texts(got), r.Status().Connected)
	}
}
