package watcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// controls adds what changes something.
func (w *Watcher) controls(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/drain", w.drain)
	mux.HandleFunc("POST /v1/undrain", w.control((*Registrations).Undrain))
	mux.HandleFunc("POST /v1/hold", w.control((*Registrations).Hold))
	mux.HandleFunc("POST /v1/release", w.control((*Registrations).Release))
	mux.HandleFunc("POST /v1/accept", w.accept)
}

// control handles a request that does something to a registration.
func (w *Watcher) control(do func(r *Registrations, ctx context.Context, name string) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, req *http.Request) {
		r := w.current().registrations
		if r == nil {
			writeError(rw, ErrNotRunning)
			return
		}
		if err := do(r, req.Context(), req.URL.Query().Get("name")); err != nil {
			writeError(rw, err)
			return
		}
		writeJSON(rw, http.StatusOK, struct{}{})
	}
}

// drain drains, and with wait=true answers when that is over. Without, it answers that it
// has begun.
func (w *Watcher) drain(rw http.ResponseWriter, req *http.Request) {
	now := w.current()
	if now.registrations == nil {
		writeError(rw, ErrNotRunning)
		return
	}
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	wait := req.URL.Query().Get("wait") == "true"
	if wait {
		// After the timeout of the drain itself comes the withdrawal.
		limit := time.Duration(now.config.Drain.Timeout) + registryTimeout + apiWrite
		if err := http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(limit)); err != nil {
			writeError(rw, fmt.Errorf("drain: %w", err))
			return
		}
	} else {
		cancel() // which ends the waiting, not the drain
	}
	report, err := now.registrations.Drain(ctx, req.URL.Query().Get("name"))
	switch {
	case !wait && errors.Is(err, context.Canceled):
		writeJSON(rw, http.StatusAccepted, report)
	case err != nil:
		writeError(rw, err)
	default:
		writeJSON(rw, http.StatusOK, report)
	}
}

func (w *Watcher) accept(rw http.ResponseWriter, req *http.Request) {
	service := req.URL.Query().Get("service")
	d := w.current().discovery
	err := w.knows(service)
	switch {
	case err != nil:
	case service == "":
		err = badRequest("accept needs the name of a service")
	case d == nil:
		err = errors.New("this host has no proxy, so nothing is held")
	default:
		err = d.Accept(service)
	}
	if err != nil {
		writeError(rw, err)
		return
	}
	writeJSON(rw, http.StatusOK, struct{}{})
}

// ErrNoService is what names that are not in the configuration get.
var ErrNoService = errors.New("no such service is configured on this host")

// knows returns an error when a service is not in the configuration; "" stands for all.
func (w *Watcher) knows(service string) error {
	c := w.current().config
	if c == nil {
		return ErrNotRunning
	}
	if _, ok := c.Services[service]; service != "" && !ok {
		return fmt.Errorf("service %q: %w; there are %q", service, ErrNoService, slices.Sorted(maps.Keys(c.Services)))
	}
	return nil
}

// badRequest is an error of whoever asked.
type badRequest string

func (b badRequest) Error() string { return string(b) }

// apiError is what the API answers when it does not do what was asked.
type apiError struct {
	Error string `json:"error"`
}

func writeError(rw http.ResponseWriter, err error) {
	code := http.StatusConflict
	switch bad := badRequest(""); {
	case errors.As(err, &bad):
		code = http.StatusBadRequest
	case errors.Is(err, ErrNoRegistration), errors.Is(err, ErrNoService):
		code = http.StatusNotFound
	case errors.Is(err, ErrNotRunning):
		code = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		code = http.StatusGatewayTimeout
	}
	writeJSON(rw, code, apiError{err.Error()})
}
