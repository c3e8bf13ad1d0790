package zookeeper

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
)

// cutsAfter is a server that gives out a session and is gone after a while.
func (w *way) cutsAfter(d time.Duration) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := w.serves(ctx)
		if err == nil {
			time.AfterFunc(d, func() { conn.Close() })
		}
		return conn, err
	}
}

// A session that follows the members begins where it is told, passes over those that do
// not let it in, and goes on with the next when it loses one.
func TestClientFollowsTheMembers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		zk1   func(*way) []func(context.Context) (net.Conn, error)
		zk2   func(*way) []func(context.Context) (net.Conn, error)
		first string
		wait  time.Duration // before the question
		made1 int           // dials
		made2 int
		is    error
		most  time.Duration
	}{
		{name: "the first lets it in", first: "zk1", made1: 1, is: zk.ErrNoNode},
		{name: "it begins where it is told", first: "zk2", made2: 1, is: zk.ErrNoNode},
		{name: "the first refuses", first: "zk1", zk1: dials(refuses), made1: 1, made2: 1, is: zk.ErrNoNode},
		{name: "the first drops it", first: "zk1", zk1: dials(drops), made1: 1, made2: 1, is: zk.ErrNoNode},
		{name: "the first hangs", first: "zk1", zk1: dials(hangs), made1: 1, made2: 1, is: zk.ErrNoNode, most: 2 * time.Second},
		{name: "the first goes away", first: "zk1", wait: 2 * time.Second, made1: 1, made2: 1, is: zk.ErrNoNode,
			zk1: func(w *way) []func(context.Context) (net.Conn, error) {
				return []func(context.Context) (net.Conn, error){w.cutsAfter(time.Second), refuses}
			}},
		{name: "an election: both refuse for a while", first: "zk1", made1: 4, made2: 3, is: zk.ErrNoNode, most: time.Second,
			zk1: func(w *way) []func(context.Context) (net.Conn, error) {
				return []func(context.Context) (net.Conn, error){refuses, refuses, refuses, w.serves}
			}, zk2: dials(refuses)},
		{name: "nobody is there", first: "zk1", zk1: dials(refuses), zk2: dials(refuses), made1: -1, made2: -1, is: zk.ErrNoServer, most: reachFor + 2*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := &way{}, &way{}
				one.dials, two.dials = []func(context.Context) (net.Conn, error){one.serves}, []func(context.Context) (net.Conn, error){two.serves}
				if tt.zk1 != nil {
					one.dials = tt.zk1(one)
				}
				if tt.zk2 != nil {
					two.dials = tt.zk2(two)
				}
				c, err := Roam(t.Context(), testSpec(3), tt.first, map[string]Dialer{"zk1": one, "zk2": two})
				if err != nil {
					t.Fatal(err)
				}
				<-time.After(tt.wait)
				begin := time.Now()
				_, _, err = c.Get("/x")
				if took := time.Since(begin); took > tt.most {
					t.Errorf("took %s, want %s at most", took, tt.most)
				}
				c.Close()
				one.wg.Wait()
				two.wg.Wait()
				if !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %v", err, tt.is)
				}
				if tt.made1 >= 0 && (one.made != tt.made1 || two.made != tt.made2) {
					t.Errorf("zk1 dialled %d times and zk2 %d, want %d and %d", one.made, two.made, tt.made1, tt.made2)
				}
			})
		})
	}
}

// dials are those of a way, whoever it is.
func dials(all ...func(context.Context) (net.Conn, error)) func(*way) []func(context.Context) (net.Conn, error) {
	return func(*way) []func(context.Context) (net.Conn, error) { return all }
}

// The end of a session does not wait for members that cannot be reached.
func TestClientEndsAtOnce(t *testing.T) {
	for name, dial := range map[string]func(context.Context) (net.Conn, error){"refuses": refuses, "hangs": hangs, "drops": drops} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &way{dials: []func(context.Context) (net.Conn, error){dial}}
				ctx, cancel := context.WithCancel(t.Context())
				c, err := Roam(ctx, testSpec(3), "zk1", map[string]Dialer{"zk1": w})
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Second, cancel)
				begin := time.Now()
				_, err = c.Set("/x", nil)
				if took := time.Since(begin); took > 2*time.Second || err == nil {
					t.Errorf("%v after %s", err, took)
				}
				<-time.After(2 * time.Second)
				c.Close()
			})
		})
	}
}

func TestClientNeedsAMember(t *testing.T) {
	if _, err := Roam(t.Context(), testSpec(3), "zk1", nil); err == nil || !strings.Contains(err.Error(), "main has no member that can be dialled") {
		t.Errorf("%v", err)
	}
	if _, err := Dial(t.Context(), testSpec(3), "app1", nil); err == nil || !strings.Contains(err.Error(), "app1 is no member of main") {
		t.Errorf("%v", err)
	}
}

// What a member refused is final; nobody knows what became of anything else.
func TestWhatIsUnanswered(t *testing.T) {
	for _, tt := range []struct {
		err     error
		unknown bool
	}{
		{nil, false}, {zk.ErrNoNode, false}, {zk.ErrNodeExists, false}, {zk.ErrNoAuth, false}, {zk.ErrNoServer, false},
		{zk.ErrConnectionClosed, true}, {zk.ErrClosing, true}, {zk.ErrSessionExpired, true}, {zk.ErrSessionMoved, true}, {io.EOF, true},
	} {
		got := told(tt.err)
		if errors.Is(got, ErrUnanswered) != tt.unknown || !errors.Is(got, tt.err) {
			t.Errorf("%v is told as %v", tt.err, got)
		}
	}
}

// says is a server that answers a four letter word with a text and hangs up.
func says(text string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			word := make([]byte, 4)
			if _, err := io.ReadFull(theirs, word); err == nil && string(word) == "srvr" {
				_, _ = io.WriteString(theirs, text)
			}
		}()
		return ours, nil
	}
}

// mute is a server that is paused: its kernel takes connections.
func mute(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	context.AfterFunc(ctx, func() { theirs.Close() })
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	return ours, nil
}

func TestAsk(t *testing.T) {
	srvr := "Zookeeper version: 3.9.6-1, built on 2026\nLatency min/avg/max: 0/0.3/9\nZxid: 0x30000002a\nMode: %\nNode count: 9\n"
	for _, tt := range []struct {
		name string
		dial func(context.Context) (net.Conn, error)
		want Standing
		fail bool
	}{
		{"a leader", says(strings.Replace(srvr, "%", "leader", 1)), Standing{Serves: true, Leader: true, Epoch: 3}, false},
		{"a follower", says(strings.Replace(srvr, "%", "follower", 1)), Standing{Serves: true, Epoch: 3}, false},
		{"without a quorum", says("This ZooKeeper instance is not currently serving requests\n"), Standing{}, false},
		{"paused", mute, Standing{}, true},
		{"down", refuses, Standing{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				got, err := Ask(ctx, testSpec(3), "zk2", &way{dials: []func(context.Context) (net.Conn, error){tt.dial}})
				if got != tt.want || (err != nil) != tt.fail {
					t.Errorf("%+v, %v", got, err)
				}
			})
		})
	}
}
