//go:build lab

package zookeeper

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// proxied puts a proxy before each server.
func proxied(t *testing.T, e *watchertest.Ensemble) map[string]*watchertest.Proxy {
	t.Helper()
	out := map[string]*watchertest.Proxy{}
	for _, addr := range e.Addrs() {
		out[addr] = watchertest.NewProxy(t, addr)
	}
	return out
}

func setAll(proxies map[string]*watchertest.Proxy, m watchertest.Mode) {
	for _, p := range proxies {
		p.Set(m)
	}
}

func shopAt(path, format string) watcher.Announcement {
	return watcher.Announcement{Name: "shop-1", Service: "shop", At: config.Service{Path: path, Format: format}, Instance: watcher.Instance{Host: "10.0.0.1", Port: 80, Weight: 1}}
}

// neverEmpty fails when a set was taken away.
func neverEmpty(t *testing.T, p *published) {
	t.Helper()
	for _, s := range p.since(0) {
		if s.Truth == watcher.Empty || s.Truth == watcher.Known && len(s.Instances) == 0 {
			t.Errorf("published %s", brief([]watcher.Snapshot{s}))
		}
	}
}

// Scenario 1: all servers are gone, and come back.
func TestRealOutageOfAllServers(t *testing.T) {
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	create(t, conn, path+"/10.0.0.9:80", "")
	c := connect(t, Options{Servers: e.Addrs(), Session: 4 * time.Second})
	p := follow(t, c, path, config.Plain)
	if _, err := c.Registrar().Announce(t.Context(), shopAt(path, config.Plain)); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 0, "both", has("10.0.0.1:80", "10.0.0.9:80"))
	start := time.Now()
	var wg sync.WaitGroup
	for _, s := range e.Servers {
		wg.Go(s.Kill)
	}
	wg.Wait()
	s := p.wait(t, 0, "not knowing", truth(watcher.Unknown))
	took := s.At.Sub(start)
	t.Logf("unknown after %s: %s", took.Round(time.Millisecond), s.Reason)
	if took < 4*time.Second || took > 12*time.Second {
		t.Errorf("unknown after %s, want about 4/3 of the session of 4s", took)
	}
	if st := c.Status(); st.State != StateLost {
		t.Errorf("status %+v", st)
	}
	for _, s := range e.Servers {
		if err := s.Begin(); err != nil {
			t.Fatal(err)
		}
	}
	n := p.len()
	p.wait(t, n, "both again", has("10.0.0.1:80", "10.0.0.9:80"))
	t.Logf("known again %s after the servers were started", time.Since(start).Round(time.Millisecond))
	neverEmpty(t, p)
}

// Scenarios 3 and 5: a black hole, both ways or one. The client knows by its own clock that the
// session is lost, and what it announced is there within a second of the end of the hole. Where
// the server still hears it, the session may live on: then nothing has to be put again.
func TestRealBlackHole(t *testing.T) {
	tests := map[string]struct {
		mode watchertest.Mode
		ends bool // the session
	}{
		"both ways":             {watchertest.Blackhole, true},
		"nothing arrives there": {watchertest.BlackholeUp, true},
		"nothing comes back":    {watchertest.BlackholeDown, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := shared(t)
			conn := admin(t, e)
			path := root(t, conn)
			create(t, conn, path+"/10.0.0.9:80", "")
			proxies := proxied(t, e)
			c := connect(t, Options{Servers: e.Addrs(), Dial: route(proxies)})
			p := follow(t, c, path, config.Plain)
			if _, err := c.Registrar().Announce(t.Context(), shopAt(path, config.Plain)); err != nil {
				t.Fatal(err)
			}
			p.wait(t, 0, "both", has("10.0.0.1:80", "10.0.0.9:80"))
			before := c.Status()
			start := time.Now()
			setAll(proxies, test.mode)
			s := p.wait(t, 0, "not knowing", truth(watcher.Unknown))
			lost := s.At.Sub(start)
			t.Logf("lost by its own clock after %s", lost.Round(time.Millisecond))
			if most := session*4/3 + 3*time.Second; lost > most {
				t.Errorf("lost after %s, want %s at most", lost, most)
			}
			if test.ends {
				gone := until(t, "the end of the session", func() bool { return len(list(t, conn, path)) == 1 })
				t.Logf("the servers ended the session %s later", gone.Round(time.Millisecond))
			}
			n := p.len()
			setAll(proxies, watchertest.Pass)
			back := until(t, "the announcement", func() bool { return len(list(t, conn, path)) == 2 && c.Status().State == StateConnected })
			p.wait(t, n, "both again", has("10.0.0.1:80", "10.0.0.9:80"))
			after := c.Status()
			t.Logf("announced again %s after the end of the black hole, in session %s after %s", back.Round(time.Millisecond), after.SessionID, before.SessionID)
			if back > 3*time.Second { // a tenth of it on an idle machine
				t.Errorf("announced again after %s, want less than a second", back)
			}
			if test.ends && after.SessionID == before.SessionID {
				t.Errorf("status %+v after %+v", after, before)
			}
			neverEmpty(t, p)
		})
	}
}

