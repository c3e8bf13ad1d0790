package watcher

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/zkboot/zkboot/watcher/config"
)

// gathered is every sample as Prometheus gets it, by its name and labels.
func gathered(t *testing.T, w *Watcher) map[string]float64 {
	t.Helper()
	answer := httptest.NewRecorder()
	w.readers().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	out := map[string]float64{}
	for line := range strings.Lines(answer.Body.String()) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out[name] = v
	}
	return out
}

func TestMetricsSayWhatTheStatusSays(t *testing.T) {
	s := newStage(t, func(c *config.Config) { c.Register = map[string]config.Registration{"web-1": local(t, 8080)} })
	s.start()
	s.awaitAnnounced("web-1")
	eventually(t, "the route to be served", func() bool { return s.proxy.serving("web") != "" })
	eventually(t, "a post", func() bool { return gathered(t, s.Watcher)[`zkwatch_board_posts_total`] > 0 })
	if err := s.Reload(t.Context(), s.Config); err != nil {
		t.Fatal(err)
	}
	s.Refused(errors.New("unreadable"))
	got := gathered(t, s.Watcher)
	for name, want := range map[string]float64{
		`zkwatch_build_info{version="v1"}`:                                           1,
		`zkwatch_service_truth{service="web",truth="known"}`:                         1,
		`zkwatch_service_truth{service="web",truth="empty"}`:                         0,
		`zkwatch_service_truth{service="web",truth="unknown"}`:                       0,
		`zkwatch_service_instances{service="web"}`:                                   2,
		`zkwatch_service_held{service="web"}`:                                        0,
		`zkwatch_service_holds_total{service="web"}`:                                 0,
		`zkwatch_service_changes_total{service="web"}`:                               1,
		`zkwatch_registration_announced{registration="web-1",service="web"}`:         1,
		`zkwatch_registration_healthy{registration="web-1",service="web"}`:           1,
		`zkwatch_registration_draining{registration="web-1",service="web"}`:          0,
		`zkwatch_registration_lag_ignored_total{registration="web-1",service="web"}`: 0,
		`zkwatch_registry_connected{registry="main"}`:                                1,
		`zkwatch_proxy_up`: 1,
		`zkwatch_proxy_actions_total{kind="command"}`:    1,
		`zkwatch_proxy_actions_total{kind="reload"}`:     1,
		`zkwatch_proxy_actions_total{kind="repair"}`:     0,
		"zkwatch_apply_duration_seconds_count":           1,
		`zkwatch_apply_failures_total`:                   0,
		`zkwatch_config_reloads_total{result="loaded"}`:  1,
		`zkwatch_config_reloads_total{result="refused"}`: 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	if n := got[`zkwatch_registration_checks_total{registration="web-1",service="web"}`]; n < 1 {
		t.Errorf("%v checks were counted", n)
	}
}

// A hold that is over before anybody looks is still counted.
func TestHoldsAreCountedAsTheyBegin(t *testing.T) {
	s := newStage(t, nil)
	s.start()
	eventually(t, "the route to be served", func() bool { return s.proxy.serving("web") != "" })
	for n, step := range []struct {
		what  string
		truth Truth
		set   string
		held  float64
		holds float64
	}{
		{"everything is lost", Empty, "", 1, 1},
		{"and seen so again", Empty, "", 1, 1},
		{"it comes back", Known, "10.0.0.1 10.0.0.2", 0, 1},
		{"and is lost once more", Empty, "", 1, 2},
	} {
		at := time.Now()
		s.now.discovery.inbox.put(Snapshot{Service: "web", Truth: step.truth, Revision: int64(10 + n), Instances: set(step.set), At: at, Event: step.what})
		eventually(t, step.what, func() bool { return s.Status("web").Services[0].Read.Equal(at) })
		got := gathered(t, s.Watcher)
		held, holds := got[`zkwatch_service_held{service="web"}`], got[`zkwatch_service_holds_total{service="web"}`]
		if status := s.Status("web").Services[0].Holds; held != step.held || holds != step.holds || float64(status) != step.holds {
			t.Errorf("%s: held is %v after %v holds, and the status has %d; want %v after %v", step.what, held, holds, status, step.held, step.holds)
		}
	}
}

func TestMetricsHaveGoodNames(t *testing.T) {
	s := newStage(t, func(c *config.Config) { c.Register = map[string]config.Registration{"web-1": local(t, 8080)} })
	s.start()
	problems, err := testutil.GatherAndLint(s.metrics.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What somebody writes into the registry makes no new time series.
func TestTheRegistryMakesNoMetrics(t *testing.T) {
	s := newStage(t, nil)
	s.start()
	eventually(t, "the route to be served", func() bool { return s.proxy.serving("web") != "" })
	few := gathered(t, s.Watcher)
	var many []Instance
	for n := range 500 {
		many = append(many, Instance{ID: strings.Repeat("x", n+1), Host: "10.0.0.1", Port: n + 1, Zone: strings.Repeat("z", n), Weight: 1})
	}
	s.now.discovery.inbox.put(Snapshot{Service: "web", Truth: Known, Revision: 8, Instances: many, At: time.Now(),
		Rejected: []Rejection{{ID: "evil", Reason: "evil"}}, Event: "evil"})
	eventually(t, "500 instances", func() bool { return gathered(t, s.Watcher)[`zkwatch_service_instances{service="web"}`] == 500 })
	var grown []string
	for name := range gathered(t, s.Watcher) {
		if _, ok := few[name]; !ok && strings.HasPrefix(name, "zkwatch_") {
			grown = append(grown, name)
		}
	}
	if slices.Sort(grown); len(grown) > 0 {
		t.Errorf("new: %v", grown)
	}
}

// The guide lists every metric with its labels and its help.
func TestMetricsAreDocumented(t *testing.T) {
	s := newStage(t, func(c *config.Config) { c.Register = map[string]config.Registration{"web-1": local(t, 8080)} })
	s.start()
	s.proxy.routes = []ServerCount{{Route: "web"}}
	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	table := "| metric | type | labels | meaning |\n|---|---|---|---|\n"
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "zkwatch_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		table += fmt.Sprintf("| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	table += "\nThe usual `go_` and `process_` metrics are there as well.\n"
	const file, begin, end = "../docs/guides/zkwatch.md", "-update` -->\n", "<!-- end of metrics -->"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(page), begin)
	have, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the metrics", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+table+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		have = table
	}
	if diff := cmp.Diff(have, table); diff != "" {
		t.Errorf("%s (-documented +there); run with -update:\n%s", file, diff)
	}
}
