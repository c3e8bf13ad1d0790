package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
	"github.com/zkboot/zkboot/watcher/zookeeper"
)

// registry measures the client of the ensemble: a cold read of a large service, and the
// way out of a server that takes connections and answers nothing.
func (b *bench) registry(ctx context.Context) ([]figure, error) {
	s, err := newSite(3)
	if err != nil {
		return nil, err
	}
	defer s.close()
	resync, err := b.resync(ctx, s)
	if err != nil {
		return nil, err
	}
	hung, err := b.hung(ctx, s)
	return append(resync, hung...), err
}

// resync reads a service of 5,000 instances with a new client, several times.
func (b *bench) resync(ctx context.Context, s *site) ([]figure, error) {
	// The first reads of each of three servers are its JVM's first of the kind, and not told.
	const instances, warm, rounds = 5000, 9, 15
	b.say("cold read of %d instances, %d times", instances, rounds)
	var addrs []string
	for i := range instances {
		addrs = append(addrs, fmt.Sprintf("127.77.%d.%d:18080", 10+i/200, 1+i%200))
	}
	const dir = "/services/large/instances"
	if err := s.populate(dir, addrs); err != nil {
		return nil, err
	}
	var names, whole []float64
	for n := range warm + rounds {
		first, all, err := s.coldRead(ctx, dir, instances)
		if err != nil {
			return nil, err
		}
		if n < warm {
			continue
		}
		names, whole = append(names, first.Seconds()*1000), append(whole, all.Seconds()*1000)
	}
	return []figure{
		figure{Name: "cold read of 5,000 instances, all addresses", Measured: median(names), Unit: "ms", Max: ceiling(10),
			Note: "from the names alone, on a connection that stands, by a server that was asked before; each time " + list(names, "%.1f") + " ms"}.judged(),
		figure{Name: "cold read of 5,000 instances, with weights and states", Measured: median(whole), Unit: "ms", Max: ceiling(300),
			Note: "each time " + list(whole, "%.0f") + " ms"}.judged(),
	}, nil
}

// coldRead returns when all names were known and when all data was.
func (s *site) coldRead(ctx context.Context, dir string, n int) (names, whole time.Duration, err error) {
	c, err := s.connected(ctx, zookeeper.Options{Host: "cold"})
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	began := time.Now()
	err = c.Source().Run(ctx, map[string]config.Service{"large": {Registry: "main", Path: dir, Format: config.Plain}}, func(snap watcher.Snapshot) {
		if len(snap.Instances) != n || whole != 0 {
			return
		}
		if names == 0 {
			names = time.Since(began)
		}
		if !snap.Provisional {
			whole = time.Since(began)
			cancel()
		}
	})
	if whole == 0 {
		return 0, 0, fmt.Errorf("%s was not read within a minute: %w", dir, errors.Join(err, ctx.Err()))
	}
	return names, whole, nil
}

// connected returns a client with a session.
func (s *site) connected(ctx context.Context, o zookeeper.Options) (*zookeeper.Client, error) {
	o.Servers = s.ensemble.Addrs()
	c, err := zookeeper.Connect(o)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, 30*time.Second, func() bool { return c.Status().State == zookeeper.StateConnected }); err != nil {
		c.Close()
		return nil, fmt.Errorf("no session with %v: %w", o.Servers, err)
	}
	return c, nil
}

// hung pauses the server that a client is connected to: its kernel takes connections, and
// nothing is answered.
func (b *bench) hung(ctx context.Context, s *site) ([]figure, error) {
	const session, rounds = 4 * time.Second, 5
	var over []float64
	for round := range rounds {
		b.say("a ZooKeeper server hangs, round %d of %d", round+1, rounds)
		took, err := s.hang(ctx, session)
		if err != nil {
			return nil, err
		}
		over = append(over, (took - session*2/3).Seconds())
		if err := s.ensemble.WaitServing(); err != nil {
			return nil, err
		}
	}
	return []figure{figure{Name: "hung ZooKeeper server to another one, beyond 2/3 of the session", Measured: median(over), Unit: "s", Max: ceiling(0.5),
		Note: fmt.Sprintf("session %s; each round %s s; a client whose last answer was older leaves earlier", session, list(over, "%.2f"))}.judged()}, nil
}

func (s *site) hang(ctx context.Context, session time.Duration) (time.Duration, error) {
	c, err := s.connected(ctx, zookeeper.Options{Host: "hung", Session: session})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var server *watchertest.Server
	for _, one := range s.ensemble.Followers() { // a leader that hangs is an election besides
		if one.Addr() == c.Status().Server {
			server = one
		}
	}
	if server == nil {
		return s.hang(ctx, session) // it is connected to the leader: once more
	}
	server.Pause()
	defer server.Resume()
	began := time.Now()
	err = await(ctx, time.Minute, func() bool {
		st := c.Status()
		return st.State == zookeeper.StateConnected && st.Server != server.Addr()
	})
	return time.Since(began), err
}

