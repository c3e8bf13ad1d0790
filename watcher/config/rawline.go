package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// section is what raw lines may say in one section of HAProxy's file.
type section struct {
	first   []string            // words that a line may begin with
	second  map[string][]string // what may follow some of them
	options []string
}

// The lists are the proxy keywords of configuration.txt 4.1 and 4.2 (2.6), without those
// that a Route has a field for, that zkwatch writes itself, that run code or read files,
// and that need a section of their own.

func frontend() section {
	return section{
		first: []string{"acl", "backlog", "capture", "clitcpka-cnt", "clitcpka-idle", "clitcpka-intvl", "compression", "declare", "description",
			"error-log-format", "http-after-response", "http-request", "http-response", "log", "log-format", "log-format-sd", "log-tag", "maxconn",
			"monitor", "monitor-uri", "option", "rate-limit", "redirect", "stick-table", "tcp-request", "timeout", "unique-id-format", "unique-id-header"},
		second: map[string][]string{
			"capture": {"cookie", "request", "response"},
			"declare": {"capture"},
			"timeout": {"client-fin", "http-keep-alive", "http-request", "tarpit"},
		},
		options: []string{"clitcpka", "contstats", "disable-h2-upgrade", "dontlog-normal", "dontlognull", "forwardfor", "http-buffer-request",
			"http-ignore-probes", "http-keep-alive", "http-no-delay", "http-server-close", "httpclose", "httplog", "httpslog", "idle-close-on-response",
			"independent-streams", "log-separate-errors", "logasap", "originalto", "socket-stats", "tcp-smart-accept", "tcpka", "tcplog"},
	}
}

func backend() section {
	return section{
		first: []string{"acl", "compression", "description", "force-persist", "fullconn", "hash-balance-factor", "http-after-response", "http-check",
			"http-request", "http-response", "http-reuse", "http-send-name-header", "ignore-persist", "log", "log-tag", "max-keep-alive-queue", "option",
			"redirect", "retry-on", "srvtcpka-cnt", "srvtcpka-idle", "srvtcpka-intvl", "stick", "stick-table", "tcp-check", "tcp-request", "tcp-response", "timeout"},
		second: map[string][]string{
			"http-check": {"comment", "connect", "disable-on-404", "expect", "send", "send-state", "set-var", "set-var-fmt", "unset-var"},
			"stick":      {"match", "on", "store-request", "store-response"},
			"tcp-check":  {"comment", "connect", "expect", "send", "send-binary", "send-binary-lf", "send-lf", "set-var", "set-var-fmt", "unset-var"},
			"timeout":    {"check", "http-keep-alive", "http-request", "server-fin", "tarpit"},
		},
		options: append(healthOptions(), "abortonclose", "allbackups", "checkcache", "forwardfor", "http-buffer-request", "http-keep-alive", "http-no-delay",
			"http-pretend-keepalive", "http-server-close", "httpclose", "independent-streams", "log-health-checks", "originalto", "persist",
			"prefer-last-server", "srvtcpka", "tcp-smart-connect", "tcpka"),
	}
}

// healthOptions choose a kind of health check other than an HTTP request or a connect.
func healthOptions() []string {
	return []string{"ldap-check", "mysql-check", "pgsql-check", "redis-check", "smtpchk", "ssl-hello-chk", "tcp-check"}
}

// ruleSets are keywords whose rules name an action: where in the line it stands.
func ruleSets() map[string]int {
	return map[string]int{"http-request": 1, "http-response": 1, "http-after-response": 1, "tcp-request": 2, "tcp-response": 2}
}

// actions leaves out those that call Lua, a service, SPOE, a cache or a resolver, that
// change ACLs and maps, and that send a request elsewhere than to the route's servers.
func actions() []string {
	return []string{"accept", "add-header", "allow", "auth", "capture", "close", "del-header", "deny", "disable-l7-retry", "early-hint",
		"expect-netscaler-cip", "expect-proxy", "normalize-uri", "redirect", "reject", "replace-header", "replace-path", "replace-pathq", "replace-uri",
		"replace-value", "return", "sc-inc-gpc", "sc-inc-gpc0", "sc-inc-gpc1", "sc-set-gpt", "sc-set-gpt0", "set-header", "set-log-level", "set-mark",
		"set-method", "set-nice", "set-path", "set-pathq", "set-priority-class", "set-priority-offset", "set-query", "set-src", "set-src-port",
		"set-status", "set-timeout", "set-tos", "set-uri", "set-var", "set-var-fmt", "silent-drop", "strict-mode", "switch-mode", "tarpit",
		"track-sc0", "track-sc1", "track-sc2", "unset-var", "wait-for-body", "wait-for-handshake"}
}

