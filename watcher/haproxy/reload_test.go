package haproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// restructure gives the rig's HAProxy a sink with other routes, as a new configuration does.
func (r *rig) restructure(t testing.TB, routes map[string]config.Route) *rig {
	t.Helper()
	c := config.Config{HAProxy: r.o.Config, Routes: routes}
	config.Default(&c)
	return rigFor(t, c, r.fake)
}

func two() map[string]config.Route {
	return map[string]config.Route{"a": route("inventory"), "b": {Service: "orders", Bind: "127.0.0.1:3001"}}
}

func TestARouteMoreIsOneReload(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(1, 4)...)
	r.tick(t)
	r.fake.sent()

	next := r.restructure(t, two())
	next.apply(t, "inventory", some(1, 4)...)
	if out := next.apply(t, "orders", at(9)); !out.Pending {
		t.Errorf("a route that HAProxy does not have yet: %+v, want pending", out)
	}
	out := next.tick(t)
	if next.fake.reloads != 1 {
		t.Fatalf("%d reloads, want 1; it did %q", next.fake.reloads, texts(out))
	}
	if got := next.fake.sent(); len(got) > 0 {
		t.Errorf("the file had everything, and yet there were commands: %q", got)
	}
	if got, want := next.fake.serving("zkwatch-b"), (map[string]string{"10.0.0.10:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("the new backend has %v, want %v", got, want)
	}
	if out := next.tick(t); len(out.Actions) > 0 || next.fake.reloads != 1 {
		t.Errorf("afterwards it did %q, %d reloads", texts(out), next.fake.reloads)
	}
}

// Scenario 17: a deploy that is faster than the interval between reloads.
func TestInstancesComeAndGoWhileAReloadHasToWait(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(1, 3)...)
	r = r.restructure(t, two())
	r.apply(t, "inventory", some(1, 3)...)
	r.apply(t, "orders", at(50))
	r.reloads.last = time.Now() // one has just been made: the next has to wait
	r.fake.sent()

	r.apply(t, "inventory", some(3, 5)...) // all of them replaced
	if got, want := r.fake.serving("zkwatch-a"), (map[string]string{"10.0.0.4:80": "weight 1", "10.0.0.5:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("it serves %v, want %v", got, want)
	}
	states := slices.DeleteFunc(r.fake.sent(), func(c string) bool { return !strings.Contains(c, " state ") })
	want := []string{"set server zkwatch-a/s3 state ready", "set server zkwatch-a/s4 state ready", "set server zkwatch-a/s1 state maint", "set server zkwatch-a/s2 state maint"}
	if !slices.Equal(states, want) {
		t.Errorf("states were changed so: %q, want %q: nothing goes before what comes is ready", states, want)
	}
	if r.tick(t); r.fake.reloads != 0 {
		t.Errorf("%d reloads within the interval, want none", r.fake.reloads)
	}
}

// Scenario 18.
func TestAChangeDuringAReloadReachesTheNewWorker(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(1, 3)...)
	r = r.restructure(t, two())
	r.apply(t, "orders", at(9))
	r.apply(t, "inventory", some(1, 3)...)
	var during watcher.Outcome
	r.fake.onReload = func() { during = r.apply(t, "inventory", at(2), at(7)) }
	r.tick(t)
	if !during.Pending || len(during.Actions) > 0 {
		t.Errorf("a change during the reload: %+v, want pending and no command", during)
	}
	if got, want := r.fake.serving("zkwatch-a"), (map[string]string{"10.0.0.3:80": "weight 1", "10.0.0.8:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("the new worker serves %v, want %v", got, want)
	}
}

