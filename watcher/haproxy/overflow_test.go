package haproxy

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

func TestSlotsLeaveRoomAndRarelyChange(t *testing.T) {
	tests := []struct{ live, want int }{{0, 4}, {1, 8}, {4, 8}, {5, 12}, {8, 12}, {9, 16}, {20, 32}, {100, 152}, {5000, 7500}}
	for _, test := range tests {
		if got := slots(test.live, 4); got != test.want {
			t.Errorf("%d instances get %d slots, want %d", test.live, got, test.want)
		}
	}
}

// Scenario 24.
func TestInstancesBeyondTheSlotsAreServedAtOnce(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 4)...)
	r.fake.sent()
	out := r.apply(t, "inventory", some(0, 6)...)
	want := []string{
		"add server zkwatch-a/x1 10.0.0.5:80 id 100001 weight 1 check inter 2s rise 2 fall 3 observe layer7 error-limit 20 on-error mark-down pool-purge-delay 5s pool-max-conn -1",
		"enable health zkwatch-a/x1", "set server zkwatch-a/x1 state ready",
		"add server zkwatch-a/x2 10.0.0.6:80 id 100002 weight 1 check inter 2s rise 2 fall 3 observe layer7 error-limit 20 on-error mark-down pool-purge-delay 5s pool-max-conn -1",
		"enable health zkwatch-a/x2", "set server zkwatch-a/x2 state ready",
	}
	if got := r.fake.sent(); !slices.Equal(got, want) {
		t.Errorf("commands\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if out.Pending {
		t.Error("pending, though all is served")
	}
	if r.tick(t); r.fake.reloads != 0 {
		t.Errorf("%d reloads for two instances more, want none", r.fake.reloads)
	}
	// Whoever reloads HAProxy now finds all of them in slots.
	r.fake.reload()
	out = r.tick(t)
	if got := len(r.fake.serving("zkwatch-a")); got != 6 || len(r.fake.sent()) > 0 {
		t.Errorf("after a reload by others %d are served, and it did %q; want 6 and nothing", got, texts(out))
	}
}

// Scenario 23.
func TestNoServerIsEverDeletedAndAllAreUsedAgain(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 6)...)
	r.apply(t, "inventory", some(0, 2)...)
	r.tick(t) // their last connections have ended
	r.fake.sent()
	r.apply(t, "inventory", append(some(0, 2), some(10, 14)...)...)
	for _, c := range r.fake.sent() {
		if strings.Contains(c, "del ") || strings.HasPrefix(c, "add ") {
			t.Errorf("%q, with two slots and two servers beyond them free", c)
		}
	}
	if got := len(r.fake.serving("zkwatch-a")); got != 6 {
		t.Errorf("%d are served, want 6", got)
	}
}

func TestMuchGrowthIsFoldedIntoSlots(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 20)...)
	if out := r.tick(t); r.fake.reloads != 1 {
		t.Fatalf("%d reloads with 16 servers beyond 4 slots, want one; it did %q", r.fake.reloads, texts(out))
	}
	st := r.Status().Backends[0]
	if st.Slots != 32 || st.Overflow != 0 || st.Ready != 20 {
		t.Errorf("afterwards %+v, want 32 slots, 20 ready and none beyond them", st)
	}
}

