//go:build lab

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// TestTwoHosts is a day of two application hosts. Each part leaves them as it found them.
func TestTwoHosts(t *testing.T) {
	r := newRig(t)
	for _, part := range []struct {
		name string
		run  func(t *testing.T, r *rig)
	}{
		{"both hosts reach both instances", bothReachBoth},
		{"an instance is stopped by its unit", instanceIsStopped},
		{"an instance is drained", instanceIsDrained},
		{"an instance dies", instanceDies},
		{"many instances vanish at once", manyVanish},
		{"the ZooKeeper leader dies", leaderDies},
		{"zkwatch is killed and started again", watcherIsKilled},
		{"the configuration is loaded again", configIsLoaded},
		{"all of ZooKeeper is down", everyServerIsDown},
		{"HAProxy is restarted by somebody", proxyIsRestarted},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, r) }) {
			t.FailNow() // what follows would fail for that
		}
		r.awaitBoth(2)
	}
}

func bothReachBoth(t *testing.T, r *rig) {
	stop := r.traffic()
	time.Sleep(time.Second)
	got := stop()
	unhurt(t, got)
	for _, h := range r.hosts {
		if got.By[h.backend.Addr()] < got.Requests/4 {
			t.Errorf("%s answered %d of %d requests", h.backend.Addr(), got.By[h.backend.Addr()], got.Requests)
		}
		if s := h.status(); !s.Well() {
			t.Errorf("%s is not well: %+v", h.name, s)
		}
	}
}

// A crash breaks the requests that the instance is just answering; every other one is sent
// again or never sent there.
func instanceDies(t *testing.T, r *rig) {
	addr := r.hosts[1].backend.Addr()
	began := time.Now()
	during := r.traffic()
	r.hosts[1].backend.Close()
	for _, h := range r.hosts {
		h.await("one instance", func(s watcher.Status) bool { return serves(s, 1) })
	}
	took := time.Since(began)
	lost := during()
	t.Logf("out of rotation on both hosts %s after the crash; %d of %d requests failed meanwhile: %v", took.Round(time.Millisecond), lost.Failures, lost.Requests, lost.Texts)
	if limit := 5 * time.Second; took > limit {
		t.Errorf("a dead instance was in rotation for %s, want at most %s", took, limit)
	}
	after := r.traffic()
	time.Sleep(time.Second)
	got := after()
	unhurt(t, got)
	if got.By[addr] != 0 {
		t.Errorf("%d requests were answered by a dead instance", got.By[addr])
	}
	if text := r.hosts[0].zkwatch("explain", "web", "--max", "5"); !strings.Contains(text, "command: set server zkwatch-web/") {
		t.Errorf("explain does not say what was done:\n%s", text)
	}
	if text := r.hosts[1].zkwatch("explain", "web"); !strings.Contains(text, "connection refused (3 in a row, down after 3) -> registration web-1") {
		t.Errorf("explain does not say why:\n%s", text)
	}
	r.restartBackend(r.hosts[1])
	r.awaitBoth(2)
}

func (r *rig) restartBackend(h *host) {
	r.t.Helper()
	var err error
	if h.backend, err = watchertest.StartBackend(h.ip + ":8080"); err != nil {
		r.t.Fatal(err)
	}
}

// With deregister in ExecStop= nobody notices a restart of the service.
func instanceIsStopped(t *testing.T, r *rig) {
	h := r.hosts[1]
	stop := r.traffic()
	began := time.Now()
	h.zkwatch("deregister", "web-1")
	t.Logf("deregistered in %s", time.Since(began).Round(time.Millisecond))
	r.hosts[0].await("one instance", func(s watcher.Status) bool { return serves(s, 1) })
	h.await("one instance", func(s watcher.Status) bool { return serves(s, 1) })
	if err := h.backend.Shutdown(); err != nil {
		t.Fatal(err)
	}
	r.restartBackend(h)
	h.zkwatch("register", "web-1")
	r.awaitBoth(2)
	unhurt(t, stop())
}

