package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zkboot/zkboot/watcher/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func full(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const small = `host: app1
registries: {main: {zookeeper: {servers: [127.0.0.1:2181]}}}
services: {inventory: {registry: main, path: /services/inventory/instances}}
routes: {inventory: {service: inventory, bind: 127.0.0.1:3000, tiers: {order: [a]}}}
register: {inventory-1: {service: inventory, address: 10.0.0.11, port: 8080, check: {tcp: 127.0.0.1:8080}}}
`

func load(t testing.TB, src string) *config.Config {
	t.Helper()
	c, err := config.Load("zkwatch.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func loadError(src string) error {
	_, err := config.Load("zkwatch.yaml", []byte(src))
	return err
}

// The file says something for every setting there is, and every one of them arrives.
func TestLoadReadsEverySetting(t *testing.T) {
	c := load(t, full(t))
	for _, at := range unset("", reflect.ValueOf(*c)) {
		switch at { // each has its own in another entry
		case ".routes[inventory].breaker.off", ".haproxy.disabled",
			".register[inventory-1].check.tcp", ".register[inventory-1].check.exec":
		default:
			if strings.HasPrefix(at, ".routes[inventory]") || strings.HasPrefix(at, ".register[inventory-1]") ||
				!strings.HasPrefix(at, ".routes") && !strings.HasPrefix(at, ".register[") && !strings.HasPrefix(at, ".services") {
				t.Errorf("%s did not arrive", at)
			}
		}
	}
	r, s := c.Routes["inventory"], c.Register["inventory-1"]
	if *r.Retries != 0 || r.Breaker.Eject != 30 || r.Timeouts.Tunnel != config.Duration(2*time.Hour) || r.Frontend[1] != `http-request set-header X-Cost "100\$ # each" if api` {
		t.Errorf("route: %+v", r)
	}
	if s.Check.Headers["Authorization"] != "Bearer x" || s.Check.Status[1] != 204 || s.Zone != "eu-1c" {
		t.Errorf("registration: %+v", s)
	}
}

// unset lists the places below v that have no value.
func unset(at string, v reflect.Value) []string {
	var out []string
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			out = append(out, unset(at+"."+name, v.Field(i))...)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if v.Type().Elem().Kind() == reflect.Struct {
				out = append(out, unset(fmt.Sprintf("%s[%s]", at, k), v.MapIndex(k))...)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Elem().Kind() == reflect.Struct {
			return unset(at, v.Elem())
		}
	}
	if v.IsZero() {
		out = append(out, at)
	}
	return out
}

// What a file leaves out is what this golden file says.
func TestDefaults(t *testing.T) {
	b, err := config.Marshal(load(t, small))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "defaults.yaml", b)
}

func TestDefaultLeavesWhatIsSharedAlone(t *testing.T) {
	c := load(t, small)
	c.Routes = map[string]config.Route{"inventory": {Service: "inventory", Bind: "127.0.0.1:3000", Tiers: &config.Tiers{}}}
	routes, tiers, z := c.Routes, c.Routes["inventory"].Tiers, c.Registries["main"].ZooKeeper
	z.Session = 0
	config.Default(c)
	if routes["inventory"].Mode != "" || tiers.Min != 0 || z.Session != 0 {
		t.Errorf("changed: %+v, %+v, %+v", routes, tiers, z)
	}
	if r := c.Routes["inventory"]; r.Mode != "http" || r.Tiers.Min != 1 || c.Registries["main"].ZooKeeper.Session == 0 {
		t.Errorf("not filled in: %+v", c)
	}
}

// Defaults that depend on something else.
func TestDefaultsThatFollow(t *testing.T) {
	src := strings.Replace(small, "host: app1", "host: app1\naddress: 10.0.0.9\nzone: z1", 1)
	src = strings.Replace(src, "address: 10.0.0.11, ", "", 1)
	src = strings.Replace(src, "tcp: 127.0.0.1:8080", "tcp: 127.0.0.1:8080, interval: 300ms", 1)
	c := load(t, src)
	if r := c.Register["inventory-1"]; r.Address != "10.0.0.9" || r.Zone != "z1" || r.Check.Timeout != config.Duration(300*time.Millisecond) {
		t.Errorf("the registration is %+v", r)
	}
	if c.Board.Registry != "main" {
		t.Errorf("the board is in %q, want the only registry", c.Board.Registry)
	}
}

func TestMarshalReadsBackAsTheSame(t *testing.T) {
	for name, src := range map[string]string{"full": full(t), "small": small} {
		t.Run(name, func(t *testing.T) { roundTrip(t, load(t, src)) })
	}
}

func roundTrip(t *testing.T, c *config.Config) {
	t.Helper()
	first, err := config.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := config.Load("back.yaml", first)
	if err != nil {
		t.Fatalf("%v\n%s", err, first)
	}
	if diff := cmp.Diff(c, back, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	second, err := config.Marshal(back)
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Errorf("not stable:\n%s\n%s", first, second)
	}
}

func TestJSONIsReadToo(t *testing.T) {
	c := load(t, `{"host": "app1", "registries": {"main": {"zookeeper": {"servers": ["10.0.0.1:2181"]}}}, "guard": {"hold": "1m", "threshold": "20%"}}`)
	if c.Guard.Threshold != 20 || c.Guard.Hold != config.Duration(time.Minute) {
		t.Errorf("guard: %+v", c.Guard)
	}
}

// A setting has one name in every notation.
func TestNamesAgree(t *testing.T) {
	var walk func(typ reflect.Type)
	seen := map[reflect.Type]bool{}
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Map || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			j, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			y, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if j == "" || j != y {
				t.Errorf("%s.%s is %q in JSON and %q in YAML", typ, f.Name, j, y)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[config.Config]())
}

func TestFindingsAreAnErrorOnlyWhenThereAreAny(t *testing.T) {
	if err := (config.Findings{}).Err(); err != nil {
		t.Errorf("no findings are the error %v", err)
	}
	_, err := config.Load("zkwatch.yaml", []byte(""))
	var found config.Findings
	if !errors.As(err, &found) || len(found) != 1 || found[0].Error() != "zkwatch.yaml:1:1: the file is empty" {
		t.Errorf("%v", err)
	}
}

func TestSharesAndTimes(t *testing.T) {
	for _, text := range []string{"0%", "101%", "50", "-1%", "%", "1.5%"} {
		var p config.Percent
		if err := p.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	var d config.Duration
	if err := d.UnmarshalText([]byte("2")); err == nil || !strings.Contains(err.Error(), `"2" is not a duration`) {
		t.Errorf("a time without a unit: %v", err)
	}
}
