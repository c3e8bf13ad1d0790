package haproxy

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// Scenario 25.
func TestAWorkerThatOthersStartedIsComparedWhole(t *testing.T) {
	tests := []struct {
		name  string
		event func(f *fake)
	}{
		{"systemctl reload", (*fake).reload},
		{"a crash and a restart", func(f *fake) { f.stop(); f.start() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := started(t, one("inventory"))
			r.apply(t, "inventory", some(0, 3)...)
			// The file is a second behind: the new worker starts with what was before.
			test.event(r.fake)
			if len(r.fake.serving("zkwatch-a")) != 0 {
				t.Fatal("the new worker was to start with an old file")
			}
			out := r.tick(t)
			if got := len(r.fake.serving("zkwatch-a")); got != 3 {
				t.Errorf("after a look it serves %d, want 3", got)
			}
			if len(out.Actions) == 0 || out.Actions[0].Kind != "repair" || !strings.Contains(out.Actions[0].Text, "new worker") {
				t.Errorf("it did %q, want first the news of another worker", texts(out))
			}
			if r.fake.reloads > 1 {
				t.Errorf("%d reloads", r.fake.reloads)
			}
		})
	}
}

func TestAnOldWorkerIsLeftWhenItRefuses(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 3)...)
	r.tick(t)
	r.fake.reload() // our connection is to a worker that says "Proxy is disabled." from now on
	out := r.apply(t, "inventory", some(0, 2)...)
	if got := len(r.fake.serving("zkwatch-a")); got != 2 || out.Pending {
		t.Errorf("the new worker serves %d, pending %v; want 2 at once", got, out.Pending)
	}
}

// Scenario 27, the hang.
func TestASocketThatHangsIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, one("inventory"))
		hang := true
		r.fake.answer = func(string) (string, bool) { return "hang", hang }
		r.fake.onReload = func() { hang = false }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		var did []string
		go func() {
			defer close(done)
			if err := r.Run(ctx, func(o watcher.Outcome) { did = append(did, texts(o)...) }); err != nil {
				t.Error(err)
			}
		}()
		began := time.Now()
		out, err := r.Apply(t.Context(), []watcher.Set{{Service: "inventory", Instances: some(0, 2)}})
		if err == nil || !out.Pending {
			t.Errorf("error %v, pending %v; want an error and pending", err, out.Pending)
		}
		if took := time.Since(began); took > 3*opTimeout {
			t.Errorf("it took %s", took)
		}
		time.Sleep(30 * time.Second)
		cancel()
		<-done
		if got := len(r.fake.serving("zkwatch-a")); got != 2 || r.fake.reloads != 1 {
			t.Errorf("half a minute later it serves %d with %d reloads, want 2 with one; it did %q", got, r.fake.reloads, did)
		}
	})
}

func TestASocketThatHangsForEverIsNotReloadedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, one("inventory"))
		r.fake.answer = func(string) (string, bool) { return "hang", true }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := r.Run(ctx, func(watcher.Outcome) {}); err != nil {
			t.Error(err)
		}
		if r.fake.reloads != 1 {
			t.Errorf("%d reloads in ten minutes, want one", r.fake.reloads)
		}
	})
}

func TestAHAProxyThatIsTooOldIsLeftAlone(t *testing.T) {
	r := newRig(t, one("inventory"))
	r.tick(t)
	r.fake.version = "2.4.22"
	r.fake.start()
	for range 5 {
		r.retryAt = time.Time{}
		r.tick(t)
	}
	out, err := r.Apply(t.Context(), []watcher.Set{{Service: "inventory", Instances: some(0, 2)}})
	if !out.Pending || len(r.fake.sent()) > 0 || r.fake.reloads > 0 {
		t.Errorf("outcome %+v, %v; %d reloads", out, err, r.fake.reloads)
	}
	r.retryAt = time.Time{}
	if _, err := r.Apply(t.Context(), []watcher.Set{{Service: "inventory", Instances: some(0, 3)}}); err == nil || !strings.Contains(err.Error(), "2.4.22 is too old: 2.6.0 or later is needed") {
		t.Errorf("the error is %v, want one that names both versions", err)
	}
}

