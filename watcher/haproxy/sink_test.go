package haproxy

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zkboot/zkboot/watcher"
	"github.com/zkboot/zkboot/watcher/config"
)

func one(service string) map[string]config.Route {
	return map[string]config.Route{"a": route(service)}
}

func TestAnInstanceThatComesOrGoesIsAFewCommands(t *testing.T) {
	r := started(t, one("inventory"))
	steps := []struct {
		name string
		set  []watcher.Instance
		want []string
	}{
		{"two come", some(1, 3), []string{
			"set server zkwatch-a/s1 addr 10.0.0.2 port 80", "set server zkwatch-a/s1 state ready",
			"set server zkwatch-a/s2 addr 10.0.0.3 port 80", "set server zkwatch-a/s2 state ready"}},
		{"nothing changed", some(1, 3), nil},
		{"a weight", []watcher.Instance{heavy(at(1), 7), at(2)}, []string{"set server zkwatch-a/s1 weight 7"}},
		{"one drains", []watcher.Instance{heavy(at(1), 7), draining(at(2))}, []string{"set server zkwatch-a/s2 state drain"}},
		{"one leaves and one comes: first the one that comes", []watcher.Instance{heavy(at(1), 7), at(3)}, []string{
			"set server zkwatch-a/s3 addr 10.0.0.4 port 80", "set server zkwatch-a/s3 state ready",
			"set server zkwatch-a/s2 state maint"}},
		{"it returns to its slot", []watcher.Instance{heavy(at(1), 7), at(2), at(3)}, []string{"set server zkwatch-a/s2 state ready"}},
		{"all leave", nil, []string{"set server zkwatch-a/s1 state maint", "set server zkwatch-a/s2 state maint", "set server zkwatch-a/s3 state maint"}},
	}
	for _, step := range steps {
		out := r.apply(t, "inventory", step.set...)
		if diff := cmp.Diff(step.want, r.fake.sent()); diff != "" {
			t.Errorf("%s: commands (-want +got):\n%s", step.name, diff)
		}
		if out.Pending || len(step.want) == 0 && len(out.Actions) > 0 {
			t.Errorf("%s: outcome is %+v", step.name, out)
		}
	}
}

func heavy(i watcher.Instance, weight int) watcher.Instance { i.Weight = weight; return i }
func draining(i watcher.Instance) watcher.Instance          { i.Draining = true; return i }

// Scenario 30: zkwatch is killed, upgraded, or gets a new configuration of no consequence here.
func TestARestartOfZkwatchChangesNothing(t *testing.T) {
	r := started(t, one("inventory"))
	r.apply(t, "inventory", append(some(1, 3), draining(at(3)), heavy(at(4), 9))...)
	r.tick(t)
	r.fake.sent()
	before := stamp(t, r.o.Config.File)

	next := rigFor(t, config.Config{HAProxy: r.o.Config, Routes: r.o.Routes}, r.fake)
	out := next.tick(t)
	if len(out.Actions) > 0 {
		t.Errorf("before any set was known it did %q", texts(out))
	}
	next.apply(t, "inventory", append(some(1, 3), draining(at(3)), heavy(at(4), 9))...)
	if out := next.tick(t); len(out.Actions) > 0 {
		t.Errorf("with the same set it did %q", texts(out))
	}
	if got := r.fake.sent(); len(got) > 0 {
		t.Errorf("commands: %q", got)
	}
	if after := stamp(t, r.o.Config.File); after != before {
		t.Errorf("the file was written: %s, then %s", before, after)
	}
	next.apply(t, "inventory", at(4))
	if got := next.fake.serving("zkwatch-a"); !maps.Equal(got, map[string]string{"10.0.0.5:80": "weight 1"}) {
		t.Errorf("after the first change it serves %v", got)
	}
}

func stamp(t *testing.T, file string) string {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return st.ModTime().String()
}

