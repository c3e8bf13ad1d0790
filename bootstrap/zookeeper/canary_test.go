package zookeeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkboot/zkboot/bootstrap"
)

// way is a host whose connections go well or not, one dial after the other; the last of
// dials stands for all that follow.
type way struct {
	bootstrap.Host
	dials []func(context.Context) (net.Conn, error)
	made  int
	wg    sync.WaitGroup
}

func (w *way) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	dial := w.dials[min(w.made, len(w.dials)-1)]
	w.made++
	return dial(ctx)
}

// hangs is a host too busy to answer while the library waits.
func hangs(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("dial: %w", ctx.Err())
}

func refuses(context.Context) (net.Conn, error) { return nil, errors.New("connection refused") }

// gone waits for the request that it makes fail: where the library finds none to fail, it
// looks again only after a second, and which comes first is up to the scheduler.
func gone(context.Context) (net.Conn, error) {
	synctest.Wait()
	return nil, fmt.Errorf("%w: the connection to the agent was lost", bootstrap.ErrUnreachable)
}

// drops is a server that takes a connection and closes it, as one does that is not serving yet.
func drops(context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	return ours, theirs.Close()
}

// serves is a server that gives out a session and knows no znode.
func (w *way) serves(context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	w.wg.Go(func() {
		defer theirs.Close()
		for first := true; ; first = false {
			var size uint32
			if err := binary.Read(theirs, binary.BigEndian, &size); err != nil {
				return
			}
			request := make([]byte, size)
			if _, err := io.ReadFull(theirs, request); err != nil {
				return
			}
			// The form of the answers is that of zookeeper.jute: ConnectResponse and
			// ReplyHeader. https://github.com/apache/zookeeper/blob/release-3.9.4/zookeeper-jute/src/main/resources/zookeeper.jute
			answer := binary.BigEndian.AppendUint32(nil, 36)
			if first {
				answer = binary.BigEndian.AppendUint32(answer, 0)                                         // protocol
				answer = binary.BigEndian.AppendUint32(answer, uint32(canarySession/time.Millisecond))    // timeout
				answer = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(answer, 0x1007), 16) // session, size of the password
				answer = append(answer, make([]byte, 16)...)
			} else {
				answer = binary.BigEndian.AppendUint32(answer[:0], 16)
				answer = append(answer, request[:4]...) // xid
				answer = binary.BigEndian.AppendUint64(answer, 1)
				answer = binary.BigEndian.AppendUint32(answer, ^uint32(100)) // -101, no node
			}
			if _, err := theirs.Write(answer); err != nil {
				return
			}
		}
	})
	return ours, nil
}

// A member that misses a dial while its host is busy is reached by one of the next; one
// that stays away is named, with the reason.
func TestCanaryReachesABusyMember(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []func(context.Context) (net.Conn, error) // the member serves after these; nil: it never does
		never  func(context.Context) (net.Conn, error)
		is     error
		says   string
		least  time.Duration
		most   time.Duration
	}{
		{name: "at once", most: time.Second},
		{name: "one dial too slow", before: []func(context.Context) (net.Conn, error){hangs}, least: time.Second, most: 2 * time.Second},
		{name: "refused three times", before: []func(context.Context) (net.Conn, error){refuses, refuses, refuses}, least: 3 * pollEvery, most: time.Second},
		{name: "dropped before it serves", before: []func(context.Context) (net.Conn, error){drops, drops}, least: 2 * pollEvery, most: time.Second},
		{name: "refused for ever", never: refuses, is: zk.ErrNoServer, says: "connection refused", least: reachFor, most: reachFor + 2*time.Second},
		{name: "always too slow", never: hangs, is: zk.ErrNoServer, says: "deadline exceeded", least: reachFor, most: reachFor + 2*time.Second},
		{name: "dropped for ever", never: drops, is: zk.ErrNoServer, says: "could not connect", least: reachFor, most: reachFor + 2*time.Second},
		{name: "the host is lost", never: gone, is: bootstrap.ErrUnreachable, says: "the connection to the agent was lost", most: time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &way{}
				w.dials = append(tt.before, w.serves)
				if tt.never != nil {
					w.dials = append(tt.before, tt.never)
				}
				took, err := asks(t, w)
				if took < tt.least || took > tt.most {
					t.Errorf("took %s, want %s to %s", took, tt.least, tt.most)
				}
				if !errors.Is(err, tt.is) {
					t.Fatalf("got %v, want %v", err, tt.is)
				}
				if err != nil && (!strings.HasPrefix(err.Error(), "zk2: ") || !strings.Contains(err.Error(), tt.says)) {
					t.Errorf("%q does not name zk2 and %q", err, tt.says)
				}
			})
		})
	}
}

// asks for a znode over a way, and returns what a canary would say of it and after how long.
func asks(t *testing.T, w *way) (time.Duration, error) {
	t.Helper()
	start := time.Now()
	c, err := connect(t.Context(), members(testSpec(3))[1], w)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.conn.Exists("/x")
	took := time.Since(start)
	if err != nil {
		err = c.fails("write", err)
	}
	c.close()
	w.wg.Wait()
	return took, err
}

// Neither the end of a run nor closing waits for a member that cannot be reached.
func TestCanaryEndsAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		dial func(context.Context) (net.Conn, error)
	}{{"refuses", refuses}, {"hangs", hangs}, {"drops", drops}} {
		start := func(t *testing.T, ctx context.Context) *session {
			t.Helper()
			c, err := connect(ctx, members(testSpec(3))[1], &way{dials: []func(context.Context) (net.Conn, error){tt.dial}})
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second / 2)
			return c
		}
		t.Run(tt.name+", close", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, t.Context())
				since := time.Now()
				c.close()
				if took := time.Since(since); took > time.Second { // which the library gives its farewell
					t.Errorf("took %s", took)
				}
			})
		})
		t.Run(tt.name+", cancel", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				c := start(t, ctx)
				time.AfterFunc(time.Second, cancel)
				since := time.Now()
				_, _, err := c.conn.Exists("/x")
				if took := time.Since(since); took > 2*time.Second || !cutShort(err) {
					t.Errorf("%v after %s", err, took)
				}
				<-time.After(2 * time.Second) // the farewell is over
				c.close()
			})
		})
	}
}
