//go:build lab

package zookeeper

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// percentiles describes durations.
func percentiles(all []time.Duration) string {
	slices.Sort(all)
	at := func(p int) time.Duration { return all[min(len(all)-1, len(all)*p/100)].Round(10 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p99 %s, max %s of %d", at(50), at(99), all[len(all)-1].Round(10*time.Microsecond), len(all))
}

// From the moment at which a registrar asks for an ephemeral until a snapshot with it is
// published, among 500 services with 10,000 instances.
func TestRealChangeToSnapshot(t *testing.T) {
	const services, instances, changes = 500, 20, 400
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	all := map[string]config.Service{}
	var paths []string
	for s := range services {
		dir := fmt.Sprintf("%s/s%d", path, s)
		all[dir] = config.Service{Path: dir, Format: config.Plain}
		paths = append(paths, dir)
		for i := range instances {
			paths = append(paths, fmt.Sprintf("%s/10.0.%d.%d:80", dir, s%250, i))
		}
	}
	fill(t, conn, paths, false)
	c := connect(t, Options{Servers: e.Addrs(), Session: 10 * time.Second, Log: discard()})
	var mu sync.Mutex
	seen := map[string]time.Time{} // service and size
	whole := make(chan struct{}, services*changes)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		done <- c.Source().Run(ctx, all, func(s watcher.Snapshot) {
			mu.Lock()
			defer mu.Unlock()
			key := fmt.Sprint(s.Service, len(s.Instances))
			if _, ok := seen[key]; !ok {
				seen[key] = time.Now()
				whole <- struct{}{}
			}
		})
	}()
	for range services {
		<-whole
	}
	t.Logf("%d services with %d instances were read in %s", services, services*instances, time.Since(start).Round(time.Millisecond))
	var took []time.Duration
	for i := range changes {
		dir := fmt.Sprintf("%s/s%d", path, i)
		begin := time.Now()
		if _, err := conn.Create(dir+"/10.9.9.9:80", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-whole:
		case <-time.After(soon):
			t.Fatalf("no snapshot of %s within %s", dir, soon)
		}
		mu.Lock()
		took = append(took, seen[fmt.Sprint(dir, instances+1)].Sub(begin))
		mu.Unlock()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	t.Logf("from the request for an ephemeral to the snapshot: %s", percentiles(took))
	if p50 := took[len(took)/2]; p50 > 250*time.Millisecond {
		t.Errorf("the median is %s", p50)
	}
}

// The first reading of 5,000 instances: by name, and with their data.
func TestRealColdRead(t *testing.T) {
	const n = 5000
	e := shared(t)
	conn := admin(t, e)
	path := root(t, conn)
	var paths []string
	for i := range n {
		paths = append(paths, fmt.Sprintf("%s/10.0.%d.%d:80", path, i/250, i%250))
	}
	fill(t, conn, paths, false)
	var names, wholes []time.Duration
	for range 5 {
		c := connect(t, Options{Servers: e.Addrs(), Session: 10 * time.Second, Log: discard()})
		until(t, "the connection", func() bool { return c.Status().State == StateConnected })
		start := time.Now()
		var first, last time.Time
		ctx, cancel := context.WithCancel(t.Context())
		if err := c.Source().Run(ctx, map[string]config.Service{"shop": {Path: path, Format: config.Plain}}, func(s watcher.Snapshot) {
			if len(s.Instances) != n {
				t.Errorf("%d instances", len(s.Instances))
			}
			if s.Provisional {
				first = time.Now()
				return
			}
			last = time.Now()
			cancel()
		}); err != nil {
			t.Fatal(err)
		}
		cancel()
		names, wholes = append(names, first.Sub(start)), append(wholes, last.Sub(start))
		c.Close()
	}
	t.Logf("%d instances by their names: %s", n, percentiles(names))
	t.Logf("%d instances with their data: %s", n, percentiles(wholes))
	if wholes[0] > 5*time.Second || names[0] > time.Second {
		t.Error("that is far too slow")
	}
}

// BenchmarkThousandWatchers kills the leader under 1,000 clients with 10 services each.
func BenchmarkThousandWatchers(b *testing.B) {
	for b.Loop() {
		election(b, 1000, 10)
	}
}

func requests(e interface{ Ask(string) string }) int {
	for line := range strings.Lines(e.Ask("mntr")) {
		var n int
		if _, err := fmt.Sscanf(line, "zk_packets_received\t%d", &n); err == nil {
			return n
		}
	}
	return 0
}
