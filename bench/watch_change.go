package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/go-zookeeper/zk"
	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// The size of a busy site, which the targets name.
const (
	manyServices  = 500
	manyInstances = 20 // of each service
	spareAddrs    = 4  // addresses besides, for instances that come and go
)

func ceiling(v float64) *float64 { return &v }

// changes measures zkwatch with many services: how long a change of the registry takes to
// be in HAProxy, whether churn reloads it, and what the daemon costs.
func (b *bench) changes(ctx context.Context) (figures []figure, err error) {
	s, err := newSite(3)
	if err != nil {
		return nil, err
	}
	defer s.close()
	h, err := b.busy(ctx, s)
	if err != nil {
		return nil, err
	}
	latency, err := b.changeLatency(ctx, s, h)
	if err != nil {
		return nil, err
	}
	churn, err := b.churn(ctx, s, h)
	if err != nil {
		return nil, err
	}
	cost, err := b.cost(ctx, h)
	return append(append(latency, churn...), cost...), err
}

func serviceName(n int) string { return fmt.Sprintf("s%03d", n) }
func serviceDir(n int) string  { return "/services/" + serviceName(n) + "/instances" }

// busy stands up one host that routes manyServices with manyInstances each.
func (b *bench) busy(ctx context.Context, s *site) (*seat, error) {
	b.say("zkwatch with %d services of %d instances", manyServices, manyInstances)
	addrs := make([]string, manyInstances+spareAddrs)
	for i := range addrs {
		addrs[i] = watchAddr(i + 1)
		backend, err := watchertest.StartBackend(addrs[i])
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, backend.Close)
	}
	var group errgroup.Group
	group.SetLimit(8)
	for n := range manyServices {
		group.Go(func() error { return s.populate(serviceDir(n), addrs[:manyInstances]) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	h, err := s.seat(ctx, "busy", "127.77.1.1", func(c *config.Config) {
		c.Services, c.Routes = map[string]config.Service{}, map[string]config.Route{}
		for n := range manyServices {
			name := serviceName(n)
			c.Services[name] = config.Service{Registry: "main", Path: serviceDir(n)}
			// HAProxy's own checks are not what is measured: 16,000 slots would take both cores.
			c.Routes[name] = config.Route{Service: name, Bind: "127.77.1.1:" + strconv.Itoa(20000+n), Breaker: config.Breaker{Off: true},
				Check: config.RouteCheck{Inter: config.Duration(time.Minute)}}
		}
	})
	if err != nil {
		return nil, err
	}
	return h, h.serves(ctx, 2*time.Minute, manyInstances)
}

// changeLatency takes the time from before a write to ZooKeeper until HAProxy itself, asked
// past zkwatch, has it: new instances, weights and removals in random services.
func (b *bench) changeLatency(ctx context.Context, s *site, h *seat) ([]figure, error) {
	b.say("registry change to HAProxy, %d changes", b.watchChanges)
	hist := hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
	fresh := watchAddr(manyInstances + 1)
	kinds := []struct {
		write func(node string) error
		seen  func(map[string]server) bool
	}{
		{func(node string) error {
			_, err := s.zk.Create(node, []byte(`{"weight":10}`), 0, zk.WorldACL(zk.PermAll))
			return err
		}, func(m map[string]server) bool { return m[fresh].usable() }},
		{func(node string) error { _, err := s.zk.Set(node, []byte(`{"weight":33}`), -1); return err },
			func(m map[string]server) bool { return m[fresh].weight == "33" }},
		{func(node string) error { return s.zk.Delete(node, -1) },
			func(m map[string]server) bool { return !m[fresh].usable() }},
	}
	random := rand.New(rand.NewPCG(1, 2))
	service := 0
	for i := range b.watchChanges / len(kinds) * len(kinds) {
		if i%len(kinds) == 0 {
			service = random.IntN(manyServices)
		}
		kind := kinds[i%len(kinds)]
		pause(ctx, time.Duration(40+random.IntN(40))*time.Millisecond) // past the settling of the change before
		began := time.Now()
		if err := kind.write(serviceDir(service) + "/" + fresh); err != nil {
			return nil, err
		}
		for !kind.seen(h.servers(serviceName(service))) {
			if time.Since(began) > 20*time.Second {
				return nil, fmt.Errorf("change %d of %s is not in HAProxy after 20 s", i, serviceName(service))
			}
			pause(ctx, 200*time.Microsecond) // asking without a pause takes the core that zkwatch needs
		}
		took := time.Since(began)
		if took > time.Second {
			b.say("change %d (%s) took %s", i, []string{"add", "weight", "remove"}[i%len(kinds)], took)
		}
		if err := hist.RecordValue(took.Microseconds()); err != nil {
			return nil, err
		}
	}
	ms := func(q float64) float64 { return float64(hist.ValueAtQuantile(q)) / 1000 }
	note := fmt.Sprintf("%d changes: instance added, weight changed, removed; from before the write until `show servers state` has it; longest %.1f ms", hist.TotalCount(), ms(100))
	return []figure{
		figure{Name: "registry change to HAProxy, 10,000 instances, p50", Measured: ms(50), Unit: "ms", Max: ceiling(10), Note: note}.judged(),
		figure{Name: "registry change to HAProxy, 10,000 instances, p99", Measured: ms(99), Unit: "ms", Max: ceiling(50)}.judged(),
	}, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// churn makes 10,000 changes as fast as the ensemble takes them, and counts reloads.
func (b *bench) churn(ctx context.Context, s *site, h *seat) ([]figure, error) {
	b.say("10,000 changes of instances and weights")
	before, err := h.status(ctx)
	if err != nil {
		return nil, err
	}
	worker, began := h.balancer.Worker(), time.Now()
	var group errgroup.Group
	const writers, rounds = 8, 1250 / 5
	for w := range writers {
		group.Go(func() error {
			random := rand.New(rand.NewPCG(7, uint64(w)))
			for range rounds {
				dir := serviceDir(random.IntN(manyServices/writers)*writers + w)
				added := dir + "/" + watchAddr(manyInstances+2)
				old := dir + "/" + watchAddr(1+random.IntN(manyInstances))
				_, e1 := s.zk.Create(added, nil, 0, zk.WorldACL(zk.PermAll))
				_, e2 := s.zk.Set(added, []byte(`{"weight":5}`), -1)
				_, e3 := s.zk.Set(old, fmt.Appendf(nil, `{"weight":%d}`, 1+random.IntN(256)), -1)
				e4 := s.zk.Delete(added, -1)
				_, e5 := s.zk.Set(old, []byte(`{"weight":10}`), -1)
				if err := errors.Join(e1, e2, e3, e4, e5); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	took := time.Since(began)
	if err := h.serves(ctx, time.Minute, manyInstances); err != nil {
		return nil, err
	}
	after, err := h.status(ctx)
	if err != nil {
		return nil, err
	}
	reloads := float64(after.HAProxy.Reloads - before.HAProxy.Reloads)
	if now := h.balancer.Worker(); now != worker {
		reloads = max(reloads, 1) // somebody reloaded, and it does not say so
	}
	return []figure{figure{Name: "reloads in 10,000 instance changes", Measured: reloads, Max: ceiling(0),
		Note: fmt.Sprintf("%d changes in %.1f s; the same HAProxy worker before and after: %t", writers*rounds*5, took.Seconds(), worker == h.balancer.Worker())}.judged()}, nil
}

// cost is what zkwatch takes when nothing happens.
func (b *bench) cost(ctx context.Context, h *seat) ([]figure, error) {
	b.say("zkwatch at rest, 60 s")
	pause(ctx, 40*time.Second) // the churn freed thousands of servers, which are asked for their last connections, 20 backends a second
	cpu, err := cpuTime(h.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	pause(ctx, time.Minute)
	after, err := cpuTime(h.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	percent := 100 * (after - cpu).Seconds() / time.Since(began).Seconds()
	rss, err := residentMB(h.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	return []figure{
		figure{Name: "zkwatch at 10,000 instances, resident memory", Measured: rss, Unit: "MB", Max: ceiling(50), Note: "VmRSS after the changes above"}.judged(),
		figure{Name: "zkwatch at 10,000 instances, processor at rest", Measured: percent, Unit: "% of a core", Max: ceiling(0.5)}.judged(),
	}, nil
}

// cpuTime reads utime and stime (proc_pid_stat(5), fields 14 and 15), in ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold blanks
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is short", pid)
	}
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

func residentMB(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kb, err := strconv.Atoi(f[1])
			return float64(kb) * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}
