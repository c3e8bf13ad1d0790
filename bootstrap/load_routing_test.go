package bootstrap_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/watcher/config"
)

// Everything that zkwatch understands of a route can be said in a spec; see the tests of
// package config for what is right and wrong there. These show that its findings arrive,
// each once and at its place in the spec.
func TestLoadReportsWhatZkwatchWouldRefuse(t *testing.T) {
	const route, register = `sidecars["zk1"].routes["inventory"]`, `sidecars["zk1"].register["inventory-1"]`
	tests := []struct {
		name, old, new string
		want           []string // "path: part of the text"
	}{
		{"bind without a port", `"127.0.0.1:3000"`, `"127.0.0.1"`, []string{route + `.bind: want an address to listen on`}},
		{"two routes on one port", "    routes: {", "    routes: {edge: {service: inventory, bind: \"*:3000\"}, ", []string{route + `.bind: 127.0.0.1:3000 overlaps with *:3000 of route edge`}},
		{"unknown key of a route", "inter: 2s", "iner: 2s", []string{route + `.check.iner: did you mean "inter"?`}},
		{"raw line", `check: {http: "GET /health", inter: 2s}`, `backend: ["server x 10.0.0.9:80"]`, []string{route + `.backend[0]: servers come from the registry`}},
		{"balance", `check: {http: "GET /health", inter: 2s}`, `balance: random`, []string{route + `.balance: other than random`}},
		{"no check", `{http: "http://127.0.0.1:8080/health"}`, `{}`, []string{register + `.check: want exactly one of http, tcp and exec`}},
		{"announces itself", "port: 8080", "port: 3000, address: 127.0.0.1", []string{register + `.port: send to itself`}},
		{"service unknown in both", "  inventory: {registry", "  inventroy: {registry", []string{route + `.service: no service "inventory"`, register + `.service: no service "inventory"`}},
		{"service without a path", ", path: /services/inventory/instances", "", []string{`services["inventory"].path: want an absolute path`}},
		{"service where hosts post", "/services/inventory/instances", "/zkwatch", []string{`services["inventory"].path: overlaps with /zkwatch/hosts`}},
		{"format", "registry: main, path", "format: serverset, registry: main, path", []string{`services["inventory"].format: want plain or nerve`}},
		{"registry of another kind", "{ensemble: true}", "{etcd: {endpoints: [\"http://10.0.0.9:2379\"]}}", []string{`services["inventory"].registry: not supported by sidecars yet`}},
		{"registry of another kind that no sidecar uses", "{ensemble: true}", "{ensemble: true}, old: {consul: {address: \"10.0.0.9:8500\"}}", nil},
		{"servers", "{ensemble: true}", "{zookeeper: {servers: [\"zk:0\"], session: 1ms}}", []string{`registries["main"].zookeeper.servers[0]: port from 1 to 65535`, `registries["main"].zookeeper.session: want a time from 1s`}},
		{"guard and drain", "  zk1:\n    routes", "  zk1:\n    guard: {min: -1}\n    drain: {grace: 2m}\n    routes", []string{`sidecars["zk1"].guard.min: from 1 to`, `sidecars["zk1"].drain.grace: want at most timeout`}},
		{"stats page", "  zk1:\n    routes", "  zk1:\n    stats: \"*:3000\"\n    routes", []string{route + `.bind: overlaps with *:3000 of haproxy.stats`}},
		{"stats page without a port", "  zk1:\n    routes", "  zk1:\n    stats: here\n    routes", []string{`sidecars["zk1"].stats: want an address to listen on`}},
		{"zone", "  zk1:\n    routes", "  zk1:\n    zone: a/b\n    routes", []string{`sidecars["zk1"].zone: want a zone`}},
		{"sidecar of no host", "sidecars:\n  zk1:", "sidecars:\n  app1:", []string{`sidecars["app1"]: no host "app1"`}},
		{"address of the host", "zk1: {address: 10.0.0.1}", "zk1: {address: nowhere}", []string{`hosts["zk1"].address: want an IP address`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(valid, tt.old) {
				t.Fatalf("the valid spec has no %q", tt.old)
			}
			_, r := bootstrap.Load("zkboot.yaml", []byte(strings.Replace(valid, tt.old, tt.new, 1)))
			checkFindings(t, r, tt.want)
		})
	}
}

// What zkwatch is told is the sidecar, the services that it has to do with, and where
// their registries are.
func TestWatcherConfig(t *testing.T) {
	src := strings.NewReplacer(
		"registries: {main: {ensemble: true}}", `registries:
  main: {ensemble: true}
  other: {zookeeper: {servers: ["10.1.0.1:2181"], session: 8s, auth_file: /etc/zkwatch/auth}}
  unused: {zookeeper: {servers: ["10.2.0.1:2181"]}}`,
		"services:\n", "services:\n  orders: {registry: other, path: /nerve/orders, format: nerve}\n  unused: {registry: unused, path: /u/x}\n",
		"    routes: {", "    zone: a\n    stats: \"127.0.0.1:8404\"\n    guard: {threshold: 30%}\n    drain: {on_term: drain}\n    routes: {orders: {service: orders, bind: \"*:80\"}, ",
		"heap: 256MiB", "ports: {client: 2182}").Replace(valid)
	s, r := bootstrap.Load("zkboot.yaml", []byte(src))
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	c := s.WatcherConfig("zk1")
	want := &config.Config{
		Host: "zk1", Address: "10.0.0.1", Zone: "a",
		Registries: map[string]config.Registry{
			"main":  {ZooKeeper: &config.ZooKeeper{Servers: []string{"10.0.0.1:2182", "10.0.0.2:2182", "10.0.0.3:2182"}}},
			"other": {ZooKeeper: &config.ZooKeeper{Servers: []string{"10.1.0.1:2181"}, Session: config.Duration(8e9), AuthFile: "/etc/zkwatch/auth"}},
		},
		Services: map[string]config.Service{
			"inventory": {Registry: "main", Path: "/services/inventory/instances"},
			"orders":    {Registry: "other", Path: "/nerve/orders", Format: "nerve"},
		},
		Routes: s.Sidecars["zk1"].Routes, Register: s.Sidecars["zk1"].Register,
		Guard: config.Guard{Threshold: 30}, Drain: config.Drain{OnTerm: "drain"},
		HAProxy: config.HAProxy{Stats: "127.0.0.1:8404"}, Board: config.Board{Registry: "main"},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b, err := config.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load("zkwatch.yaml", b); err != nil {
		t.Errorf("zkwatch would refuse what the spec accepted: %v", err)
	}
}

// Hosts post where they look anyway when the spec has no ensemble.
func TestWatcherConfigPostsToARegistryInUse(t *testing.T) {
	src := strings.Replace(valid, "{main: {ensemble: true}}", `{another: {zookeeper: {servers: ["10.0.0.8:2181"]}}, main: {zookeeper: {servers: ["10.0.0.9:2181"]}}}`, 1)
	s, r := bootstrap.Load("zkboot.yaml", []byte(src))
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if got := s.WatcherConfig("zk1").Board.Registry; got != "main" {
		t.Errorf("posts to %q, want main, the registry of the service", got)
	}
	if got := s.WatcherConfig("zk2").Board.Registry; got != "none" {
		t.Errorf("a host without a sidecar posts to %q, want none", got)
	}
}
