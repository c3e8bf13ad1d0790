package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// answerLimit is how much of an answer is read: 10,000 instances are about 2 MB.
const answerLimit = 64 << 20

// ask sends a request to the running zkwatch and reads its answer into out.
func (a *app) ask(ctx context.Context, within time.Duration, method, path string, query url.Values, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("no answer within %s", within))
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", a.socket)
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://zkwatch"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return a.noAnswer(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return a.noAnswer(ctx, err)
	}
	if resp.StatusCode >= 300 {
		var said struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(body, &said) != nil || said.Error == "" {
			said.Error = fmt.Sprintf("%s: %.200s", resp.Status, strings.TrimSpace(string(body)))
		}
		return errors.New(said.Error)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the answer of zkwatch cannot be read, it may be of another version: %w", err)
	}
	return nil
}

// noAnswer says why, and what to do about it.
func (a *app) noAnswer(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; become root, or a member of the socket's group", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return &exitError{codeNoDaemon, fmt.Errorf("no zkwatch answers at %s: %w; is zkwatch.service running?", a.socket, err)}
	}
	return fmt.Errorf("zkwatch at %s: %w; what was asked for may still happen, zkwatch status shows it", a.socket, err)
}