// Scenario 4: a server that accepts and says nothing is left for another one in time for the
// session to live on. It is a follower: without its leader the ensemble needs an election first.
func TestRealHungServer(t *testing.T) {
	const long = 6 * time.Second
	hangs := map[string]func(t *testing.T, s *watchertest.Server, p *watchertest.Proxy){
		"the process stands still":          func(_ *testing.T, s *watchertest.Server, _ *watchertest.Proxy) { s.Pause() },
		"the connection is cut and then so": func(_ *testing.T, _ *watchertest.Server, p *watchertest.Proxy) { p.Set(watchertest.Hang); p.Cut() },
	}
	for name, hang := range hangs {
		t.Run(name, func(t *testing.T) {
			e := shared(t)
			conn := admin(t, e)
			path := root(t, conn)
			proxies := proxied(t, e)
			c := connect(t, Options{Servers: []string{e.Followers()[0].Addr()}, Session: long, Dial: route(proxies)})
			at, err := c.Registrar().Announce(t.Context(), shopAt(path, config.Plain))
			if err != nil {
				t.Fatal(err)
			}
			p := follow(t, c, path, config.Plain)
			p.wait(t, 0, "it", has("10.0.0.1:80"))
			until(t, "the members", func() bool { return c.hosts.Len() == 3 })
			before := c.Status()
			start := time.Now()
			for _, s := range e.Servers {
				if s.Addr() == before.Server {
					hang(t, s, proxies[s.Addr()])
				}
			}
			until(t, "another server", func() bool { s := c.Status(); return s.State == StateConnected && s.Server != before.Server })
			took := time.Since(start)
			after := c.Status()
			t.Logf("on %s instead of %s after %s (two thirds of the session: %s)", after.Server, before.Server, took.Round(time.Millisecond), long*2/3)
			// Half a second on an idle machine; what counts is that the session lives.
			if most := long*2/3 + 2*time.Second; took > most {
				t.Errorf("another server after %s, want %s at most", took, most)
			}
			if after.SessionID != before.SessionID {
				t.Errorf("session %s after %s, want the same", after.SessionID, before.SessionID)
			}
			if again, err := c.Registrar().Announce(t.Context(), shopAt(path, config.Plain)); err != nil || again != at {
				t.Errorf("announced at %+v, %v; want it untouched at %+v", again, err, at)
			}
			neverEmpty(t, p)
		})
	}
}

