package haproxy

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zkboot/zkboot/watcher/config"
)

const (
	// defaults is the name of our own defaults section: nothing of the operator's leaks in.
	defaults = "zkwatch"
	// closeSpread is the time over which a worker that was replaced closes its idle client
	// connections, so that a busy one ends with a "Connection: close" instead.
	closeSpread = 10 * time.Second
	// killedAfter times OldWorkers is how many reloads a worker survives, whatever connections
	// it has. Old workers are thinned out gently long before.
	killedAfter = 4
)

// build returns the structure of the file for these options, or all that is wrong with them.
func build(o Options) (document, error) {
	w := &writer{}
	w.line("# Written by zkwatch, and again whenever the registry changes: what is edited here is lost.")
	w.line("# Routes come from the configuration of zkwatch.")
	w.global(o.Config)
	w.line("")
	w.line("defaults %s", defaults)
	for _, l := range []string{"mode http", "log global", "option dontlog-normal", "option dontlognull", "option redispatch 1",
		"timeout connect 2s", "timeout client 60s", "timeout server 60s", "timeout http-request 10s"} {
		w.line("    %s", l)
	}
	if o.Config.Stats != "" {
		w.stats(o.Config.Stats)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Routes)) {
		w.at = fmt.Sprintf("routes[%q]", name)
		r := o.Routes[name]
		w.frontend(name, r)
		w.backend(name, r)
	}
	return newDocument(w.lines), errors.Join(w.errs...)
}

// writer collects lines, and everything that must not become one.
type writer struct {
	lines []string
	at    string // the route being written
	errs  []error
}

