package verify

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// siteReport is a site with one host of each kind.
func siteReport(t *testing.T) Report {
	ssd := profile(t, ProfileSSD)
	good, slow := goodFacts(), goodFacts()
	slow.Virtualization.Container = "lxc"
	slow.Pressure.IO = nil
	sluggish := goodResult()
	sluggish.Fsync.P99, sluggish.Fsync.P999, sluggish.Fsync.Samples = 61.5, nil, 900
	sluggish.Fsync.Paced, sluggish.Fsync.Interference, sluggish.Fsync.Windows = nil, nil, nil
	sluggish.Fsync.SyncError = "a message\nof two lines with <tags> & \"quotes\""
	ok := goodResult()
	ok.Fsync.Sizes = []SizeLatency{{Bytes: 85, Latency: ok.Fsync.Latency}}
	r := Report{
		Hosts: map[string]HostReport{
			"zk2": {Checks: Join(JudgeHost(slow, goodNeeds(), ssd), JudgeProbe(sluggish, ssd)), Fsync: sluggish.Fsync},
			"zk1": {Checks: Join(JudgeHost(good, goodNeeds(), ssd), JudgeProbe(ok, ssd)), Fsync: ok.Fsync},
			"zk3": {Checks: []Check{Finding("host.reachable", Fail, "203.0.113.13:22", "connection refused")}},
		},
		Pairs: []PairReport{
			{From: "zk2", To: "zk1", Checks: JudgePair(PairFacts{Net: &NetResult{NetTarget: NetTarget{Name: "zk1", Addr: "10.0.0.1:2888"}, Sent: 100, Lost: 100, Error: "i/o timeout"}}, ssd)},
			{From: "zk1", To: "zk2"},
		},
		Ensemble: EnsembleReport{Checks: []Check{Finding("ensemble.quorum", Pass, "2 of 3 serve", ""), ssd.Figure("ensemble.flush.p99", 12)}},
	}
	r.Conclude()
	return r
}

func TestReportGoldens(t *testing.T) {
	for name, write := range map[string]func(Report, io.Writer) error{
		"report.txt": Report.WriteText, "report.json": Report.WriteJSON,
		"report.xml": Report.WriteJUnit, "report.html": Report.WriteHTML,
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(siteReport(t), &b); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.String())
			if err := write(siteReport(t), brokenWriter{}); !errors.Is(err, errBroken) {
				t.Errorf("writing to a broken pipe gives %v", err)
			}
		})
	}
}

var errBroken = errors.New("broken pipe")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestConclude(t *testing.T) {
	r := siteReport(t)
	for name, want := range map[string]Verdict{"zk1": Pass, "zk2": Fail, "zk3": Fail} {
		if got := r.Hosts[name].Verdict; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if r.Verdict != Fail {
		t.Errorf("the site is %s, want fail", r.Verdict)
	}
	for name, only := range map[string]Report{
		"pairs":    {Pairs: []PairReport{{Checks: []Check{{Verdict: Warn}}}}},
		"ensemble": {Ensemble: EnsembleReport{Checks: []Check{{Verdict: Warn}}}},
		"site":     {Checks: []Check{{Verdict: Warn}}},
	} {
		if only.Conclude(); only.Verdict != Warn {
			t.Errorf("a warning of the %s does not reach the verdict: %s", name, only.Verdict)
		}
	}
}

// TestJSONContract holds the shape that scripts rely on, also of an empty report.
func TestJSONContract(t *testing.T) {
	var b bytes.Buffer
	if err := (Report{Verdict: NotApplicable}).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	want := `{"verdict":"n/a","checks":[],"ensemble":{"checks":[]},"pairs":[],"hosts":{}}`
	if got := compact.String(); got != want {
		t.Errorf("an empty report is %s, want %s", got, want)
	}

	b.Reset()
	if err := siteReport(t).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var full struct {
		Pairs []struct {
			Checks []map[string]any
		}
		Hosts map[string]struct {
			Checks []map[string]any
			Fsync  map[string]any
		}
	}
	if err := json.Unmarshal(b.Bytes(), &full); err != nil {
		t.Fatal(err)
	}
	if full.Pairs[0].Checks == nil {
		t.Error("a pair without checks has null instead of []")
	}
	for _, key := range []string{"id", "verdict", "value", "text", "unit", "warn", "fail", "why", "hint"} {
		if _, ok := full.Hosts["zk3"].Checks[0][key]; !ok {
			t.Errorf("a check lacks %q", key)
		}
	}
	for _, key := range []string{"samples", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "ops_per_s", "flushes_per_op", "windows"} {
		if _, ok := full.Hosts["zk2"].Fsync[key]; !ok {
			t.Errorf("fsync lacks %q", key)
		}
	}
	if _, null := full.Hosts["zk2"].Fsync["windows"].([]any); !null {
		t.Error("windows is not a list when there are none")
	}
}

func TestForeignTextIsEscaped(t *testing.T) {
	var page, suite bytes.Buffer
	r := siteReport(t)
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<tags>") {
		t.Error("the page contains a tag from an error message")
	}
	if err := r.WriteJUnit(&suite); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(suite.Bytes(), new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("the JUnit file is not well-formed: %v", err)
	}
}