func instanceIsDrained(t *testing.T, r *rig) {
	h := r.hosts[1]
	stop := r.traffic()
	text := h.zkwatch("drain", "web-1", "--wait")
	for _, want := range []string{"web-1: over after", "by consumers", "app1: 0 connections left", "app2: 0 connections left"} {
		if !strings.Contains(text, want) {
			t.Errorf("drain --wait says nothing of %q:\n%s", want, text)
		}
	}
	if err := h.backend.Shutdown(); err != nil {
		t.Fatal(err)
	}
	// It stays away over a restart of zkwatch.
	h.kill()
	h.start()
	h.await("a drained registration", func(s watcher.Status) bool {
		return len(s.Registrations) == 1 && s.Registrations[0].Draining && !s.Registrations[0].Announced
	})
	r.restartBackend(h)
	h.zkwatch("drain", "web-1", "--undo")
	r.awaitBoth(2)
	unhurt(t, stop())
}

// Scenario 33: what looks like a mistake in the registry is held until somebody says that
// it is none.
func manyVanish(t *testing.T, r *rig) {
	var nodes []string
	var backends []*watchertest.Backend
	for n := range 8 {
		b, err := watchertest.StartBackend(fmt.Sprintf("%s:%d", r.hosts[0].ip, 8100+n))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		backends = append(backends, b)
		node := webPath + "/" + b.Addr()
		if _, err := r.zk.Create(node, nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node)
	}
	r.awaitBoth(10)
	stop := r.traffic()
	var deletes []any
	for _, node := range nodes {
		deletes = append(deletes, &zk.DeleteRequest{Path: node, Version: -1})
	}
	if _, err := r.zk.Multi(deletes...); err != nil {
		t.Fatal(err)
	}
	for _, h := range r.hosts {
		h.await("a hold", func(s watcher.Status) bool { return len(s.Services) == 1 && s.Services[0].Held != nil })
	}
	if text := r.hosts[0].zkwatch("explain", "web", "--max", "3"); !strings.Contains(text, "held") {
		t.Errorf("explain says nothing of the hold:\n%s", text)
	}
	for _, b := range backends {
		seen := b.Requests()
		r.hosts[0].await("a request to an instance that is held back", func(watcher.Status) bool { return b.Requests() > seen })
	}
	for _, h := range r.hosts {
		h.zkwatch("accept", "web")
		h.await("the word of the operator to count", func(s watcher.Status) bool {
			return len(s.Services) == 1 && s.Services[0].Held == nil && len(s.Services[0].Instances) == 2
		})
	}
	r.awaitBoth(2)
	unhurt(t, stop())
}

// Scenario 10, in small: sessions survive an election, and so does everything else.
func leaderDies(t *testing.T, r *rig) {
	var nodes [2]int64
	var before [2]proxyState
	for i, h := range r.hosts {
		nodes[i], before[i] = r.node(h).Czxid, h.settledProxy()
	}
	stop := r.traffic()
	leader := r.ensemble.Leader()
	leader.Kill()
	for _, h := range r.hosts {
		h.await("a connection to a new leader", func(s watcher.Status) bool {
			return r.ensemble.Leader() != nil && len(s.Registries) == 1 && s.Registries[0].Connected && serves(s, 2)
		})
	}
	for i, h := range r.hosts {
		if got := r.node(h).Czxid; got != nodes[i] {
			t.Errorf("%s was registered again: czxid %#x, was %#x", h.name, got, nodes[i])
		}
		h.unchanged(t, before[i])
	}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	unhurt(t, stop())
}

func (h *host) unchanged(t *testing.T, before proxyState) {
	t.Helper()
	if diff := cmp.Diff(before, h.proxyState(), cmp.AllowUnexported(proxyState{})); diff != "" {
		t.Errorf("%s: HAProxy or its file changed (-before +after):\n%s", h.name, diff)
	}
}

// Scenario 30: neither HAProxy nor any other host notices. The znode is taken over by the
// new session in one transaction, so its czxid is another one and it is never away.
func watcherIsKilled(t *testing.T, r *rig) {
	h, other := r.hosts[0], r.hosts[1]
	node, before, others := r.node(h), h.settledProxy(), other.settledProxy()
	changes := other.service().Changes
	stop := r.traffic()
	h.kill()
	h.start()
	h.await("all of it to be announced and served again", func(s watcher.Status) bool {
		return serves(s, 2) && len(s.Registrations) == 1 && s.Registrations[0].Announced
	})
	h.unchanged(t, before)
	other.unchanged(t, others)
	if did := h.actions(); did != "" {
		t.Errorf("the new process did to HAProxy:\n%s", did)
	}
	if got := other.service().Changes; got != changes {
		t.Errorf("%s saw %d changes", other.name, got-changes)
	}
	if now := r.node(h); now.EphemeralOwner == node.EphemeralOwner {
		t.Error("the znode still belongs to the session of the process that was killed")
	}
	unhurt(t, stop())
}

