package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
	"github.com/zkboot/zkboot/watcher/watchertest"
)

// The check of the instances that die: found dead after 3 failures in a row.
const (
	deathInterval = 200 * time.Millisecond
	deathFall     = 3
)

// mortals is a service of one host that dies again and again, and another host that routes to it.
type mortals struct {
	*site
	local, other *seat
	backends     []*watchertest.Backend
}

const deathInstances = 4

func deathAddr(i int) string { return fmt.Sprintf("127.77.2.1:%d", 18080+i) }

func newMortals(ctx context.Context) (m *mortals, err error) {
	s, err := newSite(3)
	if err != nil {
		return nil, err
	}
	m = &mortals{site: s, backends: make([]*watchertest.Backend, deathInstances)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.closers = append(s.closers, func() {
		for _, backend := range m.backends {
			if backend != nil {
				backend.Close()
			}
		}
	})
	for i := range m.backends {
		if err := m.begin(i); err != nil {
			return nil, err
		}
	}
	routes := func(ip string) func(*config.Config) {
		return func(c *config.Config) {
			c.Services = map[string]config.Service{"web": {Registry: "main", Path: "/services/web/instances"}}
			// A minute between HAProxy's own checks: only the registry can be what takes an instance out.
			c.Routes = map[string]config.Route{"web": {Service: "web", Bind: ip + ":3000", Breaker: config.Breaker{Off: true},
				Check: config.RouteCheck{HTTP: "GET /health", Inter: config.Duration(time.Minute)}}}
		}
	}
	m.local, err = s.seat(ctx, "app1", "127.77.2.1", func(c *config.Config) {
		routes("127.77.2.1")(c)
		c.Register = map[string]config.Registration{}
		for i := range m.backends {
			c.Register[deathName(i)] = config.Registration{Service: "web", Port: 18080 + i, Check: config.ServiceCheck{
				HTTP: "http://" + deathAddr(i) + "/health", Interval: config.Duration(deathInterval), Rise: 2, Fall: deathFall}}
		}
	})
	if err != nil {
		return nil, err
	}
	if m.other, err = s.seat(ctx, "app2", "127.77.2.2", routes("127.77.2.2")); err != nil {
		return nil, err
	}
	return m, m.other.serves(ctx, time.Minute, deathInstances)
}

func deathName(i int) string { return fmt.Sprintf("web-%d", i) }

// begin starts an instance, dead or new.
func (m *mortals) begin(i int) (err error) {
	m.backends[i], err = watchertest.StartBackend(deathAddr(i))
	return err
}

// die kills an instance under traffic and brings it back.
func (m *mortals) die(ctx context.Context, i int) (time.Duration, watchertest.Result, error) {
	load := watchertest.StartTraffic(watchertest.Load{Addr: "127.77.2.2:3000", Clients: 2, KeepAlive: true, Max: 200_000})
	began := time.Now()
	m.backends[i].Close()
	took, err := m.other.gone(ctx, deathAddr(i), began)
	result := load.Stop()
	if err = errors.Join(err, m.begin(i)); err != nil {
		return 0, result, err
	}
	return took, result, m.other.serves(ctx, time.Minute, deathInstances)
}

// leave takes an instance out on purpose and puts it back.
func (m *mortals) leave(ctx context.Context, i int) (time.Duration, error) {
	began := time.Now()
	if err := m.local.tell(ctx, "hold", deathName(i)); err != nil {
		return 0, err
	}
	took, err := m.other.gone(ctx, deathAddr(i), began)
	if err = errors.Join(err, m.local.tell(ctx, "release", deathName(i))); err != nil {
		return 0, err
	}
	return took, m.other.serves(ctx, time.Minute, deathInstances)
}

// deaths measures how soon another host stops sending to an instance that died, and to one
// that was taken out on purpose, and what clients notice of it.
func (b *bench) deaths(ctx context.Context) ([]figure, error) {
	m, err := newMortals(ctx)
	if err != nil {
		return nil, err
	}
	defer m.close()
	var died, left []float64
	var lost watchertest.Result
	for round := range b.deathRounds {
		b.say("an instance dies, round %d of %d", round+1, b.deathRounds)
		took, result, err := m.die(ctx, round%deathInstances)
		if err != nil {
			return nil, err
		}
		lost.Requests, lost.Failures = lost.Requests+result.Requests, lost.Failures+result.Failures
		died = append(died, (took-deathInterval*deathFall).Seconds()*1000)
		if took, err = m.leave(ctx, round%deathInstances); err != nil {
			return nil, err
		}
		left = append(left, took.Seconds()*1000)
	}
	return []figure{
		figure{Name: "instance dies until another host stops sending, beyond interval x fall", Measured: median(died), Unit: "ms", Max: ceiling(100),
			Note: "each round " + list(died, "%.0f") + " ms; less than 0 where a check was due soon"}.judged(),
		figure{Name: "clean deregistration until another host stops sending", Measured: median(left), Unit: "ms", Max: ceiling(100),
			Note: "each round " + list(left, "%.0f") + " ms"}.judged(),
		figure{Name: "failed requests while instances die", Measured: float64(lost.Failures),
			Note: fmt.Sprintf("of %d, through the other host's HAProxy; a request that has reached an instance when it dies cannot be saved", lost.Requests)}.judged(),
	}, nil
}

// gone waits until HAProxy sends nothing new to an instance.
func (h *seat) gone(ctx context.Context, addr string, began time.Time) (time.Duration, error) {
	for h.servers("web")[addr].usable() {
		if time.Since(began) > 20*time.Second {
			return 0, fmt.Errorf("%s: %s still takes traffic after 20 s", h.name, addr)
		}
		pause(ctx, time.Millisecond)
	}
	return time.Since(began), nil
}

// tell has zkwatch do something with a registration, as its commands do.
func (h *seat) tell(ctx context.Context, verb, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://zkwatch/v1/"+verb+"?name="+url.QueryEscape(name), nil)
	if err != nil {
		return err
	}
	res, err := h.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000)) // for the error alone
		return fmt.Errorf("%s: %s %s: %s: %s", h.name, verb, name, res.Status, text)
	}
	return nil
}