// Scenarios 19 and 20.
func TestAReloadThatFailsLeavesWhatRuns(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(r *rig)
		why   string
		loads int // attempts of the master
	}{
		{"haproxy -c refuses the file", func(r *rig) { r.bad = &checkError{said: ": unknown keyword"} }, "unknown keyword", 0},
		{"the check passes and the load fails", func(r *rig) { r.fake.loadErr = "cannot bind" }, "did not load", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := started(t, one("inventory"))
			r.apply(t, "inventory", some(1, 3)...)
			r.tick(t)
			good := read(t, r.o.Config.File)
			pid := r.fake.pid

			r = r.restructure(t, two())
			test.spoil(r)
			r.apply(t, "inventory", some(1, 3)...)
			r.apply(t, "orders", at(9))
			out := r.tick(t)
			if !slices.ContainsFunc(out.Actions, func(a watcher.Action) bool { return a.Kind == "refused" && strings.Contains(a.Why, test.why) }) {
				t.Errorf("it did %+v, want a refusal that says %q", out.Actions, test.why)
			}
			r.tick(t)
			if got := read(t, r.o.Config.File); got != good {
				t.Errorf("the file is not the last good one:\n%s", got)
			}
			r.reloads.last = time.Time{} // nothing holds it back but the refusal
			for range 3 {
				if out := r.tick(t); len(out.Actions) > 0 {
					t.Errorf("it went on: %q", texts(out))
				}
			}
			if r.fake.pid != pid || r.fake.reloads != test.loads {
				t.Errorf("worker %d, then %d, after %d loads; want the same one after %d", pid, r.fake.pid, r.fake.reloads, test.loads)
			}
			// What HAProxy runs follows the registry as before, in the file as well.
			r.apply(t, "inventory", at(2), at(3))
			r.tick(t)
			if got, want := r.fake.serving("zkwatch-a"), (map[string]string{"10.0.0.3:80": "weight 1", "10.0.0.4:80": "weight 1"}); !maps.Equal(got, want) {
				t.Errorf("it serves %v, want %v", got, want)
			}
			if got := read(t, r.o.Config.File); !strings.Contains(got, "10.0.0.4:80") || strings.Contains(got, "zkwatch-b") {
				t.Errorf("the file does not follow what runs:\n%s", got)
			}
			// Somebody mends it and reloads: it is tried again.
			r.bad, r.fake.loadErr = nil, ""
			r.fake.reload()
			r.tick(t)
			if r.reloads.last = (time.Time{}); len(r.fake.serving("zkwatch-b")) == 0 {
				r.tick(t)
			}
			if got, want := r.fake.serving("zkwatch-b"), (map[string]string{"10.0.0.10:80": "weight 1"}); !maps.Equal(got, want) {
				t.Errorf("after it was mended the new backend has %v, want %v", got, want)
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAPortThatIsTakenIsSeenBeforeHAProxyPausesForIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := started(t, one("inventory"))
	routes := two()
	routes["b"] = config.Route{Service: "orders", Bind: l.Addr().String()}
	r = r.restructure(t, routes)
	r.apply(t, "inventory", at(1))
	r.apply(t, "orders", at(9))
	out := r.tick(t)
	if !slices.ContainsFunc(out.Actions, func(a watcher.Action) bool { return a.Kind == "refused" && strings.Contains(a.Why, l.Addr().String()) }) {
		t.Errorf("it did %+v, want a refusal that names %s", out.Actions, l.Addr())
	}
	if r.fake.reloads != 0 {
		t.Errorf("HAProxy was reloaded %d times, want not at all", r.fake.reloads)
	}
	// Others reload, so it is tried again, before the file was due: what runs is still followed.
	r.fake.reload()
	r.file.next = time.Now().Add(time.Minute)
	r.reloads.last = time.Time{}
	r.tick(t)
	r.apply(t, "inventory", at(1), at(2))
	r.tick(t)
	if got := read(t, r.o.Config.File); !strings.Contains(got, "10.0.0.3:80") || strings.Contains(got, "zkwatch-b") {
		t.Errorf("the file does not follow what runs:\n%s", got)
	}
}

func TestACrashBetweenWriteAndReloadIsMadeGood(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", at(1))
	r.tick(t)
	r = r.restructure(t, two())
	r.flush(t.Context(), false, &watcher.Outcome{}) // and here it is killed

	r = r.restructure(t, two())
	r.apply(t, "inventory", at(1))
	r.apply(t, "orders", at(9))
	r.tick(t)
	if r.fake.reloads != 1 || len(r.fake.serving("zkwatch-b")) != 1 {
		t.Errorf("%d reloads, and the new backend has %v", r.fake.reloads, r.fake.serving("zkwatch-b"))
	}
}

func TestAfterACrashAndAFailureTheLastGoodFileIsFound(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", at(1))
	r.tick(t)
	good := read(t, r.o.Config.File)
	r = r.restructure(t, two())
	r.tick(t) // waits for the sets, with the new file in place
	if read(t, r.o.Config.File) == good {
		t.Fatal("the new file was not written")
	}
	r = r.restructure(t, two())
	r.fake.loadErr = "cannot bind"
	r.apply(t, "inventory", at(1))
	r.apply(t, "orders", at(9))
	r.tick(t)
	r.tick(t)
	if got := read(t, r.o.Config.File); got != good {
		t.Errorf("the file is not the last good one:\n%s", got)
	}
}

func TestAHAProxyThatDoesNotReadTheFileIsNotReloadedOverAndOver(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", at(1))
	// A HAProxy of the operator's own, with sockets in the right places and not our file.
	r.fake.file = r.o.Config.File + ".other"
	if err := os.WriteFile(r.fake.file, newDocument([]string{"global", gapShape}).render(nil), 0o644); err != nil {
		t.Fatal(err)
	}
	r.fake.reload()
	r.fake.reloads = 0
	var refusals int
	for range 5 {
		out := r.tick(t)
		r.reloads.last = time.Time{}
		r.apply(t, "inventory", at(1), at(2+refusals))
		for _, a := range out.Actions {
			if a.Kind == "refused" && strings.Contains(a.Why, "command line must name it") {
				refusals++
			}
		}
	}
	if r.fake.reloads != 1 || refusals != 1 {
		t.Errorf("%d reloads and %d refusals, want one each", r.fake.reloads, refusals)
	}
}

func TestReloadsAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, two())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := r.Run(ctx, func(watcher.Outcome) {}); err != nil {
				t.Error(err)
			}
		}()
		began := time.Now()
		r.apply(t, "inventory")
		r.apply(t, "orders")
		// Cookies leave only reloads for growth; here nothing is left at all.
		r.mu.Lock()
		for _, b := range r.backends {
			b.noAdd = "by this test"
		}
		r.mu.Unlock()
		var when []time.Duration
		seen := 0
		for n := 1; n <= 100; n++ {
			r.apply(t, "inventory", some(0, 5*n)...)
			time.Sleep(500 * time.Millisecond)
			r.mu.Lock()
			for _, b := range r.backends {
				b.noAdd = "by this test"
			}
			r.mu.Unlock()
			r.fake.mu.Lock()
			if r.fake.reloads > seen {
				seen = r.fake.reloads
				when = append(when, time.Since(began).Round(time.Second))
			}
			r.fake.mu.Unlock()
		}
		cancel()
		<-done
		if len(when) == 0 || when[0] > 2*time.Second {
			t.Errorf("reloads at %v, want the first at once", when)
		}
		for i := 1; i < len(when); i++ {
			if when[i]-when[i-1] < 9*time.Second {
				t.Errorf("reloads at %v, want 10s between two", when)
			}
		}
		if got := len(r.fake.serving("zkwatch-a")); got < 450 {
			t.Errorf("after 50 s it serves %d of 500", got)
		}
	})
}

