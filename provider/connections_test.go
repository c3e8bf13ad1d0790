package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/bootstraptest"
)

// crowd reaches hosts that take a second to answer, and counts the connections to them.
type crowd struct {
	mu         sync.Mutex
	open, most int
}

func (c *crowd) provider() *Provider {
	return &Provider{Reach: func(Contact) func(context.Context, *bootstrap.Spec, string) (bootstrap.Host, error) { return c.reach }}
}

func (c *crowd) reach(_ context.Context, _ *bootstrap.Spec, host string) (bootstrap.Host, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	c.most = max(c.most, c.open)
	c.mu.Unlock()
	time.Sleep(time.Second)
	c.mu.Lock()
	leave := func() { c.mu.Lock(); defer c.mu.Unlock(); c.open-- }
	if strings.HasSuffix(host, "13") {
		c.open--
		return nil, fmt.Errorf("%w: no route to host", bootstrap.ErrUnreachable)
	}
	return &shared{Host: bootstraptest.New(debian12(host)).Open(), leave: leave}, nil
}

func specOfMany(hosts int) *bootstrap.Spec {
	s := &bootstrap.Spec{Name: "main", Hosts: map[string]bootstrap.HostSpec{}}
	for i := range hosts {
		s.Hosts[fmt.Sprintf("h%03d", i)] = bootstrap.HostSpec{Address: "10.0.0.1"}
	}
	return s
}

// operate opens the hosts of a spec as an operation does, works for a second and ends.
func operate(t *testing.T, p *Provider, s *bootstrap.Spec, lookOnly bool) {
	at := &site{provider: p, known: true}
	eng := at.engine(t.Context(), nil, standing)
	if lookOnly {
		eng = at.looker(t.Context(), nil)
	}
	now, _ := eng.Look(t.Context(), s)
	for name, seen := range now.Hosts {
		if away := strings.HasSuffix(name, "13"); (seen.Err != nil) != away {
			t.Errorf("%s: %v", name, seen.Err)
		}
	}
	time.Sleep(time.Second)
	if err := eng.Close(); err != nil {
		t.Error(err)
	}
}

func TestOperationsSideBySideShareTheirConnections(t *testing.T) {
	for _, c := range []struct {
		name       string
		operations []int // hosts of each
		lookOnly   bool
		most       int           // connections at once
		took       time.Duration // at most
	}{
		{"one host each, as in for_each", []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, false, 10, 2 * time.Second},
		{"large ones that change", []int{30, 30, 30, 30, 30, 30, 30, 30, 30, 30}, false, 60, 10 * time.Second},
		{"large ones that look", []int{30, 30, 30, 30, 30, 30, 30, 30, 30, 30}, true, 60, 10 * time.Second},
		{"one beyond all bounds that looks", []int{200, 1, 1}, true, 34, 8 * time.Second},
		{"one beyond all bounds that changes", []int{1, 100, 1}, false, 100, 9 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hosts crowd
				p := hosts.provider()
				start := time.Now()
				var wg sync.WaitGroup
				for _, n := range c.operations {
					wg.Go(func() { operate(t, p, specOfMany(n), c.lookOnly) })
				}
				wg.Wait()
				if hosts.most > c.most || hosts.open != 0 {
					t.Errorf("%d connections at once, want at most %d; %d are left", hosts.most, c.most, hosts.open)
				}
				if took := time.Since(start); took > c.took {
					t.Errorf("it took %s, want at most %s", took, c.took)
				}
			})
		})
	}
}

// An operation whose time is up while it waits for its turn says so.
func TestWaitingForConnectionsEndsWithTheOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hosts crowd
		p := hosts.provider()
		at := &site{provider: p, known: true}
		first := at.engine(t.Context(), nil, standing)
		first.Look(t.Context(), specOfMany(100))
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the operation took longer than 1m0s"))
		defer cancel()
		second := at.looker(ctx, nil)
		now, _ := second.Look(ctx, specOfMany(1))
		err := now.Hosts["h000"].Err
		if !errors.Is(err, bootstrap.ErrUnreachable) || !strings.Contains(err.Error(), "other operations of this provider") || !strings.Contains(err.Error(), "longer than 1m0s") {
			t.Errorf("it says %v", err)
		}
		for _, e := range []*bootstrap.Engine{first, second} {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
		operate(t, p, specOfMany(1), true)
	})
}
