package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

// doors starts a stage that listens on a socket and on the loopback.
func openStage(t *testing.T, change func(c *config.Config)) (s *stage, socket, listen string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "zkw") // a socket's path is at most 107 bytes, and t.TempDir is long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket, listen = filepath.Join(dir, "run", "zkwatch.sock"), freePort(t)
	s = newStage(t, func(c *config.Config) {
		c.Status = config.Status{Socket: socket, Listen: listen}
		if change != nil {
			change(c)
		}
	})
	s.start()
	return s, socket, listen
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// over is a client of one request over a connection to addr.
func over(t *testing.T, network, addr, method, path, host string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// What changes something is for those who may open the socket; a name that is not the
// loopback's is an attack from a browser.
func TestWhoMayAskWhat(t *testing.T) {
	s, socket, listen := openStage(t, func(c *config.Config) {
		c.Register = map[string]config.Registration{"web-1": local(t, 8080)}
	})
	s.awaitAnnounced("web-1")
	for _, tt := range []struct {
		network, addr, method, path, host string
		code                              int
		body                              string
	}{
		{"tcp", listen, "GET", "/v1/status", listen, 200, `"host":"app1"`},
		{"tcp", listen, "GET", "/v1/status", "localhost:9180", 200, `"host":"app1"`},
		{"tcp", listen, "GET", "/v1/status", "[::1]", 200, `"host":"app1"`},
		{"tcp", listen, "GET", "/v1/status", "127.8.9.1", 200, `"host":"app1"`},
		{"tcp", listen, "GET", "/v1/status", "evil.example", 403, "does not name the loopback"},
		{"tcp", listen, "GET", "/v1/status", "127.0.0.1.evil.example:9180", 403, ""},
		{"tcp", listen, "GET", "/v1/status", "10.0.0.9", 403, ""},
		{"tcp", listen, "GET", "/", listen, 200, "<title>"},
		{"tcp", listen, "GET", "/metrics", listen, 200, "zkwatch_service_truth"},
		{"tcp", listen, "GET", "/v1/explain?service=web", listen, 200, `"event":`},
		{"tcp", listen, "GET", "/nothing", listen, 404, ""},
		{"tcp", listen, "POST", "/v1/status", listen, 405, ""},
		{"tcp", listen, "POST", "/v1/drain?name=web-1", listen, 404, ""},
		{"tcp", listen, "POST", "/v1/undrain?name=web-1", listen, 404, ""},
		{"tcp", listen, "POST", "/v1/hold?name=web-1", listen, 404, ""},
		{"tcp", listen, "POST", "/v1/release?name=web-1", listen, 404, ""},
		{"tcp", listen, "POST", "/v1/accept?service=web", listen, 404, ""},
		{"unix", socket, "GET", "/v1/status?service=web", "zkwatch", 200, `"host":"app1"`},
		{"unix", socket, "GET", "/v1/drain?name=web-1", "zkwatch", 405, ""},
		{"unix", socket, "POST", "/v1/drain?name=web-9", "zkwatch", 404, `there are [\"web-1\"]`},
		{"unix", socket, "POST", "/v1/hold", "zkwatch", 404, "no such registration"},
		{"unix", socket, "POST", "/v1/accept", "zkwatch", 400, "accept needs the name of a service"},
		{"unix", socket, "POST", "/v1/accept?service=web", "zkwatch", 409, "nothing is held"},
		{"unix", socket, "POST", "/v1/accept?service=nope", "zkwatch", 404, "no such service"},
		{"unix", socket, "GET", "/v1/explain?max=0", "zkwatch", 400, "want a number from 1 to 4096"},
		{"unix", socket, "GET", "/v1/explain?service=nope", "zkwatch", 404, "no such service"},
	} {
		t.Run(tt.network+" "+tt.method+" "+tt.path+" "+tt.host, func(t *testing.T) {
			code, body := over(t, tt.network, tt.addr, tt.method, tt.path, tt.host)
			if code != tt.code || !strings.Contains(body, tt.body) {
				t.Errorf("got %d, want %d and %q:\n%s", code, tt.code, tt.body, body)
			}
		})
	}
	if r, _ := s.registration("web-1"); !r.Announced || r.Draining || r.Held {
		t.Errorf("after all that was refused: %+v", r)
	}
}

func TestDrainAndHoldOverTheSocket(t *testing.T) {
	s, socket, _ := openStage(t, func(c *config.Config) {
		c.Register = map[string]config.Registration{"web-1": local(t, 8080), "web-2": local(t, 8081)}
		c.Drain.Grace = config.Duration(50 * time.Millisecond)
	})
	post := func(path string, want int) string {
		t.Helper()
		code, body := over(t, "unix", socket, "POST", path, "zkwatch")
		if code != want {
			t.Fatalf("%s: %d %s, want %d", path, code, body, want)
		}
		return body
	}
	s.awaitAnnounced("web-1")
	s.awaitAnnounced("web-2")
	s.ensemble.told()

	var report DrainReport
	if err := json.Unmarshal([]byte(post("/v1/drain?name=web-1&wait=true", 200)), &report); err != nil || report.Ended != DrainedByGrace {
		t.Errorf("drain: %+v, %v", report, err)
	}
	if did := s.ensemble.told(); did != "announce 10.0.0.9:8080 draining=true; withdraw web-1" {
		t.Errorf("drain did %s", did)
	}
	post("/v1/undrain?name=web-1", 200)
	s.awaitAnnounced("web-1")

	post("/v1/hold?name=web-1", 200)
	if r, _ := s.registration("web-1"); r.Announced || !r.Held {
		t.Errorf("held: %+v", r)
	}
	post("/v1/release?name=web-1", 200)
	s.awaitAnnounced("web-1")

	s.ensemble.told()
	post("/v1/drain?name=all", 202) // goes on by itself
	eventually(t, "both to be withdrawn", func() bool {
		a, _ := s.registration("web-1")
		b, _ := s.registration("web-2")
		return !a.Announced && !b.Announced
	})
	if did := s.ensemble.told(); !strings.Contains(did, "announce 10.0.0.9:8081 draining=true") || !strings.Contains(did, "withdraw web-2") {
		t.Errorf("drain all did %s", did)
	}
}

func TestTheSocket(t *testing.T) {
	s, socket, listen := openStage(t, nil)
	st, err := os.Stat(socket)
	if err != nil || st.Mode().Perm() != 0o660 {
		t.Fatalf("mode %v, %v; want 0660", st.Mode(), err)
	}
	t.Run("is not taken from a running zkwatch", func(t *testing.T) {
		other := newStage(t, func(c *config.Config) { c.Status = config.Status{Socket: socket, Listen: "none"} })
		if err := other.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another zkwatch answers there") {
			t.Errorf("error %v", err)
		}
		if other.opened != 1 || other.ensemble.closed != 1 {
			t.Errorf("%d connections opened and %d closed", other.opened, other.ensemble.closed)
		}
	})
	t.Run("moves with a reload", func(t *testing.T) {
		c := *s.Config
		c.Status.Socket += "2"
		if err := s.Reload(t.Context(), &c); err != nil {
			t.Fatal(err)
		}
		if code, _ := over(t, "unix", socket+"2", "GET", "/v1/status", "x"); code != 200 {
			t.Errorf("the new one answers %d", code)
		}
		if _, err := os.Stat(socket); !os.IsNotExist(err) {
			t.Errorf("the old one is still there: %v", err)
		}
		if code, _ := over(t, "tcp", listen, "GET", "/v1/status", listen); code != 200 {
			t.Errorf("the listener that stayed answers %d", code)
		}
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socket + "2"); !os.IsNotExist(err) {
		t.Errorf("the socket stays behind: %v", err)
	}
}

func TestASocketThatIsThereAlready(t *testing.T) {
	dir, err := os.MkdirTemp("", "zkw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "z.sock")
	t.Run("of a killed process is replaced", func(t *testing.T) {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		_ = l.Close()
		again := newStage(t, func(c *config.Config) { c.Status = config.Status{Socket: socket, Listen: "none"} })
		again.start()
		if code, _ := over(t, "unix", socket, "GET", "/v1/status", "x"); code != 200 {
			t.Errorf("got %d", code)
		}
	})
	t.Run("is never a file of somebody else", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "precious")
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := listenSocket(file); err == nil {
			t.Error("it was taken")
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != "x" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestOnlyTheLoopbackIsListenedOn(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0", "example.net:0", "nonsense"} {
		if l, err := listenLoopback(addr); err == nil || !strings.Contains(err.Error(), "only a loopback address") {
			t.Errorf("%s: %v, %v", addr, l, err)
		}
	}
}

// A program that opens connections and says nothing costs a bounded number of them, and
// for a bounded time.
func TestSilentClientsAreBounded(t *testing.T) {
	_, _, listen := openStage(t, nil)
	var conns []net.Conn
	for range 2 * apiConns {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	began := time.Now()
	for _, c := range conns[:apiConns] {
		_ = c.SetReadDeadline(began.Add(apiRead + 10*time.Second))
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("a silent connection ended with %v after %s, want EOF within %s", err, time.Since(began), apiRead)
		}
	}
	big := fmt.Sprintf("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 3*apiHeader))
	last := conns[len(conns)-1]
	_, _ = io.WriteString(last, big)
	_ = last.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer := make([]byte, 16)
	if n, _ := io.ReadFull(last, answer); !strings.Contains(string(answer[:n]), "431") {
		t.Errorf("a great header got %q, want 431", answer[:n])
	}
}