func (w *writer) line(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func (w *writer) refuse(field, format string, args ...any) {
	path := field
	if w.at != "" {
		path = w.at + "." + field
	}
	w.errs = append(w.errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (w *writer) global(c config.HAProxy) {
	w.line("global")
	w.lines = append(w.lines, gapShape)
	group := ""
	if c.SocketGroup != "" {
		group = " group " + w.word("haproxy.socket_group", c.SocketGroup)
	}
	w.line("    stats socket %s mode 660%s level admin", w.word("haproxy.socket", c.Socket), group)
	w.line("    hard-stop-after %s", span(c.HardStopAfter))
	w.line("    close-spread-time %s", span(config.Duration(closeSpread)))
	w.line("    mworker-max-reloads %d", killedAfter*max(1, c.OldWorkers))
}

func (w *writer) stats(listen string) {
	w.line("")
	w.line("frontend zkwatch.stats from %s", defaults)
	w.line("    bind %s", w.bind("haproxy.stats", listen))
	for _, l := range []string{"mode http", "stats enable", "stats uri /", "stats refresh 5s", "stats show-legends"} {
		w.line("    %s", l)
	}
}

func (w *writer) frontend(name string, r config.Route) {
	if !isName(name) {
		w.refuse("name", "%q may have letters, digits, -, _ and . only", name)
	}
	w.line("")
	// Not the backend's name: "show stat NAME" takes the first proxy that has it.
	w.line("frontend %s%s:in from %s", prefix, name, defaults)
	w.line("    bind %s", w.bind("bind", r.Bind))
	w.line("    mode %s", w.mode(r.Mode))
	w.line("    timeout client %s", span(r.Timeouts.Client))
	if r.Mode == "http" {
		w.line("    timeout http-keep-alive %s", span(r.Timeouts.Client))
	}
	w.raw("frontend", r.Frontend)
	w.line("    default_backend %s%s", prefix, name)
}

func (w *writer) backend(name string, r config.Route) {
	w.line("")
	w.line("backend %s%s from %s", prefix, name, defaults)
	w.line("    mode %s", w.mode(r.Mode))
	w.line("    balance %s", w.words("balance", r.Balance))
	if hashes(r.Balance) {
		// The other hash type is fixed at the start: no weight could be changed (configuration.txt 2.6 4.2 "hash-type").
		w.line("    hash-type consistent")
	}
	if r.Retries != nil {
		w.line("    retries %d", *r.Retries)
	}
	t := r.Timeouts
	for _, timeout := range []struct {
		name string
		d    config.Duration
	}{{"connect", t.Connect}, {"server", t.Server}, {"queue", t.Queue}, {"tunnel", t.Tunnel}} {
		if timeout.d > 0 {
			w.line("    timeout %s %s", timeout.name, span(timeout.d))
		}
	}
	if r.Cookie != "" {
		// The value is made of the address: it means the same instance on every host, after
		// every reload, and never the next one in a slot.
		w.line("    cookie %s insert indirect nocache dynamic", w.word("cookie", r.Cookie))
		w.line("    dynamic-cookie-key %s%s", prefix, w.word("service", r.Service))
	}
	if r.Check.HTTP != "" {
		w.check(r.Check)
	}
	w.raw("backend", r.Backend)
	w.line("    default-server %s", serverWords(r))
	w.lines = append(w.lines, gapSlots+prefix+name)
}

// hashes says whether a balance algorithm picks servers by a hash.
func hashes(balance string) bool {
	word, _, _ := strings.Cut(balance, " ")
	return !slices.Contains([]string{"roundrobin", "leastconn", "first"}, word)
}

func (w *writer) check(c config.RouteCheck) {
	words := strings.Fields(c.HTTP)
	for i, word := range words {
		words[i] = w.word("check.http", word)
	}
	if len(words) != 2 {
		w.refuse("check.http", "expected a method and a path such as %q, seen %q", "GET /health", c.HTTP)
	}
	w.line("    option httpchk %s", strings.Join(words, " "))
	if c.Expect != "" {
		w.line("    http-check expect %s", w.words("check.expect", c.Expect))
	}
}

// serverWords is what every server of a route has besides its address, weight and id.
// Overflow servers are told all of it, because "add server" does not inherit (management.txt 2.6).
func serverWords(r config.Route) string {
	out := fmt.Sprintf("check inter %s rise %d fall %d", span(r.Check.Inter), r.Check.Rise, r.Check.Fall)
	if r.MaxConn > 0 {
		out += " maxconn " + strconv.Itoa(r.MaxConn)
	}
	if !r.Breaker.Off {
		layer := "layer7"
		if r.Mode == "tcp" {
			layer = "layer4"
		}
		out += fmt.Sprintf(" observe %s error-limit %d on-error mark-down", layer, r.Breaker.Errors)
	}
	return out
}

// addServer returns the commands of a server beyond the slots. The id is given because
// with `balance random` servers without one are not all used (GitHub haproxy/haproxy #3413),
// and the pool settings because without them a dynamic server of 2.6 reuses no connection
// (commit 8a31783b6).
func addServer(b *backend, s server) []command {
	name := b.name + "/" + s.name
	return []command{
		{text: fmt.Sprintf("add server %s %s id %d weight %d %s pool-purge-delay 5s pool-max-conn -1", name, s.addr, s.id, s.weight, serverWords(b.route)), want: answerNew},
		{text: "enable health " + name},
		{text: "set server " + name + " state " + s.admin.String()},
	}
}

// span renders a duration as HAProxy reads it.
func span(d config.Duration) string {
	if ms := time.Duration(d).Milliseconds(); ms%1000 != 0 {
		return strconv.FormatInt(ms, 10) + "ms"
	}
	return strconv.FormatInt(int64(time.Duration(d)/time.Second), 10) + "s"
}

func (w *writer) mode(m string) string {
	if m != "http" && m != "tcp" {
		w.refuse("mode", "%q is neither http nor tcp", m)
		return "http"
	}
	return m
}

// bind renders host:port, where the host is an address, * or nothing.
func (w *writer) bind(field, value string) string {
	host, port, err := net.SplitHostPort(value)
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil || n < 1 || n > 65535 || host != "" && host != "*" && net.ParseIP(host) == nil {
		w.refuse(field, "%q is not an address and a port", value)
		return "127.0.0.1:1"
	}
	return net.JoinHostPort(host, strconv.Itoa(n))
}
