package watchertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Backend is an instance of a service: an HTTP server that answers with its own address and
// counts. Through a TCP route it is a TCP server as good as any.
type Backend struct {
	server   *http.Server
	listener net.Listener
	status   atomic.Int64
	sick     atomic.Bool
	requests atomic.Int64
	conns    atomic.Int64
}

// StartBackend listens on addr, such as "127.0.0.1:0". Close it.
func StartBackend(addr string) (*Backend, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	b := &Backend{listener: l}
	b.status.Store(http.StatusOK)
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			b.conns.Add(1)
		}
	}}
	go func() { _ = b.server.Serve(l) }() // ends with Close
	return b, nil
}

// ServeHTTP answers /health for checks, which are not counted, and everything else with
// the address; "?ms=200" takes 200 ms for it.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/health" {
		if b.sick.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return
	}
	b.requests.Add(1)
	if ms, err := strconv.Atoi(r.URL.Query().Get("ms")); err == nil {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	w.WriteHeader(int(b.status.Load()))
	_, _ = io.WriteString(w, b.Addr()) // a client that went away is its own business
}

// Addr returns host:port.
func (b *Backend) Addr() string { return b.listener.Addr().String() }

// Requests returns how many requests came, checks left out.
func (b *Backend) Requests() int64 { return b.requests.Load() }

// Conns returns how many connections were opened, those of TCP checks among them.
func (b *Backend) Conns() int64 { return b.conns.Load() }

// Fail makes it answer with a status instead of 200; checks go on to pass.
func (b *Backend) Fail(status int) { b.status.Store(int64(status)) }

// Sicken makes its checks fail, or pass again; requests are answered as before.
func (b *Backend) Sicken(sick bool) { b.sick.Store(sick) }

// Shutdown stops listening and lets requests that have begun end.
func (b *Backend) Shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("backend %s: %w", b.Addr(), errors.Join(err, b.server.Close()))
	}
	return nil
}

// Close breaks all connections, as a crash does.
func (b *Backend) Close() { _ = b.server.Close() }
