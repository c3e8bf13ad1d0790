package provider

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/zkboot/zkboot/bootstrap"
)

// maxConnections is how many hosts one provider process is connected to at once, all
// operations that Terraform runs side by side (-parallelism, 10) taken together. An operation
// that changes more hosts than that holds the locks of all of them, and runs alone.
const (
	maxConnections = 64
	hostsAtOnce    = 32 // that one operation works on
)

// connections is what the operations of a provider share. The zero value is ready for use.
type connections struct {
	once sync.Once
	free *semaphore.Weighted
}

func (c *connections) semaphore() *semaphore.Weighted {
	c.once.Do(func() { c.free = semaphore.NewWeighted(maxConnections) })
	return c.free
}

// quota is the part of one operation. It is taken whole with the first connection and given
// back with the last: operations that waited for more while they hold some would wait for
// each other.
type quota struct {
	of     *connections
	engine *bootstrap.Engine // of the operation

	turn chan struct{} // holds one token for whoever uses what is below
	size int64
	open int
}

func newQuota(of *connections, e *bootstrap.Engine) *quota {
	return &quota{of: of, engine: e, turn: make(chan struct{}, 1)}
}

type opener = func(ctx context.Context, s *bootstrap.Spec, host string) (bootstrap.Host, error)

// bound keeps the hosts that are opened within the quota.
func (q *quota) bound(open opener) opener {
	return func(ctx context.Context, spec *bootstrap.Spec, host string) (bootstrap.Host, error) {
		if err := q.enter(ctx, len(spec.Hosts)); err != nil {
			return nil, err
		}
		h, err := open(ctx, spec, host)
		if err != nil {
			q.leave()
			return nil, err
		}
		return &shared{Host: h, leave: sync.OnceFunc(q.leave)}, nil
	}
}

func (q *quota) enter(ctx context.Context, hosts int) error {
	q.turn <- struct{}{}
	defer func() { <-q.turn }()
	if q.open == 0 {
		if q.engine.LookOnly {
			hosts = min(hosts, hostsAtOnce)
		}
		q.size = int64(min(hosts, maxConnections))
		if err := q.of.semaphore().Acquire(ctx, q.size); err != nil {
			return fmt.Errorf("waiting while other operations of this provider are connected to %d hosts: %w", maxConnections, context.Cause(ctx))
		}
	}
	q.open++
	return nil
}

func (q *quota) leave() {
	q.turn <- struct{}{}
	defer func() { <-q.turn }()
	if q.open--; q.open == 0 {
		q.of.semaphore().Release(q.size)
	}
}

// shared is a host that counts until it is closed.
type shared struct {
	bootstrap.Host
	leave func()
}

// Close implements bootstrap.Host.
func (s *shared) Close() error {
	defer s.leave()
	return s.Host.Close()
}