// instead says where to put what a raw line may not say.
func instead(word string) string {
	switch word {
	case "server", "default-server", "server-template", "dispatch":
		return "servers come from the registry"
	case "use_backend", "default_backend", "use-server":
		return "a route has one service"
	case "bind", "mode", "balance", "cookie", "retries", "check":
		return "the route has a field for it"
	case "stats":
		return "set haproxy.stats"
	}
	return ""
}

func (k checker) lines(lines []string, in section, r Route) {
	if len(lines) > 200 {
		k.errorf("want at most 200 lines, found %d", len(lines))
		return
	}
	for i, line := range lines {
		w, err := words(line)
		if err == nil {
			err = in.allows(w, r)
		}
		k.index(i).say(err)
	}
}

// luaRE finds Lua's fetches and converters within an expression.
var luaRE = regexp.MustCompile(`(^|[^A-Za-z0-9_.-])lua\.`)

func (in section) allows(w []string, r Route) error {
	no := w[0] == "no" && len(w) > 1 && w[1] == "option"
	if no {
		w = w[1:]
	}
	if !slices.Contains(in.first, w[0]) {
		if hint := instead(w[0]); hint != "" {
			return fmt.Errorf("%q is not for a raw line: %s", w[0], hint)
		}
		return fmt.Errorf("want a line that begins with one of %s, found %q", strings.Join(in.first, ", "), w[0])
	}
	if slices.ContainsFunc(w, luaRE.MatchString) {
		return fmt.Errorf("want a line without Lua")
	}
	if err := in.allowsSecond(w); err != nil {
		return err
	}
	return fits(w, r)
}

func (in section) allowsSecond(w []string) error {
	allowed := in.second[w[0]]
	at := 1
	if w[0] == "option" {
		allowed = in.options
	}
	if n, ok := ruleSets()[w[0]]; ok {
		at, allowed = n, actions()
		if n == 2 && len(w) > 1 && w[1] == "inspect-delay" {
			return nil
		}
		if n == 2 && (len(w) < 2 || !slices.Contains([]string{"connection", "content", "session"}, w[1])) {
			return fmt.Errorf("want connection, content, session or inspect-delay behind %s", w[0])
		}
	}
	if allowed == nil {
		return nil
	}
	if len(w) <= at {
		return fmt.Errorf("want more behind %s", w[0])
	}
	word, _, _ := strings.Cut(w[at], "(")
	if !slices.Contains(allowed, word) {
		if w[0] == "timeout" {
			return fmt.Errorf("want timeout with one of %s here, found %q: the others are fields of the route", strings.Join(allowed, ", "), word)
		}
		return fmt.Errorf("want %s with one of %s, found %q", w[0], strings.Join(allowed, ", "), word)
	}
	return nil
}

// fits refuses what HAProxy would drop with no more than a warning.
func fits(w []string, r Route) error {
	http := strings.HasPrefix(w[0], "http-") && w[0] != "http-check" || w[0] == "capture" || w[0] == "compression" || w[0] == "redirect" ||
		w[0] == "monitor-uri" || w[0] == "monitor" || w[0] == "declare" || w[0] == "option" && strings.HasPrefix(w[1], "http")
	switch {
	case http && r.Mode != "http":
		return fmt.Errorf("%s means nothing in mode tcp", strings.Join(w[:min(len(w), 2)], " "))
	case w[0] == "http-check" && r.Check.HTTP == "":
		return fmt.Errorf("http-check needs check.http")
	case w[0] == "option" && slices.Contains(healthOptions(), w[1]) && r.Check.HTTP != "":
		return fmt.Errorf("option %s and check.http cannot both be the check", w[1])
	}
	return nil
}
