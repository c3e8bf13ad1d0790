package sidecar

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zkboot/zkboot/bootstrap"
	"github.com/zkboot/zkboot/verify"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares text with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
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
}

const siteYAML = `
name: main
hosts:
  zk1: {address: 10.0.0.1}
  zk2: {address: 10.0.0.2}
  zk3: {address: 10.0.0.3}
  app1: {address: 10.0.0.101}
  app2: {address: 10.0.0.102}
ensemble:
  members: {zk1: {id: 1}, zk2: {id: 2}, zk3: {id: 3}}
  source: {apt: {}}
  accept_known_issues: [ZOOKEEPER-4785]
registries:
  main: {ensemble: true}
  elsewhere: {zookeeper: {servers: [192.0.2.1:2181], session: 6s}}
services:
  inventory: {registry: main, path: /services/inventory_service/instances}
  orders: {registry: elsewhere, path: /services/orders, format: nerve}
  unused: {registry: main, path: /services/unused}
sidecars:
  app1:
    zone: a
    routes:
      inventory: {service: inventory, bind: "127.0.0.1:3000", check: {http: GET /health, inter: 2s, rise: 2, fall: 3}}
      orders: {service: orders, bind: "127.0.0.1:3001", mode: tcp, balance: leastconn}
    register: {inventory: {service: inventory, port: 8080, check: {http: "http://10.0.0.101:8080/health", interval: 1s, rise: 2, fall: 3}}}
    stats: 127.0.0.1:3999
    guard: {threshold: 60%}
    drain: {on_term: drain, timeout: 90s}
  app2:
    register: {inventory: {service: inventory, port: 8080, check: {tcp: "10.0.0.102:8080"}}}
`

// spec reads a spec; each edit replaces a part of the usual one.
func spec(t *testing.T, edits ...string) *bootstrap.Spec {
	t.Helper()
	src := siteYAML
	for i := 0; i+1 < len(edits); i += 2 {
		if !strings.Contains(src, edits[i]) {
			t.Fatalf("the spec of the tests has no %q", edits[i])
		}
		src = strings.Replace(src, edits[i], edits[i+1], 1)
	}
	s, r := bootstrap.Load("zkboot.yaml", []byte(src))
	if r.Failed() {
		t.Fatal(r.Err())
	}
	return s
}

func archives() []Archive {
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("packed")), nil }
	return []Archive{{Arch: "amd64", SHA512: strings.Repeat("ab", 64), Open: open}}
}

func debian12() bootstrap.Facts {
	return bootstrap.Facts{Arch: "amd64", OS: verify.OS{ID: "debian", VersionID: "12", Codename: "bookworm", Pretty: "Debian GNU/Linux 12 (bookworm)"}}
}

// bare is a site of hosts with nothing on them.
func bare(s *bootstrap.Spec) bootstrap.Site {
	now := bootstrap.Site{Hosts: map[string]bootstrap.Seen{}}
	for _, name := range s.HostNames() {
		now.Hosts[name] = bootstrap.Seen{Facts: debian12()}
	}
	return now
}

// with puts things on a host of the site.
func with(now bootstrap.Site, host string, facts bootstrap.Facts, state bootstrap.State) bootstrap.Site {
	now.Hosts[host] = bootstrap.Seen{Facts: facts, State: state}
	return now
}

// finding returns the finding at a path whose text holds part, or fails.
func finding(t *testing.T, r bootstrap.Report, path bootstrap.Path, part string) bootstrap.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Path == path && strings.Contains(f.Text, part) {
			return f
		}
	}
	t.Fatalf("no finding at %s with %q; found %+v", path, part, r.Findings)
	return bootstrap.Finding{}
}
