package haproxy

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

// files are configurations whose files are goldens; render_lab_test.go shows them to the real HAProxy.
func files() map[string]config.Config {
	zero := 0
	return map[string]config.Config{
		"empty": {},
		"plain": {Routes: map[string]config.Route{"inventory": {Service: "inventory", Bind: "127.0.0.1:3000"}}},
		"full": {
			HAProxy: config.HAProxy{SocketGroup: "zkwatch", Stats: "127.0.0.1:8404", OldWorkers: 3, HardStopAfter: config.Duration(90 * time.Second)},
			Routes: map[string]config.Route{
				"web": {
					Service: "shop", Bind: "*:8080", Balance: "leastconn", Cookie: "SRV", MaxConn: 200, Retries: &zero,
					Check:    config.RouteCheck{HTTP: "GET /health?deep=1", Expect: `rstring '^(ready|fine) \d+$'`, Inter: config.Duration(500 * time.Millisecond), Rise: 1, Fall: 2},
					Timeouts: config.Timeouts{Connect: config.Duration(300 * time.Millisecond), Server: config.Duration(5 * time.Second)},
					Breaker:  config.Breaker{Errors: 7},
					Frontend: []string{"acl internal src 10.0.0.0/8", "http-request deny deny_status 403 unless internal", `http-request set-header X-Via "a \"b\""`},
					Backend:  []string{"http-request set-header X-Route web", "retry-on conn-failure empty-response"},
				},
				"db.main": {Service: "db", Bind: "[::1]:5432", Mode: "tcp", Balance: "source", Breaker: config.Breaker{Off: true}},
				"hash":    {Service: "shop", Bind: "127.0.0.1:3001", Balance: "hdr(X-User)"},
			},
		},
	}
}

func rendered(t testing.TB, c config.Config) []byte {
	t.Helper()
	config.Default(&c)
	doc, err := build(Options{Config: c.HAProxy, Routes: c.Routes})
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string][]slotLine{}
	for i, name := range doc.backends() {
		b := &backend{route: c.Routes[strings.TrimPrefix(name, prefix)], name: name, known: true}
		b.members, _ = members([]watcher.Instance{at(i), heavy(at(7), 20), draining(at(8)), {ID: "v6", Host: "2001:db8::1", Port: 81, Weight: 1}}, nil)
		lines[name] = b.layout(b.slotCount(4, false))
	}
	return doc.render(from(lines))
}

// render is the whole file.
func (d document) render(slots func(backend string) []byte) []byte {
	var b bytes.Buffer
	_ = d.write(&b, slots) // a buffer takes everything
	return b.Bytes()
}

// from fills the gaps of a document.
func from(slots map[string][]slotLine) func(string) []byte {
	return func(name string) []byte { return renderSlots(slots[name]) }
}

func TestFiles(t *testing.T) {
	for name, c := range files() {
		t.Run(name, func(t *testing.T) { golden(t, name+".cfg", string(rendered(t, c))) })
	}
}

func TestAFileIsTakenApartAsItWasPutTogether(t *testing.T) {
	for name, c := range files() {
		text := rendered(t, c)
		d, lines, ok := parseDocument(text)
		if !ok || string(d.render(from(lines))) != string(text) {
			t.Errorf("%s: ok %v; it became\n%s", name, ok, d.render(from(lines)))
		}
		for _, change := range [][2]string{{"retries 2", "retries 3"}, {"    server s2 ", "    server s9 "}, {" id 1 ", " id 5 "}, {"setenv ZKWATCH_SHAPE ", "setenv ZKWATCH_SHAPE 0"}, {"dontlognull", "dontlognull\n    option http-server-close"}} {
			edited := strings.Replace(string(text), change[0], change[1], 1)
			if _, _, ok := parseDocument([]byte(edited)); ok && edited != string(text) {
				t.Errorf("%s: with %q for %q it is still taken for ours", name, change[1], change[0])
			}
		}
	}
}

func TestServersComeAndGoWithoutAnotherShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := files()["full"]
		config.Default(&c)
		doc, err := build(Options{Config: c.HAProxy, Routes: c.Routes})
		if err != nil {
			t.Fatal(err)
		}
		lines := map[string][]slotLine{}
		for _, name := range doc.backends() {
			for range rapid.IntRange(0, 5).Draw(t, "slots") {
				a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "addr")}), 80)
				free := rapid.Bool().Draw(t, "free")
				weight := rapid.IntRange(0, 256).Draw(t, "weight")
				if free {
					weight = 0
				}
				lines[name] = append(lines[name], slotLine{addr: a, weight: weight, free: free})
			}
		}
		got, back, ok := parseDocument(doc.render(from(lines)))
		if len(lines["zkwatch-web"]) == 0 || len(lines["zkwatch-db.main"]) == 0 || len(lines["zkwatch-hash"]) == 0 {
			return // a backend has slots, always: without them its gap could not be found again
		}
		if !ok || got.shape != doc.shape || fmt.Sprint(back) != fmt.Sprint(lines) {
			t.Fatalf("ok %v, shape %s for %s, slots\n%v\nfor\n%v", ok, got.shape, doc.shape, back, lines)
		}
	})
}

func TestWhatMustNotGetIntoTheFile(t *testing.T) {
	base := config.Route{Service: "s", Bind: "127.0.0.1:1"}
	tests := []struct {
		field  string
		change func(r *config.Route)
	}{
		{"bind", func(r *config.Route) { r.Bind = "127.0.0.1:80 ssl crt /etc/key" }},
		{"bind", func(r *config.Route) { r.Bind = "example.net:80" }},
		{"mode", func(r *config.Route) { r.Mode = "health" }},
		{"balance", func(r *config.Route) { r.Balance = "roundrobin\nserver evil 10.0.0.1:80" }},
		{"cookie", func(r *config.Route) { r.Cookie = "a\nb" }},
		{"check.http", func(r *config.Route) { r.Check.HTTP = "GET /\nserver" }},
		{"check.http", func(r *config.Route) { r.Check.HTTP = "GET / HTTP/1.1 x" }},
		{"check.expect", func(r *config.Route) { r.Check.HTTP, r.Check.Expect = "GET /", "status 200\r\nglobal" }},
		{"frontend", func(r *config.Route) { r.Frontend = []string{"acl a src 1.1.1.1\nglobal"} }},
		{"frontend", func(r *config.Route) { r.Frontend = []string{"global"} }},
		{"frontend", func(r *config.Route) { r.Frontend = []string{"  userlist u"} }},
		{"frontend", func(r *config.Route) { r.Frontend = []string{"'global'"} }},
		{"frontend", func(r *config.Route) { r.Frontend = []string{`glo\bal`} }},
		{"frontend", func(r *config.Route) { r.Frontend = []string{".if defined(X)"} }},
		{"frontend", func(r *config.Route) { r.Frontend = []string{""} }},
		{"backend", func(r *config.Route) { r.Backend = []string{"server evil 10.0.0.1:80"} }},
		{"backend", func(r *config.Route) { r.Backend = []string{"server-template x 3 10.0.0.1:80"} }},
		{"backend", func(r *config.Route) { r.Backend = []string{"load-server-state-from-file global"} }}, // scenario 22
	}
	for _, test := range tests {
		r := base
		test.change(&r)
		c := config.Config{Routes: map[string]config.Route{"web": r}, HAProxy: config.HAProxy{Socket: "/s"}}
		config.Default(&c)
		_, err := New(Options{Config: c.HAProxy, Routes: c.Routes})
		if err == nil || !strings.Contains(err.Error(), `routes["web"].`+test.field+":") {
			t.Errorf("%+v: error %v, want one about %s", r, err, test.field)
		}
	}
	for _, name := range []string{"", "a b", "a\nb", "a/b", strings.Repeat("a", 101)} {
		c := config.Config{Routes: map[string]config.Route{name: base}}
		config.Default(&c)
		if _, err := New(Options{Config: c.HAProxy, Routes: c.Routes}); err == nil {
			t.Errorf("a route may be called %q", name)
		}
	}
}

// Scenario 22: HAProxy's own state file would bring old addresses back (haproxy issues 985, 2103, 3296).
func TestNoStateFileIsUsed(t *testing.T) {
	for name, c := range files() {
		if strings.Contains(string(rendered(t, c)), "server-state") {
			t.Errorf("%s uses a state file", name)
		}
	}
}

