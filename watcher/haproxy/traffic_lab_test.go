//go:build lab

package haproxy

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// crowd is clients of every kind in front of one service behind an HTTP and a TCP route.
type crowd struct {
	t       *testing.T
	routes  map[string]config.Route
	names   []string
	loads   map[string]watchertest.Load
	traffic map[string]*watchertest.Traffic
}

func newCrowd(t *testing.T) *crowd {
	http, tcp := port(t), port(t)
	return &crowd{t: t,
		routes: map[string]config.Route{
			"web": {Service: "shop", Bind: http, Balance: "leastconn"},
			"tcp": {Service: "shop", Bind: tcp, Mode: "tcp"},
		},
		names: []string{"http keep-alive", "http close", "tcp close", "tcp keep-alive"},
		loads: map[string]watchertest.Load{
			"http keep-alive": {Addr: http, Clients: 4, KeepAlive: true}, "http close": {Addr: http, Clients: 3},
			"tcp close": {Addr: tcp, Clients: 3}, "tcp keep-alive": {Addr: tcp, Clients: 2, KeepAlive: true},
		},
		traffic: map[string]*watchertest.Traffic{},
	}
}

func (c *crowd) start() {
	for _, name := range c.names {
		c.traffic[name] = watchertest.StartTraffic(c.loads[name])
	}
}

// less is the fewest requests that clients of one kind have made.
func (c *crowd) less() int64 {
	var out []int64
	for _, t := range c.traffic {
		out = append(out, t.Result().Requests)
	}
	return slices.Min(out)
}

func (c *crowd) stop(least int64) {
	for _, name := range c.names {
		unharmed(c.t, name, c.traffic[name].Stop(), least)
	}
}