// Scenario 6: a process that starts again takes over what the one before left, and the end of
// the old session takes nothing away.
func TestRealFastRestart(t *testing.T) {
	for _, format := range []string{config.Plain, config.Nerve} {
		t.Run(format, func(t *testing.T) {
			e := shared(t)
			conn := admin(t, e)
			path := root(t, conn)
			p := follow(t, connect(t, Options{Servers: e.Addrs()}), path, format)
			old := connect(t, Options{Servers: e.Addrs(), Session: 3 * time.Second})
			if _, err := old.Registrar().Announce(t.Context(), shopAt(path, format)); err != nil {
				t.Fatal(err)
			}
			p.wait(t, 0, "the first", has("10.0.0.1:80"))
			start := time.Now()
			old.Close()
			t.Logf("closed in %s", time.Since(start).Round(time.Millisecond))
			if names := list(t, conn, path); len(names) != 1 {
				t.Fatalf("after Close: %v, want it left to the session's end", names)
			}
			n := p.len()
			c := connect(t, Options{Servers: e.Addrs(), Session: 3 * time.Second})
			at, err := c.Registrar().Announce(t.Context(), shopAt(path, format))
			if err != nil {
				t.Fatal(err)
			}
			p.wait(t, n, "the second", func(s watcher.Snapshot) bool { return s.Revision >= at.Revision })
			wait := time.NewTimer(5 * time.Second) // beyond the old session
			<-wait.C
			if names := list(t, conn, path); len(names) != 1 {
				t.Errorf("after the end of the old session: %v", names)
			}
			for _, s := range p.since(n - 1) {
				if !has("10.0.0.1:80")(s) || len(s.Rejected) != 0 {
					t.Errorf("a reader saw %s", brief([]watcher.Snapshot{s}))
				}
			}
		})
	}
}

// Scenario 10: an election among many clients costs no session, no announcement, and no
// readings worth the name.
func TestRealElectionWithManyClients(t *testing.T) { election(t, 40, 5) }

func election(t testing.TB, clients, services int) {
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	for s := range services {
		create(t, conn, fmt.Sprintf("%s/s%d", path, s), "")
		create(t, conn, fmt.Sprintf("%s/s%d/10.0.0.9:80", path, s), "")
	}
	create(t, conn, path+"/announced", "")
	var all []*Client
	var sets []*published
	for i := range clients {
		c := connect(t, Options{Servers: e.Addrs(), Session: 20 * time.Second, Log: discard(), Host: fmt.Sprint("host", i)})
		all = append(all, c)
		for s := range services {
			sets = append(sets, follow(t, c, fmt.Sprintf("%s/s%d", path, s), config.Plain))
		}
		a := shopAt(path+"/announced", config.Plain)
		a.Instance.Host = fmt.Sprintf("10.1.%d.%d", i/250, i%250)
		if _, err := c.Registrar().Announce(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range sets {
		p.wait(t, 0, "its instance", has("10.0.0.9:80"))
	}
	var before []ConnStatus
	for _, c := range all {
		before = append(before, c.Status())
	}
	_, stat, err := conn.Get(path + "/announced")
	if err != nil {
		t.Fatal(err)
	}
	leader := e.Leader()
	start := time.Now()
	leader.Kill()
	spread := map[string]int{}
	for i, c := range all {
		until(t, "the connection", func() bool { s := c.Status(); return s.State == StateConnected && s.Server != leader.Addr() })
		s := c.Status()
		spread[s.Server]++
		if s.SessionID != before[i].SessionID {
			t.Errorf("client %d lost its session", i)
		}
	}
	back := time.Since(start)
	packets := 0 // since the election: a server that changes its part counts from 0
	for _, s := range e.Servers {
		packets += requests(s)
	}
	t.Logf("%d clients with %d services each are back after %s: %v; the servers got %.1f requests of each, pings included", clients, services,
		back.Round(time.Millisecond), spread, float64(packets)/float64(clients))
	if _, now, err := conn.Get(path + "/announced"); err != nil || now.Pzxid != stat.Pzxid {
		t.Errorf("announcements changed in the election: %v", err)
	}
	for server, n := range spread {
		if n < clients/4 {
			t.Errorf("%s has %d of %d clients, want them spread", server, n, clients)
		}
	}
	create(t, conn, path+"/s0/10.0.0.8:80", "")
	for i, p := range sets {
		if i%services == 0 {
			p.wait(t, 0, "a change after the election", has("10.0.0.8:80", "10.0.0.9:80"))
			continue
		}
		for _, s := range p.since(1) {
			if s.Event != "audit" {
				t.Errorf("set %d was read again: %s", i, brief([]watcher.Snapshot{s}))
			}
		}
	}
}
