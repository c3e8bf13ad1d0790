//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// rig is a real ensemble of three, and two hosts with a real HAProxy, a real zkwatch
// process and an instance of service web each.
type rig struct {
	t        *testing.T
	ensemble *watchertest.Ensemble
	hosts    [2]*host
	zk       *zk.Conn // an observer of our own
}

const webPath = "/services/web/instances"

// host is one of them. Its addresses are loopback ones of its own, so that ports are those of a host.
type host struct {
	t        *testing.T
	name, ip string
	dir      string
	balancer *watchertest.Balancer
	backend  *watchertest.Backend
	config   config.Config
	cmd      *exec.Cmd
	ended    chan struct{}
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, ensemble: watchertest.ZooKeeper(t, 3)}
	for i := range r.hosts {
		r.hosts[i] = newHost(t, i+1, r.ensemble.Addrs())
	}
	for _, h := range r.hosts {
		h.start()
		h.await("the file for HAProxy", func(watcher.Status) bool {
			_, err := os.Stat(h.config.HAProxy.File)
			return err == nil
		})
		if err := h.balancer.Start(); err != nil {
			t.Fatal(err)
		}
	}
	conn, events, err := zk.Connect(r.ensemble.Addrs(), 5*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	r.zk = conn
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range events {
			continue
		}
	}()
	t.Cleanup(func() { conn.Close(); <-drained })
	r.awaitBoth(2)
	return r
}

// silent is a log that nobody needs: what fails shows in the test.
type silent struct{}

func (silent) Printf(string, ...any) {}

func newHost(t *testing.T, n int, servers []string) *host {
	dir, err := os.MkdirTemp("", "zkw") // a socket's path is at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &host{t: t, name: fmt.Sprintf("app%d", n), ip: fmt.Sprintf("127.%d.%d.%d", 200+os.Getpid()/250%50, os.Getpid()%250, n), dir: dir, balancer: watchertest.HAProxy(t)}
	if h.backend, err = watchertest.StartBackend(h.ip + ":8080"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.backend.Close() })
	h.config = config.Config{Host: h.name, Address: h.ip, StateDir: filepath.Join(dir, "state"),
		Registries: map[string]config.Registry{"main": {ZooKeeper: &config.ZooKeeper{Servers: servers, Session: config.Duration(4 * time.Second)}}},
		Services:   map[string]config.Service{"web": {Registry: "main", Path: webPath}},
		Routes: map[string]config.Route{"web": {Service: "web", Bind: h.ip + ":3000",
			Check: config.RouteCheck{HTTP: "GET /health", Inter: config.Duration(500 * time.Millisecond)}}},
		Register: map[string]config.Registration{"web-1": {Service: "web", Port: 8080, Check: config.ServiceCheck{
			HTTP: "http://" + h.ip + ":8080/health", Interval: config.Duration(200 * time.Millisecond)}}},
		HAProxy: h.balancer.Settings(),
		Status:  config.Status{Listen: h.ip + ":9180", Socket: filepath.Join(dir, "z.sock")},
		Board:   config.Board{Every: config.Duration(time.Second)},
		Guard:   config.Guard{Hold: config.Duration(10 * time.Minute)},
		Drain:   config.Drain{Spool: filepath.Join(dir, "spool"), Grace: config.Duration(2 * time.Second), Timeout: config.Duration(20 * time.Second)},
	}
	h.config.HAProxy.ReloadInterval = config.Duration(time.Second)
	config.Default(&h.config)
	return h
}

func (h *host) route() string { return h.ip + ":3000" }

// write writes the configuration.
func (h *host) write() {
	h.t.Helper()
	b, err := config.Marshal(&h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.file(), b, 0o640); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) file() string { return filepath.Join(h.dir, "zkwatch.yaml") }

