package zookeeper

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
)

// canarySession is the session timeout that canaries ask for: long enough for an election
// to pass, short enough that a znode of a killed run is gone soon.
const canarySession = 10 * time.Second

// reachFor is how long a canary tries to reach a member. The library gives each try a
// second, which a busy host may miss (seen while other programs held both of its
// processors); a member that has just been seen to serve takes one of the next.
const reachFor = 10 * time.Second

// canary writes a znode through each member and reads it, after a sync, on every other.
//
// The znodes stand at the root, because ephemeral ones have no children and a parent would
// stay behind when a run is killed: these vanish with their session whatever happens. They
// are readable by everybody and writable by nobody; the right to delete is the root's.
func canary(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts) error {
	ctx, cancel := context.WithTimeout(ctx, patience(s))
	defer cancel()
	ms := members(s)
	sessions := make([]*session, len(ms))
	defer func() {
		for _, c := range sessions {
			if c != nil {
				c.close()
			}
		}
	}()
	for i, m := range ms {
		host, ok := h[m.host]
		if !ok {
			return canaryError(m, "connect", bootstrap.ErrUnreachable)
		}
		if err := ctx.Err(); err != nil {
			return canaryError(m, "connect", err)
		}
		c, err := connect(ctx, m, host)
		if err != nil {
			return canaryError(m, "connect", err)
		}
		sessions[i] = c
	}
	return parallel(ctx, ms, func(ctx context.Context, i int, m member) error {
		if err := sing(sessions, i); err != nil {
			if cause := context.Cause(ctx); cause != nil && cutShort(err) {
				return fmt.Errorf("%s: %w", stepCanary, cause)
			}
			return err
		}
		return nil
	})
}

// sing writes one canary through member i and reads it on the others.
func sing(sessions []*session, i int) error {
	from := sessions[i]
	token := make([]byte, 8)
	if _, err := rand.Read(token); err != nil {
		return fmt.Errorf("%s: %w", stepCanary, err)
	}
	text := hex.EncodeToString(token)
	path := fmt.Sprintf("/zkboot-canary-%d-%s", from.id, text)
	if _, err := from.conn.Create(path, []byte(text), zk.FlagEphemeral, zk.WorldACL(zk.PermRead)); err != nil {
		return from.fails("write", err)
	}
	for j, to := range sessions {
		if j == i {
			continue
		}
		if _, err := to.conn.Sync(path); err != nil {
			return to.fails("sync", err)
		}
		data, _, err := to.conn.Get(path)
		if err != nil {
			return to.fails("read what was written through "+from.host, err)
		}
		if string(data) != text {
			return to.fails("read what was written through "+from.host, fmt.Errorf("expected %q, found %q", text, data))
		}
	}
	if err := from.conn.Delete(path, -1); err != nil {
		return from.fails("delete", err)
	}
	return nil
}

// cutShort reports whether an error may be the end of a session that was closed on purpose:
// where the library is at that moment decides which one it gives.
func cutShort(err error) bool {
	return errors.Is(err, zk.ErrClosing) || errors.Is(err, zk.ErrNoServer) || errors.Is(err, zk.ErrConnectionClosed)
}

func canaryError(m member, doing string, err error) error {
	f := bootstrap.Finding{Severity: bootstrap.SeverityError, Host: m.host, Step: stepCanary, Err: err,
		Text: fmt.Sprintf("canary on %s: %s: %v", m.client(), doing, err)}
	if errors.Is(err, zk.ErrNoAuth) {
		f.Hint = "the ACL of / lets nobody create; give the world its create right back while zkboot proves the ensemble"
	}
	return f
}

// session is a ZooKeeper session with one member, over its host.
type session struct {
	member
	conn   *zk.Conn
	way    *oneServer
	events <-chan zk.Event
	stop   func() bool
	cancel context.CancelFunc // of tries to connect
}

// fails says what went wrong on this member; that it was not reached comes with the reason.
func (s *session) fails(doing string, err error) error {
	if why := s.way.last(); why != nil && errors.Is(err, zk.ErrNoServer) {
		err = fmt.Errorf("%w: %w", err, why)
	}
	return canaryError(s.member, doing, err)
}

// connect opens a session. It ends when ctx does: the library knows no contexts, and a
// server that hangs would hold it for minutes.
func connect(ctx context.Context, m member, host bootstrap.Host) (*session, error) {
	ctx, cancel := context.WithCancel(ctx)
	way := &oneServer{done: ctx.Done()}
	dial := func(network, addr string, timeout time.Duration) (net.Conn, error) {
		way.pace()
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		conn, err := host.DialContext(ctx, network, addr)
		way.tell(err)
		if err != nil {
			return nil, err
		}
		return &boundConn{Conn: conn, limit: canarySession}, nil
	}
	conn, events, err := zk.Connect([]string{m.client()}, canarySession,
		zk.WithDialer(dial), zk.WithLogger(silent{}), zk.WithLogInfo(false),
		zk.WithHostProvider(way))
	if err != nil {
		cancel()
		return nil, err
	}
	s := &session{member: m, conn: conn, way: way, events: events, cancel: cancel}
	s.stop = context.AfterFunc(ctx, conn.Close)
	return s, nil
}

// close ends the session and waits for the library's goroutines.
func (s *session) close() {
	s.stop()
	s.cancel() // first: the library looks whether it was closed only when Next says true
	s.conn.Close()
	for range s.events { // closed when the last of them has ended
		continue
	}
}

// boundConn puts a deadline on reads that have none: during its handshake the library
// waits for an answer without one.
type boundConn struct {
	net.Conn
	limit time.Duration
}

// SetReadDeadline implements net.Conn.
func (c *boundConn) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(c.limit)
	}
	return c.Conn.SetReadDeadline(t)
}

// oneServer names one server and never asks a resolver: the address is one of the host's
// own network, which the operator's machine need not know. All but last is called by the
// one goroutine of the library that connects.
type oneServer struct {
	done   <-chan struct{} // the session ends
	server string
	since  time.Time // first try since it was last connected
	tries  int       // since then

	mu  sync.Mutex
	err error // of the latest dial
}

// Init implements zk.HostProvider.
func (p *oneServer) Init(servers []string) error { p.server = servers[0]; return nil }

// Len implements zk.HostProvider.
func (p *oneServer) Len() int { return 1 }

// Next implements zk.HostProvider. True makes the library fail what has not been sent, with
// zk.ErrNoServer: when the time is over, and at once when there is nothing to wait for.
func (p *oneServer) Next() (string, bool) {
	if p.tries++; p.tries == 1 {
		p.since = time.Now()
		return p.server, false
	}
	select {
	case <-p.done:
		return p.server, true
	default:
		return p.server, time.Since(p.since) >= reachFor || errors.Is(p.last(), bootstrap.ErrUnreachable)
	}
}

// Connected implements zk.HostProvider.
func (p *oneServer) Connected() { p.tries = 0 }

// pace keeps tries apart: a port that refuses does so in no time.
func (p *oneServer) pace() {
	if p.tries <= 1 {
		return
	}
	select {
	case <-time.After(pollEvery):
	case <-p.done:
	}
}

func (p *oneServer) tell(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// last is why the latest dial failed, nil when it did not.
func (p *oneServer) last() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// silent drops the library's log: what matters comes back as errors.
type silent struct{}

// Printf implements zk.Logger.
func (silent) Printf(string, ...any) {}
