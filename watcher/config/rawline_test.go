package config

import (
	"strings"
	"testing"
)

// rawLines are raw lines by section and what is said of them; "" is nothing. The lab test
// shows the accepted ones to HAProxy.
func rawLines() map[string]map[string]string {
	return map[string]map[string]string{
		"frontend": {
			`acl api path_beg /api`: "",
			`http-request set-header X-Forwarded-Proto https if { ssl_fc }`:                 "",
			`http-request deny deny_status 429 if { path -m end .php }`:                     "",
			`http-request return status 200 content-type text/plain string "hello # world"`: "",
			`http-response del-header Server`:                                               "",
			`http-after-response set-header Strict-Transport-Security "max-age=1"`:          "",
			`capture request header Host len 64`:                                            "",
			`declare capture request len 10`:                                                "",
			`compression algo gzip`:                                                         "",
			`option httplog`:                                                                "",
			`no option dontlognull`:                                                         "",
			`log 127.0.0.1:514 local0`:                                                      "",
			`log-format "%ci %[src] \$5"`:                                                   "",
			`maxconn 2000`:                                                                  "",
			`monitor-uri /alive`:                                                            "",
			`redirect prefix https://example.net if { path / }`:                             "",
			`stick-table type ip size 100k expire 30s store conn_rate(3s)`:                  "",
			`tcp-request connection track-sc0 src`:                                          "",
			`tcp-request connection reject if { src_conn_rate gt 100 }`:                     "",
			`tcp-request inspect-delay 5s`:                                                  "",
			`tcp-request content accept if { src 10.0.0.0/8 }`:                              "",
			`timeout http-request 5s`:                                                       "",
			`unique-id-header X-Unique-ID`:                                                  "",

			`global`:                                 `found "global"`,
			`defaults`:                               `found "defaults"`,
			`frontend x`:                             `found "frontend"`,
			`backend x`:                              `found "backend"`,
			`listen x`:                               `found "listen"`,
			`peers x`:                                `found "peers"`,
			`resolvers x`:                            `found "resolvers"`,
			`userlist x`:                             `found "userlist"`,
			`program x`:                              `found "program"`,
			`.if defined(X)`:                         `found ".if"`,
			`[scope]`:                                `found "[scope]"`,
			`"global"`:                               `found "global"`,
			`\x67lobal`:                              `found "global"`,
			`"" global`:                              `found ""`,
			`default option httplog`:                 `found "default"`,
			`no log`:                                 `found "no"`,
			`lua-load /x.lua`:                        `found "lua-load"`,
			`errorfile 503 /etc/passwd`:              `found "errorfile"`,
			`filter spoe engine x`:                   `found "filter"`,
			`bind :81`:                               "the route has a field for it",
			`mode tcp`:                               "the route has a field for it",
			`use_backend x`:                          "a route has one service",
			`default_backend x`:                      "a route has one service",
			`stats socket /run/x`:                    "set haproxy.stats",
			`timeout client 5s`:                      "the others are fields of the route",
			`timeout`:                                "want more behind timeout",
			`option external-check`:                  "want option with one of",
			`option`:                                 "want more behind option",
			`http-request lua.x`:                     "without Lua",
			`http-request use-service lua.x`:         "without Lua",
			`http-request use-service prom`:          `found "use-service"`,
			`http-request set-var(txn.x) lua.y`:      "without Lua",
			`http-request set-header X %[src,lua.y]`: "without Lua",
			`http-request do-resolve(txn.x,dns) hdr(host)`: `found "do-resolve"`,
			`http-request set-dst hdr(x)`:                  `found "set-dst"`,
			`http-request`:                                 "want more behind http-request",
			`tcp-request`:                                  "want connection, content, session or inspect-delay",
			`tcp-request content`:                          "want more behind tcp-request",
			`tcp-request content use-service lua.x`:        "without Lua",
			"acl a path /\nglobal":                         "control characters",
			`acl a path / # comment`:                       "no comment",
			`acl a path "/`:                                "balanced quotes",
			`http-request set-header X "$HOME"`:            "environment variables",
		},
		"backend": {
			`option http-server-close`:                         "",
			`option log-health-checks`:                         "",
			`no option http-pretend-keepalive`:                 "",
			`http-request set-path /v1%[path]`:                 "",
			`http-check send hdr Host example.net`:             "",
			`http-check expect status 200-299`:                 "",
			`http-check disable-on-404`:                        "",
			`http-reuse always`:                                "",
			`retry-on conn-failure empty-response`:             "",
			`stick-table type ip size 1m expire 30m`:           "",
			`stick on src`:                                     "",
			`timeout server-fin 5s`:                            "",
			`tcp-request content reject if { src 10.0.0.0/8 }`: "",
			`tcp-response inspect-delay 1s`:                    "",
			`fullconn 1000`:                                    "",

			`server x 10.0.0.9:80`:              "servers come from the registry",
			`server-template x 5 a:80`:          "servers come from the registry",
			`default-server inter 1s`:           "servers come from the registry",
			`dispatch 10.0.0.9:80`:              "servers come from the registry",
			`use-server x if TRUE`:              "a route has one service",
			`balance random`:                    "the route has a field for it",
			`cookie SRV insert`:                 "the route has a field for it",
			`retries 9`:                         "the route has a field for it",
			`timeout queue 1s`:                  "the others are fields of the route",
			`option external-check`:             "want option with one of",
			`option httpchk GET /`:              "want option with one of",
			`option redispatch`:                 "want option with one of",
			`option redis-check`:                "cannot both be the check",
			`external-check command /x`:         `found "external-check"`,
			`load-server-state-from-file local`: `found "load-server-state-from-file"`,
			`hash-type map-based`:               `found "hash-type"`,
			`source 10.0.0.1`:                   `found "source"`,
			`email-alert to a@b`:                `found "email-alert"`,
			`capture cookie x len 5`:            `found "capture"`,
			`http-check bogus`:                  "want http-check with one of",
		},
	}
}