// Scenario 17, and the promise of the whole: instances come, go and change, and no request fails.
func TestNoRequestFailsWhileInstancesComeAndGo(t *testing.T) {
	crowd := newCrowd(t)
	k := newRack(t, crowd.routes)
	all := fleet(t, 10)
	k.set("shop", all[:5]...)
	crowd.start()
	rng := rand.New(rand.NewPCG(1, 2))
	flips, began := 0, time.Now()
	for time.Since(began) < time.Minute && (flips < 300 || crowd.less() < 5000) {
		shuffled := slices.Clone(all)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		set := instances(shuffled[:3+rng.IntN(4)]...)
		for i := range set {
			set[i].Weight = 1 + rng.IntN(10)
			set[i].Draining = i > 1 && rng.IntN(4) == 0
		}
		slices.SortFunc(set, func(a, b watcher.Instance) int { return compare(a.ID, b.ID) })
		if _, err := k.Apply(t.Context(), []watcher.Set{{Service: "shop", Instances: set, Why: "test"}}); err != nil {
			t.Fatal(err)
		}
		flips++
		<-time.After(20 * time.Millisecond)
	}
	crowd.stop(5000)
	st := k.Status()
	t.Logf("%d changes, %d commands, %d reloads", flips, st.Commands, st.Reloads)
	if st.Reloads > 0 {
		t.Errorf("%d reloads for %d changes of instances, want none", st.Reloads, flips)
	}
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// A deploy that replaces every instance: a new one comes, an old one drains, and stops when
// HAProxy has no connection left to it.
func TestNoRequestFailsWhileEveryInstanceIsReplaced(t *testing.T) {
	crowd := newCrowd(t)
	crowd.names = crowd.names[:3] // a TCP client that keeps its connection would have to go as well
	k := newRack(t, crowd.routes)
	live := fleet(t, 4)
	k.set("shop", live...)
	crowd.start()
	for range 12 {
		next := fleet(t, 1)[0]
		old := live[0]
		set := instances(append(slices.Clone(live), next)...)
		set[0].Draining = true
		if _, err := k.Apply(t.Context(), []watcher.Set{{Service: "shop", Instances: set, Why: "test"}}); err != nil {
			t.Fatal(err)
		}
		until(t, 10*time.Second, "no connection is left to the old instance", func() bool {
			n, err := k.Conns(t.Context())
			return err == nil && n[watcher.InstanceKey{Service: "shop", ID: old.Addr()}] == 0
		})
		live = append(live[1:], next)
		k.set("shop", live...)
		if err := old.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, time.Minute, "requests enough", func() bool { return crowd.less() > 300 })
	crowd.stop(300)
}

// Scenario 18, with every cause of a reload: a route more or less, and somebody at systemctl.
func TestNoRequestFailsOverReloads(t *testing.T) {
	crowd := newCrowd(t)
	quick := func(c *config.HAProxy) { c.ReloadInterval, c.OldWorkers = config.Duration(100*time.Millisecond), 50 }
	k := newRack(t, crowd.routes, quick)
	all := fleet(t, 8)
	k.set("shop", all[:4]...)
	crowd.start()
	for n := range 8 {
		more := maps.Clone(crowd.routes)
		if n%2 == 0 {
			more["extra"] = config.Route{Service: "shop", Bind: port(t)}
		}
		k = k.next(more, quick)
		pid := k.h.Worker()
		for i := 0; ; i++ { // changes before, during and after
			k.set("shop", all[(n+i)%4:(n+i)%4+4]...)
			if st := k.Status(); st.Reloads == 1 && st.Connected {
				break
			}
			if i > 1000 {
				t.Fatalf("no reload: %+v", k.Status())
			}
			<-time.After(5 * time.Millisecond)
		}
		if k.h.Worker() == pid {
			t.Fatal("the worker is still the same")
		}
		if err := k.h.Reload(); err != nil {
			t.Fatal(err)
		}
		until(t, 5*time.Second, "a worker of somebody else's reload", func() bool { st := k.Status(); w := k.h.Worker(); return w != 0 && st.Pid == w && st.Connected })
		k.set("shop", all[n%4:n%4+4]...)
		if got := served(k.Sink, "zkwatch-web"); !slices.Equal(got, addrs(all[n%4:n%4+4])) {
			t.Fatalf("after reload %d HAProxy has %v, want %v", n, got, addrs(all[n%4:n%4+4]))
		}
	}
	crowd.stop(1000)
}

// served asks HAProxy itself which addresses take traffic.
func served(s *Sink, backend string) []string {
	text, err := ask(context.Background(), dialUnix, s.o.Config.Socket, "show servers state "+backend, opTimeout)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for r, err := range parseState(text) {
		if err != nil {
			return []string{err.Error()}
		}
		if r.server.admin == ready {
			out = append(out, r.server.addr.String())
		}
	}
	slices.Sort(out)
	return out
}

func addrs(backends []*watchertest.Backend) []string {
	var out []string
	for _, b := range backends {
		out = append(out, b.Addr())
	}
	slices.Sort(out)
	return out
}

// Scenario 24: beyond the slots, with the packaged HAProxy.
func TestServersBeyondTheSlotsTakeTheirShareAndKeepConnections(t *testing.T) {
	addr := port(t)
	k := newRack(t, map[string]config.Route{"web": {Service: "shop", Bind: addr}})
	all := fleet(t, 10)
	k.set("shop", all[:4]...)
	traffic := watchertest.StartTraffic(watchertest.Load{Addr: addr, Clients: 4, KeepAlive: true})
	k.set("shop", all...)
	before := traffic.Result()
	until(t, 10*time.Second, "2000 more requests", func() bool { return traffic.Result().Requests > before.Requests+2000 })
	result := traffic.Stop()
	unharmed(t, "keep-alive", result, 2000)
	st := k.Status()
	if st.Reloads > 0 || st.Backends[0].Overflow != 6 {
		t.Errorf("status %+v, want 6 servers beyond the slots and no reload", st)
	}
	for _, b := range all[4:] {
		got := result.By[b.Addr()] - before.By[b.Addr()]
		if got < 100 || got > 400 {
			t.Errorf("%s, beyond the slots, answered %d of 2000 requests, want about 200", b.Addr(), got)
		}
		if conns := b.Conns(); conns > 100 {
			t.Errorf("%s, beyond the slots, got %d connections for %d requests: they are not reused", b.Addr(), conns, got)
		}
	}
}

// A dead instance costs no request, and none the second that HAProxy waits before it tries
// the same server again.
func TestADeadInstanceIsSteppedOver(t *testing.T) {
	addr := port(t)
	k := newRack(t, map[string]config.Route{"web": {Service: "shop", Bind: addr, Check: config.RouteCheck{Inter: config.Duration(10 * time.Second)}}})
	all := fleet(t, 3)
	k.set("shop", all...)
	all[1].Close()
	r := watchertest.StartTraffic(watchertest.Load{Addr: addr, Clients: 2, Max: 300}).Wait()
	unharmed(t, "with a dead instance that no check has found yet", r, 300)
	if r.Slowest > 500*time.Millisecond {
		t.Errorf("the slowest request took %s", r.Slowest)
	}
}

// A request that is on its way to an instance ends there, and nothing goes there after it: a
// connection in use at the moment of a change of address would be reused for the wrong instance.
func TestARequestInFlightDoesNotBringItsInstanceBack(t *testing.T) {
	addr := port(t)
	k := newRack(t, map[string]config.Route{"web": {Service: "shop", Bind: addr}})
	all := fleet(t, 9)
	k.set("shop", all[0])
	slow := watchertest.StartTraffic(watchertest.Load{Addr: addr, Path: "/?ms=700", Clients: 4, KeepAlive: true, Max: 4})
	until(t, 5*time.Second, "the slow requests arrive", func() bool { return all[0].Requests() == 4 })
	for n := 1; n < len(all); n++ { // all slots get new addresses, several times over
		k.set("shop", all[n])
	}
	unharmed(t, "slow", slow.Wait(), 4)
	if got := slow.Result().By[all[0].Addr()]; got != 4 {
		t.Errorf("%d of the slow requests ended where they began, want 4", got)
	}
	k.set("shop", all[1:4]...)
	r := watchertest.StartTraffic(watchertest.Load{Addr: addr, Clients: 6, KeepAlive: true, Max: 600}).Wait()
	unharmed(t, "afterwards", r, 600)
	if n := r.By[all[0].Addr()]; n > 0 {
		t.Errorf("%d requests went to the instance that is gone", n)
	}
}