// Scenario 26.
func TestWhatOthersChangeIsRepairedOrReported(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *fakeServer)
		text   string
		repair []string
	}{
		{"taken out by hand", func(s *fakeServer) { s.admin = maint }, "state maint instead of ready", []string{"set server zkwatch-a/s1 state ready"}},
		{"drained by hand", func(s *fakeServer) { s.admin = drain }, "state drain instead of ready", []string{"set server zkwatch-a/s1 state ready"}},
		{"another weight", func(s *fakeServer) { s.weight = 99 }, "weight 99 instead of 1", []string{"set server zkwatch-a/s1 weight 1"}},
		{"a free slot in rotation", nil, "state ready instead of maint", []string{"set server zkwatch-a/s3 state maint"}},
	}
	for _, test := range tests {
		for _, mode := range []string{"repair", "report"} {
			t.Run(test.name+", "+mode, func(t *testing.T) {
				r := started(t, one("inventory"), func(c *config.HAProxy) { c.Foreign = mode })
				r.apply(t, "inventory", some(0, 2)...)
				before := r.fake.serving("zkwatch-a")
				r.fake.sent()
				if test.change != nil {
					r.fake.with("zkwatch-a", "s1", test.change)
				} else {
					r.fake.with("zkwatch-a", "s3", func(s *fakeServer) { s.admin = ready })
				}
				out := audit(t, r)
				if mode == "repair" {
					if got := r.fake.sent(); !slices.Equal(got, test.repair) || !maps.Equal(r.fake.serving("zkwatch-a"), before) {
						t.Errorf("repaired by %q, want %q; it serves %v", got, test.repair, r.fake.serving("zkwatch-a"))
					}
					if len(out.Actions) != 1 || out.Actions[0].Kind != "repair" {
						t.Errorf("actions %+v, want one repair", out.Actions)
					}
				} else {
					if got := r.fake.sent(); len(got) > 0 {
						t.Errorf("it was to be reported only, and there were commands: %q", got)
					}
					if len(out.Actions) != 1 || out.Actions[0].Kind != "foreign" || !strings.Contains(out.Actions[0].Text, test.text) {
						t.Errorf("actions %+v, want one report of %q", out.Actions, test.text)
					}
				}
				if out := audit(t, r); len(out.Actions) > 0 {
					t.Errorf("the next audit did %+v", out.Actions)
				}
				r.tick(t)
				r.apply(t, "inventory", append(some(0, 2), at(7))...)
				if mode == "report" && test.change != nil && maps.Equal(r.fake.serving("zkwatch-a"), before) {
					t.Error("the change of others was undone by an unrelated one")
				}
			})
		}
	}
}

func audit(t *testing.T, r *rig) watcher.Outcome {
	t.Helper()
	out, err := r.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAServerThatOthersAddedIsTakenOut(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 2)...)
	r.fake.mu.Lock()
	r.fake.add("zkwatch-a", "rogue", []string{"10.66.6.6:80", "id", "7000"})
	r.fake.backends["zkwatch-a"][4].admin = ready
	r.fake.mu.Unlock()
	r.fake.sent()
	audit(t, r)
	if got, want := r.fake.sent(), []string{"set server zkwatch-a/rogue state maint"}; !slices.Equal(got, want) {
		t.Errorf("commands %q, want %q", got, want)
	}
	r.apply(t, "inventory", some(0, 5)...)
	if r.fake.serving("zkwatch-a")["10.66.6.6:80"] != "" || len(r.fake.serving("zkwatch-a")) != 5 {
		t.Errorf("it serves %v", r.fake.serving("zkwatch-a"))
	}
}

func TestTheFileOnDiskIsAuditedAsWell(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 2)...)
	r.tick(t)
	want := read(t, r.o.Config.File)
	for _, damage := range []string{"", "garbage", strings.Replace(want, "10.0.0.1:80", "10.0.0.99:80", 1), strings.Replace(want, "retries 2", "retries 9", 1)} {
		overwrite(t, r.o.Config.File, damage)
		audit(t, r)
		r.tick(t)
		if got := read(t, r.o.Config.File); got != want {
			t.Errorf("a file of %.40q became\n%s", damage, got)
		}
	}
}

func TestTheBreakerMayNotEjectMoreThanItsShare(t *testing.T) {
	tests := []struct {
		servers, ejected int
		eject            config.Percent
		lifted           int
	}{
		{4, 1, 50, 0}, {4, 2, 50, 0}, {4, 3, 50, 1}, {4, 4, 50, 2}, {1, 1, 50, 1}, {2, 2, 50, 1}, {3, 3, 34, 2}, {4, 4, 100, 0},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d of %d at %d%%", test.ejected, test.servers, test.eject), func(t *testing.T) {
			r := started(t, map[string]config.Route{"a": {Service: "inventory", Bind: "127.0.0.1:3000", Breaker: config.Breaker{Eject: test.eject}}})
			r.apply(t, "inventory", some(0, test.servers)...)
			for n := range test.ejected {
				r.fake.with("zkwatch-a", slotName(n+1), func(s *fakeServer) { s.down, s.hana = true, true })
			}
			r.fake.sent()
			r.tick(t)
			got := r.fake.sent()
			if len(got) != test.lifted || slices.ContainsFunc(got, func(c string) bool { return !strings.HasSuffix(c, " health up") }) {
				t.Errorf("commands %q, want %d servers lifted", got, test.lifted)
			}
			if st := r.Status().Backends[0]; st.Ejected != test.ejected-test.lifted {
				t.Errorf("the status has %d ejected, want %d", st.Ejected, test.ejected-test.lifted)
			}
		})
	}
}