func rawRoute() Route { return Route{Mode: "http", Check: RouteCheck{HTTP: "GET /"}} }

func sections() map[string]section {
	return map[string]section{"frontend": frontend(), "backend": backend()}
}

func TestRawLines(t *testing.T) {
	for name, in := range sections() {
		for line, want := range rawLines()[name] {
			t.Run(name+"/"+line, func(t *testing.T) { wantLine(t, in, line, rawRoute(), want) })
		}
	}
}

func wantLine(t *testing.T, in section, line string, r Route, want string) {
	t.Helper()
	var found Findings
	checker{found: &found, at: "lines"}.lines([]string{"acl first path /", line}, in, r)
	switch {
	case want == "" && len(found) != 0:
		t.Errorf("refused: %v", found)
	case want != "" && (len(found) != 1 || found[0].Path != "lines[1]" || !strings.Contains(found[0].Text, want)):
		t.Errorf("found %v, want lines[1]: %s", found, want)
	}
}

// HAProxy drops these with a warning, so that the operator would believe in them.
func TestRawLinesThatWouldMeanNothing(t *testing.T) {
	tcp := Route{Mode: "tcp"}
	for _, tt := range []struct {
		section, line string
		route         Route
		want          string
	}{
		{"frontend", `http-request deny`, tcp, "http-request deny means nothing in mode tcp"},
		{"frontend", `capture cookie x len 5`, tcp, "means nothing in mode tcp"},
		{"frontend", `redirect location /`, tcp, "means nothing in mode tcp"},
		{"frontend", `option httplog`, tcp, "option httplog means nothing in mode tcp"},
		{"frontend", `option tcplog`, tcp, ""},
		{"frontend", `tcp-request connection reject if { src 10.0.0.9 }`, tcp, ""},
		{"backend", `http-check expect status 200`, tcp, "http-check needs check.http"},
		{"backend", `option redis-check`, tcp, ""},
		{"backend", `tcp-check send PING\r\n`, tcp, ""},
		{"backend", `option pgsql-check user x`, Route{Mode: "http"}, ""},
	} {
		t.Run(tt.line, func(t *testing.T) { wantLine(t, sections()[tt.section], tt.line, tt.route, tt.want) })
	}
}

func TestTooManyRawLines(t *testing.T) {
	var found Findings
	checker{found: &found}.lines(make([]string, 201), frontend(), rawRoute())
	if len(found) != 1 || !strings.Contains(found[0].Text, "at most 200 lines") {
		t.Errorf("%v", found)
	}
}

// What is accepted as a raw line stays one line of its section wherever it is put.
func FuzzRawLine(f *testing.F) {
	for name, lines := range rawLines() {
		for line := range lines {
			f.Add(name == "frontend", line)
		}
	}
	f.Fuzz(func(t *testing.T, front bool, line string) {
		in := backend()
		if front {
			in = frontend()
		}
		var found Findings
		checker{found: &found}.lines([]string{line}, in, rawRoute())
		if len(found) > 0 {
			return
		}
		if strings.ContainsAny(line, "\n\r\x00") {
			t.Fatalf("accepted %q, which is not one line", line)
		}
		is := parseLine("    " + line)
		first := is.args[0]
		if first == "no" {
			first = is.args[1]
		}
		known := false
		for _, w := range in.first {
			known = known || w == first
		}
		if is.failed || is.comment || is.variable || !known || len(is.args) > 64 {
			t.Fatalf("accepted %q, which HAProxy reads as %+v", line, is)
		}
	})
}
