//go:build lab

package watcher_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/haproxy"
	"github.com/zkboot/zkboot/watcher/watchertest"
	"github.com/zkboot/zkboot/watcher/zookeeper"
)

// host is one host with a connection of its own to a real ensemble.
type host struct {
	cfg    *config.Config
	client *zookeeper.Client
	regs   *watcher.Registrations
	stop   func()
}

// load reads a configuration of the service "shop" with more lines to it.
func load(t *testing.T, e *watchertest.Ensemble, name, more string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("host: %s\naddress: 127.0.0.1\nstate_dir: %s\nregistries: {main: {zookeeper: {servers: [%s], session: 4s}}}\n"+
		"services: {shop: {registry: main, path: /services/shop/instances}}\nboard: {every: 1s}\ndrain: {spool: %s, grace: 3s, timeout: 30s}\n%s\n",
		name, dir, strings.Join(e.Addrs(), ", "), filepath.Join(dir, "spool"), more)
	cfg, err := config.Load(name+".yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return cfg
}

func connect(t *testing.T, cfg *config.Config) *zookeeper.Client {
	t.Helper()
	zk := cfg.Registries["main"].ZooKeeper
	c, err := zookeeper.Connect(zookeeper.Options{Servers: zk.Servers, Session: time.Duration(zk.Session), Host: cfg.Host, Splay: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// run runs something until stop, or until the test ends.
func run(t *testing.T, what func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- what(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// registers runs the registrations of a host that serves "shop" at some backends.
func registers(t *testing.T, e *watchertest.Ensemble, name string, backends ...*watchertest.Backend) *host {
	t.Helper()
	var more strings.Builder
	more.WriteString("register:\n")
	for i, b := range backends {
		_, port, _ := net.SplitHostPort(b.Addr())
		fmt.Fprintf(&more, "  shop-%d: {service: shop, port: %s, check: {http: \"http://%s/health\", interval: 200ms, rise: 2, fall: 3}}\n", i+1, port, b.Addr())
	}
	h := &host{cfg: load(t, e, name, more.String())}
	h.start(t)
	return h
}

// start is also what a restart of zkwatch is.
func (h *host) start(t *testing.T) {
	t.Helper()
	h.client = connect(t, h.cfg)
	h.regs = &watcher.Registrations{Config: h.cfg, Registrars: map[string]watcher.Registrar{"main": h.client.Registrar()},
		Board: map[string]watcher.Board{"main": h.client.Board(h.cfg.Board.Path)}, HostName: h.cfg.Host}
	stop := run(t, h.regs.Run)
	h.stop = func() { stop(); h.client.Close() }
}

// sets is what a reader of the registry sees of "shop", all of it.
type sets struct {
	mu   sync.Mutex
	seen []watcher.Snapshot
	at   []time.Time
}

func reads(t *testing.T, e *watchertest.Ensemble) *sets {
	cfg := load(t, e, "reader", "")
	c, s := connect(t, cfg), &sets{}
	run(t, func(ctx context.Context) error {
		return c.Source().Run(ctx, cfg.Services, func(snap watcher.Snapshot) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen, s.at = append(s.seen, snap), append(s.at, time.Now())
		})
	})
	return s
}

// until waits for a set of so many instances and returns when it was published.
func (s *sets) until(t *testing.T, n int) time.Time {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		last := len(s.seen) - 1
		ok := last >= 0 && s.seen[last].Truth != watcher.Unknown && len(s.seen[last].Instances) == n
		var at time.Time
		if ok {
			at = s.at[last]
		}
		s.mu.Unlock()
		if ok {
			return at
		}
	}
	t.Fatalf("no set of %d instances in a minute; seen: %+v", n, s.seen)
	return time.Time{}
}

func backend(t *testing.T) *watchertest.Backend {
	t.Helper()
	b, err := watchertest.StartBackend("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestRealServiceDiesAndIsDeregistered(t *testing.T) {
	e := watchertest.ZooKeeper(t, 1)
	b := backend(t)
	h := registers(t, e, "app1", b)
	seen := reads(t, e)
	seen.until(t, 1)
	died := time.Now()
	b.Sicken(true)
	took := seen.until(t, 0).Sub(died)
	t.Logf("dead to withdrawn as a reader sees it: %v, with interval x fall = 600ms", took)
	if took > 5*time.Second { // the target is 700ms; a busy machine must not fail the test
		t.Errorf("took %v", took)
	}
	b.Sicken(false)
	seen.until(t, 1)
	began := time.Now()
	if err := h.regs.Hold(t.Context(), "shop-1"); err != nil {
		t.Fatal(err)
	}
	t.Logf("deregistered in %v, seen after %v", time.Since(began), seen.until(t, 0).Sub(began))
	began = time.Now()
	if err := h.regs.Release(t.Context(), "shop-1"); err != nil {
		t.Fatal(err)
	}
	t.Logf("registered again, seen after %v", seen.until(t, 1).Sub(began))
}

// A zkwatch that was killed leaves its session behind; the next one takes the registration
// over while it still lives. Readers see the instance all the time.
func TestRealRestartIsNotSeen(t *testing.T) {
	e := watchertest.ZooKeeper(t, 1)
	h := registers(t, e, "app1", backend(t))
	seen := reads(t, e)
	seen.until(t, 1)
	seen.mu.Lock()
	before := len(seen.seen) // the first registration of all makes the path first, and then itself: a reader may see that
	seen.mu.Unlock()
	for range 3 {
		h.stop() // leaves the session to itself, as SIGKILL does
		h.start(t)
		for end := time.Now().Add(time.Minute); !announced(h.regs); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not announced again: %+v", h.regs.Status())
			}
		}
	}
	old := time.Now().Add(6 * time.Second) // every session of before is over by then
	for ; time.Now().Before(old); time.Sleep(50 * time.Millisecond) {
		seen.mu.Lock()
		for _, s := range seen.seen[before:] {
			if len(s.Instances) != 1 {
				t.Fatalf("a reader saw %+v", s)
			}
		}
		seen.mu.Unlock()
	}
}

func announced(r *watcher.Registrations) bool {
	s := r.Status() // of one that is just starting there is none
	return len(s) == 1 && s[0].Announced
}

// A drain ends when the last request that a consumer had under way is done: not before, and
// not by a timeout.
func TestRealDrainWaitsForRequests(t *testing.T) {
	e := watchertest.ZooKeeper(t, 1)
	one, two := backend(t), backend(t)
	h := registers(t, e, "app1", one, two)
	addr := consumes(t, e, "web1")
	get := func(query string) (string, error) {
		resp, err := http.Get("http://" + addr + "/" + query)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("status %d", resp.StatusCode)
		}
		return strings.TrimSpace(string(body)), err
	}
	served := map[string]bool{}
	for end := time.Now().Add(time.Minute); len(served) < 2; time.Sleep(20 * time.Millisecond) {
		if by, err := get(""); err == nil {
			served[by] = true
		}
		if time.Now().After(end) {
			t.Fatalf("served by %v", served)
		}
	}
	type answer struct {
		by  string
		err error
		at  time.Time
	}
	slow := make(chan answer, 2)
	before := one.Requests() + two.Requests()
	for range 2 { // roundrobin: one each
		go func() {
			by, err := get("?ms=6000")
			slow <- answer{by, err, time.Now()}
		}()
	}
	for end := time.Now().Add(time.Minute); one.Requests()+two.Requests() < before+2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the slow requests do not arrive")
		}
	}
	report, err := h.regs.Drain(t.Context(), "shop-1")
	over := time.Now()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s after %v: %+v", report.Ended, report.Took, report.Consumers)
	if report.Ended != watcher.DrainedByConsumers || len(report.Consumers) != 1 || report.Consumers[0].Host != "web1" {
		t.Errorf("report %+v, want that web1 has no connections", report)
	}
	drained := one.Requests()
	both := map[string]bool{}
	for range 2 {
		a := <-slow
		both[a.by] = true
		if a.err != nil {
			t.Errorf("a request that was under way: %v", a.err)
		}
		if a.by == one.Addr() && a.at.After(over) {
			t.Error("the drain ended before the request did")
		}
	}
	if len(both) != 2 {
		t.Errorf("the slow requests were served by %v, want both", both)
	}
	for range 20 {
		if by, err := get(""); err != nil || by != two.Addr() {
			t.Errorf("after the drain: served by %s, %v", by, err)
		}
	}
	if one.Requests() != drained {
		t.Error("the drained instance got new requests")
	}
}

// consumes runs discovery and a real HAProxy on a host that sends traffic to "shop", and
// returns the address of its route.
func consumes(t *testing.T, e *watchertest.Ensemble, name string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cfg := load(t, e, name, fmt.Sprintf("routes: {shop: {service: shop, bind: %q, check: {http: GET /health, inter: 1s}}}", addr))
	proxy := watchertest.HAProxy(t)
	cfg.HAProxy = proxy.Settings()
	sink, err := haproxy.New(haproxy.Options{Config: cfg.HAProxy, Routes: cfg.Routes, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, cfg)
	d := &watcher.Discovery{Config: cfg, Sources: map[string]watcher.Source{"main": client.Source()}, Sink: sink,
		Board: client.Board(cfg.Board.Path), Journal: watcher.NewJournal(100), Log: slog.New(slog.DiscardHandler), Version: "test"}
	run(t, d.Run)
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(cfg.HAProxy.File); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("there is no file for HAProxy")
		}
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	return addr
}
