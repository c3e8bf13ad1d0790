package watchertest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Mode is what a Proxy does with traffic. A change acts at once, on connections that stand too.
type Mode int

// The modes of a Proxy.
const (
	// Pass forwards.
	Pass Mode = iota
	// Refuse answers new connections with a reset, as a port without a listener does.
	// Standing ones go on.
	Refuse
	// Blackhole keeps what comes, in both directions, as a network does that loses every
	// packet: when it ends, what was kept arrives, as TCP's own repetition would bring it.
	Blackhole
	// BlackholeUp keeps what the client sends; the server's answers still pass.
	BlackholeUp
	// BlackholeDown keeps what the server sends.
	BlackholeDown
	// Hang accepts connections and never says a word on them, as a server does whose kernel
	// lives and whose process does not. Standing ones stand still until the mode changes;
	// those that it accepts now stay silent for ever.
	Hang
	// Reset ends standing and new connections with a reset.
	Reset
)

// Proxy is a TCP proxy on loopback for one target, with a network that can be made bad.
type Proxy struct {
	target string
	ln     net.Listener

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	mode    Mode
	delay   time.Duration
	changed chan struct{} // closed when the mode changes
	conns   map[net.Conn]struct{}
	total   atomic.Int64
}

// NewProxy starts a proxy for target (host:port), which ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, ln: ln, changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr returns host:port where the proxy listens.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Set changes the mode.
func (p *Proxy) Set(m Mode) {
	p.mu.Lock()
	p.mode = m
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if m == Reset {
		p.Cut()
	}
}

// Delay makes everything arrive d later, in each direction, from now on. Zero ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Cut resets every connection that stands, once.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
	}
}

// Accepted returns how many connections clients have opened so far.
func (p *Proxy) Accepted() int { return int(p.total.Load()) }

// Open returns how many connections of clients stand now.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.conns {
		if c.LocalAddr().String() == p.Addr() {
			n++
		}
	}
	return n
}

func (p *Proxy) close() {
	p.stop()
	_ = p.ln.Close() // ends accept
	p.Cut()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return // closed
		}
		p.total.Add(1)
		p.wg.Go(func() { p.serve(c) })
	}
}

// keep notes a connection so that Cut finds it; false when the proxy is closing.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		reset(c)
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close() // closed already when it was cut
}

func (p *Proxy) now() (Mode, time.Duration, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.delay, p.changed
}

func (p *Proxy) serve(c net.Conn) {
	if !p.keep(c) {
		return
	}
	defer p.drop(c)
	mode, _, _ := p.now()
	switch mode {
	case Refuse, Reset:
		reset(c)
		return
	case Hang:
		drain(c)
		return
	}
	s, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		reset(c) // what the client would have seen
		return
	}
	if !p.keep(s) {
		return
	}
	defer p.drop(s)
	var both sync.WaitGroup
	both.Go(func() { p.pump(c, s, true) })
	both.Go(func() { p.pump(s, c, false) })
	both.Wait()
}

// chunk is what one read returned and when it may go on.
type chunk struct {
	data []byte
	due  time.Time
}

// pump forwards one direction until either end closes, then closes both.
func (p *Proxy) pump(from, to net.Conn, up bool) {
	line := make(chan chunk, 1024)
	var writer sync.WaitGroup
	writer.Go(func() {
		for c := range line {
			if !p.wait(c.due, up) {
				continue
			}
			if _, err := to.Write(c.data); err != nil {
				_ = from.Close() // ends the reader below
			}
		}
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			_, delay, _ := p.now()
			line <- chunk{data: append([]byte(nil), buf[:n]...), due: time.Now().Add(delay)}
		}
		if err != nil {
			break
		}
	}
	close(line)
	writer.Wait()
	_, _ = from.Close(), to.Close()
}

// wait returns when the chunk is due and its direction is open; false when the proxy ends.
func (p *Proxy) wait(due time.Time, up bool) bool {
	later := time.NewTimer(time.Until(due))
	defer later.Stop()
	select {
	case <-later.C:
	case <-p.ctx.Done():
		return false
	}
	for {
		mode, _, changed := p.now()
		if mode != Blackhole && mode != Hang && (mode != BlackholeUp || !up) && (mode != BlackholeDown || up) {
			return true
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return false
		}
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closing then sends a reset; fails on a closed one
	}
	_ = c.Close()
}

// drain reads and says nothing until the other side goes or the connection is cut.
func drain(c net.Conn) {
	buf := make([]byte, 4<<10)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}