// Scenario 21.
func TestOldWorkersAreThinnedOut(t *testing.T) {
	r := started(t, one("inventory"), func(c *config.HAProxy) { c.OldWorkers = 2 })
	r.apply(t, "inventory", at(1))
	for range 4 {
		r.fake.reload()
	}
	for _, w := range r.fake.old {
		r.fake.sessions[w.pid] = 100
	}
	r.tick(t)
	var left []int
	for _, w := range byAge(r.fake.old) {
		left = append(left, r.fake.sessions[w.pid])
	}
	if want := []int{90, 90, 100, 100}; !slices.Equal(left, want) {
		t.Errorf("sessions of old workers, oldest first: %v, want %v", left, want)
	}
	if got := r.Status().OldWorkers; got != 4 {
		t.Errorf("the status has %d old workers, want 4", got)
	}
}

func TestServersThatWereDownAreDownInTheNewWorker(t *testing.T) {
	r := started(t, two())
	r.apply(t, "inventory", some(1, 4)...)
	r.apply(t, "orders", at(9))
	r.fake.with("zkwatch-a", "s2", func(s *fakeServer) { s.down, s.failed = true, true })
	r.fake.with("zkwatch-b", "s1", func(s *fakeServer) { s.down, s.failed = true, true })
	r.tick(t)
	r.fake.sent()
	r.fake.reload()
	r.tick(t)
	// The only server of b is left up: nothing is worse than a backend without any.
	if got, want := r.fake.sent(), []string{"set server zkwatch-a/s2 health down"}; !slices.Equal(got, want) {
		t.Errorf("commands for the new worker: %q, want %q", got, want)
	}
}

