package config_test

import (
	"fmt"
	"strings"
	"testing"
)

// with puts settings into the route of the small file.
func with(settings string) string { return "bind: 127.0.0.1:3000, " + settings + ", tiers:" }

func TestValidateRoute(t *testing.T) {
	const old = "bind: 127.0.0.1:3000, tiers:"
	check(t, small, []edit{
		{"unknown service", "service: inventory, bind", "service: inventroy, bind", []string{route + `.service: no service "inventroy"`}},
		{"mode", old, with("mode: health"), []string{route + `.mode: want http or tcp`}},
		{"retries", old, with("retries: -1"), []string{route + `.retries: from 0 to 100`}},
		{"maxconn", old, with("maxconn: -1"), []string{route + `.maxconn: from 0 to`}},
		{"cookie", old, with(`cookie: "a b"`), []string{route + `.cookie: want a cookie's name`}},
		{"cookie in mode tcp", old, with("cookie: SRV, mode: tcp"), []string{route + `.cookie: want mode http`}},
		{"timeouts", old, with("timeouts: {connect: -1s, client: 100us, server: 1000h, queue: 1.5ms, tunnel: 30h}"), []string{route + `.timeouts.connect: found -1s`,
			route + `.timeouts.client: from 1ms`, route + `.timeouts.client: whole milliseconds`, route + `.timeouts.server: to 576h0m0s`, route + `.timeouts.queue: whole milliseconds`}},
		{"breaker", old, with("breaker: {errors: -1}"), []string{route + `.breaker.errors: from 1 to`}},
		{"breaker that is off and yet set", old, with("breaker: {off: true, errors: 5}"), []string{route + `.breaker: it is off`}},
		{"check counts", old, with("check: {rise: 101, fall: -1, inter: 2h}"), []string{route + `.check.rise: from 1 to 100`, route + `.check.fall: from 1 to 100`, route + `.check.inter: to 1h`}},
		{"tiers without a first zone", "{order: [a]}", "{min: 2}", []string{route + `.tiers.order: or the zone of this host`}},
		{"tiers with the zone of the host first", "host: app1\nregistries", "host: app1\nzone: b\nregistries", nil},
		{"tiers", "{order: [a]}", `{order: [a, "", b/c, a], min: -1}`, []string{route + `.tiers.order[1]: want the name of a zone`, route + `.tiers.order[2]: want a zone`, route + `.tiers.order[3]: zone a is already`, route + `.tiers.min: from 1`}},
		{"labels", old, with(`labels: {"a\nb": x, "": y, c: "x\u0007", d: ` + strings.Repeat("x", 257) + `}`), []string{route + `.labels["a\nb"]: want a name`, route + `.labels[""]: want a name`, route + `.labels["c"]: without control characters, found U+0007`, route + `.labels["d"]: at most 256 bytes`}},
	})
}

func TestValidateBalance(t *testing.T) {
	for balance, want := range map[string]string{
		"roundrobin": "", "leastconn": "", "source": "", "uri": "", "uri whole": "", "uri path-only len 10 depth 2": "", "url_param user": "", "url_param user check_post": "",
		"hdr(X-User)": "", "hdr(Host) use_domain_only": "",
		"static-rr":          "no server added while HAProxy runs",
		"random":             "may get no traffic",
		"random(2)":          "may get no traffic",
		"first":              "needs maxconn",
		"rdp-cookie":         "want roundrobin",
		"hash src":           "want roundrobin",
		"roundrobin\nserver": "want roundrobin",
		" roundrobin":        "want roundrobin",
		"uri len 0":          "want roundrobin",
		"hdr(a) b":           "want roundrobin",
		"hdr(a\"b)":          "want roundrobin",
		"url_param a b":      "want roundrobin",
	} {
		var findings []string
		if want != "" {
			findings = []string{route + ".balance: " + want}
		}
		check(t, small, []edit{{balance, "tiers: {order: [a]}", fmt.Sprintf("balance: %q", balance), findings}})
	}
	check(t, small, []edit{
		{"first with maxconn", "tiers: {order: [a]}", "balance: first, maxconn: 10", nil},
		{"hashes of requests in mode tcp", "tiers: {order: [a]}", "balance: uri whole, mode: tcp", []string{route + `.balance: balance uri needs mode http`}},
		{"source in mode tcp", "tiers: {order: [a]}", "balance: source, mode: tcp", nil},
	})
}

