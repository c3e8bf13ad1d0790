//go:build lab

package zookeeper

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/watcher/config"
)

// Operations of the protocol (ZooDefs.OpCode, 3.8).
const (
	opExists     = 3
	opPing       = 11
	opMulti      = 14
	opSetWatches = 101
)

// tamper is a connection whose requests a test may change: the library writes each of them,
// length, xid, operation and the rest, at once.
type tamper struct {
	net.Conn
	deaf   atomic.Bool // what arrives from now on is lost, with the connection
	change func(t *tamper, op int32, request []byte) []byte
}

func (t *tamper) Write(p []byte) (int, error) {
	if len(p) < 12 {
		return t.Conn.Write(p)
	}
	if _, err := t.Conn.Write(t.change(t, int32(binary.BigEndian.Uint32(p[8:])), p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *tamper) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if t.deaf.Load() {
		return 0, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return n, err
}

// tampered dials such connections.
func tampered(change func(t *tamper, op int32, request []byte) []byte) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &tamper{Conn: c, change: change}, nil
	}
}

// Scenario 7: the server makes the znode, and its answer never arrives.
func TestRealCreateWhoseAnswerIsLost(t *testing.T) {
	for _, format := range []string{config.Plain, config.Nerve} {
		t.Run(format, func(t *testing.T) {
			e := shared(t)
			conn := admin(t, e)
			path := root(t, conn)
			var once sync.Once
			c := connect(t, Options{Servers: e.Addrs(), Dial: tampered(func(w *tamper, op int32, request []byte) []byte {
				if op == opMulti {
					once.Do(func() { w.deaf.Store(true) })
				}
				return request
			})})
			a := shopAt(path, format)
			if at, err := c.Registrar().Announce(t.Context(), a); !errors.Is(err, zk.ErrConnectionClosed) {
				t.Fatalf("%+v, %v; want the answer lost", at, err)
			}
			at, err := c.Registrar().Announce(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			names := list(t, conn, path)
			if len(names) != 1 || at.ID != "10.0.0.1:80" {
				t.Fatalf("znodes %v, announced %+v; want one", names, at)
			}
			_, stat, err := conn.Get(path + "/" + names[0])
			if err != nil || stat.Mzxid != at.Revision || sessionID(stat.EphemeralOwner) != c.Status().SessionID {
				t.Errorf("%+v, %v; want it of session %s and at %+v", stat, err, c.Status().SessionID, at)
			}
			if _, parent, err := conn.Get(path); err != nil || parent.Cversion != 1 {
				t.Errorf("%d changes of the children, %v; want the one create", parent.Cversion, err)
			}
		})
	}
}

// Scenario 8: watches are not set after a reconnect. A server may refuse them, which the
// library only logs, or take them and forget them, which nobody tells.
func TestRealWatchesThatAreNotSetAfterAReconnect(t *testing.T) {
	tests := map[string]struct {
		instead func(request []byte) []byte
		refused bool
	}{
		"refused": {func(r []byte) []byte {
			// Another request in its place, whose answer is an error: nothing is there.
			out := append([]byte(nil), r[:12]...)
			binary.BigEndian.PutUint32(out[8:], opExists)
			out = binary.BigEndian.AppendUint32(out, uint32(len("/no-such-znode")))
			out = append(append(out, "/no-such-znode"...), 0)
			binary.BigEndian.PutUint32(out, uint32(len(out)-4))
			return out
		}, true},
		"forgotten": {func(r []byte) []byte {
			out := append([]byte(nil), r[:12]...) // a ping, whose answer the library expects from nobody
			binary.BigEndian.PutUint32(out[4:], 0xfffffffe)
			binary.BigEndian.PutUint32(out[8:], opPing)
			binary.BigEndian.PutUint32(out, 8)
			return out
		}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := shared(t)
			conn := admin(t, e)
			path := root(t, conn)
			create(t, conn, path+"/10.0.0.1:80", "")
			var mu sync.Mutex
			var wire net.Conn
			taken := make(chan struct{}, 10)
			c := connect(t, Options{Servers: e.Addrs(), Audit: 4 * time.Second, Dial: tampered(func(w *tamper, op int32, request []byte) []byte {
				mu.Lock()
				wire = w.Conn
				mu.Unlock()
				if op == opSetWatches {
					taken <- struct{}{}
					return test.instead(request)
				}
				return request
			})})
			c.oneByOne.Store(true) // the watches of older servers alone are set by the library
			p := follow(t, c, path, config.Plain)
			p.wait(t, 0, "the first", has("10.0.0.1:80"))
			mu.Lock()
			_ = wire.Close()
			mu.Unlock()
			<-taken
			n := p.len()
			create(t, conn, path+"/10.0.0.2:80", "")
			start := time.Now()
			p.wait(t, n, "the second", has("10.0.0.1:80", "10.0.0.2:80"))
			s := c.Status()
			t.Logf("seen after %s: %+v", time.Since(start).Round(time.Millisecond), s)
			if (s.WatchErrors == 1) != test.refused || (s.MissedEvents == 1) == test.refused {
				t.Errorf("status %+v; want it counted as what it was", s)
			}
			create(t, conn, path+"/10.0.0.3:80", "")
			p.wait(t, n, "the third, by a watch", has("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"))
		})
	}
}

func list(t *testing.T, conn *zk.Conn, path string) []string {
	names, _, err := conn.Children(path)
	if err != nil {
		t.Errorf("children of %s: %v", path, err)
	}
	return names
}
