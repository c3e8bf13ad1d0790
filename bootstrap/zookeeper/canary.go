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

// canary flies through all members of the live configuration.
func canary(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts) error {
	return canaries(ctx, s, h, membersOf(roster(survey(ctx, s, h))))
}

// canaries writes a znode through each member and reads it, after a sync, on every other.
//
// The znodes stand at the root, because ephemeral ones have no children and a parent would
// stay behind when a run is killed: these vanish with their session whatever happens. They
// are readable by everybody and writable by nobody; the right to delete is the root's.
func canaries(ctx context.Context, s *bootstrap.Spec, h bootstrap.Hosts, ms []member) error {
	bounded, cancel := context.WithTimeout(ctx, patience(s))
	defer cancel()
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
		if err := bounded.Err(); err != nil {
			return canaryError(m, "connect", err)
		}
		c, err := connect(bounded, m, host)
		if err != nil {
			return canaryError(m, "connect", err)
		}
		sessions[i] = c
	}
	return parallel(bounded, ms, func(ctx context.Context, i int, m member) error {
		if err := sing(ctx, sessions, i); err != nil {
			// Sessions hang on bounded: they may be closed before ctx, another child of it, is done.
			if cause := context.Cause(bounded); cause != nil && cutShort(err) {
				return fmt.Errorf("%s: %w", stepCanary, cause)
			}
			return err
		}
		return nil
	})
}

// flight is one canary: it is written through one member and read on the others. To each
// member it bears one lost connection, which is what an election or a busy host costs; the
// library then connects again, for as long as reachFor, and goes on with the same session.
type flight struct {
	sessions []*session
	lost     []bool // by session: its connection was lost during this flight
	path     string
	text     string
}

// sing writes one canary through member i and reads it on the others.
func sing(ctx context.Context, sessions []*session, i int) error {
	from := sessions[i]
	token := make([]byte, 8)
	if _, err := rand.Read(token); err != nil {
		return fmt.Errorf("%s: %w", stepCanary, err)
	}
	text := hex.EncodeToString(token)
	f := &flight{sessions: sessions, lost: make([]bool, len(sessions)), text: text,
		path: fmt.Sprintf("/zkboot-canary-%d-%s", from.id, text)}
	if err := f.step(ctx, i, "write", f.write); err != nil {
		return err
	}
	for j := range sessions {
		if j == i {
			continue
		}
		if err := f.step(ctx, j, "sync", f.sync); err != nil {
			return err
		}
		if err := f.step(ctx, j, "read what was written through "+from.host, f.read); err != nil {
			return err
		}
	}
	return f.step(ctx, i, "delete", f.remove)
}

// step does one step with member j. When the connection is lost meanwhile, nobody knows
// whether the member did it: it is done again, and the step is told so that it can look
// what became of the first try. Any answer of the member, a refusal above all, is final.
func (f *flight) step(ctx context.Context, j int, doing string, do func(s *session, again bool) error) error {
	s := f.sessions[j]
	err := do(s, false)
	if errors.Is(err, zk.ErrConnectionClosed) && ctx.Err() == nil {
		if !f.lost[j] {
			f.lost[j] = true
			err = do(s, true)
		}
		if errors.Is(err, zk.ErrConnectionClosed) {
			err = fmt.Errorf("expected to lose the connection once at most, lost it twice: %w", err)
		}
	}
	if err != nil {
		return s.fails(doing, err)
	}
	return nil
}

// write creates the znode. Nobody else knows its name: one that is there at the second try
// was made by the first, and is read to be sure.
func (f *flight) write(s *session, again bool) error {
	_, err := s.conn.Create(f.path, []byte(f.text), zk.FlagEphemeral, zk.WorldACL(zk.PermRead))
	if again && errors.Is(err, zk.ErrNodeExists) {
		return f.read(s, false)
	}
	return err
}

func (f *flight) sync(s *session, _ bool) error {
	_, err := s.conn.Sync(f.path)
	return err
}

// read wants the znode as it was written. What the sync before it promised was for its own
// connection: over another one it is asked for again.
func (f *flight) read(s *session, again bool) error {
	if again {
		if err := f.sync(s, true); err != nil {
			return err
		}
	}
	data, _, err := s.conn.Get(f.path)
	if err != nil {
		return err
	}
	if string(data) != f.text {
		return fmt.Errorf("expected %q, found %q", f.text, data)
	}
	return nil
}

// remove deletes the znode. One that is gone at the second try was deleted by the first.
func (f *flight) remove(s *session, again bool) error {
	err := s.conn.Delete(f.path, -1)
	if again && errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return err
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
// waits for an answer without one. And it calls a write that fails by the library's name
// for a lost connection: the library hands such an error on as it is, while it names the
// loss itself when reading fails (v1.0.4, sendData and loop in conn.go).
type boundConn struct {
	net.Conn
	limit time.Duration
}

// Write implements net.Conn.
func (c *boundConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		err = fmt.Errorf("%w: %w", zk.ErrConnectionClosed, err)
	}
	return n, err
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
