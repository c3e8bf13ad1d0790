package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestLoadIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		load Load
		want string // "" for none
	}{
		"usual":             {Load{For: 10 * time.Second, Rate: 200}, ""},
		"no time":           {Load{Rate: 200}, "for: 0s"},
		"for ever":          {Load{For: time.Hour, Rate: 1}, "for: 1h0m0s: want up to 10m0s"},
		"no rate":           {Load{For: time.Second}, "rate: 0"},
		"a storm":           {Load{For: time.Second, Rate: 1e6}, "rate: 1000000: want 1 to 2000"},
		"too many in total": {Load{For: 10 * time.Minute, Rate: 2000}, "1200000 requests: want at most 200000"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.load.validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTrafficCountsWhatFails(t *testing.T) {
	var n, kept atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.Close {
			kept.Add(1)
		}
		if n.Add(1)%4 == 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "app1")
	}))
	defer server.Close()
	r := send(t.Context(), Load{URL: server.URL, For: 200 * time.Millisecond, Rate: 200}, new(net.Dialer).DialContext)
	if r.Requests != 40 || r.Failed != 10 || kept.Load() != 20 {
		t.Errorf("%d of them kept their connection: %s", kept.Load(), r)
	}
	for _, part := range []string{"40 requests, 10 failed, slowest ", "answered by app1 (30)", "\n  10 x 503 Service Unavailable"} {
		if !strings.Contains(r.String(), part) {
			t.Errorf("no %q in %q", part, r)
		}
	}
}

func TestTrafficNamesWhatRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := send(t.Context(), Load{URL: "http://" + l.Addr().String(), For: 50 * time.Millisecond, Rate: 100}, new(net.Dialer).DialContext)
	if r.Requests != 5 || r.Failed != 5 || len(r.Errors) != 1 || r.Errors[0].Text != "dial: connect: connection refused" {
		t.Errorf("got %s", r)
	}
}

// An interrupted run says nothing about requests that it cut short.
func TestTrafficEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	if r := send(ctx, Load{URL: server.URL, For: time.Minute, Rate: 1}, new(net.Dialer).DialContext); r.Failed != 0 {
		t.Errorf("got %s", r)
	}
}
