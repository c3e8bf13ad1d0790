package watcher

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// ask runs the check that c describes, with half a second for one that gets no answer.
func ask(t *testing.T, c config.ServiceCheck) error {
	t.Helper()
	ask, err := newCheck(c)
	if err != nil {
		t.Fatal(err)
	}
	limit := time.Minute
	if strings.Contains(c.HTTP, "/hang") || strings.Contains(c.HTTP, "/drip") && c.Body != "" {
		limit = 500 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return ask(ctx)
}

// webService is a web service with one path for each thing that a check may meet.
func webService(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	for _, status := range []int{200, 204, 302, 399, 404, 503} {
		mux.HandleFunc(fmt.Sprintf("/%d", status), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/503") // must not be followed
			w.WriteHeader(status)
			fmt.Fprintf(w, "all systems go\n")
		})
	}
	mux.HandleFunc("/host", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", r.Host, r.Header.Get("X-Probe")) })
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) { // the word comes after the 64 KiB that are looked at
		io.WriteString(w, strings.Repeat("x", checkBody)+"ready")
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) { // a head, and then no body
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/heads", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2*checkBody)) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestHTTPCheck(t *testing.T) {
	s := webService(t)
	tests := map[string]struct {
		check config.ServiceCheck
		want  string // of the error, "" for a pass
	}{
		"200":                                     {check: config.ServiceCheck{HTTP: "/200"}},
		"204":                                     {check: config.ServiceCheck{HTTP: "/204"}},
		"a redirect passes and is not followed":   {check: config.ServiceCheck{HTTP: "/302"}},
		"399":                                     {check: config.ServiceCheck{HTTP: "/399"}},
		"404":                                     {check: config.ServiceCheck{HTTP: "/404"}, want: "/404: status 404, want 200 to 399"},
		"503":                                     {check: config.ServiceCheck{HTTP: "/503"}, want: "/503: status 503, want 200 to 399"},
		"a status that is listed":                 {check: config.ServiceCheck{HTTP: "/404", Status: []int{200, 404}}},
		"a good status that is not listed":        {check: config.ServiceCheck{HTTP: "/204", Status: []int{200}}, want: "status 204, want one of [200]"},
		"a body that matches":                     {check: config.ServiceCheck{HTTP: "/200", Body: `systems\s+go`}},
		"a body that does not match":              {check: config.ServiceCheck{HTTP: "/200", Body: "^go"}, want: `/200: status 200, but the body (15 bytes looked at) does not match "^go"`},
		"a match beyond what is looked at":        {check: config.ServiceCheck{HTTP: "/late", Body: "ready"}, want: "the body (65536 bytes looked at) does not match"},
		"headers, and the host among them":        {check: config.ServiceCheck{HTTP: "/host", Headers: config.Labels{"host": "shop.example", "X-Probe": "1"}, Body: "^shop.example 1$"}},
		"no answer":                               {check: config.ServiceCheck{HTTP: "/hang"}, want: "/hang: no answer in time"},
		"a body that does not come":               {check: config.ServiceCheck{HTTP: "/drip", Body: "x"}, want: "/drip: status 200, then reading the body: no answer in time"},
		"a body that does not come nor matter":    {check: config.ServiceCheck{HTTP: "/drip"}},
		"a head without end":                      {check: config.ServiceCheck{HTTP: "/heads"}, want: "exceeded"},
		"a secret in the query is not repeated":   {check: config.ServiceCheck{HTTP: "/503?token=hunter2"}, want: "/503: status 503"},
		"a secret in a header is not repeated":    {check: config.ServiceCheck{HTTP: "/hang", Headers: config.Labels{"Authorization": "hunter2"}}, want: "no answer in time"},
		"a path of a service that has it no more": {check: config.ServiceCheck{HTTP: "/gone"}, want: "/gone: status 404"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.check.HTTP = s.URL + tt.check.HTTP
			err := ask(t, tt.check)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %q, want a pass", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want an error with %q", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("%q holds the secret", err)
			case err != nil && strings.Contains(err.Error(), "\n"):
				t.Errorf("%q has more than one line", err)
			}
		})
	}
}

func TestHTTPCheckMakesAConnectionOfItsOwn(t *testing.T) {
	conns := make(chan string, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(c net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns <- c.RemoteAddr().String()
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	check, err := newCheck(config.ServiceCheck{HTTP: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(conns) != 3 {
		t.Errorf("3 checks made %d connections, want 3: a pooled one would not notice that the service stopped accepting", len(conns))
	}
}

func TestHTTPSCheck(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	if err := ask(t, config.ServiceCheck{HTTP: s.URL, Insecure: true}); err != nil {
		t.Errorf("with insecure: %v", err)
	}
	err := ask(t, config.ServiceCheck{HTTP: s.URL})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without insecure: got %v, want an error about the certificate", err)
	}
}

func TestTCPCheck(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := ask(t, config.ServiceCheck{TCP: addr}); err != nil {
		t.Errorf("a service that listens: %v", err)
	}
	l.Close()
	if err := ask(t, config.ServiceCheck{TCP: addr}); err == nil || err.Error() != "tcp "+addr+": connection refused" {
		t.Errorf("a service that is gone: got %v, want connection refused", err)
	}
	if err := ask(t, config.ServiceCheck{HTTP: "http://user:hunter2@" + addr + "/x?y#z"}); err == nil || err.Error() != "GET http://"+addr+"/x: connection refused" {
		t.Errorf("a web service that is gone: got %v, want connection refused, without the password", err)
	}
}

func TestWrongChecksAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		check config.ServiceCheck
		want  string
	}{
		"none":             {config.ServiceCheck{}, "exactly one of http, tcp and exec"},
		"two":              {config.ServiceCheck{TCP: "a:1", Exec: []string{"true"}}, "exactly one of http, tcp and exec"},
		"a url of a file":  {config.ServiceCheck{HTTP: "file:///etc/passwd"}, `scheme "file"`},
		"a url of no host": {config.ServiceCheck{HTTP: "http:///x"}, `host ""`},
		"no url":           {config.ServiceCheck{HTTP: "http://u:hunter2@h\x7f/"}, "cannot be read"},
		"no expression":    {config.ServiceCheck{HTTP: "http://h/", Body: "("}, "missing closing )"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newCheck(tt.check)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want an error with %q and no secret", err, tt.want)
			}
		})
	}
}
