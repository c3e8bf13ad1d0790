package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/zkboot/zkboot/watcher/config"
)

// A local program that asks too much, or too slowly, must not cost zkwatch its memory.
const (
	apiConns       = 64
	apiHeader      = 8 << 10
	apiRead        = 2 * time.Second  // of a whole request, which has no body
	apiWrite       = 10 * time.Second // drains that are waited for get more
	apiIdle        = 15 * time.Second
	explainEntries = 100
)

// door is an open listener of the API.
type door struct {
	server *http.Server
	job    *job
}

// openDoors opens what c wants. Doors that are open already are kept.
func (w *Watcher) openDoors(c config.Status, old map[string]*door) (map[string]*door, error) {
	doors := map[string]*door{}
	open := func(addr string, listen func(string) (net.Listener, error), handler http.Handler) error {
		if d := old[addr]; d != nil {
			doors[addr] = d
			return nil
		}
		l, err := listen(addr)
		if err != nil {
			return err
		}
		doors[addr] = w.serve(l, handler)
		return nil
	}
	var errs []error
	if c.Socket != "" {
		errs = append(errs, open(c.Socket, listenSocket, w.socketHandler()))
	}
	if c.Listen != "" && c.Listen != "none" {
		errs = append(errs, open(c.Listen, listenLoopback, w.loopbackHandler()))
	}
	if err := errors.Join(errs...); err != nil {
		w.closeDoors(context.Background(), doors, old)
		return nil, err
	}
	return doors, nil
}

// closeDoors closes those of doors that are not kept, and lets requests under way end.
func (w *Watcher) closeDoors(ctx context.Context, doors, keep map[string]*door) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for addr, d := range doors {
		if keep[addr] == d {
			continue
		}
		if err := d.server.Shutdown(ctx); err != nil {
			_ = d.server.Close() // it has waited long enough, and this only says that it did
		}
		_ = d.job.stop() // what ended it was logged
	}
}

func (w *Watcher) serve(l net.Listener, handler http.Handler) *door {
	s := &http.Server{Handler: handler, MaxHeaderBytes: apiHeader, ReadTimeout: apiRead, WriteTimeout: apiWrite, IdleTimeout: apiIdle}
	return &door{server: s, job: launch(context.Background(), func(context.Context) error {
		err := s.Serve(netutil.LimitListener(l, apiConns))
		if !errors.Is(err, http.ErrServerClosed) {
			w.Log.Error("the status listener ended", "address", l.Addr().String(), "error", err)
		}
		return err
	})}
}

// listenSocket listens on a unix socket that its group may use as well. A socket that
// nobody answers on was left by a process that was killed.
func listenSocket(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close() // nothing was sent
		return nil, fmt.Errorf("status.socket %s: another zkwatch answers there; stop it, or give this one a socket of its own", path)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("status.socket: removing the one of an earlier run: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("status.socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("status.socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("status.socket: %w", err), l.Close())
	}
	return l, nil
}

func listenLoopback(addr string) (net.Listener, error) {
	if host, _, err := net.SplitHostPort(addr); err != nil || !loopback(host) {
		return nil, fmt.Errorf("status.listen %s: only a loopback address may be listened on: what is shown there is for this host alone", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("status.listen: %w", err)
	}
	return l, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// loopbackHandler only shows. A page in somebody's browser can send requests to the
// loopback under a name of its own (DNS rebinding), so the name must be the loopback's.
func (w *Watcher) loopbackHandler() http.Handler {
	mux := w.readers()
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		host := req.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(host) {
			http.Error(rw, "the Host header does not name the loopback", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(rw, req)
	})
}

// socketHandler also changes: whoever may open the socket is in its group.
func (w *Watcher) socketHandler() http.Handler {
	mux := w.readers()
	w.controls(mux)
	return mux
}

func (w *Watcher) readers() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(rw http.ResponseWriter, req *http.Request) {
		writeJSON(rw, http.StatusOK, w.Status(req.URL.Query().Get("service")))
	})
	mux.HandleFunc("GET /v1/explain", w.explain)
	mux.Handle("GET /metrics", w.metrics.handler())
	mux.HandleFunc("GET /{$}", w.page)
	return mux
}

func (w *Watcher) explain(rw http.ResponseWriter, req *http.Request) {
	limit := explainEntries
	if text := req.URL.Query().Get("max"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > journalSize {
			writeError(rw, badRequest(fmt.Sprintf("max=%q: want a number from 1 to %d", text, journalSize)))
			return
		}
		limit = n
	}
	service := req.URL.Query().Get("service")
	if err := w.knows(service); err != nil {
		writeError(rw, err)
		return
	}
	entries := w.journal.Entries(service, limit)
	if entries == nil {
		entries = []Entry{}
	}
	writeJSON(rw, http.StatusOK, entries)
}

func writeJSON(rw http.ResponseWriter, code int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(v) // whoever asked has gone
}
