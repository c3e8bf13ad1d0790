package verify

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	netCount    = 100
	netCountMax = 1000
	netInterval = 20 * time.Millisecond
	// netTimeout is under the initial retransmission timeout of one second
	// (RFC 6298), so that a lost SYN is a loss and not a slow answer.
	netTimeout = 900 * time.Millisecond
	// netGiveUp losses in a row are a dead peer: a hundred of them would take a minute and
	// a half to say the same.
	netGiveUp = 10
)

// probeNet measures all targets at once, each with one connection at a time.
func probeNet(ctx context.Context, q NetQuery) []NetResult {
	if q.Count <= 0 {
		q.Count = netCount
	}
	q.Count = min(q.Count, netCountMax)
	if q.Interval <= 0 {
		q.Interval = netInterval
	}
	if q.Timeout <= 0 {
		q.Timeout = netTimeout
	}
	out := make([]NetResult, len(q.Targets))
	var wg sync.WaitGroup
	for i, target := range q.Targets {
		wg.Go(func() { out[i] = probeTarget(ctx, target, q) })
	}
	wg.Wait()
	return out
}

func probeTarget(ctx context.Context, target NetTarget, q NetQuery) NetResult {
	r := NetResult{NetTarget: target}
	h := newHistogram()
	ticker := time.NewTicker(q.Interval)
	defer ticker.Stop()
	for silent := 0; r.Sent < q.Count && silent < netGiveUp; r.Sent++ {
		if r.Sent > 0 {
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
		took, err := handshake(ctx, target.Addr, q.Timeout)
		switch {
		case ctx.Err() != nil:
			r.Latency = h.latency()
			return r
		case errors.Is(err, syscall.ECONNREFUSED):
			r.Refused++
			h.add(took)
			silent = 0
		case err != nil:
			r.Lost++
			r.Error = err.Error()
			silent++
		default:
			h.add(took)
			silent = 0
		}
	}
	if r.Latency = h.latency(); r.Samples > 0 { // on a dead way there is nothing to ask
		r.Path = probePath(ctx, target)
	}
	return r
}

// handshake opens a connection and closes it at once. Lingering is off, so that
// hundreds of probes leave no sockets in TIME_WAIT.
func handshake(ctx context.Context, addr string, timeout time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	began := time.Now()
	conn, err := d.DialContext(ctx, "tcp", addr)
	took := time.Since(began)
	if err != nil {
		return took, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // best effort
	}
	return took, conn.Close()
}
