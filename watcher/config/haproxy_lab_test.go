//go:build lab

package config

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// accepted shows HAProxy a whole file and wants neither an error nor a warning: what it
// merely warns of is ignored in silence once it runs.
func accepted(t *testing.T, frontend, backend []string) {
	t.Helper()
	section := func(name string, lines []string) string {
		return name + "\n    " + strings.Join(lines, "\n    ") + "\n"
	}
	file := section("defaults", []string{"timeout connect 1s", "timeout client 1s", "timeout server 1s"}) +
		section("frontend front", append(frontend, "bind 127.0.0.1:1", "default_backend back")) +
		section("backend back", append(backend, "server s1 127.0.0.1:2 id 1 check"))
	name := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/usr/sbin/haproxy", "-c", "-f", name).CombinedOutput()
	if err != nil || strings.Contains(string(out), "WARNING") || strings.Contains(string(out), "ALERT") {
		t.Errorf("%v\n%s\n%s", err, out, file)
	}
}

// Every raw line that the tables of the tests call right is right to the real HAProxy.
func TestHAProxyTakesRawLines(t *testing.T) {
	table := func(line string) string { // one of the section's own, for lines that count in it
		if strings.HasPrefix(line, "stick-table") {
			return ""
		}
		return "stick-table type ip size 1k store conn_rate(3s)"
	}
	for line, want := range rawLines()["frontend"] {
		if want == "" {
			t.Run("frontend/"+line, func(t *testing.T) {
				accepted(t, []string{"mode http", "log 127.0.0.1:514 local0", "acl api path /", table(line), line}, []string{"mode http"})
			})
		}
	}
	for line, want := range rawLines()["backend"] {
		if want == "" {
			t.Run("backend/"+line, func(t *testing.T) {
				accepted(t, []string{"mode http"}, []string{"mode http", "option httpchk GET /", table(line), line})
			})
		}
	}
	for _, line := range []string{`option tcplog`, `tcp-request connection reject if { src 10.0.0.9 }`} {
		t.Run("tcp/"+line, func(t *testing.T) {
			accepted(t, []string{"mode tcp", "log 127.0.0.1:514 local0", line}, []string{"mode tcp"})
		})
	}
}

// Every option that may be set is known to HAProxy in that section.
func TestHAProxyKnowsEveryOption(t *testing.T) {
	arguments := map[string]string{"mysql-check": " user x", "pgsql-check": " user x"}
	for _, o := range frontend().options {
		mode := "http"
		if o == "tcplog" {
			mode = "tcp"
		}
		t.Run("frontend/"+o, func(t *testing.T) {
			accepted(t, []string{"mode " + mode, "log 127.0.0.1:514 local0", "option " + o}, []string{"mode " + mode})
		})
	}
	for _, o := range backend().options {
		t.Run("backend/"+o, func(t *testing.T) {
			accepted(t, []string{"mode http"}, []string{"mode http", "option " + o + arguments[o]})
		})
	}
}

// What a route may say in fields that are put into HAProxy's file as they are.
func TestHAProxyTakesWhatARouteMaySay(t *testing.T) {
	for _, b := range []string{"roundrobin", "leastconn", "source", "uri", "uri whole len 10 depth 2 path-only", "url_param user check_post", "hdr(X-User)", "hdr(Host) use_domain_only"} {
		t.Run("balance "+b, func(t *testing.T) {
			if err := (Route{Mode: "http", Balance: b}).checkBalance(); err != nil {
				t.Error(err)
			}
			accepted(t, []string{"mode http"}, []string{"mode http", "balance " + b, "hash-type consistent"})
		})
	}
	for _, e := range []string{"status 200-299,401", "! status 500", "rstatus ^2", `rstring '^ready | fine$'`, `string a\ b`} {
		t.Run("expect "+e, func(t *testing.T) {
			if err := checkExpect(e); err != nil {
				t.Error(err)
			}
			accepted(t, []string{"mode http"}, []string{"mode http", "option httpchk GET /a/b?x=1&y=%20", "http-check expect " + e})
		})
	}
	for i, b := range []string{"127.0.0.1:80", "*:80", "[::1]:80", "0.0.0.0:80", "[::]:80"} {
		t.Run("bind "+b, func(t *testing.T) {
			if _, err := parseBind(b); err != nil {
				t.Error(err)
			}
			accepted(t, []string{"mode http", fmt.Sprintf("bind %s id %d", b, i+10)}, []string{"mode http"})
		})
	}
}

// The longest times, and the longest line, are not too long for HAProxy.
func TestHAProxyTakesTheGreatestValues(t *testing.T) {
	long := "acl x path" + strings.Repeat(" /a", maxWords-3)
	if _, err := words(long); err != nil {
		t.Fatal(err)
	}
	accepted(t, []string{"mode http", long, "acl y path /" + strings.Repeat("a", 1000)},
		[]string{"mode http", fmt.Sprintf("timeout tunnel %dms", maxHAProxyTime.Milliseconds())})
}
