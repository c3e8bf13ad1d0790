package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/watcher"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) time.Time { return noon.Add(-d) }

func instances(hosts ...string) (out []watcher.Instance) {
	for _, h := range hosts {
		out = append(out, watcher.Instance{ID: h + ":80", Host: h, Port: 80, Weight: 1, Name: "app-" + h})
	}
	return out
}

func calm() watcher.Status {
	return watcher.Status{Host: "app1", Version: "v0.1.0", Started: before(26 * time.Hour), Loaded: before(40 * time.Minute),
		Services: []watcher.ServiceStatus{{Service: "inventory", Truth: watcher.Known, Read: before(2 * time.Second), Revision: 4294967501,
			Instances: instances("10.0.0.11", "10.0.0.12"), Applied: before(90 * time.Second)}},
		Routes: []watcher.RouteStatus{{Name: "inventory", Service: "inventory", Bind: "127.0.0.1:3000", Mode: "http"}},
		Registrations: []watcher.RegistrationStatus{{Name: "inventory-1", Service: "inventory", Addr: "10.0.0.11:80", Healthy: true, Announced: true,
			Since: before(5 * time.Hour), LastCheck: "ok", Why: "passes, 18000 in a row"}},
		Registries: []watcher.RegistryStatus{{Name: "main", Connected: true, State: "connected", Server: "10.0.0.2:2181", Session: "0x100002f1a8b0001", LastReply: before(time.Second)}},
		HAProxy: &watcher.ProxyStatus{Version: "2.6.12", Worker: 48213, Reloads: 1, LastReload: before(40 * time.Minute), Why: "the structure changed",
			Routes: []watcher.ServerCount{{Route: "inventory", Slots: 8, Ready: 2}}},
	}
}

func rough() watcher.Status {
	s := calm()
	s.Refused = "zkwatch.yaml:3:1: hots: unknown key\nzkwatch.yaml:4:1: prot: unknown key"
	s.Services[0].Instances[1].Draining = true
	s.Services[0].Rejected = []watcher.Rejection{{ID: "evil\x1b[31m", Reason: "not an address"}}
	s.Services = append(s.Services,
		watcher.ServiceStatus{Service: "search", Truth: watcher.Known, Read: before(time.Second), Instances: instances("10.0.0.31"),
			Held: &watcher.Hold{Until: noon.Add(4 * time.Minute), From: 4, To: 1, Rule: "lost 75%, more than 50%"}},
		watcher.ServiceStatus{Service: "billing", Truth: watcher.Unknown, Reason: "main: no answer for 14s", Read: before(time.Minute)})
	s.Registrations = append(s.Registrations, watcher.RegistrationStatus{Name: "billing-1", Service: "billing", Addr: "10.0.0.11:81", Since: before(time.Minute),
		LastCheck: "tcp 127.0.0.1:81: connection refused", Why: "fails, 60 in a row"})
	s.Registries[0].Connected, s.Registries[0].State = false, "suspect"
	s.HAProxy.Due, s.HAProxy.Refused = "route billing is new", "haproxy -c refuses the file"
	return s
}

func TestStatusText(t *testing.T) {
	for name, tt := range map[string]struct {
		status watcher.Status
		one    bool
		well   bool
	}{
		"calm":      {calm(), false, true},
		"rough":     {rough(), true, false},
		"registers": {watcher.Status{Host: "db1", Version: "v0.1.0", Started: before(time.Minute), Loaded: before(time.Minute), Registrations: calm().Registrations, Registries: calm().Registries}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := writeStatus(&got, tt.status, tt.one, noon); err != nil {
				t.Fatal(err)
			}
			if tt.status.Well() != tt.well {
				t.Errorf("all is well: %v, want %v", tt.status.Well(), tt.well)
			}
			golden(t, "status-"+name+".txt", got.String())
		})
	}
}

func TestExplainText(t *testing.T) {
	var got bytes.Buffer
	err := writeEntries(&got, []watcher.Entry{
		{At: noon, Event: "configuration reloaded", Rule: "what did not change is not touched", Took: 720 * time.Microsecond,
			Actions: []watcher.Action{{Kind: "reload", Text: "new worker after 389ms", Why: "the structure changed"}}},
		{At: noon, Service: "inventory", Event: "children changed", Rule: "as read", Actions: []watcher.Action{{Kind: "command", Text: "set server a/s1 state ready; evil\x1b[31m"}}},
		{At: noon, Service: "inventory", Event: "data changed", Error: "the proxy does not answer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "explain.txt", strings.ReplaceAll(got.String(), noon.Local().Format("2006-01-02 15:04:05.000"), "2026-11-21 12:00:00.000"))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
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
}

func TestHowADrainEndedIsSaid(t *testing.T) {
	for _, tt := range []struct {
		name   string
		report watcher.DrainReport
		want   string
		code   int
	}{
		{"all have let go", watcher.DrainReport{Name: "web-1", Ended: watcher.DrainedByConsumers, Took: 2021 * time.Millisecond,
			Consumers: []watcher.Consumer{{Host: "app1", Applied: true, Done: true}}},
			"web-1: over after 2.021s, by consumers\n  app1: 0 connections left\n", 0},
		{"some have not", watcher.DrainReport{Name: "web-1", Ended: watcher.DrainedByTimeout, Took: time.Minute, Board: "no quorum",
			Consumers: []watcher.Consumer{{Host: "app1", Applied: true, Connections: 3}, {Host: "app2"}, {Host: "app3", Applied: true, Connections: -1}, {Host: "app4", Gone: true}}},
			"web-1: over after 1m0s, by timeout\n  app1: 3 connections left\n  app2: has not stopped sending\n  app3: has not counted its connections\n  app4: no longer posts\n" +
				"  what hosts post could not be read: no quorum\n", codeUnfit},
		{"all of them", watcher.DrainReport{Name: "all", Ended: watcher.DrainedByGrace, Parts: []watcher.DrainReport{
			{Name: "web-1", Ended: watcher.DrainedByGrace, Took: 10 * time.Second}, {Name: "web-2", Ended: watcher.DrainNotAnnounced}}},
			"web-1: over after 10s, by grace\nweb-2: over after 0s, by not announced\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := writeDrain(&out, tt.report)
			code := 0
			if exit := (*exitError)(nil); errors.As(err, &exit) {
				code = exit.code
			} else if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" || code != tt.code {
				t.Errorf("code %d, want %d; text (-want +got):\n%s", code, tt.code, diff)
			}
		})
	}
}

// A daemon that does not answer is another thing than none.
func TestADaemonThatHangs(t *testing.T) {
	dir, err := os.MkdirTemp("", "zkw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/hang":
			<-release
		case "/html":
			rw.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(rw, "<html>")
		case "/other":
			_, _ = io.WriteString(rw, "[1,2")
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	a := &app{socket: socket}
	for path, want := range map[string]string{"/hang": "no answer within 100ms; what was asked for may still happen", "/html": "502 Bad Gateway: <html>", "/other": "it may be of another version"} {
		err := a.ask(t.Context(), 100*time.Millisecond, http.MethodGet, path, nil, &struct{}{})
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, new(*exitError)) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	close(release)
	_ = server.Close()
	<-done
}
