package ssh

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// Conn is a logged-in connection to one host. Safe for concurrent use.
type Conn struct {
	name   string
	user   string
	client *xssh.Client
	jump   *Conn // closed with us
	target Target

	done  chan struct{} // closed once the transport is gone
	wg    sync.WaitGroup
	grace time.Duration // how long a polite close may take
	tmp   string        // where uploads go first

	sudo sudoPassword
}

// missLimit is how many keepalives in a row may go unanswered: ssh_config(5),
// ServerAliveCountMax.
const missLimit = 3

func newConn(r *route, client *xssh.Client, jump *Conn) *Conn {
	c := &Conn{
		name: r.name, user: r.user, client: client, jump: jump, target: r.target,
		done: make(chan struct{}), grace: 2 * time.Second, tmp: "/tmp",
	}
	c.sudo.ask = r.target.SudoPassword
	c.wg.Go(func() {
		_ = client.Wait() // the cause of the end reaches each caller through its own channel
		close(c.done)
	})
	c.wg.Go(func() { c.keepalive(r.target.Timeouts.Keepalive) })
	return c
}

// Close ends the connection, and with it all streams on it, and then the
// connection to the jump host. Closing twice, or closing nil, is fine. Close the
// streams first to let their agents end in order.
func (c *Conn) Close() error {
	if c == nil {
		return nil
	}
	if c.jump != nil { // a dead jump host confirms nothing: cut it instead of waiting
		cut := time.AfterFunc(c.grace, func() { _ = c.jump.client.Close() })
		defer cut.Stop()
	}
	_ = c.client.Close() // fails only if it is gone already
	c.wg.Wait()
	return c.jump.Close()
}

// Done is closed when the connection is gone, for whatever reason.
func (c *Conn) Done() <-chan struct{} { return c.done }

func (c *Conn) dead() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// keepalive closes the connection after missLimit unanswered requests. TCP
// alone would keep writing to a dead host for a quarter of an hour.
func (c *Conn) keepalive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	answers := make(chan error, 1)
	missed, waiting := 0, false
	for {
		select {
		case <-c.done:
			return
		case err := <-answers:
			if err != nil {
				_ = c.client.Close()
				return
			}
			missed, waiting = 0, false
		case <-tick.C:
			if waiting {
				if missed++; missed >= missLimit {
					_ = c.client.Close()
					return
				}
				continue
			}
			waiting = true
			c.wg.Go(func() {
				// OpenSSH answers with failure, which is an answer.
				_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
				answers <- err
			})
		}
	}
}

// session opens a channel under ctx. When ctx ends, the channel is closed; if
// the host does not confirm that within the grace, the whole connection is,
// because SSH channels know no deadlines. release must be called when the
// channel is done with.
func (c *Conn) session(ctx context.Context) (sess *xssh.Session, release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	var open *xssh.Session
	released := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		abort := time.AfterFunc(c.grace, func() { _ = c.client.Close() })
		mu.Lock()
		s := open
		mu.Unlock()
		if s != nil {
			_ = s.Close()
		}
		<-released
		abort.Stop()
	})
	release = sync.OnceFunc(func() { stop(); close(released) })
	s, err := c.client.NewSession()
	if err != nil {
		release()
		return nil, nil, cmp.Or(context.Cause(ctx), err)
	}
	mu.Lock()
	open = s
	mu.Unlock()
	if ctx.Err() != nil { // it ended between the two: nobody else will close s
		_ = s.Close()
		release()
		return nil, nil, context.Cause(ctx)
	}
	return s, release, nil
}

// fail wraps err for the caller, naming host and step.
func (c *Conn) fail(step string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	e = &Error{Host: c.name, Step: step, Err: err}
	var f *failure
	if errors.As(err, &f) {
		e.Hint = f.hint
	}
	return e
}
