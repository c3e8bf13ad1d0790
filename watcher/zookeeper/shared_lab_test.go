//go:build lab

package zookeeper

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
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// session of tests: short, so that they are, and two ticks of the servers.
const session = 2 * time.Second

// soon is when something must have happened that takes milliseconds on an idle machine.
const soon = time.Minute

var sharedOnce = sync.OnceValues(func() (*watchertest.Ensemble, error) {
	dir, err := os.MkdirTemp("", "zkwatch-zookeeper-")
	if err != nil {
		return nil, err
	}
	e, err := watchertest.StartZooKeeper(dir, 3, "maxClientCnxns=0")
	atExit = append(atExit, func() {
		if e != nil {
			e.Close()
		}
		_ = os.RemoveAll(dir)
	})
	return e, err
})

// shared is an ensemble of three that tests share. Who stops a server starts it again.
func shared(t testing.TB) *watchertest.Ensemble {
	t.Helper()
	e, err := sharedOnce()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range e.Servers {
			s.Resume()
			if !s.Running() {
				if err := s.Begin(); err != nil {
					t.Error(err)
				}
			}
		}
		if err := e.WaitServing(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// connect makes a client that is closed with the test.
func connect(t testing.TB, o Options) *Client {
	t.Helper()
	if o.Session == 0 {
		o.Session = session
	}
	if o.Log == nil {
		o.Log = testLog(t)
	}
	if o.Host == "" {
		o.Host = "host1"
	}
	c, err := Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// testLog writes to the test's log as long as the test runs.
func testLog(t testing.TB) *slog.Logger {
	w := &testWriter{t: t, start: time.Now()}
	t.Cleanup(w.end)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

type testWriter struct {
	mu    sync.Mutex
	t     testing.TB
	start time.Time
	ended bool
}

func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.t.Logf("%8.3f %s", time.Since(w.start).Seconds(), strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

func (w *testWriter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

// admin is a plain connection to the ensemble, past every proxy, with the library's ways.
func admin(t testing.TB, e *watchertest.Ensemble) *zk.Conn {
	t.Helper()
	return foreign(t, e.Addrs(), 10*time.Second)
}

func foreign(t testing.TB, servers []string, session time.Duration) *zk.Conn {
	t.Helper()
	conn, events, err := zk.Connect(servers, session, zk.WithLogger(quiet{}), zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range events {
			continue
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// root makes a path of the test's own.
func root(t testing.TB, conn *zk.Conn) string {
	t.Helper()
	path := "/" + strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + fmt.Sprint(time.Now().UnixNano()%1e6)
	create(t, conn, path, "")
	return path
}

func create(t testing.TB, conn *zk.Conn, path, data string) {
	t.Helper()
	if _, err := conn.Create(path, []byte(data), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatalf("create %s: %v", path, err)
	}
}

// log of snapshots that a source published.
type published struct {
	mu   sync.Mutex
	all  []watcher.Snapshot
	news chan struct{}
}

func (p *published) add(s watcher.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, s)
	close(p.news)
	p.news = make(chan struct{})
}

func (p *published) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

// since returns what was published from number n on.
func (p *published) since(n int) []watcher.Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all[n:])
}

// wait returns the first snapshot from number n on that will do.
func (p *published) wait(t testing.TB, n int, what string, will func(watcher.Snapshot) bool) watcher.Snapshot {
	t.Helper()
	limit := time.NewTimer(soon)
	defer limit.Stop()
	for {
		p.mu.Lock()
		all, news := p.all[n:], p.news
		p.mu.Unlock()
		for _, s := range all {
			if will(s) {
				return s
			}
		}
		select {
		case <-news:
		case <-limit.C:
			t.Fatalf("no snapshot with %s within %s; there were:\n%s", what, soon, brief(all))
		}
	}
}

// follow runs a source for one service until the test ends.
func follow(t testing.TB, c *Client, path, format string) *published {
	t.Helper()
	p := &published{news: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- c.Source().Run(ctx, map[string]config.Service{"shop": {Path: path, Format: format}}, p.add)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return p
}

// route dials through proxies, whatever address the ensemble tells.
func route(through map[string]*watchertest.Proxy) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p := through[addr]; p != nil {
			addr = p.Addr()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// until polls, for what nobody tells.
func until(t testing.TB, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	limit := time.NewTimer(soon)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("%s: not within %s", what, soon)
		}
	}
	return time.Since(start)
}

// discard is the log of clients that are many.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
