//go:build lab

package watcher_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/haproxy"
	"github.com/zkboot/zkboot/watcher/watchertest"
	"github.com/zkboot/zkboot/watcher/zookeeper"
)

// A chain is the discovery of one host between a real ensemble and a real HAProxy.
type chain struct {
	t       *testing.T
	cfg     *config.Config
	proxy   *watchertest.Balancer
	d       *watcher.Discovery
	stop    func()
	applied chan time.Time // when an Apply of the sink came back
}

// A toldSink tells when it has applied something.
type toldSink struct {
	watcher.Sink
	applied chan time.Time
}

func (s *toldSink) Apply(ctx context.Context, sets []watcher.Set) (watcher.Outcome, error) {
	out, err := s.Sink.Apply(ctx, sets)
	select {
	case s.applied <- time.Now():
	default:
	}
	return out, err
}

func newChain(t *testing.T, e *watchertest.Ensemble) *chain {
	t.Helper()
	text := fmt.Sprintf("host: app1\nstate_dir: %s\nregistries: {main: {zookeeper: {servers: [%s], session: 4s}}}\n"+
		"services: {store: {registry: main, path: /services/store/instances}}\nroutes: {store: {service: store, bind: \"127.0.0.1:%d\"}}\nguard: {hold: 5s}\n",
		t.TempDir(), strings.Join(e.Addrs(), ", "), freePort(t))
	cfg, err := config.Load("zkwatch.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	c := &chain{t: t, cfg: cfg, proxy: watchertest.HAProxy(t), applied: make(chan time.Time, 100)}
	cfg.HAProxy = c.proxy.Settings()
	return c
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start is also what a restart of zkwatch is.
func (c *chain) start() {
	c.t.Helper()
	zkc := c.cfg.Registries["main"].ZooKeeper
	client, err := zookeeper.Connect(zookeeper.Options{Servers: zkc.Servers, Session: time.Duration(zkc.Session), Host: "app1", Splay: 10 * time.Millisecond})
	if err != nil {
		c.t.Fatal(err)
	}
	sink, err := haproxy.New(haproxy.Options{Config: c.cfg.HAProxy, Routes: c.cfg.Routes})
	if err != nil {
		c.t.Fatal(err)
	}
	store, err := watcher.OpenStore(c.cfg.StateDir)
	if err != nil {
		c.t.Fatal(err)
	}
	c.d = &watcher.Discovery{Config: c.cfg, Sources: map[string]watcher.Source{"main": client.Source()}, Sink: &toldSink{sink, c.applied},
		Store: store, Journal: watcher.NewJournal(1000), Log: slog.New(slog.NewTextHandler(c.t.Output(), nil))}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.d.Run(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("discovery ended with %v", err)
		}
		client.Close()
	})
	c.t.Cleanup(c.stop)
}

// serves lists the ports of the servers of HAProxy that are not in maintenance.
func (c *chain) serves() string {
	var ports []string
	for line := range strings.Lines(c.proxy.Ask("show servers state")) {
		// be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state ... srv_port is the 19th (management.txt 2.6)
		f := strings.Fields(line)
		if len(f) > 18 && strings.HasPrefix(f[1], "zkwatch-") && (f[6] == "0" || f[6] == "4") {
			ports = append(ports, f[18])
		}
	}
	slices.Sort(ports)
	return strings.Join(ports, " ")
}

func (c *chain) until(what string, ok func(watcher.ServiceStatus) bool) watcher.ServiceStatus {
	c.t.Helper()
	var s watcher.ServiceStatus
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s = c.d.Services()[0]; ok(s) {
			return s
		}
	}
	c.t.Fatalf("no %s in 30 s: %+v; HAProxy serves %q", what, s, c.serves())
	return s
}

func (c *chain) untilServes(ports string) {
	c.t.Helper()
	c.until("HAProxy with "+ports, func(watcher.ServiceStatus) bool { return c.serves() == ports })
}

