package provider

import (
	"encoding/json"
	"maps"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/zkboot/zkboot/bootstrap"
)

// allSidecar is a spec in which everything is set that zkboot_sidecar knows.
const allSidecar = `
name: shop
placement: {countries: [NO]}
hosts: {app1: {address: 10.0.0.101, country: "NO"}, app2: {address: 10.0.0.102, country: "NO"}}
tuning: {disabled: true, sysctl: {net.core.somaxconn: "8192"}}
registries: {main: {zookeeper: {servers: ["10.0.0.1:2181", "10.0.0.2:2181"], session: 6s, auth_file: /etc/zkwatch/auth}}}
services: {inventory: {registry: main, path: /services/inventory, format: nerve}}
sidecars:
  app1: &all
    zone: a
    routes:
      inventory:
        service: inventory
        bind: 127.0.0.1:3000
        mode: http
        balance: leastconn
        check: {http: GET /health, expect: status 200, inter: 2s, rise: 2, fall: 3}
        retries: 0
        maxconn: 100
        cookie: SRV
        timeouts: {connect: 1s, client: 30s, server: 30s, queue: 2s, tunnel: 1h}
        breaker: {errors: 10, eject: 40%}
        tiers: {order: [a, b], min: 2}
        labels: {canary: "no"}
        frontend: [acl api path_beg /api]
        backend: [http-request set-header X-Via sidecar]
    register:
      inventory:
        service: inventory
        address: 10.0.0.9
        port: 8080
        check: {http: "https://127.0.0.1:8080/health", status: [200, 204], body: ok, headers: {X-Probe: "1"}, insecure: true, interval: 1s, timeout: 500ms, rise: 2, fall: 3}
        weight: 10
        labels: {canary: "no"}
        zone: b
    guard: {threshold: 60%, min: 3, hold: 1m}
    drain: {spool: /var/spool/hacheck, on_term: drain, grace: 5s, timeout: 30s}
    stats: 127.0.0.1:3999
  app2: *all
`

// sidecarConfiguration is how Terraform hands over a spec whose sidecars are all alike.
func sidecarConfiguration(t testing.TB, s *bootstrap.Spec) tftypes.Value {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	one, _ := all["sidecars"].(map[string]any)["app1"].(map[string]any)
	delete(all, "sidecars")
	delete(all, "ssh")      // of the provider block
	delete(all, "hardware") // of ensembles
	maps.Copy(all, one)
	return value(t, sidecarSchema(t.Context()).Type().TerraformType(t.Context()), all)
}

func TestSidecarOfAConfigurationIsThatOfTheFile(t *testing.T) {
	want, report := bootstrap.Load("zkboot.yaml", []byte(allSidecar))
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	want.SSH = bootstrap.SSH{User: "debian"}
	got, err := sidecar().specOf(sidecarConfiguration(t, want), bootstrap.SSH{User: "debian"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(bootstrap.Spec{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-file +configuration):\n%s", diff)
	}
}

// Every field that a sidecar has in the file has an attribute of its name, and there is no
// other attribute.
func TestSidecarSchemaHasTheNamesOfTheFile(t *testing.T) {
	want, _ := fieldsOf(reflect.TypeFor[bootstrap.Spec]())
	for _, elsewhere := range []string{"ssh", "ensemble", "hardware", "sidecars"} {
		delete(want, elsewhere)
	}
	own, _ := fieldsOf(reflect.TypeFor[bootstrap.Sidecar]())
	maps.Copy(want, own)
	// A sidecar has no huge pages and no swap of its own, and of the registries the one that
	// is there; the ensemble of the same spec is another resource here.
	want["tuning"] = reflect.TypeFor[struct {
		Disabled bool              `json:"disabled"`
		Sysctl   map[string]string `json:"sysctl"`
	}]()
	want["registries"] = reflect.TypeFor[map[string]struct {
		ZooKeeper bootstrap.ZooKeeperServers `json:"zookeeper"`
	}]()
	have := sidecarSchema(t.Context()).Type().TerraformType(t.Context()).(tftypes.Object).AttributeTypes
	for name := range have {
		if _, ok := sidecar().place(name); !ok {
			delete(have, name)
		}
	}
	compareNames(t, "zkboot_sidecar", want, have)
}

func TestAttributeOfAPlaceInASidecar(t *testing.T) {
	at := bootstrap.Path("sidecars").Key("app1")
	for _, c := range []struct {
		at   bootstrap.Path
		want path.Path
	}{
		{at.Field("routes").Key("inventory").Field("bind"), path.Root("routes").AtMapKey("inventory").AtName("bind")},
		{at.Field("register").Key("x").Field("check").Field("status").Index(1), path.Root("register").AtMapKey("x").AtName("check").AtName("status").AtListIndex(1)},
		{at.Field("stats"), path.Root("stats")},
		{bootstrap.Path("registries").Key("main").Field("zookeeper").Field("servers").Index(0), path.Root("registries").AtMapKey("main").AtName("zookeeper").AtName("servers").AtListIndex(0)},
		{bootstrap.Path("hosts").Key("app1"), path.Root("hosts").AtMapKey("app1")},
	} {
		if got, ok := sidecar().attribute(c.at); !ok || !got.Equal(c.want) {
			t.Errorf("%s: got %s (%v), want %s", c.at, got, ok, c.want)
		}
	}
	for _, at := range []bootstrap.Path{at, "sidecars", "ensemble.heap", "hardware.profile"} {
		if got, ok := sidecar().attribute(at); ok {
			t.Errorf("%q became %s", at, got)
		}
	}
}

// What is wrong on all hosts alike is said once.
func TestAlikeHostsAreNotRepeated(t *testing.T) {
	want, report := bootstrap.Load("zkboot.yaml", []byte(allSidecar))
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	for name, s := range want.Sidecars {
		s.Stats = "nowhere"
		want.Sidecars[name] = s
	}
	got := sidecar().diagnostics(want.Validate())
	if len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
