package watcher

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// noon is when the pages of these tests are shown.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) time.Time { return noon.Add(-d) }

// busyStatus is a host on a mixed day: something of everything.
func busyStatus() Status {
	inventory := set("10.0.0.11 10.0.0.12 10.0.0.13*")
	inventory[0].Zone, inventory[0].Name, inventory[0].Weight = "oslo-1", "app1", 10
	inventory[1].Zone, inventory[1].Name = "oslo-2", "app2"
	return Status{Host: "app1.example.net", Version: "v0.1.0", Started: before(26 * time.Hour), Loaded: before(40 * time.Minute),
		Services: []ServiceStatus{
			{Service: "billing", Truth: Unknown, Reason: "main: no answer for 14s", Since: before(14 * time.Second), Read: before(61 * time.Second),
				Revision: 4294967391, Instances: set("10.0.0.21 10.0.0.22"), Applied: before(3 * time.Hour), Changes: 4},
			{Service: "inventory", Truth: Known, Since: before(time.Hour), Read: before(2 * time.Second), Revision: 4294967501,
				Instances: inventory, Applied: before(90 * time.Second), Changes: 17, Missed: 1,
				Rejected: []Rejection{{ID: "10.0.0.14:99999", Reason: "port 99999 is not from 1 to 65535"}}},
			{Service: "search", Truth: Known, Since: before(time.Hour), Read: before(2 * time.Second), Revision: 4294967502,
				Instances: set("10.0.0.31 10.0.0.32 10.0.0.33 10.0.0.34"), Applied: before(time.Minute),
				Held: &Hold{Since: before(time.Minute), Until: noon.Add(4 * time.Minute), From: 4, To: 1, Rule: "lost 75%, more than 50%"}},
			{Service: "thumbnails", Truth: Empty, Since: before(10 * time.Minute), Read: before(5 * time.Second), Revision: 4294967400, Applied: before(10 * time.Minute)},
		},
		Routes: []RouteStatus{{"billing", "billing", "127.0.0.1:3002", "tcp"}, {"inventory", "inventory", "127.0.0.1:3000", "http"}, {"search", "search", "127.0.0.1:3001", "http"}, {"thumbnails", "thumbnails", "127.0.0.1:3003", "http"}},
		Registrations: []RegistrationStatus{
			{Name: "inventory-1", Service: "inventory", Addr: "10.0.0.11:8080", Healthy: true, Announced: true, Since: before(5 * time.Hour), LastCheck: "ok", Checks: 18000},
			{Name: "billing-1", Service: "billing", Addr: "10.0.0.11:8081", Since: before(30 * time.Second), LastCheck: "GET http://127.0.0.1:8081/health: connection refused", Why: "3 checks failed", Checks: 60, Fails: 30},
			{Name: "search-1", Service: "search", Addr: "10.0.0.11:8082", Healthy: true, Announced: true, Draining: true, Since: before(time.Hour), LastCheck: "ok", Why: "by an operator's word"},
		},
		Registries: []RegistryStatus{{Name: "main", Connected: false, State: "suspect", Server: "10.0.0.2:2181", Session: "0x100002f1a8b0001", LastReply: before(14 * time.Second)}},
		HAProxy: &ProxyStatus{Version: "2.6.12-1+deb12u4", Worker: 48213, Reloads: 2, LastReload: before(40 * time.Minute), Why: "route thumbnails is new", OldWorkers: 1, Routes: []ServerCount{
			{Route: "billing", Slots: 8, Ready: 2}, {Route: "inventory", Slots: 8, Ready: 2, Draining: 1, Down: 1, Ejected: 1},
			{Route: "search", Slots: 4, Overflow: 1, Ready: 4, Missing: 1}, {Route: "thumbnails", Slots: 4}}},
	}
}

func busyJournal() []Entry {
	return []Entry{
		{At: before(14 * time.Second), Service: "billing", Event: "no answer for 14s", Rule: "unknown: main: no answer for 14s"},
		{At: before(time.Minute), Service: "search", Event: "children changed", Rule: "held: lost 75%, more than 50%; held back: 10.0.0.32:80, 10.0.0.33:80, 10.0.0.34:80"},
		{At: before(90 * time.Second), Service: "inventory", Event: "data changed", Rule: "as read", Took: 400 * time.Microsecond,
			Actions: []Action{{Kind: "command", Text: "set server zkwatch_inventory/s3 state drain", Why: "10.0.0.13:80 is draining"}}},
		{At: before(40 * time.Minute), Event: "configuration reloaded", Rule: "what did not change is not touched",
			Actions: []Action{{Kind: "write", Text: "/var/lib/zkwatch/haproxy/zkwatch.cfg"}, {Kind: "reload", Text: "worker 48213", Why: "route thumbnails is new"}}},
		{At: before(41 * time.Minute), Event: "reload", Error: "haproxy -c: [ALERT] zkwatch.cfg:41: unknown keyword 'blance' in 'backend' section"},
	}
}

