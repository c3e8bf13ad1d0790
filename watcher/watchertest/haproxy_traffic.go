package watchertest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// Load is traffic of clients that each send one request after the other.
type Load struct {
	Addr      string // where to connect to
	Path      string // default "/"
	Clients   int    // default 1
	KeepAlive bool   // one connection for many requests; otherwise one each
	Max       int64  // requests of all clients together; 0 for no limit but Stop
	Timeout   time.Duration
}

// Traffic is a Load that runs.
type Traffic struct {
	load   Load
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu     sync.Mutex
	result Result
}

// Result counts requests by what became of them.
type Result struct {
	Requests int64 // with an answer or a failure
	Failures int64
	// Reopened counts requests that were sent again on a new connection, because the proxy
	// had closed the old one and sent not a byte: what every HTTP client has to do when an
	// idle connection ends (RFC 9112 9.3.1).
	Reopened int64
	Texts    map[string]int64 // failures by text
	By       map[string]int64 // answers by body, which is a Backend's address
	Slowest  time.Duration
}

// StartTraffic starts the clients. Stop it.
func StartTraffic(load Load) *Traffic {
	if load.Path == "" {
		load.Path = "/"
	}
	if load.Timeout == 0 {
		load.Timeout = 10 * time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &Traffic{load: load, cancel: cancel, result: Result{Texts: map[string]int64{}, By: map[string]int64{}}}
	for range max(1, load.Clients) {
		t.group.Go(func() { t.client(ctx) })
	}
	return t
}

// Stop ends the clients after their current request and returns the counts.
func (t *Traffic) Stop() Result {
	t.cancel()
	return t.Wait()
}

// Wait returns when Max requests were made.
func (t *Traffic) Wait() Result {
	t.group.Wait()
	t.cancel()
	return t.Result()
}

// Result returns the counts so far.
func (t *Traffic) Result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.result
	out.Texts, out.By = maps.Clone(out.Texts), maps.Clone(out.By)
	return out
}

func (t *Traffic) client(ctx context.Context) {
	var c *clientConn
	defer func() { c.close() }()
	for ctx.Err() == nil && t.more() {
		began := time.Now()
		var body string
		var err error
		for reopened := int64(0); ; reopened++ {
			fresh := c == nil
			if fresh {
				if c, err = t.dial(); err != nil {
					break
				}
			}
			var keep bool
			if body, keep, err = c.request(t.load); err != nil || !keep {
				c.close()
				c = nil
			}
			if fresh || !errors.Is(err, errReopen) || reopened > 3 {
				break
			}
			t.count(func(r *Result) { r.Reopened++ })
		}
		t.count(func(r *Result) {
			r.Slowest = max(r.Slowest, time.Since(began))
			if err != nil {
				r.Failures++
				r.Texts[err.Error()]++
				return
			}
			r.By[body]++
		})
	}
}

// more takes one request from what may still be made.
func (t *Traffic) more() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.load.Max > 0 && t.result.Requests >= t.load.Max {
		return false
	}
	t.result.Requests++
	return true
}

func (t *Traffic) count(add func(*Result)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	add(&t.result)
}

func (t *Traffic) dial() (*clientConn, error) {
	d := net.Dialer{Timeout: t.load.Timeout}
	conn, err := d.DialContext(context.Background(), "tcp", t.load.Addr)
	if err != nil {
		return nil, errors.New("connect: " + text(err))
	}
	return &clientConn{conn: conn, r: bufio.NewReaderSize(conn, 1024)}, nil
}

// clientConn is plain HTTP on one connection: net/http would hide failures by sending
// requests again.
type clientConn struct {
	conn net.Conn
	r    *bufio.Reader
}

var errReopen = errors.New("the connection was closed before the answer began")

func (c *clientConn) request(l Load) (body string, keep bool, err error) {
	head := "GET " + l.Path + " HTTP/1.1\r\nHost: test\r\n"
	if !l.KeepAlive {
		head += "Connection: close\r\n"
	}
	if err := c.conn.SetDeadline(time.Now().Add(l.Timeout)); err != nil {
		return "", false, err
	}
	if _, err := io.WriteString(c.conn, head+"\r\n"); err != nil {
		return "", false, errReopen
	}
	if _, err := c.r.Peek(1); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return "", false, errors.New("no answer in time")
		}
		return "", false, errReopen
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return "", false, errors.New("answer: " + text(err))
	}
	b, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return "", false, errors.New("body: " + text(err))
	case resp.StatusCode != http.StatusOK:
		return "", false, errors.New("status " + resp.Status)
	}
	return string(b), !resp.Close && l.KeepAlive, nil
}

func (c *clientConn) close() {
	if c != nil {
		_ = c.conn.Close() // nothing is lost
	}
}

// text is an error without the ports of its connection, so that equal failures count together.
func text(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