func TestServersThatFailTheirChecksAreNotLifted(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 2)...)
	for n := range 2 {
		r.fake.with("zkwatch-a", slotName(n+1), func(s *fakeServer) { s.down, s.failed = true, true })
	}
	r.fake.sent()
	r.tick(t)
	if got := r.fake.sent(); len(got) > 0 {
		t.Errorf("commands %q for servers that are really down", got)
	}
	if st := r.Status().Backends[0]; st.Down != 2 || st.Ejected != 0 {
		t.Errorf("the status is %+v, want 2 down and none ejected", st)
	}
}

func TestAServerStaysEjectedWhileItsChecksPass(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", some(0, 4)...)
	for n := range 2 {
		r.fake.with("zkwatch-a", slotName(n+1), func(s *fakeServer) { s.down, s.hana = true, true })
	}
	r.tick(t)
	r.fake.with("zkwatch-a", "s1", func(s *fakeServer) { s.hana = false })                 // its first check passed
	r.fake.with("zkwatch-a", "s2", func(s *fakeServer) { s.hana, s.failed = false, true }) // a check failed: it is down for good
	r.tick(t)
	if st := r.Status().Backends[0]; st.Ejected != 1 || st.Down != 2 {
		t.Errorf("the status is %+v, want 2 down of which 1 ejected", st)
	}
}

func TestTheNextTierJoinsWhenServersAreDownAndLeavesAgain(t *testing.T) {
	r := newRig(t, map[string]config.Route{"a": {Service: "inventory", Bind: "127.0.0.1:3000", Tiers: &config.Tiers{Order: []string{"near"}, Min: 2}}})
	r.tick(t)
	r.fake.start()
	r.tick(t)
	r.apply(t, "inventory", zoned(at(1), "near"), zoned(at(2), "near"), zoned(at(3), "far"))
	check := func(when string, far string) {
		t.Helper()
		if got := r.fake.serving("zkwatch-a")["10.0.0.4:80"]; got != far {
			t.Errorf("%s the far one is %q, want %q", when, got, far)
		}
	}
	check("with two near ones", "drain")
	r.fake.with("zkwatch-a", "s1", func(s *fakeServer) { s.down, s.failed = true, true })
	r.tick(t)
	check("with a near one down", "weight 1")
	r.fake.with("zkwatch-a", "s1", func(s *fakeServer) { s.down, s.failed = false, false })
	r.tick(t)
	check("with it back", "drain")
}

func zoned(i watcher.Instance, zone string) watcher.Instance { i.Zone = zone; return i }

func TestConnectionsOfDrainingInstancesAreCountedInEveryWorker(t *testing.T) {
	r := started(t, two())
	r.apply(t, "inventory", at(1), draining(at(2)))
	r.apply(t, "orders", draining(at(2)))
	r.fake.with("zkwatch-a", "s1", func(s *fakeServer) { s.used = 50 })
	r.fake.with("zkwatch-a", "s2", func(s *fakeServer) { s.used = 3 })
	if got, err := r.Conns(t.Context()); err != nil || got[watcher.InstanceKey{Service: "orders", ID: "i002"}] != 1 {
		t.Errorf("just as it began to drain: %v, %v; want at least one", got, err)
	}
	for _, b := range r.backends {
		for i := range b.servers {
			b.servers[i].drained = new(time.Now().Add(-openingTime))
		}
	}
	r.fake.old = []oldWorker{{pid: 7, reloads: 1}} // the fake's old workers have what the new one has
	got, err := r.Conns(t.Context())
	want := map[watcher.InstanceKey]int{{Service: "inventory", ID: "i002"}: 6, {Service: "orders", ID: "i002"}: 0}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("connections %v, error %v; want %v", got, err, want)
	}
	r.master.path = "/nowhere"
	r.master.dial = func(context.Context, string) (net.Conn, error) { return nil, fmt.Errorf("permission denied") }
	if got, err := r.Conns(t.Context()); err == nil {
		t.Errorf("old workers could not be asked, and the answer is %v", got)
	}
	r.fake.stop()
	r.master.dial = r.fake.dial
	if got, err := r.Conns(t.Context()); err != nil || got[watcher.InstanceKey{Service: "inventory", ID: "i002"}] != 0 {
		t.Errorf("without a HAProxy: %v, %v; want no connections", got, err)
	}
}