// start starts zkwatch and returns when it answers.
func (h *host) start() {
	h.t.Helper()
	h.write()
	log, err := os.OpenFile(filepath.Join(h.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	h.cmd = exec.Command("zkwatch", "run", "-c", h.file(), "--debug")
	h.cmd.Stdout, h.cmd.Stderr, h.cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	ended, cmd := make(chan struct{}), h.cmd
	h.ended = ended
	go func() {
		_ = cmd.Wait() // a process that was killed always ends with an error
		_ = log.Close()
		close(ended)
	}()
	h.t.Cleanup(func() {
		h.signal(cmd, syscall.SIGKILL, ended)
		if cmd == h.cmd {
			h.judgeLog()
		}
	})
	h.await("zkwatch to answer", func(s watcher.Status) bool { return s.Host == h.name })
}

// judgeLog fails the test for what the processes of this host may not say, and shows the
// end of their log when it failed.
func (h *host) judgeLog() {
	text, err := os.ReadFile(filepath.Join(h.dir, "log"))
	if err != nil {
		h.t.Error(err)
	}
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(string(text), bad) {
			h.t.Errorf("the log of %s has %q", h.name, bad)
		}
	}
	if h.t.Failed() {
		h.t.Logf("the end of the log of %s:\n%s", h.name, text[max(0, len(text)-6000):])
	}
}

func (h *host) signal(cmd *exec.Cmd, sig syscall.Signal, ended chan struct{}) {
	_ = cmd.Process.Signal(sig) // it may have ended already
	<-ended
}

// kill ends zkwatch with SIGKILL.
func (h *host) kill() { h.signal(h.cmd, syscall.SIGKILL, h.ended) }

// status returns what zkwatch says; nothing when it does not answer.
func (h *host) status() watcher.Status {
	var s watcher.Status
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + h.config.Status.Listen + "/v1/status")
	if err != nil {
		return s
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil && err != io.EOF {
		h.t.Errorf("%s: %v", h.name, err)
	}
	return s
}

// service is web in the status.
func (h *host) service() watcher.ServiceStatus {
	for _, s := range h.status().Services {
		if s.Service == "web" {
			return s
		}
	}
	return watcher.ServiceStatus{}
}

// await polls the status.
func (h *host) await(what string, ok func(watcher.Status) bool) time.Duration {
	h.t.Helper()
	began := time.Now()
	for time.Since(began) < time.Minute {
		if ok(h.status()) {
			return time.Since(began)
		}
		select {
		case <-h.ended:
			h.t.Fatalf("%s: zkwatch ended while it was waited for: %s", h.name, what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	h.t.Fatalf("%s: in a minute it did not come to %s; the status is %+v", h.name, what, h.status())
	return 0
}

// zkwatch runs a command of an operator on the host.
func (h *host) zkwatch(args ...string) string {
	h.t.Helper()
	out, err := exec.Command("zkwatch", append([]string{"--socket", h.config.Status.Socket}, args...)...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: zkwatch %s: %v\n%s", h.name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// serves tells whether exactly n instances are served and ready in HAProxy.
func serves(s watcher.Status, n int) bool {
	if s.HAProxy == nil || len(s.HAProxy.Routes) == 0 || len(s.Services) != 1 {
		return false
	}
	web, route := s.Services[0], s.HAProxy.Routes[0]
	return web.Truth == watcher.Known && !web.Pending && len(web.Instances) == n && route.Ready == n && route.Down == 0
}

func (r *rig) awaitBoth(n int) {
	r.t.Helper()
	for _, h := range r.hosts {
		h.await(fmt.Sprintf("%d instances served", n), func(s watcher.Status) bool { return serves(s, n) })
	}
}

// node returns the stat of a host's znode.
func (r *rig) node(h *host) *zk.Stat {
	r.t.Helper()
	ok, st, err := r.zk.Exists(webPath + "/" + h.ip + ":8080")
	if err != nil || !ok {
		r.t.Fatalf("%s: its znode is there: %v, %v", h.name, ok, err)
	}
	return st
}

// proxyState is what of HAProxy and its file must not change.
type proxyState struct {
	worker  int
	file    string
	written time.Time
	servers string
}

// settledProxy is the state once the file has caught up with what HAProxy was told.
func (h *host) settledProxy() proxyState {
	h.t.Helper()
	last, since := h.proxyState(), time.Now()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if now := h.proxyState(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > 2500*time.Millisecond {
			return last
		}
	}
	h.t.Fatalf("%s: HAProxy and its file never came to rest", h.name)
	return last
}

func (h *host) proxyState() proxyState {
	h.t.Helper()
	text, err := os.ReadFile(h.config.HAProxy.File)
	if err != nil {
		h.t.Fatal(err)
	}
	st, err := os.Stat(h.config.HAProxy.File)
	if err != nil {
		h.t.Fatal(err)
	}
	return proxyState{worker: h.balancer.Worker(), file: string(text), written: st.ModTime(), servers: h.servers()}
}

// servers lists name, address, port, administrative state and weight of each server, as
// management.txt 9.3 "show servers state" orders them. Checks change the rest by themselves.
func (h *host) servers() string {
	var out []string
	for line := range strings.Lines(h.balancer.Ask("show servers state zkwatch-web")) {
		if f := strings.Fields(line); len(f) > 18 && f[1] == "zkwatch-web" {
			out = append(out, strings.Join([]string{f[3], f[4], f[18], f[6], f[7]}, " "))
		}
	}
	return strings.Join(out, "\n")
}

// actions lists what zkwatch did to HAProxy since it started.
func (h *host) actions() string {
	h.t.Helper()
	var entries []watcher.Entry
	if err := json.Unmarshal([]byte(h.zkwatch("explain", "--max", "1000", "--output", "json")), &entries); err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		for _, a := range e.Actions {
			switch a.Kind {
			case "command", "write", "reload", "repair", "refused":
				out = append(out, a.Kind+" "+a.Text)
			}
		}
	}
	return strings.Join(out, "\n")
}

// traffic sends requests through both routes, on kept connections and on new ones.
func (r *rig) traffic() func() watchertest.Result {
	var all []*watchertest.Traffic
	for _, h := range r.hosts {
		for _, keep := range []bool{true, false} {
			all = append(all, watchertest.StartTraffic(watchertest.Load{Addr: h.route(), Path: "/?ms=5", Clients: 2, KeepAlive: keep}))
		}
	}
	return func() watchertest.Result {
		sum := watchertest.Result{Texts: map[string]int64{}, By: map[string]int64{}}
		for _, t := range all {
			one := t.Stop()
			sum.Requests, sum.Failures, sum.Reopened = sum.Requests+one.Requests, sum.Failures+one.Failures, sum.Reopened+one.Reopened
			sum.Slowest = max(sum.Slowest, one.Slowest)
			for k, v := range one.Texts {
				sum.Texts[k] += v
			}
			for k, v := range one.By {
				sum.By[k] += v
			}
		}
		return sum
	}
}

// unhurt checks that traffic went on without a failure.
func unhurt(t *testing.T, got watchertest.Result) {
	t.Helper()
	t.Logf("%d requests, %d failed, slowest %s, by %v", got.Requests, got.Failures, got.Slowest.Round(time.Millisecond), got.By)
	if got.Failures > 0 || got.Requests < 50 {
		t.Errorf("%d of %d requests failed: %v", got.Failures, got.Requests, got.Texts)
	}
}