func TestWhatCannotBeAddedAtRunTimeWaitsForAReload(t *testing.T) {
	tests := []struct {
		name  string
		route config.Route
		says  string // to add server
		adds  bool
	}{
		{"a cookie", config.Route{Service: "inventory", Bind: "127.0.0.1:3000", Cookie: "SRV"}, "", false},
		{"an algorithm that is fixed at the start", config.Route{Service: "inventory", Bind: "127.0.0.1:3000", Balance: "source"}, "", false},
		{"default-server lines of the operator", config.Route{Service: "inventory", Bind: "127.0.0.1:3000", Backend: []string{"default-server slowstart 5s"}}, "", false},
		{"no file descriptors left", config.Route{Service: "inventory", Bind: "127.0.0.1:3000"}, "Failed to initialize check.\n", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := started(t, map[string]config.Route{"a": test.route})
			r.fake.answer = func(cmd string) (string, bool) { return test.says, test.says != "" && strings.HasPrefix(cmd, "add ") }
			out, err := r.Apply(t.Context(), []watcher.Set{{Service: "inventory", Instances: some(0, 6)}})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(r.fake.serving("zkwatch-a")); got != 4 || !out.Pending {
				t.Errorf("%d are served, pending %v; want 4 and pending", got, out.Pending)
			}
			r.tick(t)
			if got := len(r.fake.serving("zkwatch-a")); got != 6 || r.fake.reloads != 1 {
				t.Errorf("after a look %d are served with %d reloads, want 6 with one", got, r.fake.reloads)
			}
			if added := slices.ContainsFunc(r.fake.sent(), func(c string) bool { return strings.HasPrefix(c, "add ") }); added && !test.adds {
				t.Error("add server was tried")
			}
		})
	}
}

// Scenario 24, the limit of file descriptors: HAProxy does not start with more slots.
func TestMoreSlotsThanHAProxyCanHaveAreNotAskedForAgain(t *testing.T) {
	r := started(t, map[string]config.Route{"a": {Service: "inventory", Bind: "127.0.0.1:3000", Cookie: "SRV"}})
	r.fake.loadErr = "Cannot raise FD limit"
	r.apply(t, "inventory", some(0, 6)...)
	r.tick(t)
	r.tick(t)
	r.reloads.last = time.Time{}
	r.apply(t, "inventory", some(0, 7)...)
	r.tick(t)
	if r.fake.reloads != 1 {
		t.Errorf("%d reloads, want one", r.fake.reloads)
	}
	// A file with which HAProxy can be restarted.
	_, lines, ok := parseDocument([]byte(read(t, r.o.Config.File)))
	if !ok || len(lines["zkwatch-a"]) != 4 {
		t.Errorf("the file has %d slots, want the 4 that work", len(lines["zkwatch-a"]))
	}
	if st := r.Status(); st.Backends[0].Missing != 3 || !strings.Contains(st.Refused, "did not load") {
		t.Errorf("the status is %+v, want 3 missing, and why", st)
	}
}

func TestASlotIsNotReusedWhileItsConnectionsLast(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 4)...)
	r.fake.with("zkwatch-a", "s2", func(s *fakeServer) { s.used = 3 })
	r.fake.sent()
	r.apply(t, "inventory", at(0), at(2), at(3))
	r.apply(t, "inventory", at(0), at(2), at(3), at(9)) // the fake fails the test if s2 gets the address
	if got := r.fake.sent(); len(got) != 4 || !strings.HasPrefix(got[1], "add server zkwatch-a/x1 10.0.0.10:80") {
		t.Errorf("with s2 in use, i009 came by %q, want a server beyond the slots", got)
	}
	r.fake.with("zkwatch-a", "s2", func(s *fakeServer) { s.used = 0 })
	r.apply(t, "inventory", at(0), at(2), at(3), at(9), at(10))
	if got := r.fake.sent(); len(got) == 0 || !strings.HasPrefix(got[0], "set server zkwatch-a/s2 addr 10.0.0.11") {
		t.Errorf("with s2 free again, i010 came by %q, want s2", got)
	}
}

