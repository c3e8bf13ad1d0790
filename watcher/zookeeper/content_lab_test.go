//go:build lab

package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// fill makes or removes many znodes, in few requests.
func fill(t *testing.T, conn *zk.Conn, paths []string, remove bool) {
	t.Helper()
	for len(paths) > 0 {
		n := min(500, len(paths))
		var ops []any
		for _, p := range paths[:n] {
			if remove {
				ops = append(ops, &zk.DeleteRequest{Path: p, Version: -1})
			} else {
				ops = append(ops, &zk.CreateRequest{Path: p, Acl: zk.WorldACL(zk.PermAll)})
			}
		}
		if _, err := conn.Multi(ops...); err != nil {
			t.Fatal(err)
		}
		paths = paths[n:]
	}
}

// Scenarios 9 and 11: more events than the library's channel holds, and children that vanish
// while they are read. What counts is where it ends.
func TestRealStormOfEvents(t *testing.T) {
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	c := connect(t, Options{Servers: e.Addrs(), Audit: time.Hour, Log: discard()})
	p := follow(t, c, path, config.Plain)
	p.wait(t, 0, "nothing", truth(watcher.Empty))
	var storm sync.WaitGroup
	for k := range 8 {
		storm.Go(func() {
			for i := range 100 {
				name := fmt.Sprintf("%s/10.0.%d.%d:80", path, k, i%20)
				_, err := conn.Create(name, nil, 0, zk.WorldACL(zk.PermAll))
				if err == nil && i%3 == 0 {
					_, err = conn.Set(name, []byte(`{"weight":3}`), -1)
				}
				if err == nil && i < 80 {
					err = conn.Delete(name, -1)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	storm.Wait()
	_, stat, err := conn.Children(path)
	if err != nil {
		t.Fatal(err)
	}
	s := p.wait(t, 0, "all that is left", func(s watcher.Snapshot) bool { return s.Revision >= stat.Pzxid && len(s.Instances) == 8*20 })
	if len(s.Rejected) != 0 || c.Status().MissedEvents != 0 {
		t.Errorf("%v rejected; status %+v", s.Rejected, c.Status())
	}
	t.Logf("%d changes of children were read in %d snapshots", stat.Cversion, p.len())
	for _, s := range p.since(0) {
		if s.Truth == watcher.Unknown {
			t.Errorf("published %s", brief([]watcher.Snapshot{s}))
		}
	}
}

// Scenario 12, with what a real server stores.
func TestRealGarbage(t *testing.T) {
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	create(t, conn, path+"/10.0.0.1:80", "")
	bad := map[string]string{"10.0.0.2:80": `{"weight":`, "10.0.0.3:80": `{"weight":-4}`, "10.0.0.4:70000": "", "10.0.0.5:80": strings.Repeat("x", 1<<20-1000),
		"10.0.0.6:80": `{"zone":"a\nb"}`, "no address": "", "10.0.0.7:80": `"text"`, "\u00fc:80": ""}
	for name, data := range bad {
		create(t, conn, path+"/"+name, data)
	}
	c := connect(t, Options{Servers: e.Addrs()})
	s := follow(t, c, path, config.Plain).wait(t, 0, "the good one", has("10.0.0.1:80"))
	if len(s.Rejected) != len(bad) {
		t.Errorf("rejected %v, want all of the %d bad ones", s.Rejected, len(bad))
	}
	if st := c.Status(); st.Reconnects != 0 {
		t.Errorf("status %+v: a megabyte must not cost the connection", st)
	}
}

// Scenarios 13 and 36: a list of children beyond 1 MiB, and a path that may not be read. Each
// makes its own service unknown, keeps the connection, and others go on.
func TestRealServiceThatCannotBeRead(t *testing.T) {
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	create(t, conn, path+"/good", "")
	create(t, conn, path+"/long", "")
	create(t, conn, path+"/long/10.0.0.1:80", "")
	if _, err := conn.Create(path+"/closed", nil, 0, zk.DigestACL(zk.PermAll, "other", "secret")); err != nil {
		t.Fatal(err)
	}
	c := connect(t, Options{Servers: e.Addrs()})
	good, long, closed := follow(t, c, path+"/good", config.Plain), follow(t, c, path+"/long", config.Plain), follow(t, c, path+"/closed", config.Plain)
	long.wait(t, 0, "one", has("10.0.0.1:80"))
	closed.wait(t, 0, "the ACL for a reason", func(s watcher.Snapshot) bool {
		return s.Truth == watcher.Unknown && s.Reason == path+"/closed may not be read: its ACL needs other credentials (auth_file)"
	})
	var many []string
	for i := range 6000 {
		many = append(many, fmt.Sprintf("%s/long/%s-%d.example.net:80", path, strings.Repeat("x", 180), i))
	}
	n := long.len()
	fill(t, conn, many, false)
	s := long.wait(t, n, "the length for a reason", truth(watcher.Unknown))
	if !strings.Contains(s.Reason, "longer than 1048575 bytes") || !strings.Contains(s.Reason, "split the service") {
		t.Errorf("the reason is %q", s.Reason)
	}
	create(t, conn, path+"/good/10.0.0.2:80", "")
	good.wait(t, 0, "one", has("10.0.0.2:80"))
	fill(t, conn, many, true)
	long.wait(t, long.len()-1, "one again", has("10.0.0.1:80"))
	if st := c.Status(); st.Reconnects != 0 || st.State != StateConnected {
		t.Errorf("status %+v, want the first connection", st)
	}
	neverEmpty(t, long)
}

// Scenario 14, and the list of members: one seed is dead, one does not resolve, and the
// server that is left goes as well. The others were learnt from it.
func TestRealMembersAreLearntFromASeed(t *testing.T) {
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	seed := e.Servers[1]
	c := connect(t, Options{Servers: []string{"no-such-host.invalid:2181", "127.255.255.254:1", seed.Addr()}, Session: 8 * time.Second})
	p := follow(t, c, path, config.Plain)
	p.wait(t, 0, "nothing", truth(watcher.Empty))
	if s := c.Status(); s.Server != seed.Addr() {
		t.Fatalf("status %+v, want the only seed that serves", s)
	}
	until(t, "the members", func() bool { return c.hosts.Len() == 5 })
	before := c.Status()
	seed.Kill()
	start := time.Now()
	until(t, "another server", func() bool { s := c.Status(); return s.State == StateConnected && s.Server != seed.Addr() })
	t.Logf("on %s after %s", c.Status().Server, time.Since(start).Round(time.Millisecond))
	if s := c.Status(); s.SessionID != before.SessionID {
		t.Errorf("status %+v after %+v, want the same session", s, before)
	}
	create(t, conn, path+"/10.0.0.1:80", "")
	p.wait(t, 0, "one", has("10.0.0.1:80"))
}

// Scenario 15: all that a host does takes one connection. The server allows one.
func TestRealOneConnectionForEverything(t *testing.T) {
	e := watchertest.ZooKeeper(t, 1, "maxClientCnxns=1")
	local := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}
	conn, events, err := zk.Connect(e.Addrs(), 10*time.Second, zk.WithLogger(quiet{}), zk.WithLogInfo(false),
		zk.WithDialer(func(network, addr string, _ time.Duration) (net.Conn, error) { return local.Dial(network, addr) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		conn.Close()
		for range events {
			continue
		}
	}()
	create(t, conn, "/s", "")
	c := connect(t, Options{Servers: e.Addrs(), Session: 10 * time.Second})
	var sets []*published
	for i := range 100 {
		create(t, conn, fmt.Sprintf("/s/%d", i), "")
		create(t, conn, fmt.Sprintf("/s/%d/10.0.0.1:80", i), "")
		sets = append(sets, follow(t, c, fmt.Sprintf("/s/%d", i), config.Plain))
	}
	for i := range 20 {
		a := shopAt(fmt.Sprintf("/s/%d", i), config.Plain)
		a.Name, a.Instance.Host = fmt.Sprint("shop-", i), "10.0.0.2"
		if _, err := c.Registrar().Announce(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Board("/hosts").Post(t.Context(), watcher.Notice{Host: "host1"}); err != nil {
		t.Fatal(err)
	}
	for i, p := range sets {
		want := []string{"10.0.0.1:80"}
		if i < 20 {
			want = append(want, "10.0.0.2:80")
		}
		p.wait(t, 0, "its instances", has(want...))
	}
	if s := c.Status(); s.Reconnects != 0 || s.State != StateConnected {
		t.Errorf("status %+v", s)
	}
}

// kazoo is another language's client, which services with a registration of their own use.
func TestRealKazooRegisters(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's, which has Debian's kazoo
	if out, err := exec.Command(python, "-c", "import kazoo").CombinedOutput(); err != nil {
		t.Fatalf("python3-kazoo is needed: %v\n%s", err, out)
	}
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	c := connect(t, Options{Servers: e.Addrs()})
	plain, nerve := follow(t, c, path+"/plain", config.Plain), follow(t, c, path+"/nerve", config.Nerve)
	plain.wait(t, 0, "nothing", truth(watcher.Empty))
	script := `
import json, sys
from kazoo.client import KazooClient
zk = KazooClient(hosts=sys.argv[1], timeout=4.0)
zk.start()
zk.create(sys.argv[2] + "/plain/10.0.0.1:80", b"", ephemeral=True, makepath=True)
node = zk.create(sys.argv[2] + "/nerve/web1_", json.dumps({"host": "10.0.0.1", "port": 3000, "name": "web1", "weight": 10,
    "haproxy_server_options": "cookie x", "labels": {"az": "a"}}).encode(), ephemeral=True, sequence=True, makepath=True)
print("ready", flush=True)
sys.stdin.readline()
zk.set(sys.argv[2] + "/plain/10.0.0.1:80", b'{"state": "draining"}')
sys.stdin.readline()
zk.stop()
`
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-c", script, strings.Join(e.Addrs(), ","), path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	say := func() {
		if _, err := stdin.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
	}
	plain.wait(t, 0, "kazoo's", has("10.0.0.1:80"))
	s := nerve.wait(t, 0, "kazoo's", has("10.0.0.1:3000 weight 10"))
	if i := s.Instances[0]; i.Name != "web1" || i.Labels["az"] != "a" {
		t.Errorf("read %+v", i)
	}
	say()
	plain.wait(t, 0, "it draining", has("10.0.0.1:80 draining"))
	n := plain.len()
	say()
	plain.wait(t, n, "it gone", truth(watcher.Empty))
	if err := cmd.Wait(); err != nil {
		t.Errorf("python3: %v\n%s", err, stderr.String())
	}
}

// With credentials, others may read what is announced and not touch it, in every session.
func TestRealCredentials(t *testing.T) {
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	proxies := proxied(t, e)
	c := connect(t, Options{Servers: e.Addrs(), Auth: "zkwatch:secret", Dial: route(proxies)})
	a := shopAt(path+"/shop", config.Plain)
	if _, err := c.Registrar().Announce(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	node := path + "/shop/10.0.0.1:80"
	check := func() {
		t.Helper()
		if _, _, err := conn.Get(node); err != nil {
			t.Errorf("others read: %v", err)
		}
		if _, err := conn.Set(node, nil, -1); !errors.Is(err, zk.ErrNoAuth) {
			t.Errorf("others write: %v, want %v", err, zk.ErrNoAuth)
		}
		if err := conn.Delete(node, -1); !errors.Is(err, zk.ErrNoAuth) {
			t.Errorf("others delete: %v, want %v", err, zk.ErrNoAuth)
		}
		if _, err := conn.Create(path+"/shop/10.0.0.9:80", nil, 0, zk.WorldACL(zk.PermAll)); !errors.Is(err, zk.ErrNoAuth) {
			t.Errorf("others announce: %v, want %v", err, zk.ErrNoAuth)
		}
	}
	check()
	// What only these credentials may read, in this session and in the next.
	if _, err := conn.Create(path+"/closed", nil, 0, zk.DigestACL(zk.PermAll, "zkwatch", "secret")); err != nil {
		t.Fatal(err)
	}
	p := follow(t, c, path+"/closed", config.Plain)
	p.wait(t, 0, "nothing", truth(watcher.Empty))
	before := c.Status().SessionID
	setAll(proxies, watchertest.Blackhole)
	p.wait(t, 0, "not knowing", truth(watcher.Unknown))
	until(t, "the end of the session", func() bool { return len(list(t, conn, path+"/shop")) == 0 })
	n := p.len()
	setAll(proxies, watchertest.Pass)
	p.wait(t, n, "nothing again", truth(watcher.Empty))
	until(t, "the announcement", func() bool { return len(list(t, conn, path+"/shop")) == 1 })
	if after := c.Status().SessionID; after == before {
		t.Errorf("session %s, want another than %s", after, before)
	}
	check()
	other := connect(t, Options{Servers: e.Addrs(), Auth: "zkwatch:wrong"})
	s := follow(t, other, path+"/closed", config.Plain).wait(t, 0, "not knowing", truth(watcher.Unknown))
	if !strings.Contains(s.Reason, "auth_file") {
		t.Errorf("the reason is %q", s.Reason)
	}
	_, err := other.Registrar().Announce(t.Context(), a)
	if !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("with other credentials: %v", err)
	}
}
