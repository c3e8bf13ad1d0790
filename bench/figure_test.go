package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		f       figure
		verdict string
		target  string
	}{
		{figure{Measured: 1.3, Unit: "x", Max: new(1.3)}, "ok", "<= 1.3x"},
		{figure{Measured: 1.31, Unit: "x", Max: new(1.3)}, "over", "<= 1.3x"},
		{figure{Measured: 0, Unit: "MB", Max: new(0.0)}, "ok", "<= 0 MB"},
		{figure{Measured: 8, Unit: "MB", Max: new(0.0)}, "over", "<= 0 MB"},
		{figure{Measured: 0.66, Unit: "x", Min: new(0.67), Max: new(1.5)}, "under", "0.67 to 1.5x"},
		{figure{Measured: 1.5, Unit: "x", Min: new(0.67), Max: new(1.5)}, "ok", "0.67 to 1.5x"},
		{figure{Measured: 500, Unit: "/s", Min: new(500.0)}, "ok", ">= 500 /s"},
		{figure{Measured: 42, Unit: "MB"}, "-", "-"},
	} {
		if got := c.f.judged().Verdict; got != c.verdict {
			t.Errorf("%v within %s: %s, want %s", c.f.Measured, c.f.target(), got, c.verdict)
		}
		if got := c.f.target(); got != c.target {
			t.Errorf("target %q, want %q", got, c.target)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.in, got, c.want)
		}
	}
}

// someResult has a figure of every kind.
func someResult() result {
	return result{
		Machine: machine{CPUs: 2, Kernel: "6.1.0-18-amd64", Load: "0.10 0.20 0.30", Go: "go1.26"},
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Figures: []figure{
			figure{Name: "agent", Unit: "MB", Max: new(9.0), Measured: 8.19, Note: "the larger of two"}.judged(),
			figure{Name: "apply against apt", Unit: "x", Max: new(1.3), Measured: 1.4}.judged(),
			figure{Name: "round trips", Max: new(2.0), Measured: 2}.judged(),
			figure{Name: "peak memory", Unit: "MB", Measured: 60}.judged(),
			{Name: "fsync", Failed: "fio is not there"},
		},
	}
}

func TestTable(t *testing.T) {
	const golden = "testdata/table.golden"
	var b bytes.Buffer
	if err := someResult().writeText(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

// A figure beyond its target is a result; one that could not be measured is a failure.
func TestExit(t *testing.T) {
	r := someResult()
	err := r.publish("-", new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "fsync could not be measured: fio is not there") {
		t.Errorf("with a figure that is missing: %v", err)
	}
	r.Figures = r.Figures[:len(r.Figures)-1]
	var out bytes.Buffer
	if err := r.publish("-", &out); err != nil {
		t.Errorf("with a figure over its target: %v", err)
	}
	if !strings.Contains(out.String(), `"verdict": "over"`) {
		t.Errorf("no verdict over in\n%s", &out)
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct{ args, err string }{
		{"-rounds 0", "want at least 1"},
		{"-fsync 10ms", "want at least 1, 1, 1, 1 and 1s"},
		{"extra", `unexpected "extra"`},
		{"-only plan,plam", `unknown or double part "plam"`},
	} {
		err := run(t.Context(), strings.Fields(c.args), new(bytes.Buffer), new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("bench %s: %v, want %q", c.args, err, c.err)
		}
	}
	if err := run(t.Context(), []string{"--help"}, new(bytes.Buffer), new(bytes.Buffer)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

// testdata/fio.json is what fio 3.33 printed; there a sync took 25 times as long as the
// copy to the page cache that its clat counts.
func TestParseFio(t *testing.T) {
	out, err := os.ReadFile("testdata/fio.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseFio(out)
	if want := (latency{0.333824, 24.248320}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, c := range []struct{ in, err string }{
		{"fio: engine not found", "fio's report: "},
		{`{"jobs": []}`, "has 0 jobs, want 1"},
		{`{"jobs": [{"write": {"clat_ns": {"N": 9, "percentile": {"50.000000": 1, "99.000000": 2}}}}]}`, "no sync.lat_ns percentiles (0 samples)"},
	} {
		if _, err := parseFio([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.in, err, c.err)
		}
	}
}
