//go:build lab

package haproxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// rack is a real HAProxy with a sink that runs.
type rack struct {
	t *testing.T
	*Sink
	h    *watchertest.Balancer
	stop func()

	mu  sync.Mutex
	did []watcher.Action // by Run
}

// newRack starts both, HAProxy with the file that the sink wrote.
func newRack(t *testing.T, routes map[string]config.Route, tune ...func(*config.HAProxy)) *rack {
	t.Helper()
	h := watchertest.HAProxy(t)
	k := attach(t, h, routes, tune...)
	until(t, 5*time.Second, "the file is written", func() bool { _, err := os.Stat(k.o.Config.File); return err == nil })
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, 5*time.Second, "the sink is connected", func() bool { return k.Status().Connected })
	return k
}

// attach runs a sink for a HAProxy, which may not run yet.
func attach(t *testing.T, h *watchertest.Balancer, routes map[string]config.Route, tune ...func(*config.HAProxy)) *rack {
	t.Helper()
	c := config.Config{HAProxy: h.Settings(), Routes: routes}
	for _, f := range tune {
		f(&c.HAProxy)
	}
	config.Default(&c)
	s, err := New(Options{Config: c.HAProxy, Routes: c.Routes, Zone: "near", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	k := &rack{t: t, Sink: s, h: h}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, func(o watcher.Outcome) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.did = append(k.did, o.Actions...)
		})
	}()
	k.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(k.stop)
	return k
}

// next replaces the sink by one with other routes, as a new configuration of zkwatch does.
func (k *rack) next(routes map[string]config.Route, tune ...func(*config.HAProxy)) *rack {
	k.t.Helper()
	k.stop()
	return attach(k.t, k.h, routes, tune...)
}

func (k *rack) set(service string, backends ...*watchertest.Backend) watcher.Outcome {
	k.t.Helper()
	out, err := k.Apply(k.t.Context(), []watcher.Set{{Service: service, Instances: instances(backends...), Why: "test"}})
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// says waits until Run has reported an action.
func (k *rack) says(kind, part string) {
	k.t.Helper()
	until(k.t, 15*time.Second, fmt.Sprintf("%s of %q", kind, part), func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, a := range k.did {
			if a.Kind == kind && strings.Contains(a.Text+" "+a.Why, part) {
				return true
			}
		}
		return false
	})
}

func instances(backends ...*watchertest.Backend) []watcher.Instance {
	var out []watcher.Instance
	for _, b := range backends {
		host, port, _ := net.SplitHostPort(b.Addr())
		n, _ := strconv.Atoi(port)
		out = append(out, watcher.Instance{ID: b.Addr(), Host: host, Port: n, Weight: 1})
	}
	return out
}

// fleet starts backends that live as long as the test.
func fleet(t *testing.T, n int) []*watchertest.Backend {
	t.Helper()
	var out []*watchertest.Backend
	for range n {
		b, err := watchertest.StartBackend("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		out = append(out, b)
	}
	return out
}

// port returns a loopback address that nothing listens on.
func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-tick.C
	}
}

// unharmed wants no request to have failed.
func unharmed(t *testing.T, name string, r watchertest.Result, least int64) {
	t.Helper()
	t.Logf("%s: %d requests, %d failed, %d sent again, slowest %s, %d instances", name, r.Requests, r.Failures, r.Reopened, r.Slowest.Round(time.Millisecond), len(r.By))
	if r.Failures > 0 {
		t.Errorf("%s: %d of %d requests failed: %v", name, r.Failures, r.Requests, r.Texts)
	}
	if r.Requests < least {
		t.Errorf("%s: only %d requests, want %d or more for the test to mean something", name, r.Requests, least)
	}
}

// haproxy -c takes every golden file, without a warning: what it warns of it ignores later.
func TestHAProxyTakesEveryFile(t *testing.T) {
	h := watchertest.HAProxy(t)
	for name, c := range files() {
		t.Run(name, func(t *testing.T) {
			c.HAProxy.SocketGroup = "" // there may be no such group here
			file := filepath.Join(t.TempDir(), "zkwatch.cfg")
			if err := os.WriteFile(file, rendered(t, c), 0o644); err != nil {
				t.Fatal(err)
			}
			s := h.Settings()
			out, err := exec.Command(s.Binary, "-c", "-f", s.Before[0], "-f", file).CombinedOutput()
			if err != nil || strings.Contains(string(out), "WARNING") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// The fake that the other tests stand on answers as HAProxy does.
func TestTheFakeAnswersAsHAProxyDoes(t *testing.T) {
	k := newRack(t, map[string]config.Route{"a": {Service: "inventory", Bind: port(t)}})
	k.stop()
	f := newFake(t, k.o.Config.File)
	f.start()
	defer f.stop()
	script := []string{
		"set server zkwatch-a/s1 addr 127.0.0.2 port 80", "set server zkwatch-a/s1 addr 127.0.0.2 port 80", "set server zkwatch-a/s1 addr ::1 port 81",
		"set server zkwatch-a/s1 weight 7", "set server zkwatch-a/s1 state ready", "set server zkwatch-a/s2 state drain", "set server zkwatch-a/s1 health down",
		"set server zkwatch-a/s9 state ready", "set server zkwatch-z/s1 state ready",
		"add server zkwatch-a/x1 127.0.0.3:80 id 100001 weight 3 check inter 2s rise 2 fall 3 observe layer7 error-limit 20 on-error mark-down pool-purge-delay 5s pool-max-conn -1",
		"add server zkwatch-a/x1 127.0.0.3:80 id 100002", "enable health zkwatch-a/x1", "set server zkwatch-a/x1 state ready",
		"show env " + shapeVariable, "show stat zkwatch-nowhere 4 -1", "show servers state zkwatch-nowhere",
	}
	ctx := t.Context()
	for _, line := range script {
		real, err := ask(ctx, dialUnix, k.o.Config.Socket, line, opTimeout)
		if err != nil {
			t.Fatal(err)
		}
		fake, err := ask(ctx, f.dial, fakeRuntime, line, opTimeout)
		if err != nil {
			t.Fatal(err)
		}
		if is30 := strings.HasPrefix(k.h.Ask("show version"), "3."); is30 && strings.Contains(line, " addr ") {
			continue // says less; TestAnswersAreAcceptedWordByWord has both
		}
		if strings.TrimSpace(real) != strings.TrimSpace(fake) {
			t.Errorf("%s\nHAProxy: %q\nfake:    %q", line, real, fake)
		}
	}
	// The state of all servers, without what time and checks make of them.
	volatile := regexp.MustCompile(`(?m)^\d+ (\S+ \d+ \S+ \S+) \d+ (\d+ \d+) .* - (\d+) - .*$`)
	state := func(dial dialer, path string) string {
		text, err := ask(ctx, dial, path, "show servers state zkwatch-a", opTimeout)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(volatile.ReplaceAllString(text, "$1 admin,weight $2 port $3"))
	}
	if real, fake := state(dialUnix, k.o.Config.Socket), state(f.dial, fakeRuntime); real != fake {
		t.Errorf("show servers state\nHAProxy: %s\nfake:    %s", real, fake)
	}
}
