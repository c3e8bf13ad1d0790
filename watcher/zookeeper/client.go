package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher"
)

// Options say which ensemble, and how careful to be.
type Options struct {
	Servers []string // host:port; seeds, see Connect
	// Session is what is asked for, 10s when 0. The server decides: 2 to 20 of its ticks.
	Session time.Duration
	Auth    string        // "user:password" of the digest scheme; none when empty
	Log     *slog.Logger  // nil: nothing is logged
	Host    string        // this host's name; it decides when the host reads after a new session
	Splay   time.Duration // most that reads wait then, 2s when 0
	Audit   time.Duration // between two audits of a service, more or less by half; 45s when 0
	Limit   int           // reads in flight, 64 when 0
	// Dial opens connections, through an agent say; net.Dialer when nil.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// ConnStatus is the state of the one connection.
type ConnStatus struct {
	// State is connecting, connected, suspect (no answer for 2/3 of a session), lost (none
	// for 4/3: what was announced has to be taken for gone) or closed.
	State     string        `json:"state"`
	Server    string        `json:"server,omitempty"`  // host:port
	SessionID string        `json:"session,omitempty"` // as the server's log writes it, 0x...
	Session   time.Duration `json:"session_timeout"`   // as the server granted it
	LastReply time.Time     `json:"last_reply,omitzero"`
	// MissedEvents are changes that an audit found and no watch told. WatchErrors are
	// reconnects after which the server did not take the watches. Reconnects do not count
	// the first connection.
	MissedEvents int64 `json:"missed_events"`
	WatchErrors  int64 `json:"watch_errors"`
	Reconnects   int64 `json:"reconnects"`
}

// The states of a connection.
const (
	StateConnecting = "connecting"
	StateConnected  = "connected"
	StateSuspect    = "suspect"
	StateLost       = "lost"
	StateClosed     = "closed"
)

// registry is what is used of zk.Conn.
type registry interface {
	Children(path string) ([]string, *zk.Stat, error)
	ChildrenW(path string) ([]string, *zk.Stat, <-chan zk.Event, error)
	Get(path string) ([]byte, *zk.Stat, error)
	GetW(path string) ([]byte, *zk.Stat, <-chan zk.Event, error)
	Exists(path string) (bool, *zk.Stat, error)
	ExistsW(path string) (bool, *zk.Stat, <-chan zk.Event, error)
	Create(path string, data []byte, flags int32, acl []zk.ACL) (string, error)
	Set(path string, data []byte, version int32) (*zk.Stat, error)
	Delete(path string, version int32) error
	Multi(ops ...any) ([]zk.MultiResponse, error)
	Sync(path string) (string, error)
	AddAuth(scheme string, auth []byte) error
	Close()
}

// Client is one connection to one ensemble, shared by a source, a registrar and boards.
type Client struct {
	o     Options
	log   *slog.Logger
	hosts *hosts
	conn  registry
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
	slots chan struct{}        // reads in flight
	ready chan struct{}        // closed when requests may be sent: credentials come first
	wake  chan struct{}        // something happened to the session
	bulk  func() (bulk, error) // the connection that stands, for bulk reads

	oneByOne            atomic.Bool // the servers know no bulk reads
	missed, watchErrors atomic.Int64
	zxid                atomic.Int64 // the greatest that an answer had
	replied             atomic.Int64 // when the last answer came, since born
	born                time.Time

	registrar *registrar

	mu      sync.Mutex
	link    link
	watched map[string][]listener // by path
	armed   map[watchKey]bool     // true: the server has it; false: it was asked for
	all     map[listener]struct{}
	keepers map[string]*keeper
}

// Connect begins to connect, and goes on until Close; it waits for nothing. The servers are
// seeds: once connected, the list of members is read from /zookeeper/config where that is
// allowed, and followed. The error is of the options alone.
func Connect(o Options) (*Client, error) {
	o.Session = cmp.Or(o.Session, 10*time.Second)
	if o.Session < time.Second {
		return nil, fmt.Errorf("session %s is shorter than 1s", o.Session)
	}
	if o.Auth != "" && !strings.Contains(o.Auth, ":") {
		return nil, errors.New("the credentials are not user:password")
	}
	h, err := newHosts(o.Servers)
	if err != nil {
		return nil, err
	}
	c := newClient(o, h)
	conn, events, err := zk.Connect(o.Servers, o.Session, zk.WithHostProvider(h), zk.WithDialer(c.dial),
		zk.WithEventCallback(c.event), zk.WithLogger(library{c}), zk.WithLogInfo(false),
		zk.WithMaxBufferSize(maxReply), zk.WithMaxConnBufferSize(maxRequest))
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(o.Servers, ","), err)
	}
	c.wg.Go(func() {
		for range events { // it loses events when it is full; the callback does not
			continue
		}
	})
	c.run(conn)
	return c, nil
}