// herd has 1,000 hosts on one ensemble, each announcing one instance and watching services,
// and kills the leader.
func (b *bench) herd(ctx context.Context) ([]figure, error) {
	const hosts = 1000
	s, err := newSite(3)
	if err != nil {
		return nil, err
	}
	defer s.close()
	b.say("%d hosts on one ensemble", hosts)
	const dir = "/services/herd/instances"
	if err := s.mkdir(dir); err != nil {
		return nil, err
	}
	watches := &herdWatch{}
	stop, err := s.gather(ctx, hosts, dir, watches)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := await(ctx, 2*time.Minute, func() bool { return s.count(dir) == hosts }); err != nil {
		return nil, fmt.Errorf("%d of %d hosts are announced: %w", s.count(dir), hosts, err)
	}
	pause(ctx, 5*time.Second)
	before, err := s.births(dir)
	if err != nil {
		return nil, err
	}
	watches.reset()
	b.say("the leader dies under %d hosts", hosts)
	leader := s.ensemble.Leader()
	if leader == nil {
		return nil, errors.New("no leader")
	}
	leader.Kill()
	slowest, err := s.answers(ctx, leader, 20*time.Second)
	if err != nil {
		return nil, err
	}
	after, err := s.births(dir)
	if err != nil {
		return nil, err
	}
	again := 0
	for name, born := range before {
		if after[name] != born {
			again++
		}
	}
	snaps, span := watches.seen()
	return []figure{
		figure{Name: "announced again by 1,000 hosts after an election", Measured: float64(again), Max: ceiling(0),
			Note: fmt.Sprintf("%d instances before, %d after, with other creation zxids: %d; %d snapshots were read over %.1f s", len(before), len(after), again, snaps, span.Seconds())}.judged(),
		figure{Name: "longest silence of the other servers under 1,000 hosts after an election", Measured: slowest.Seconds(), Unit: "s",
			Note: "srvr answered with a mode by both survivors, asked all along; the election itself included"}.judged(),
	}, nil
}

// herdWatch counts what the hosts read.
type herdWatch struct {
	mu          sync.Mutex
	n           int
	first, last time.Time
}

func (w *herdWatch) publish(watcher.Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n, w.last = w.n+1, time.Now()
	if w.first.IsZero() {
		w.first = w.last
	}
}

func (w *herdWatch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n, w.first, w.last = 0, time.Time{}, time.Time{}
}

func (w *herdWatch) seen() (int, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n, w.last.Sub(w.first)
}

// gather connects the hosts, from many addresses: a server takes 60 connections of one
// (maxClientCnxns).
func (s *site) gather(ctx context.Context, hosts int, dir string, watches *herdWatch) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var sources sync.WaitGroup
	var clients []*zookeeper.Client
	stop = func() {
		cancel()
		sources.Wait()
		var closing sync.WaitGroup
		for _, c := range clients {
			closing.Go(c.Close)
		}
		closing.Wait()
	}
	if err := s.mkdir("/services/quiet/instances"); err != nil {
		stop()
		return nil, err
	}
	var group errgroup.Group
	group.SetLimit(16)
	for i := range hosts {
		from := &net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 78, byte(i/40), 1)}}
		c, err := zookeeper.Connect(zookeeper.Options{Servers: s.ensemble.Addrs(), Session: 10 * time.Second, Host: fmt.Sprintf("h%d", i), Dial: from.DialContext})
		if err != nil {
			stop()
			return nil, err
		}
		clients = append(clients, c)
		sources.Go(func() {
			_ = c.Source().Run(ctx, map[string]config.Service{"quiet": {Registry: "main", Path: "/services/quiet/instances", Format: config.Plain}}, watches.publish) // it ends with ctx
		})
		group.Go(func() error {
			if err := await(ctx, time.Minute, func() bool { return c.Status().State == zookeeper.StateConnected }); err != nil {
				return fmt.Errorf("host %d has no session: %w", i, err)
			}
			_, err := c.Registrar().Announce(ctx, watcher.Announcement{Name: "herd", Service: "herd", At: config.Service{Registry: "main", Path: dir, Format: config.Plain},
				Instance: watcher.Instance{Host: fmt.Sprintf("127.79.%d.%d", i/200, 1+i%200), Port: 80, Weight: 1}})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

func (s *site) count(dir string) int {
	names, _, err := s.zk.Children(dir)
	if err != nil {
		return -1
	}
	return len(names)
}

// births returns the creation zxid of every instance: one that was announced again has another.
func (s *site) births(dir string) (map[string]int64, error) {
	names, _, err := s.zk.Children(dir)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(names))
	for _, name := range names {
		_, stat, err := s.zk.Get(dir + "/" + name)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", dir, name, err)
		}
		out[name] = stat.Czxid
	}
	return out, nil
}

// answers asks the servers that are left all along, and returns the longest time for which
// one of them did not say that it serves.
func (s *site) answers(ctx context.Context, dead *watchertest.Server, length time.Duration) (time.Duration, error) {
	var longest time.Duration
	good := map[string]time.Time{}
	began := time.Now()
	for time.Since(began) < length {
		for _, one := range s.ensemble.Servers {
			if one == dead {
				continue
			}
			since, ok := good[one.Addr()]
			if !ok {
				since = began
			}
			longest = max(longest, time.Since(since))
			if one.Mode() != "" {
				good[one.Addr()] = time.Now()
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
	if len(good) != len(s.ensemble.Servers)-1 {
		return 0, fmt.Errorf("%d of the %d servers that are left serve after %s", len(good), len(s.ensemble.Servers)-1, length)
	}
	return longest, ctx.Err()
}
