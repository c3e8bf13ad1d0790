package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
)

// ErrUnanswered is wrapped when the connection was lost before an answer came: nobody knows
// whether a write was done, and it may still be. Look, or write something that may be done
// twice.
var ErrUnanswered = errors.New("no answer came, nobody knows whether it was done")

// ErrNoNode is wrapped when a znode is not there.
var ErrNoNode = zk.ErrNoNode

// ErrNodeExists is wrapped when a znode is there already.
var ErrNodeExists = zk.ErrNodeExists

// SessionTimeout is what a Client asks its members for. It bears two thirds of it without a
// word from a member before it turns to another.
const SessionTimeout = canarySession

// roundEvery keeps rounds over all members apart: ports that refuse do so in no time.
const roundEvery = 100 * time.Millisecond

// Dialer connects from a host; every bootstrap.Host is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Mark is what the ensemble says of a state of a znode.
type Mark struct {
	Version int32  // counts the writes to the znode, from 0 at its creation
	Zxid    uint64 // of the last write; the upper half is the epoch of the leader that took it
}

// Client is a ZooKeeper session for trying an ensemble out. Its methods may be called from
// several goroutines and block while no member is reached, for ten seconds or until the
// context of the session ends.
type Client struct {
	conn *zk.Conn
	end  func()
}

// Dial opens a session with the member on host and no other: what it answers is what that
// member serves. The member need not be there yet. The session ends with ctx; it is to be
// closed all the same.
func Dial(ctx context.Context, s *bootstrap.Spec, host string, d Dialer) (*Client, error) {
	m, ok := memberOn(s, host)
	if !ok {
		return nil, fmt.Errorf("%s is no member of %s", host, s.Name)
	}
	c, err := connect(ctx, m, dialing{d: d})
	if err != nil {
		return nil, err
	}
	return &Client{conn: c.conn, end: c.close}, nil
}

// Roam opens a session that follows the members of s, beginning with that on first: when it
// loses one it turns to the next, each reached through its own host, and stays the session
// that it was. Members without a Dialer are passed over.
func Roam(ctx context.Context, s *bootstrap.Spec, first string, d map[string]Dialer) (*Client, error) {
	way := &wayRound{dialers: map[string]Dialer{}}
	for _, m := range members(s) {
		if dialer, ok := d[m.host]; ok {
			way.servers, way.dialers[m.client()] = append(way.servers, m.client()), dialer
			if m.host == first {
				way.at = len(way.servers) - 1
			}
		}
	}
	if len(way.servers) == 0 {
		return nil, fmt.Errorf("%s has no member that can be dialled", s.Name)
	}
	ctx, cancel := context.WithCancel(ctx)
	way.ctx = ctx
	conn, events, err := zk.Connect(way.servers, canarySession, zk.WithDialer(way.dial), zk.WithLogger(silent{}),
		zk.WithLogInfo(false), zk.WithHostProvider(way))
	if err != nil {
		cancel()
		return nil, err
	}
	c := &session{conn: conn, events: events, cancel: cancel, stop: context.AfterFunc(ctx, conn.Close)}
	return &Client{conn: conn, end: c.close}, nil
}

// Create makes a znode that everybody may read and write. Who may delete it is said by the
// ACL of its parent.
func (c *Client) Create(path string, data []byte) error {
	_, err := c.conn.Create(path, data, 0, zk.WorldACL(zk.PermRead|zk.PermWrite))
	return told(err)
}

// CreateEphemeral is Create of a znode that goes with the session.
func (c *Client) CreateEphemeral(path string, data []byte) error {
	_, err := c.conn.Create(path, data, zk.FlagEphemeral, zk.WorldACL(zk.PermRead|zk.PermWrite))
	return told(err)
}

// Session is the id that the ensemble gave to the session. It becomes another one when the
// session has expired: no member heard of it for as long as SessionTimeout.
func (c *Client) Session() int64 { return c.conn.SessionID() }

// Set writes a znode, whatever its version. The Mark is that of this very write.
func (c *Client) Set(path string, data []byte) (Mark, error) {
	stat, err := c.conn.Set(path, data, -1)
	if err != nil {
		return Mark{}, told(err)
	}
	return Mark{Version: stat.Version, Zxid: uint64(stat.Mzxid)}, nil
}