func render(t *testing.T, s Status, entries []Entry) string {
	t.Helper()
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, newPageView(s, entries, noon)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The goldens are whole pages: open them in a browser to look at them.
func TestPage(t *testing.T) {
	calm := busyStatus()
	calm.Services, calm.Registrations = calm.Services[1:2], calm.Registrations[:1]
	calm.HAProxy.Routes = calm.HAProxy.Routes[1:2]
	calm.Registries[0].Connected, calm.Registries[0].State = true, "connected"
	refused := busyStatus()
	refused.Refused = "/etc/zkwatch/zkwatch.yaml:12:5: routes[\"inventory\"].bind: 127.0.0.1:3000 is taken by routes[\"search\"]"
	refused.HAProxy = &ProxyStatus{Due: "route billing has no free slot", Refused: "haproxy -c refuses the file: unknown keyword 'blance'"}
	for name, tt := range map[string]struct {
		status  Status
		entries []Entry
		good    bool
	}{
		"busy":    {busyStatus(), busyJournal(), false},
		"calm":    {calm, busyJournal()[2:4], true},
		"refused": {refused, busyJournal(), false},
		"empty":   {Status{Host: "app1", Version: "v1", Started: before(time.Second), HAProxy: &ProxyStatus{}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := render(t, tt.status, tt.entries)
			if good := strings.Contains(got, "all is well"); good != tt.good {
				t.Errorf("it says that all is well: %v, want %v", good, tt.good)
			}
			path := filepath.Join("testdata", "page", name+".html")
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; run the tests with -update", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

// Whatever somebody wrote into the registry is text.
func TestThePageEscapesEverything(t *testing.T) {
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`
	s := Status{Host: evil, Version: evil, Refused: evil, Started: noon,
		Services: []ServiceStatus{{Service: evil, Truth: Unknown, Reason: evil, Held: &Hold{Rule: evil}, Rejected: []Rejection{{ID: evil, Reason: evil}},
			Instances: []Instance{{ID: evil, Host: evil, Name: evil, Zone: evil}}}},
		Routes:        []RouteStatus{{Name: evil, Service: evil, Bind: evil, Mode: evil}},
		Registrations: []RegistrationStatus{{Name: evil, Service: evil, Addr: evil, Why: evil, LastCheck: evil}},
		Registries:    []RegistryStatus{{Name: evil, State: evil, Server: evil, Session: evil}},
		HAProxy:       &ProxyStatus{Version: evil, Why: evil, Due: evil, Refused: evil, Routes: []ServerCount{{Route: evil}}},
	}
	page := render(t, s, []Entry{{Service: evil, Event: evil, Rule: evil, Error: evil, Actions: []Action{{Kind: evil, Text: evil, Why: evil}}}})
	for _, bad := range []string{"<script", "<img", "alert(2)>", `"'>`} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %s", bad)
		}
	}
	if n := strings.Count(page, "&lt;script&gt;alert(1)&lt;/script&gt;"); n < 25 {
		t.Errorf("the text is shown %d times, want everywhere it was put", n)
	}
}

// 10,000 instances do not make a page that no phone can show.
func TestThePageIsBounded(t *testing.T) {
	s := Status{Host: "app1", Started: noon, HAProxy: &ProxyStatus{}}
	one := ServiceStatus{Service: "web", Truth: Known}
	for n := range 10_000 {
		one.Instances = append(one.Instances, Instance{ID: fmt.Sprint(n), Host: "10.0.0.1", Port: n + 1})
		one.Rejected = append(one.Rejected, Rejection{ID: fmt.Sprint(n), Reason: "bad"})
	}
	s.Services = []ServiceStatus{one}
	page := render(t, s, nil)
	if len(page) > 100_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
	if !strings.Contains(page, "and 9800 more") || !strings.Contains(page, "<b>10000</b> instances") {
		t.Error("it does not say how many there are")
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 0: "0ms", 999 * time.Millisecond: "999ms", 1500 * time.Millisecond: "1.5s",
		61 * time.Second: "1m 1s", 3*time.Hour + 59*time.Minute: "3h 59m", 49 * time.Hour: "2d 1h"} {
		if got := Span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