func configIsLoaded(t *testing.T, r *rig) {
	h := r.hosts[0]
	keep, node, session := h.config, r.node(h), h.status().Registries[0].Session
	stop := r.traffic()
	h.config.Routes = map[string]config.Route{"web": keep.Routes["web"], "web-tcp": {Service: "web", Bind: h.ip + ":3001", Mode: "tcp"}}
	config.Default(&h.config)
	h.write()
	h.hup()
	h.await("a second route", func(s watcher.Status) bool {
		return s.HAProxy != nil && len(s.HAProxy.Routes) == 2 && s.HAProxy.Routes[1].Ready == 2 && s.HAProxy.Reloads == 1
	})
	tcp := watchertest.StartTraffic(watchertest.Load{Addr: h.ip + ":3001", Max: 100, KeepAlive: true})
	unhurt(t, tcp.Wait())

	if err := os.WriteFile(h.file(), []byte("hots: app1\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	h.hup()
	h.await("a refusal", func(s watcher.Status) bool { return strings.Contains(s.Refused, "hots") })
	if s := h.status(); len(s.Routes) != 2 || !s.Registrations[0].Announced {
		t.Errorf("the old configuration is not in force: %+v", s)
	}
	h.config = keep
	h.write()
	h.hup()
	h.await("one route", func(s watcher.Status) bool { return s.Refused == "" && len(s.Routes) == 1 && s.HAProxy.Reloads == 2 })
	if now := r.node(h); now.Czxid != node.Czxid || h.status().Registries[0].Session != session {
		t.Error("a reload that changed no registration and no registry made a new session or a new znode")
	}
	unhurt(t, stop())
}

func (h *host) hup() {
	h.t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		h.t.Fatal(err)
	}
}

// Scenarios 1 and 2: with no ZooKeeper at all everything goes on, also over a restart of zkwatch.
func everyServerIsDown(t *testing.T, r *rig) {
	var before [2]proxyState
	for i, h := range r.hosts {
		before[i] = h.settledProxy()
	}
	stop := r.traffic()
	for _, s := range r.ensemble.Servers {
		s.Kill()
	}
	for _, h := range r.hosts {
		h.await("an unknown service", func(s watcher.Status) bool {
			return len(s.Services) == 1 && s.Services[0].Truth == watcher.Unknown && s.Services[0].Reason != "" && len(s.Services[0].Instances) == 2
		})
	}
	h := r.hosts[0]
	h.kill()
	h.start()
	h.await("the set from disk", func(s watcher.Status) bool {
		return len(s.Services) == 1 && len(s.Services[0].Instances) == 2 && s.Services[0].Truth == watcher.Unknown && !s.Services[0].Read.IsZero() &&
			s.HAProxy != nil && s.HAProxy.Worker > 0
	})
	time.Sleep(2 * time.Second) // longer than any debounce: what should not happen gets its chance
	for i, h := range r.hosts {
		h.unchanged(t, before[i])
	}
	if did := h.actions(); did != "" {
		t.Errorf("without a registry the new process did to HAProxy:\n%s", did)
	}
	for _, s := range r.ensemble.Servers {
		if err := s.Begin(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.ensemble.WaitServing(); err != nil {
		t.Fatal(err)
	}
	for _, h := range r.hosts {
		h.await("everything as before", func(s watcher.Status) bool { return serves(s, 2) && s.Registrations[0].Announced })
	}
	for i, h := range r.hosts {
		h.unchanged(t, before[i])
	}
	unhurt(t, stop())
}

// Scenario 25: a HAProxy that others start again has everything from its file.
func proxyIsRestarted(t *testing.T, r *rig) {
	h := r.hosts[0]
	old := h.balancer.Worker()
	if err := h.balancer.Reload(); err != nil {
		t.Fatal(err)
	}
	h.await("the new worker to be known", func(s watcher.Status) bool {
		return s.HAProxy != nil && s.HAProxy.Worker != 0 && s.HAProxy.Worker != old && serves(s, 2)
	})
	stop := r.traffic()
	time.Sleep(time.Second)
	unhurt(t, stop())
}