// No value gets another line, or another word where one word is meant, into the file.
func FuzzConfigurationStaysOnItsLines(f *testing.F) {
	for _, s := range []string{"GET /health", "a\nb", "'", `\`, "a # b", "\x00", "${HOME}", "status 200", "SRV", "roundrobin", "\u2028", "acl x src 10.0.0.1"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		zero := 0
		r := config.Route{Service: one, Bind: "127.0.0.1:1", Balance: one, Cookie: other, Retries: &zero, Check: config.RouteCheck{HTTP: "GET /" + other, Expect: one},
			Frontend: []string{one, "acl " + other}, Backend: []string{other}}
		c := config.Config{Routes: map[string]config.Route{"web": r}, HAProxy: config.HAProxy{Socket: one, SocketGroup: other}}
		config.Default(&c)
		doc, err := build(Options{Config: c.HAProxy, Routes: c.Routes})
		if err != nil {
			return
		}
		text := string(doc.render(from(map[string][]slotLine{"zkwatch-web": {{addr: placeholder, free: true}}})))
		lines := strings.Split(text, "\n")
		count := func(keyword string) int {
			n := 0
			for _, l := range lines {
				if first, _, _ := strings.Cut(strings.TrimSpace(l), " "); first == keyword {
					n++
				}
			}
			return n
		}
		for keyword, want := range map[string]int{"global": 1, "defaults": 1, "frontend": 1, "backend": 1, "server": 1, "setenv": 1, "bind": 1, "listen": 0, "userlist": 0} {
			if keyword == "bind" && (strings.HasPrefix(strings.TrimSpace(one), "bind") || strings.HasPrefix(strings.TrimSpace(other), "bind")) {
				continue
			}
			if got := count(keyword); got != want {
				t.Errorf("%d lines with %s, want %d, from %q and %q:\n%s", got, keyword, want, one, other, text)
			}
		}
		if strings.ContainsAny(text, "\r\x00\v\f") {
			t.Errorf("control characters from %q and %q", one, other)
		}
		socket := lines[slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "    stats socket ") })]
		if !strings.HasSuffix(socket, " level admin") || strings.ContainsAny(one+other, " '\"\\#") && !strings.Contains(socket, "'") {
			t.Errorf("the line %q from %q and %q", socket, one, other)
		}
	})
}

// No entry of the registry gets anything into a command or the file but an address and numbers.
func FuzzInstancesStayInTheirCommand(f *testing.F) {
	f.Add("10.0.0.1", 80, 1, "a", "zone")
	f.Add("10.0.0.1;show info", 80, 1, "a\nset server", "z")
	f.Add("::1%eth0;x", 80, 1, "", "")
	f.Add("::ffff:1.2.3.4", 65535, 256, "\x00", "'")
	f.Fuzz(func(t *testing.T, host string, port, weight int, id, zone string) {
		b := &backend{name: "zkwatch-a", known: true, live: true, route: config.Route{Service: "s"}}
		b.prime(make([]slotLine, 2))
		for i := range b.servers {
			b.servers[i].addr, b.servers[i].admin = placeholder, maint
		}
		b.members, _ = members([]watcher.Instance{{ID: id, Host: host, Port: port, Weight: weight, Zone: zone, Name: id, Labels: map[string]string{id: zone}}}, nil)
		changes, parks, _ := b.plan(b.wanted())
		for _, c := range append(append(changes, parks...), b.overflow(b.wanted())...) {
			for _, cmd := range c.commands {
				if strings.Trim(strings.NewReplacer(";", "!", "\n", "!", "#", "!", "\\", "!", "'", "!").Replace(cmd.text), "abcdefghijklmnopqrstuvwxyz0123456789-/.:[] ") != "" {
					t.Errorf("%q from host %q, port %d, weight %d", cmd.text, host, port, weight)
				}
			}
		}
		for _, l := range b.layout(2) {
			if text := string(renderSlots([]slotLine{l})); strings.Count(text, "\n") != 1 {
				t.Errorf("%q from host %q", text, host)
			}
		}
	})
}