func TestWithoutHAProxyTheFileIsWrittenAndServedWhenItStarts(t *testing.T) {
	r := newRig(t, one("inventory"))
	out := r.apply(t, "inventory", some(1, 4)...)
	if !out.Pending || len(out.Actions) > 0 {
		t.Errorf("outcome without a HAProxy: %+v, want pending and nothing done", out)
	}
	if out := r.tick(t); !slices.Equal(texts(out), []string{"write: " + r.o.Config.File}) {
		t.Errorf("it did %q, want the write of the file", texts(out))
	}
	r.fake.start()
	out = r.tick(t)
	if len(out.Actions) > 0 || out.Pending || len(r.fake.sent()) > 0 {
		t.Errorf("HAProxy had started with the file, and yet it did %+v", out)
	}
	if got, want := r.fake.serving("zkwatch-a"), (map[string]string{"10.0.0.2:80": "weight 1", "10.0.0.3:80": "weight 1", "10.0.0.4:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("it serves %v, want %v", got, want)
	}
}

func TestSetsThatAreNotKnownYetLeaveServersAlone(t *testing.T) {
	routes := map[string]config.Route{"a": route("inventory"), "b": {Service: "orders", Bind: "127.0.0.1:3001"}}
	r := started(t, routes)
	r.apply(t, "inventory", some(1, 3)...)
	r.apply(t, "orders", some(5, 7)...)
	r.tick(t)

	next := rigFor(t, config.Config{HAProxy: r.o.Config, Routes: r.o.Routes}, r.fake)
	next.apply(t, "inventory", some(1, 2)...)
	next.tick(t)
	if got, want := r.fake.serving("zkwatch-b"), (map[string]string{"10.0.0.6:80": "weight 1", "10.0.0.7:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("orders, of which nothing is known, has %v, want %v", got, want)
	}
	if got, want := r.fake.serving("zkwatch-a"), (map[string]string{"10.0.0.2:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("inventory has %v, want %v", got, want)
	}
}

func TestSeveralRoutesOfOneServiceChooseByLabel(t *testing.T) {
	routes := map[string]config.Route{
		"all":  {Service: "inventory", Bind: "127.0.0.1:3000"},
		"blue": {Service: "inventory", Bind: "127.0.0.1:3001", Labels: config.Labels{"color": "blue"}},
	}
	r := started(t, routes)
	blue := at(2)
	blue.Labels = map[string]string{"color": "blue", "rack": "7"}
	r.apply(t, "inventory", at(1), blue)
	if got, want := r.fake.serving("zkwatch-all"), (map[string]string{"10.0.0.2:80": "weight 1", "10.0.0.3:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("all has %v, want %v", got, want)
	}
	if got, want := r.fake.serving("zkwatch-blue"), (map[string]string{"10.0.0.3:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("blue has %v, want %v", got, want)
	}
}

func TestAnInstanceThatHAProxyCannotReachIsRefusedAlone(t *testing.T) {
	r := started(t, one("inventory"))
	odd := at(2)
	odd.Host = "app2.example.net\nset server zkwatch-a/s1 state maint"
	out := r.apply(t, "inventory", at(1), odd)
	if got, want := r.fake.serving("zkwatch-a"), (map[string]string{"10.0.0.2:80": "weight 1"}); !maps.Equal(got, want) {
		t.Errorf("it serves %v, want %v", got, want)
	}
	if len(out.Actions) != 2 || out.Actions[0].Kind != "refused" || out.Actions[0].Service != "inventory" {
		t.Errorf("outcome %+v, want the refusal of i002 first", out)
	}
	if out := r.apply(t, "inventory", at(1), heavy(odd, 3)); len(out.Actions) > 0 {
		t.Errorf("the same refusal is reported again: %+v", out)
	}
}

// Somebody may reload HAProxy in the second after the first start: a file without instances
// would answer everything with 503.
func TestTheFirstInstancesAreInTheFileAtOnce(t *testing.T) {
	r := newRig(t, one("inventory"))
	var out watcher.Outcome
	r.flush(t.Context(), false, &out) // what a host has that knows nothing yet
	r.apply(t, "inventory", some(1, 3)...)
	r.flush(t.Context(), false, &out)
	b, err := os.ReadFile(r.o.Config.File)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "10.0.0.2:80") {
		t.Errorf("the instances are not in the file:\n%s", b)
	}
}