func newClient(o Options, h *hosts) *Client {
	o.Splay, o.Audit, o.Limit = cmp.Or(o.Splay, 2*time.Second), cmp.Or(o.Audit, 45*time.Second), cmp.Or(o.Limit, 64)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{o: o, log: o.Log, hosts: h, slots: make(chan struct{}, o.Limit), ready: make(chan struct{}), wake: make(chan struct{}, 1),
		born: time.Now(), watched: map[string][]listener{}, armed: map[watchKey]bool{}, all: map[listener]struct{}{}, keepers: map[string]*keeper{},
		link: link{timeout: o.Session}}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.registrar, c.bulk = &registrar{c}, c.wired
	return c
}

// run starts what needs the connection.
func (c *Client) run(conn registry) {
	c.conn = conn
	c.wg.Go(c.clock)
	c.wg.Go(c.greet)
}

// Source reads services. It may run any number of times, also at once.
func (c *Client) Source() watcher.Source { return &source{c} }

// Registrar announces instances. Every call returns the same one.
func (c *Client) Registrar() watcher.Registrar { return c.registrar }

// Board keeps one notice for each host below path.
func (c *Client) Board(path string) watcher.Board { return &board{c: c, path: path} }

// Close ends the connection and leaves the session to end by itself: what was announced
// stays until the server's time for it is up. A new process that announces the same in that
// time is not noticed. To take announcements away, withdraw them before.
func (c *Client) Close() {
	c.mu.Lock()
	c.link.closed = true
	wire, up := c.link.wire, c.link.up
	c.mu.Unlock()
	c.hosts.close()
	c.stop()
	switch {
	case wire != nil && up:
		wire.abandoned.Store(true)
	case wire != nil:
		_ = wire.Conn.Close() // nothing is lost: there is no session on it yet
	}
	c.conn.Close()
	c.wg.Wait()
}

// dial opens a connection for the library.
func (c *Client) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	if err := pause(c.ctx, c.hosts.breath()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	dial := c.o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w := newWire(conn, c, c.timeout(), c.o.Auth != "")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link.closed {
		return nil, errors.Join(errClosed, conn.Close())
	}
	if old := c.link.wire; old != nil {
		_ = old.Conn.Close() // the library forgets the one on which a session expired
	}
	c.link.wire, c.link.server = w, addr
	return w, nil
}

// pause waits, and returns the error of a context that ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call makes one request. Calls of the library know no context; one that is given up is
// answered within a session, because no read waits for longer.
func call[T any](ctx context.Context, c *Client, do func(registry) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	select {
	case <-c.ready:
	case <-ctx.Done():
		return none, ctx.Err()
	case <-c.ctx.Done():
		return none, errClosed
	}
	out := make(chan result, 1)
	go func() {
		v, err := do(c.conn)
		out <- result{v, err}
	}()
	select {
	case r := <-out:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// read is call with one of the places for reads in flight.
func read[T any](ctx context.Context, c *Client, do func(registry) (T, error)) (T, error) {
	return inTurn(ctx, c, func() (T, error) { return call(ctx, c, do) })
}

// inTurn does what takes one of the places for reads in flight.
func inTurn[T any](ctx context.Context, c *Client, do func() (T, error)) (T, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	defer func() { <-c.slots }()
	return do()
}

var errClosed = errors.New("the ZooKeeper client is closed")

// broken reports whether an error is of the connection, and not an answer. Such requests are
// tried again, and the session clock decides what to make of it.
func broken(err error) bool {
	for _, e := range []error{zk.ErrConnectionClosed, zk.ErrNoServer, zk.ErrSessionExpired, zk.ErrSessionMoved, zk.ErrClosing,
		errClosed, errOneByOne, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// spread returns a part of d that is the same for the same host and key at any time, so that
// hosts do not come at once and tests know when they come.
func (c *Client) spread(key string, d time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.o.Host + "\x00" + key)) // a hash takes everything
	return time.Duration(h.Sum64() % uint64(max(1, d)))
}

// library is the log of go-zookeeper/zk, which tells there, and nowhere else, that a server did
// not take the watches of a session that came back.
type library struct{ c *Client }

// Printf implements zk.Logger.
func (l library) Printf(format string, args ...any) {
	l.c.log.Debug("zookeeper client", "text", fmt.Sprintf(format, args...))
	if !strings.HasPrefix(format, "Failed to set previous watches") {
		return
	}
	// A connection that was lost meanwhile is no refusal. The next one sets all watches, but
	// relative to what this one's answers have shown, and so past changes of which nobody has
	// told (conn.go, sendSetWatches: lastZxid): everything is read again all the same.
	if err, ok := args[len(args)-1].(error); !ok || !broken(err) {
		l.c.watchErrors.Add(1)
	}
	l.c.rearm()
}