func TestValidateRouteCheck(t *testing.T) {
	for text, ok := range map[string]bool{
		"GET /health": true, "HEAD /": true, "OPTIONS /a/b?x=1&y=%20": true,
		"/health": false, "GET": false, "get /health": false, "GET health": false, "GET  /health": false, "GET /a b": false, "GET /a HTTP/1.1\\r\\nHost:x": false,
		"GET /a\nglobal": false, "GET /#x": false, "GET /$HOME": false, `GET /"x`: false, `GET /'x`: false, `GET /\x`: false, "DELETE /x": false, "GET /\u00e9": false,
	} {
		var want []string
		if !ok {
			want = []string{route + `.check.http: want a method and a path`}
		}
		check(t, small, []edit{{text, "tiers: {order: [a]}", fmt.Sprintf("check: {http: %q}", text), want}})
	}
	for text, want := range map[string]string{
		"status 200": "", "status 200-299,401": "", "! status 500": "", "rstatus ^2": "", "string ok": "", `rstring "^ready | fine$ "`: "want no environment variables",
		`rstring '^ready | fine$'`: "", `string "a b"`: "", `string a\ b`: "",
		"status": "one pattern", "status 20": "want status codes", "status 200 201": "one pattern", "string a b": "one pattern", `string ""`: "one pattern", "hdr x": "one pattern",
		"status 200 # x": "want no comment", "string 'x": "balanced quotes", "!": "one pattern", " ": "an empty one",
	} {
		var findings []string
		if want != "" {
			findings = []string{route + ".check.expect: " + want}
		}
		check(t, small, []edit{{"expect " + text, "tiers: {order: [a]}", fmt.Sprintf("check: {http: GET /, expect: %q}", text), findings}})
	}
	check(t, small, []edit{{"expect of a connect", "tiers: {order: [a]}", "check: {expect: status 200}", []string{route + `.check.expect: want http with it`}}})
}

