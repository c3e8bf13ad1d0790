package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/zkboot/zkboot/bootstrap"
)

// cutConn is a connection that breaks after so many bytes in one direction, in the
// middle of a read or write if need be.
type cutConn struct {
	net.Conn
	mu    sync.Mutex
	read  int // bytes that may still come; -1: any number
	write int // bytes that may still go
	count [2]int
}

func (c *cutConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	left := c.read
	c.mu.Unlock()
	if left == 0 {
		c.Close()
		return 0, io.EOF
	}
	if left > 0 {
		p = p[:min(len(p), left)]
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[0] += n
	if c.read > 0 {
		c.read -= n
	}
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	left := c.write
	c.mu.Unlock()
	whole := len(p)
	if left >= 0 {
		p = p[:min(len(p), left)]
	}
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	c.count[1] += n
	if c.write >= 0 {
		c.write -= n
	}
	c.mu.Unlock()
	if err == nil && n < whole {
		c.Close()
		return n, io.ErrClosedPipe
	}
	return n, err
}

// session is one whole conversation; it returns the first error.
func session(ctx context.Context, conn net.Conn) error {
	c, err := Connect(ctx, conn, ConnectOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	if _, _, err := c.Look(ctx, "file:/etc/a"); err != nil {
		return err
	}
	return c.Change(ctx, createStep("/etc/b"))
}

// runCut has the session over a line that breaks and waits for both ends.
func runCut(t *testing.T, read, write int) (*cutConn, error) {
	t.Helper()
	h := &fakeHost{
		look: func(context.Context, ...bootstrap.ID) (bootstrap.Facts, bootstrap.State, error) {
			return bootstrap.Facts{}, sampleState(), nil
		},
		change: func(context.Context, ...bootstrap.Step) error { return nil },
	}
	l := serveOnly(t, h, ServeOptions{SHA256: zeroSum})
	conn := &cutConn{Conn: l.operator, read: read, write: write}
	err := session(t.Context(), conn)
	conn.Close()
	if err := l.end(t); err != nil && !gone(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("serve: %v", err)
	}
	if h.closes() == 0 {
		t.Error("the host was not closed")
	}
	return conn, err
}

// Wherever the line breaks, both ends notice, nothing is left running (see TestMain)
// and the operator learns that the host cannot be reached.
func TestLineCutAtEveryByte(t *testing.T) {
	whole, err := runCut(t, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	for direction, bytes := range whole.count {
		t.Run([]string{"from the agent", "from the operator"}[direction], func(t *testing.T) {
			for n := range bytes {
				limits := [2]int{-1, -1}
				limits[direction] = n
				_, err := runCut(t, limits[0], limits[1])
				// Close's own frames come last: a cut there is after the work.
				if err != nil && !errors.Is(err, bootstrap.ErrUnreachable) {
					t.Fatalf("cut after %d bytes: want ErrUnreachable, got %v", n, err)
				}
				if err == nil && n < bytes/2 {
					t.Fatalf("cut after %d of %d bytes: no error", n, bytes)
				}
			}
		})
	}
}

func TestGreetingIsOptionalButNeverOfAnotherVersion(t *testing.T) {
	for _, tc := range []struct {
		name, greeting string
		want           string // part of the error; "" for none
	}{
		{"taken off already", "", ""},
		{"as sent", greeting(zeroSum), ""},
		{"newer", "zkagent/2 " + zeroSum + "\n", `greets with zkagent/1, found "zkagent/2`},
		{"something else", "Welcome to Debian\n", `greets with zkagent/1, found "Welcome`},
		{"endless", strings.Repeat("x", 4096), "want the greeting of an agent"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			operator, agent := net.Pipe()
			served := make(chan error, 1)
			go func() {
				if _, err := io.WriteString(agent, tc.greeting); err != nil {
					agent.Close()
					served <- nil
					return
				}
				served <- Serve(context.Background(), &ungreeted{Conn: agent}, &fakeHost{}, ServeOptions{})
			}()
			c, err := Connect(t.Context(), operator, ConnectOptions{})
			if err == nil {
				c.Close()
			}
			if got := fmt.Sprint(err); (tc.want == "") != (err == nil) || !strings.Contains(got, tc.want) {
				t.Errorf("want %q, got %v", tc.want, err)
			}
			<-served
		})
	}
}

// ungreeted swallows Serve's greeting, so that a test sends one of its own.
type ungreeted struct {
	net.Conn
	once sync.Once
}

func (u *ungreeted) Write(p []byte) (n int, err error) {
	swallowed := false
	u.once.Do(func() { swallowed = true })
	if swallowed {
		return len(p), nil
	}
	return u.Conn.Write(p)
}
