//go:build lab

package zookeeper

import (
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

func TestRealSourceFollowsWhatHappens(t *testing.T) {
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn) + "/instances"
	c := connect(t, Options{Servers: e.Addrs()})
	p := follow(t, c, path, config.Plain)

	p.wait(t, 0, "nothing, verified", truth(watcher.Empty))
	create(t, conn, path, "")
	create(t, conn, path+"/10.0.0.1:80", "")
	p.wait(t, 0, "the first", has("10.0.0.1:80"))
	create(t, conn, path+"/10.0.0.2:80", `{"weight":7}`)
	p.wait(t, 0, "the second", has("10.0.0.1:80", "10.0.0.2:80 weight 7"))
	if _, err := conn.Set(path+"/10.0.0.1:80", []byte(`{"state":"draining"}`), -1); err != nil {
		t.Fatal(err)
	}
	last := p.wait(t, 0, "a draining one", has("10.0.0.1:80 draining", "10.0.0.2:80 weight 7"))
	if err := conn.Delete(path+"/10.0.0.1:80", -1); err != nil {
		t.Fatal(err)
	}
	next := p.wait(t, 0, "one left", has("10.0.0.2:80 weight 7"))
	if next.Revision <= last.Revision {
		t.Errorf("revision %d after %d: it has to grow", next.Revision, last.Revision)
	}
	if err := conn.Delete(path+"/10.0.0.2:80", -1); err != nil {
		t.Fatal(err)
	}
	n := p.len()
	p.wait(t, n-1, "nothing left", truth(watcher.Empty))
}

func TestRealRegistrarAnnouncesDrainsAndWithdraws(t *testing.T) {
	for _, format := range []string{config.Plain, config.Nerve} {
		t.Run(format, func(t *testing.T) {
			e := shared(t)
			conn := admin(t, e)
			path := root(t, conn) + "/a/b/instances"
			c := connect(t, Options{Servers: e.Addrs()})
			p := follow(t, c, path, format)
			a := watcher.Announcement{Name: "shop-1", Service: "shop", At: config.Service{Path: path, Format: format},
				Instance: watcher.Instance{Host: "10.0.0.1", Port: 80, Name: "web1", Weight: 5, Zone: "z1", Labels: map[string]string{"v": "2"}}}
			at, err := c.Registrar().Announce(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			s := p.wait(t, 0, "the announcement", func(s watcher.Snapshot) bool { return s.Revision >= at.Revision && len(s.Instances) == 1 })
			got := s.Instances[0]
			if got.ID != at.ID || got.Addr() != "10.0.0.1:80" || got.Weight != 5 || got.Zone != "z1" || got.Labels["v"] != "2" || got.Name != "web1" || got.Draining {
				t.Errorf("announced as %+v, read as %+v", a.Instance, got)
			}
			start := time.Now()
			again, err := c.Registrar().Announce(t.Context(), a)
			if err != nil || again != at {
				t.Errorf("the same again: %+v, %v; want %+v, nothing written", again, err, at)
			}
			t.Logf("the same again took %s", time.Since(start))
			a.Instance.Draining = true
			drain, err := c.Registrar().Announce(t.Context(), a)
			if err != nil || drain.ID != at.ID || drain.Revision <= at.Revision {
				t.Errorf("draining: %+v, %v; want the id %s and a greater revision than %d", drain, err, at.ID, at.Revision)
			}
			s = p.wait(t, 0, "it draining", func(s watcher.Snapshot) bool { return s.Revision >= drain.Revision })
			if len(s.Instances) != 1 || !s.Instances[0].Draining || s.Instances[0].ID != at.ID {
				t.Errorf("draining: %s", brief([]watcher.Snapshot{s}))
			}
			start = time.Now()
			if err := c.Registrar().Withdraw(t.Context(), a.Name); err != nil {
				t.Fatal(err)
			}
			t.Logf("withdrawn in %s", time.Since(start))
			if names, _, err := conn.Children(path); err != nil || len(names) != 0 {
				t.Errorf("after Withdraw: %v, %v", names, err)
			}
			p.wait(t, 0, "nothing", func(s watcher.Snapshot) bool { return s.Truth == watcher.Empty && s.Revision > drain.Revision })
			if err := c.Registrar().Withdraw(t.Context(), a.Name); err != nil {
				t.Errorf("withdraw what is not there: %v", err)
			}
		})
	}
}
