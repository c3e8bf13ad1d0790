package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// trafficAddr is an instance of the service that traffic goes to.
func trafficAddr(n int) string { return fmt.Sprintf("127.77.3.%d:18080", n) }

// routed stands up one host with a route in http mode and one in tcp mode to the same service
// of n instances.
func routed(ctx context.Context, n int) (s *site, h *seat, err error) {
	if s, err = newSite(1); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var addrs []string
	for i := range n {
		backend, err := watchertest.StartBackend(trafficAddr(i + 1))
		if err != nil {
			return nil, nil, err
		}
		s.closers = append(s.closers, backend.Close)
		addrs = append(addrs, backend.Addr())
	}
	if err := s.populate("/services/web/instances", addrs); err != nil {
		return nil, nil, err
	}
	h, err = s.seat(ctx, "app", "127.77.3.100", func(c *config.Config) {
		c.Services = map[string]config.Service{"web": {Registry: "main", Path: "/services/web/instances"}}
		check := config.RouteCheck{HTTP: "GET /health"}
		c.Routes = map[string]config.Route{
			"web":     {Service: "web", Bind: "127.77.3.100:3000", Check: check},
			"web-tcp": {Service: "web", Bind: "127.77.3.100:3001", Mode: "tcp", Check: check},
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return s, h, h.serves(ctx, time.Minute, n)
}

// loads sends requests in three ways while instances come and go and HAProxy is reloaded,
// and counts those that failed.
func (b *bench) loads(ctx context.Context) ([]figure, error) {
	const instances, changes, reloads = 6, 1000, 100
	s, h, err := routed(ctx, instances)
	if err != nil {
		return nil, err
	}
	defer s.close()
	b.say("%d requests over %d changes and %d reloads", b.requests, changes, reloads)
	http, tcp := h.config.Routes["web"].Bind, h.config.Routes["web-tcp"].Bind
	third := int64(b.requests) / 3
	ways := []string{"keep-alive", "close", "tcp"}
	traffic := []*watchertest.Traffic{
		watchertest.StartTraffic(watchertest.Load{Addr: http, Clients: 4, KeepAlive: true}),
		watchertest.StartTraffic(watchertest.Load{Addr: http, Clients: 2}),
		watchertest.StartTraffic(watchertest.Load{Addr: tcp, Clients: 2}),
	}
	began := time.Now()
	// The file may be a second behind what HAProxy was told (haproxy.Sink), and this reloads by
	// another's hand: not before the first instances are in it.
	if err := await(ctx, 10*time.Second, func() bool {
		text, err := os.ReadFile(h.config.HAProxy.File)
		return err == nil && bytes.Contains(text, []byte(trafficAddr(1)))
	}); err != nil {
		return nil, fmt.Errorf("the file for HAProxy has no instances: %w", err)
	}
	if err := s.upset(ctx, h, changes, reloads); err != nil {
		return nil, err
	}
	var note string
	var total watchertest.Result
	for enough := false; !enough; pause(ctx, 100*time.Millisecond) {
		enough = ctx.Err() != nil
		var sum int64
		for _, t := range traffic {
			sum += t.Result().Requests
		}
		enough = enough || sum >= 3*third || time.Since(began) > 10*time.Minute
	}
	for i, t := range traffic {
		r := t.Stop()
		total.Requests, total.Failures, total.Reopened = total.Requests+r.Requests, total.Failures+r.Failures, total.Reopened+r.Reopened
		note += fmt.Sprintf("%s %d requests, %d failed %v; ", ways[i], r.Requests, r.Failures, r.Texts)
		total.Slowest = max(total.Slowest, r.Slowest)
	}
	return []figure{figure{Name: fmt.Sprintf("failed of %d requests over %d changes and %d reloads", total.Requests, changes, reloads),
		Measured: float64(total.Failures), Max: ceiling(0),
		Note: note + fmt.Sprintf("%d repeated on a new connection because an idle one was closed; slowest %d ms; %.0f requests/s",
			total.Reopened, total.Slowest.Milliseconds(), float64(total.Requests)/time.Since(began).Seconds())}.judged()}, ctx.Err()
}

// upset takes instances out of the registry and puts them back, changes weights and reloads.
func (s *site) upset(ctx context.Context, h *seat, changes, reloads int) error {
	const dir = "/services/web/instances/"
	for i := range changes {
		node := dir + trafficAddr(1+i/3%2) // two of them come and go: less than the guard's threshold
		var err error
		switch i % 3 {
		case 0:
			_, err = s.zk.Set(node, fmt.Appendf(nil, `{"weight":%d}`, 1+i%100), -1)
		case 1:
			err = s.zk.Delete(node, -1)
		case 2:
			err = s.populate(dir[:len(dir)-1], []string{trafficAddr(1 + i/3%2)})
		}
		if err != nil {
			return fmt.Errorf("change %d of %s: %w", i, node, err)
		}
		if i%(changes/reloads) == 0 {
			if err := h.balancer.Reload(); err != nil {
				return fmt.Errorf("reload after change %d: %w", i, err)
			}
		}
		pause(ctx, 60*time.Millisecond) // past the settling: each change is one of its own
	}
	return ctx.Err()
}

// hop measures what HAProxy adds to a request, at one fixed rate, directly and through it in
// turns. A request that is late for its turn counts from when it was due, not from when
// it was sent, so that a stall is not left out.
func (b *bench) hop(ctx context.Context) ([]figure, error) {
	s, h, err := routed(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer s.close()
	rate := b.hopRate
	var t hopTimes
	for {
		b.say("a hop through the sidecar at %d requests/s", rate)
		if t, err = hopAt(ctx, rate, trafficAddr(1), h.config.Routes["web"].Bind); err != nil {
			return nil, err
		}
		if t.carried(rate) || rate < 1000 {
			break
		}
		rate = rate * 3 / 4 // what was measured is the queue before a machine that cannot carry it
	}
	return []figure{figure{Name: "added to a request by the sidecar, p50", Measured: median(t.through) - median(t.direct), Unit: "ms", Max: ceiling(0.2),
		Note: fmt.Sprintf("asked for %d/s, the most of %d/s and down that this machine carried now; reached %s /s; direct p50 %s, through HAProxy %s ms, in turns; client, HAProxy and backend share the cores",
			rate, b.hopRate, list(t.rates, "%.0f"), list(t.direct, "%.3f"), list(t.through, "%.3f"))}.judged()}, nil
}

// hopTimes are the p50 of each round in ms, and the rates that were reached.
type hopTimes struct{ direct, through, rates []float64 }

// carried reports whether nearly all requests could be sent when they were due.
func (t hopTimes) carried(rate int) bool { return slices.Min(t.rates) >= 0.99*float64(rate) }

func hopAt(ctx context.Context, rate int, direct, through string) (t hopTimes, err error) {
	const rounds = 4
	for range rounds {
		for _, side := range []struct {
			addr string
			into *[]float64
		}{{direct, &t.direct}, {through, &t.through}} {
			hist, reached, err := paced(ctx, side.addr, rate, 4*time.Second)
			if err != nil {
				return t, err
			}
			*side.into = append(*side.into, float64(hist.ValueAtQuantile(50))/1000)
			t.rates = append(t.rates, reached)
		}
	}
	return t, nil
}

// paced sends GETs at a fixed rate over 16 connections and returns their latencies in us.
func paced(ctx context.Context, addr string, rate int, length time.Duration) (*hdrhistogram.Histogram, float64, error) {
	const conns = 16
	all := hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
	var mu sync.Mutex
	var group errgroup.Group
	step := time.Duration(conns) * time.Second / time.Duration(rate)
	began := time.Now()
	for c := range conns {
		group.Go(func() error {
			hist := hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
			err := paceOne(ctx, addr, began.Add(step*time.Duration(c)/conns), step, length, hist)
			mu.Lock()
			defer mu.Unlock()
			all.Merge(hist)
			return err
		})
	}
	err := group.Wait()
	return all, float64(all.TotalCount()) / time.Since(began).Seconds(), err
}

func paceOne(ctx context.Context, addr string, due time.Time, step, length time.Duration, hist *hdrhistogram.Histogram) error {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(length + 30*time.Second)); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	request := []byte("GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
	for end := due.Add(length); due.Before(end); due = due.Add(step) {
		if wait := time.Until(due); wait > 0 {
			pause(ctx, wait)
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close(), ctx.Err()); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", addr, res.Status)
		}
		if err := hist.RecordValue(max(1, time.Since(due).Microseconds())); err != nil {
			return err
		}
	}
	return nil
}