func TestValidateRegistration(t *testing.T) {
	const old = "tcp: 127.0.0.1:8080"
	url := func(u string) string { return fmt.Sprintf("http: %q", u) }
	bad := []string{register + `.check.http: want a`}
	check(t, small, []edit{
		{"unknown service", "inventory-1: {service: inventory", "inventory-1: {service: x", []string{register + `.service: no service "x"`}},
		{"nowhere", "address: 10.0.0.11, ", "", []string{register + `.address: want the address to announce`}},
		{"everywhere", "address: 10.0.0.11", `address: "::"`, []string{register + `.address: not the address of a host`}},
		{"named", "address: 10.0.0.11", `address: app1.example.net`, []string{register + `.address: want the IP address`}},
		{"port", "port: 8080", "port: 70000", []string{register + `.port: from 1 to 65535`}},
		{"no port", "port: 8080, ", "", []string{register + `.port: from 1 to 65535, found 0`}},
		{"weight", "port: 8080", "port: 8080, weight: 257", []string{register + `.weight: from 1 to 256`}},
		{"zone", "port: 8080", "port: 8080, zone: a b", []string{register + `.zone: want a zone`}},
		{"labels", "port: 8080", `port: 8080, labels: {"x": "a\tb"}`, []string{register + `.labels["x"]: without control characters`}},
		{"called all", "inventory-1:", "all:", []string{`register["all"]: want another name`}},
		{"the same twice", "register: {", "register: {other: {service: inventory, address: 10.0.0.11, port: 8080, check: {tcp: 127.0.0.1:1}}, ", []string{`register["other"]: 10.0.0.11:8080 is already announced for service inventory by inventory-1`}},
		{"no check", old, "rise: 2", []string{register + `.check: want exactly one of http, tcp and exec`}},
		{"two checks", old, "tcp: 127.0.0.1:1, exec: [/bin/true]", []string{register + `.check: want exactly one of http, tcp and exec`}},
		{"counts and times", old, old + ", rise: 101, fall: -2, interval: 1ms, timeout: 2s", []string{register + `.check.rise: from 1 to 100`, register + `.check.fall: from 1 to 100`, register + `.check.interval: from 10ms`, register + `.check.timeout: want at most the interval`}},
		{"tcp", old, "tcp: 8080", []string{register + `.check.tcp: want host:port`}},
		{"exec without a path", old, "exec: [check]", []string{register + `.check.exec[0]: want the clean absolute path`}},
		{"exec with NUL", old, `exec: [/bin/x, "a\0"]`, []string{register + `.check.exec[1]: without NUL`}},
		{"exec through a shell is argv like any other", old, `exec: [/bin/sh, -c, "exit 0"]`, nil},
		{"settings of another kind", old, old + ", body: x", []string{register + `.check: status, body and headers need http`}},
		{"insecure http", old, url("http://127.0.0.1/") + ", insecure: true", []string{register + `.check.insecure: want an https URL`}},
		{"insecure tcp", old, old + ", insecure: true", []string{register + `.check.insecure: want an https URL`}},
		{"status", old, url("http://127.0.0.1/") + ", status: [200, 99, 600]", []string{register + `.check.status[1]: from 100 to 599`, register + `.check.status[2]: from 100 to 599`}},
		{"body", old, url("http://127.0.0.1/") + ", body: \"(\"", []string{register + `.check.body: want a regular expression`}},
		{"headers", old, url("http://127.0.0.1/") + `, headers: {"a b": x, X-A: "1\r\nX-B: 2"}`, []string{register + `.check.headers["a b"]: want the name of a header`, register + `.check.headers["X-A"]: without control characters`}},
		{"url", old, url("http://app1:8080/health?x=1"), nil},
		{"url of IPv6", old, url("https://[::1]/"), nil},
		{"url with another scheme", old, url("ftp://127.0.0.1/"), bad},
		{"url without a host", old, url("http:///health"), bad},
		{"url with a bad port", old, url("http://127.0.0.1:99999/"), bad},
		{"url with an empty port", old, url("http://127.0.0.1:/"), bad},
		{"url with a control character", old, url("http://127.0.0.1/\n"), bad},
		{"url with a fragment", old, url("http://127.0.0.1/#a"), bad},
		{"url with a password", old, url("http://u:secret@127.0.0.1/"), []string{register + `.check.http: without user and password`}},
	})
	t.Run("a loop through a route of the same service", func(t *testing.T) {
		for _, bind := range []string{"10.0.0.11:8080", `"*:8080"`} {
			check(t, small, []edit{{bind, "bind: 127.0.0.1:3000", "bind: " + bind, []string{register + `.port: the listener of route inventory to the same service`}}})
		}
	})
}

// A password or a token in a file does not come out again in what is wrong with it.
func TestFindingsShowNoSecret(t *testing.T) {
	for _, check := range []string{
		`{http: "http://u:hunter2@127.0.0.1/"}`, `{http: "http://u:hunter2@127.0.0.1:x/"}`, `{http: "http://127.0.0.1/", headers: {Authorization: "hunter2\n"}}`, `{exec: [hunter2]}`, `{exec: [/bin/x, "hunter2\0"]}`,
	} {
		err := loadError(strings.Replace(small, "{tcp: 127.0.0.1:8080}", check, 1))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", check, err)
		}
	}
}