// Get reads a znode as the member has it that the session is with.
func (c *Client) Get(path string) ([]byte, Mark, error) {
	data, stat, err := c.conn.Get(path)
	if err != nil {
		return nil, Mark{}, told(err)
	}
	return data, Mark{Version: stat.Version, Zxid: uint64(stat.Mzxid)}, nil
}

// Sync lets the member catch up with its leader. A leader that was deposed and has not
// noticed answers too (ZOOKEEPER-1675): behind a write of the same session a read is sure.
func (c *Client) Sync(path string) error {
	_, err := c.conn.Sync(path)
	return told(err)
}

// Delete removes a znode, whatever its version.
func (c *Client) Delete(path string) error { return told(c.conn.Delete(path, -1)) }

// Close ends the session.
func (c *Client) Close() { c.end() }

// told leaves alone what a member refused and what was never sent, and calls everything
// else unanswered.
func told(err error) error {
	final := []error{zk.ErrNoServer, zk.ErrNoNode, zk.ErrNodeExists, zk.ErrNoAuth, zk.ErrBadVersion, zk.ErrInvalidACL, zk.ErrInvalidPath}
	if err == nil || slices.ContainsFunc(final, func(f error) bool { return errors.Is(err, f) }) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnanswered, err)
}

// dialing is a host of which only connections are asked.
type dialing struct {
	bootstrap.Host
	d Dialer
}

// DialContext implements bootstrap.Host.
func (h dialing) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return h.d.DialContext(ctx, network, addr)
}

// wayRound names the members one after the other, see oneServer. All of it is called by the
// one goroutine of the library that connects.
type wayRound struct {
	ctx     context.Context
	dialers map[string]Dialer // by client address
	servers []string
	at      int       // the next one
	tries   int       // since it was last connected
	since   time.Time // first of these
}

// Init implements zk.HostProvider; the order is the caller's, not the shuffled one.
func (p *wayRound) Init([]string) error { return nil }

// Len implements zk.HostProvider.
func (p *wayRound) Len() int { return len(p.servers) }

// Next implements zk.HostProvider. True fails what has not been sent: an election ends
// long before reachFor is over.
func (p *wayRound) Next() (string, bool) {
	server := p.servers[p.at%len(p.servers)]
	p.at++
	if p.tries++; p.tries == 1 {
		p.since = time.Now()
		return server, false
	}
	if p.ctx.Err() != nil {
		return server, true
	}
	if time.Since(p.since) < reachFor {
		return server, false
	}
	p.since = time.Now()
	return server, true
}

// Connected implements zk.HostProvider.
func (p *wayRound) Connected() { p.tries = 0 }

// dial connects from the member's own host.
func (p *wayRound) dial(network, addr string, timeout time.Duration) (net.Conn, error) {
	if p.tries > 1 && (p.tries-1)%len(p.servers) == 0 {
		select {
		case <-time.After(roundEvery):
		case <-p.ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	conn, err := p.dialers[addr].DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &boundConn{Conn: conn, limit: canarySession}, nil
}

// Standing is what a member says of its part, by the four letter word srvr.
type Standing struct {
	Serves bool
	Leader bool
	Epoch  uint64 // of the leader it follows or is
}

// Ask asks one member which part it has. One that answers and has no quorum does not serve.
func Ask(ctx context.Context, s *bootstrap.Spec, host string, d Dialer) (Standing, error) {
	m, ok := memberOn(s, host)
	if !ok {
		return Standing{}, fmt.Errorf("%s is no member of %s", host, s.Name)
	}
	conn, err := d.DialContext(ctx, "tcp", m.client())
	if err != nil {
		return Standing{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return Standing{}, err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 64<<10))
	if err == nil && len(answer) == 0 {
		err = io.ErrUnexpectedEOF // one that has no quorum says so
	}
	if err != nil {
		return Standing{}, fmt.Errorf("srvr: %w", err)
	}
	v := view{member: m, mode: modeDown, z: bootstrap.ZooKeeper{Srvr: string(answer)}}
	v.readSrvr()
	return Standing{Serves: v.serving(), Leader: v.mode == modeLeader, Epoch: epoch(v.zxid)}, nil
}