// Scenario 27.
func TestAnswersThatAreNotKnown(t *testing.T) {
	tests := []struct {
		name    string
		command string // prefix
		says    string
		times   int // how often it says so; later ones are answered well
		applied bool
		stuck   bool // until a reload
	}{
		{"once: it is compared and told again", "set server zkwatch-a/s1 addr", "Internal error.\n", 1, true, false},
		{"once, in the middle of a change", "set server zkwatch-a/s1 state", "Internal error.\n", 1, true, false},
		{"the connection ends", "set server zkwatch-a/s1 state", "eof", 1, true, false},
		{"for ever: the others go on", "set server zkwatch-a/s1 state", "Internal error.\n", 100, false, true},
		{"an address other than the one that was given: another slot", "set server zkwatch-a/s1 addr", "IP changed from '127.0.0.1' to '10.9.9.9', port changed from '1' to '80' by 'stats socket command'\n", 100, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := started(t, two())
			left := test.times
			r.fake.answer = func(cmd string) (string, bool) {
				if left == 0 || !strings.HasPrefix(cmd, test.command) {
					return "", false
				}
				left--
				return test.says, true
			}
			out, err := r.Apply(t.Context(), []watcher.Set{{Service: "inventory", Instances: some(0, 2)}, {Service: "orders", Instances: some(5, 7)}})
			if test.stuck != out.Pending || test.stuck != (err != nil) {
				t.Errorf("pending %v, error %v; want stuck %v", out.Pending, err, test.stuck)
			}
			if got := r.fake.serving("zkwatch-a"); test.applied && len(got) != 2 {
				t.Errorf("inventory has %v", got)
			}
			if got, want := r.fake.serving("zkwatch-b"), (map[string]string{"10.0.0.6:80": "weight 1", "10.0.0.7:80": "weight 1"}); !maps.Equal(got, want) {
				t.Errorf("orders has %v, want %v", got, want)
			}
			if !test.stuck {
				return
			}
			var wrong *answerError
			if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.command, test.command) {
				t.Errorf("the error is %v, want one about %q", err, test.command)
			}
			r.tick(t)
			if got := len(r.fake.serving("zkwatch-a")); got != 2 || r.fake.reloads != 1 {
				t.Errorf("after the reload it serves %d with %d reloads, want 2 with one", got, r.fake.reloads)
			}
			r.reloads.last = time.Time{}
			if r.tick(t); r.fake.reloads != 1 {
				t.Errorf("%d reloads, want no second one", r.fake.reloads)
			}
		})
	}
}

// A deploy that replaces everything at once, with too few free slots: at no moment is nothing served.
func TestABackendIsNeverEmptiedOnTheWay(t *testing.T) {
	for _, cookie := range []string{"", "SRV"} { // with and without servers beyond the slots
		r := started(t, map[string]config.Route{"a": {Service: "inventory", Bind: "127.0.0.1:3000", Cookie: cookie}})
		r.apply(t, "inventory", some(0, 4)...)
		for _, name := range []string{"s1", "s2", "s3", "s4"} {
			r.fake.with("zkwatch-a", name, func(s *fakeServer) { s.used = 1 })
		}
		least := 4
		r.fake.answer = func(string) (string, bool) {
			least = min(least, len(r.fake.serving("zkwatch-a")))
			return "", false
		}
		out := r.apply(t, "inventory", some(10, 14)...)
		if least == 0 {
			t.Errorf("cookie %q: for a moment nothing was served", cookie)
		}
		if cookie != "" && !out.Pending {
			t.Errorf("cookie %q: it is not pending, and serves %v", cookie, r.fake.serving("zkwatch-a"))
		}
		for _, name := range []string{"s1", "s2", "s3", "s4"} {
			r.fake.with("zkwatch-a", name, func(s *fakeServer) { s.used = 0 })
		}
		r.bad = &checkError{said: ": no reload in this test"}
		r.tick(t)
		r.tick(t)
		if got := slices.Sorted(maps.Keys(r.fake.serving("zkwatch-a"))); !slices.Equal(got, []string{"10.0.0.11:80", "10.0.0.12:80", "10.0.0.13:80", "10.0.0.14:80"}) || least == 0 {
			t.Errorf("cookie %q: in the end it serves %v", cookie, got)
		}
	}
}
