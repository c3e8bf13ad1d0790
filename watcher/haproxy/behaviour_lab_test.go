//go:build lab

package haproxy

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

func TestTheBreakerEjectsABadInstanceButNotAll(t *testing.T) {
	addr := port(t)
	k := newRack(t, map[string]config.Route{"web": {Service: "shop", Bind: addr, Breaker: config.Breaker{Errors: 5}, Check: config.RouteCheck{HTTP: "GET /health", Inter: config.Duration(30 * time.Second)}}})
	all := fleet(t, 4)
	k.set("shop", all...)
	hits := func(n int64) map[string]int64 {
		return watchertest.StartTraffic(watchertest.Load{Addr: addr, Clients: 4, KeepAlive: true, Max: n}).Wait().By
	}
	all[0].Fail(http.StatusInternalServerError)
	hits(100)
	before := all[0].Requests()
	hits(100)
	if n := all[0].Requests() - before; n > 0 {
		t.Errorf("the instance that answers 500 got %d of 100 requests after it was ejected", n)
	}
	until(t, 5*time.Second, "the status says so", func() bool { return k.Status().Backends[0].Ejected == 1 })
	for _, b := range all {
		b.Fail(http.StatusInternalServerError)
	}
	hits(200) // all are ejected by now
	k.says("command", "health up")
	until(t, 5*time.Second, "half of them take traffic", func() bool { hits(20); st := k.Status().Backends[0]; return st.Ready-st.Down >= 2 })
}

func TestTrafficOverflowsToTheNextZoneAndBack(t *testing.T) {
	addr := port(t)
	quick := config.RouteCheck{HTTP: "GET /health", Inter: config.Duration(200 * time.Millisecond), Rise: 1, Fall: 1}
	k := newRack(t, map[string]config.Route{"web": {Service: "shop", Bind: addr, Check: quick, Tiers: &config.Tiers{Min: 2}}})
	all := fleet(t, 3)
	set := instances(all...)
	set[0].Zone, set[1].Zone, set[2].Zone = "near", "near", "far"
	if _, err := k.Apply(t.Context(), []watcher.Set{{Service: "shop", Instances: set}}); err != nil {
		t.Fatal(err)
	}
	far := func() bool {
		return watchertest.StartTraffic(watchertest.Load{Addr: addr, Clients: 1, Max: 20}).Wait().By[all[2].Addr()] > 0
	}
	if far() {
		t.Error("the far one takes traffic though two near ones are up")
	}
	all[0].Sicken(true)
	until(t, 10*time.Second, "the far one joins", far)
	all[0].Sicken(false)
	until(t, 10*time.Second, "the far one leaves again", func() bool { return !far() })
}

func TestConnectionsToADrainingInstanceAreFollowedOverAReload(t *testing.T) {
	addr := port(t)
	k := newRack(t, map[string]config.Route{"tcp": {Service: "shop", Bind: addr, Mode: "tcp"}})
	all := fleet(t, 2)
	k.set("shop", all[0])
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	talk := func() {
		t.Helper()
		if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
	}
	talk()
	set := instances(all...)
	set[0].Draining = true
	if _, err := k.Apply(t.Context(), []watcher.Set{{Service: "shop", Instances: set}}); err != nil {
		t.Fatal(err)
	}
	key := watcher.InstanceKey{Service: "shop", ID: all[0].Addr()}
	count := func(when string, want int) {
		t.Helper()
		var got map[watcher.InstanceKey]int
		until(t, 5*time.Second, fmt.Sprintf("%s: %d connections, seen %v", when, want, got), func() bool {
			got, err = k.Conns(t.Context())
			return err == nil && got[key] == want
		})
	}
	<-time.After(openingTime)
	count("in the worker", 1)
	if err := k.h.Reload(); err != nil {
		t.Fatal(err)
	}
	until(t, 5*time.Second, "there is an old worker", func() bool { return k.h.OldWorkers() == 1 && k.Status().Connected })
	<-time.After(openingTime + lookEvery)
	count("in the old worker", 1)
	talk() // it still works
	c.Close()
	count("closed", 0)
}

// A cookie means an instance: on every host, after a reload, and not the next one in its slot.
func TestACookieFollowsItsInstance(t *testing.T) {
	addr := port(t)
	k := newRack(t, map[string]config.Route{"web": {Service: "shop", Bind: addr, Cookie: "SRV"}})
	all := fleet(t, 3)
	k.set("shop", all[:2]...)
	get := func(cookie string) (body, set string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		if cookie != "" {
			req.Header.Set("Cookie", "SRV="+cookie)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		line, _ := bufio.NewReader(resp.Body).ReadString('\n')
		for _, c := range resp.Cookies() {
			set = c.Value
		}
		return line, set
	}
	first, cookie := get("")
	if cookie == "" {
		t.Fatal("no cookie")
	}
	stays := func(when string) {
		t.Helper()
		for range 6 {
			if got, _ := get(cookie); got != first {
				t.Fatalf("%s: %s answered, want %s", when, got, first)
			}
		}
	}
	stays("at first")
	pid := k.h.Worker()
	if err := k.h.Reload(); err != nil {
		t.Fatal(err)
	}
	until(t, 5*time.Second, "the new worker is met", func() bool { w := k.h.Worker(); return w != pid && k.Status().Pid == w })
	stays("after a reload")
	// Its slot goes to another one: the cookie must not go with it.
	var rest []*watchertest.Backend
	for _, b := range all[:2] {
		if b.Addr() != first {
			rest = append(rest, b)
		}
	}
	k.set("shop", rest...)
	for range 4 {
		k.set("shop", append(slices.Clone(rest), all[2])...) // takes slot after slot
		if _, set := get(cookie); set == cookie {
			t.Error("another instance answers to the cookie of the one that is gone")
		}
		k.set("shop", rest...)
	}
	k.set("shop", all[:2]...)
	stays("when it is back")
}
