package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

const sidecars = `
registries: {main: {zookeeper: {servers: [192.0.2.1:2181]}}}
services: {inventory: {registry: main, path: /services/inventory}}
sidecars:
  app1: {routes: {inventory: {service: inventory, bind: "127.0.0.1:3000"}}}
  app2: {routes: {inventory: {service: inventory, bind: "127.0.0.1:3000"}}}
`

// zkwatch makes a machine's zkwatch say that it serves a revision of inventory.
func (w *world) zkwatch(host, revision string) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte(`{"version":"0.1.0","services":[{"service":"inventory","truth":"known","revision":` + revision + `,"instances":[{}]}]}`))
	}))
	w.t.Cleanup(server.Close)
	w.machines[host].Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
}

// Scripts ask with the exit code whether every host has applied what the registry says.
func TestStatusOfSidecars(t *testing.T) {
	w := newWorld(t, "app1", "app2")
	spec, err := os.ReadFile(w.path("zkboot.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("zkboot.yaml"), append(spec, sidecars...), 0o644); err != nil {
		t.Fatal(err)
	}
	w.zkwatch("app1", "26")
	w.zkwatch("app2", "26")
	w.want(codeOK, "status")
	w.says(&w.stdout, "inventory  1a        1          2 of 2")
	w.zkwatch("app2", "25")
	w.want(codeUnfit, "status", "--output", "json")
	var got struct {
		Name     string
		Sidecars struct {
			Services []struct {
				Service        string
				Revision       int64
				Hosts, Applied int
				Behind         []string
			}
		}
	}
	if err := json.Unmarshal([]byte(w.stdout.String()), &got); err != nil {
		t.Fatalf("%v in\n%s", err, w.stdout.String())
	}
	if s := got.Sidecars.Services; got.Name != "main" || len(s) != 1 || s[0].Revision != 26 || s[0].Applied != 1 || s[0].Hosts != 2 || s[0].Behind[0] != "app2: at revision 19" {
		t.Errorf("got %+v", got)
	}
}