// A registry that goes away, a zkwatch that starts without it, and one that is emptied by
// mistake: scenarios 1, 2, 16 and 33 with real servers, and how long a change takes.
func TestDiscoveryWithRealServers(t *testing.T) {
	e := watchertest.ZooKeeper(t, 1)
	conn, _, err := zk.Connect(e.Addrs(), 20*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	for _, path := range []string{"/services", "/services/store", "/services/store/instances"} {
		create(t, conn, path)
	}
	instance := func(n int) string { return fmt.Sprintf("/services/store/instances/127.0.0.1:%d", 20000+n) }

	c := newChain(t, e)
	for n := range 4 {
		create(t, conn, instance(n))
	}
	c.start()
	c.until("file for HAProxy", func(s watcher.ServiceStatus) bool {
		_, err := os.Stat(c.cfg.HAProxy.File)
		return err == nil && len(s.Instances) == 4 && s.Pending
	})
	if err := c.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	c.untilServes("20000 20001 20002 20003")
	c.until("applied set", func(s watcher.ServiceStatus) bool { return !s.Pending && s.Truth == watcher.Known })

	c.measure(func(n int) {
		if n%2 == 0 {
			create(t, conn, instance(4))
		} else if err := conn.Delete(instance(4), -1); err != nil {
			t.Fatal(err)
		}
	})

	before := c.proxy.Ask("show servers state")
	e.Servers[0].Kill()
	c.until("unknown service", func(s watcher.ServiceStatus) bool { return s.Truth == watcher.Unknown })
	c.stop()
	c.start()
	s := c.until("set from disk", func(s watcher.ServiceStatus) bool { return !s.Pending && !s.Applied.IsZero() })
	if s.Truth != watcher.Unknown || !strings.HasPrefix(s.Reason, "from disk") || len(s.Instances) != 4 {
		t.Errorf("status %+v, want 4 instances from disk, unknown", s)
	}
	for _, entry := range c.d.Journal.Entries("store", 0) {
		if len(entry.Actions) > 0 {
			t.Errorf("the start did %+v, although HAProxy serves all that it should", entry)
		}
	}
	if after := c.proxy.Ask("show servers state"); served(after) != served(before) {
		t.Errorf("HAProxy had\n%s\nand has\n%s", before, after)
	}

	if err := e.Servers[0].Start(); err != nil {
		t.Fatal(err)
	}
	c.until("known service", func(s watcher.ServiceStatus) bool { return s.Truth == watcher.Known })
	for n := range 4 {
		if err := conn.Delete(instance(n), -1); err != nil {
			t.Fatal(err)
		}
	}
	s = c.until("held loss", func(s watcher.ServiceStatus) bool { return s.Truth == watcher.Empty && s.Held != nil })
	if now := c.serves(); len(s.Instances) < 2 || now == "" { // up to half of them may have been seen to go before the rest
		t.Errorf("status %+v, and HAProxy serves %q", s, now)
	}
	c.until("end of the hold", func(s watcher.ServiceStatus) bool { return s.Held == nil && len(s.Instances) == 0 })
	c.untilServes("")
}

// served cuts off what changes by itself, such as the time since the last change.
func served(state string) string {
	var out []string
	for line := range strings.Lines(state) {
		if f := strings.Fields(line); len(f) > 18 && strings.HasPrefix(f[1], "zkwatch-") {
			out = append(out, strings.Join(append(f[:7:7], f[18]), " "))
		}
	}
	return strings.Join(out, "\n")
}

func create(t *testing.T, conn *zk.Conn, path string) {
	t.Helper()
	if _, err := conn.Create(path, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// measure says how long it takes from a request to the registry until HAProxy has the change.
func (c *chain) measure(change func(n int)) {
	c.t.Helper()
	const rounds = 200
	var took, registry []time.Duration
	for n := range rounds {
		for len(c.applied) > 0 {
			<-c.applied
		}
		began := time.Now()
		change(n)
		registry = append(registry, time.Since(began))
		select {
		case at := <-c.applied:
			took = append(took, at.Sub(began))
		case <-time.After(10 * time.Second):
			c.t.Fatalf("change %d was not applied in 10 s", n)
		}
		time.Sleep(time.Duration(c.cfg.Settle.Quiet))
	}
	slices.Sort(took)
	slices.Sort(registry)
	c.t.Logf("from a request to ZooKeeper to HAProxy's answer, %d changes: p50 %s, p99 %s, longest %s; of that ZooKeeper's answer: p50 %s, p99 %s",
		rounds, took[rounds/2], took[rounds*99/100], took[rounds-1], registry[rounds/2], registry[rounds*99/100])
	if p50 := took[rounds/2]; p50 > 500*time.Millisecond {
		c.t.Errorf("p50 is %s; that is no load, that is a wait", p50)
	}
}