// Scenario 28, the disk.
func TestWithoutADiskTheRuntimeGoesOn(t *testing.T) {
	r := started(t, one("inventory"))
	dir := r.o.Config.File[:strings.LastIndex(r.o.Config.File, "/")]
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r.apply(t, "inventory", at(1))
	if got, want := r.fake.serving("zkwatch-a"), (map[string]string{"10.0.0.2:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("it serves %v, want %v", got, want)
	}
	alarms := 0
	for range 3 {
		r.file.next = time.Time{}
		out := r.tick(t)
		alarms += len(out.Actions)
	}
	if alarms != 1 {
		t.Errorf("%d alarms about the file, want one", alarms)
	}
	if err := errors.Join(os.Remove(dir), os.Rename(dir+".gone", dir)); err != nil {
		t.Fatal(err)
	}
	r.file.next = time.Time{}
	r.tick(t)
	if got := read(t, r.o.Config.File); !strings.Contains(got, "10.0.0.2:80") {
		t.Errorf("with the disk back the file is\n%s", got)
	}
}

func TestWhatTheOperatorsOwnFileFailsIsNotOurs(t *testing.T) {
	r := newRig(t, one("inventory"))
	r.check = func(_ context.Context, files []string) error {
		r.checks = append(r.checks, files)
		if files[0] == "/etc/haproxy/haproxy.cfg" {
			return &checkError{said: ": cannot read /etc/haproxy/key.pem"}
		}
		return nil
	}
	out := r.tick(t)
	if len(out.Actions) != 1 || out.Actions[0].Kind != "write" {
		t.Errorf("it did %q, want the write", texts(out))
	}
	if n := len(r.checks); n != 3 || len(r.checks[2]) != 1 {
		t.Errorf("checks of %q, want of all, of the operator's, of ours", r.checks)
	}
}

func TestASilentMasterIsAskedAgainLater(t *testing.T) {
	r := started(t, one("inventory"))
	r = r.restructure(t, two())
	r.apply(t, "inventory", at(1))
	r.apply(t, "orders", at(2))
	works := r.master.dial
	r.master.dial = func(context.Context, string) (net.Conn, error) { return nil, fmt.Errorf("permission denied") }
	r.tick(t)
	r.master.dial = works
	r.reloads.last = time.Now().Add(-time.Hour)
	if r.tick(t); r.fake.reloads != 1 {
		t.Errorf("%d reloads, want one: nothing was refused", r.fake.reloads)
	}
}

func overwrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
