package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/bootstrap/zookeeper"
)

// Opener reaches a host of the spec; closing the Host is the caller's. Connections end with
// the context that they were opened with.
type Opener func(ctx context.Context, host string) (bootstrap.Host, error)

// openFor bounds one try to reach a host, again and again while it is off.
const openFor = 20 * time.Second

// lines are connections to hosts that are opened anew when they break: a host that loses
// its power comes back.
type lines struct {
	all    map[string]*line
	names  []string
	cancel context.CancelFunc
	wg     sync.WaitGroup // of hosts that are being opened
}

func newLines(ctx context.Context, hosts []string, open Opener) *lines {
	ctx, cancel := context.WithCancel(ctx)
	l := &lines{all: map[string]*line{}, names: hosts, cancel: cancel}
	for _, h := range hosts {
		l.all[h] = &line{ctx: ctx, name: h, open: open, wg: &l.wg}
	}
	return l
}

// hosts opens all that are not open and returns them; one that cannot be reached is an
// error that names it.
func (l *lines) hosts(ctx context.Context) (bootstrap.Hosts, error) {
	var g errgroup.Group
	var mu sync.Mutex
	out := bootstrap.Hosts{}
	for name, line := range l.all {
		g.Go(func() error {
			h, err := line.wait(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = h
			return nil
		})
	}
	return out, g.Wait()
}

// aliveFor bounds the wait for a host to say that it is there.
const aliveFor = 3 * time.Second

// check drops the hosts that do not answer: a connection to one that lost its power breaks
// only when somebody has waited long enough. Nothing is there under the name that they are
// asked for, so that the answer costs nothing.
func (l *lines) check(ctx context.Context, hosts bootstrap.Hosts) {
	ctx, cancel := context.WithTimeout(ctx, aliveFor)
	defer cancel()
	var wg sync.WaitGroup
	for name, h := range hosts {
		wg.Go(func() {
			if _, _, err := h.Look(ctx, bootstrap.NewID(bootstrap.KindZooKeeper, "/nonexistent/zoo.cfg")); err != nil {
				l.all[name].drop(h)
			}
		})
	}
	wg.Wait()
}

func (l *lines) dialers() map[string]zookeeper.Dialer {
	out := map[string]zookeeper.Dialer{}
	for name, line := range l.all {
		out[name] = line
	}
	return out
}

// close ends all connections and waits for those that are being opened. Nobody dials any
// more by then.
func (l *lines) close() {
	l.part() // while they live: locks are given back
	l.cancel()
	l.wg.Wait()
	l.part()
}

func (l *lines) part() {
	for _, line := range l.all {
		if h := line.take(nil); h != nil {
			_ = h.Close() // what was to be done with it is done
		}
	}
}

// line is the connection to one host.
type line struct {
	ctx  context.Context
	name string
	open Opener
	wg   *sync.WaitGroup

	mu      sync.Mutex
	host    bootstrap.Host
	opening chan struct{} // closed when the try under way has ended
	err     error         // of the last try
}

// get returns the open host, or begins to open it.
func (l *line) get() (bootstrap.Host, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.host != nil {
		return l.host, nil
	}
	if l.opening == nil {
		done := make(chan struct{})
		l.opening = done
		l.wg.Go(func() { l.reopen(done) })
	}
	return nil, l.opening
}

// reopen tries for openFor. What it opens lives as long as the lines do.
func (l *line) reopen(done chan struct{}) {
	ctx, giveUp := context.WithCancel(l.ctx)
	late := time.AfterFunc(openFor, giveUp)
	h, err := l.open(ctx, l.name)
	if err == nil && !late.Stop() {
		_ = h.Close() // it came too late, and has ended already
		h, err = nil, context.DeadlineExceeded
	}
	if err != nil {
		late.Stop()
		giveUp()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(done)
	l.opening, l.err = nil, err
	if err == nil {
		l.host = h
	}
}

// wait returns the host once it is open, or why it could not be opened.
func (l *line) wait(ctx context.Context) (bootstrap.Host, error) {
	for {
		h, opening := l.get()
		if h != nil {
			return h, nil
		}
		select {
		case <-opening:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		l.mu.Lock()
		h, err := l.host, l.err
		l.mu.Unlock()
		if h != nil || err != nil {
			return h, err
		}
	}
}

// take takes the host away when it is the given one; nil means whichever is open.
func (l *line) take(which bootstrap.Host) bootstrap.Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.host
	if which != nil && h != which {
		return nil
	}
	l.host = nil
	return h
}

// drop closes a host that broke, in the background: its farewell may wait for an answer.
func (l *line) drop(broken bootstrap.Host) {
	if h := l.take(broken); h != nil {
		l.wg.Go(func() { _ = h.Close() }) // it broke: nothing was left to be done
	}
}

// DialContext connects from the host. While it is being opened nobody waits for it: a
// client turns to another member meanwhile.
func (l *line) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	h, _ := l.get()
	if h == nil {
		return nil, fmt.Errorf("%w: %s is being connected to", bootstrap.ErrUnreachable, l.name)
	}
	conn, err := h.DialContext(ctx, network, addr)
	if errors.Is(err, bootstrap.ErrUnreachable) {
		l.drop(h)
	}
	return conn, err
}
