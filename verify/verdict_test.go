package verify

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWorst(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   []Verdict
		want Verdict
	}{
		{"nothing was looked at", nil, NotApplicable},
		{"unknown does not worsen pass", []Verdict{Unknown, Pass, Unknown}, Pass},
		{"n/a does not worsen pass", []Verdict{NotApplicable, Pass}, Pass},
		{"only unknown is not a pass", []Verdict{Unknown, NotApplicable}, Unknown},
		{"warn beats pass", []Verdict{Pass, Warn, Pass}, Warn},
		{"fail beats all", []Verdict{Warn, Fail, Pass, Unknown}, Fail},
		{"a verdict nobody knows is a failure", []Verdict{Pass, "green"}, "green"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Worst(tt.of...); got != tt.want {
				t.Errorf("Worst(%v) = %s, want %s", tt.of, got, tt.want)
			}
		})
	}
}

func TestFigure(t *testing.T) {
	th := Thresholds{Limits: map[string]Limit{
		"disk.fsync.p99":  between(10, 50),
		"disk.fsync.rate": between(500, 50),
		"psi.io":          warnOnly(5),
	}}
	for _, tt := range []struct {
		id    string
		value float64
		want  Verdict
		why   string
	}{
		{"disk.fsync.p99", 10, Pass, ""},
		{"disk.fsync.p99", 10.1, Warn, "10.1 ms is above 10 ms"},
		{"disk.fsync.p99", 50, Warn, "50 ms is above 10 ms"},
		{"disk.fsync.p99", 50.1, Fail, "50.1 ms is above the limit of 50 ms"},
		{"disk.fsync.rate", 500, Pass, ""},
		{"disk.fsync.rate", 499, Warn, "499/s is below 500/s"},
		{"disk.fsync.rate", 49, Fail, "49/s is below the limit of 50/s"},
		{"psi.io", 99, Warn, "99% is above 5%"},
		{"net.loss", 99, Pass, ""}, // no limit in these thresholds
	} {
		c := th.Figure(tt.id, tt.value)
		if c.Verdict != tt.want || c.Why != tt.why {
			t.Errorf("%s at %v: %s because %q, want %s because %q", tt.id, tt.value, c.Verdict, c.Why, tt.want, tt.why)
		}
		if (c.Hint != "") != (c.Verdict != Pass) {
			t.Errorf("%s at %v: verdict %s has hint %q", tt.id, tt.value, c.Verdict, c.Hint)
		}
	}
}

func TestFigureIsMonotone(t *testing.T) {
	var ids []string
	for _, c := range Checks() {
		ids = append(ids, c.ID)
	}
	rapid.Check(t, func(t *rapid.T) {
		th, _ := Profile(rapid.SampledFrom(Profiles()).Draw(t, "profile"))
		id := rapid.SampledFrom(ids).Draw(t, "id")
		better := rapid.Float64Range(0, 1e12).Draw(t, "better")
		worse := rapid.Float64Range(0, 1e12).Draw(t, "worse")
		about, _ := info(id)
		if better > worse != about.Floor {
			better, worse = worse, better
		}
		b, w := th.Figure(id, better), th.Figure(id, worse)
		if b.Verdict.rank() > w.Verdict.rank() {
			t.Fatalf("%s: %v is %s, but %v is %s", id, better, b.Verdict, worse, w.Verdict)
		}
	})
}

func TestChecksAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.ID] {
			t.Errorf("%s is listed twice", c.ID)
		}
		seen[c.ID] = true
		if c.What == "" || c.Source == "" || c.Hint == "" {
			t.Errorf("%s lacks what, source or hint", c.ID)
		}
		if strings.ToLower(c.ID) != c.ID || !strings.Contains(c.ID, ".") {
			t.Errorf("%s is not in the form area.name", c.ID)
		}
	}
	for _, name := range Profiles() {
		for id, l := range profile(t, name).Limits {
			about, _ := info(id)
			if !seen[id] {
				t.Errorf("profile %s limits %s, which is not listed", name, id)
			}
			if l.Warn != nil && l.Fail != nil && (*l.Warn > *l.Fail) != about.Floor && *l.Warn != *l.Fail {
				t.Errorf("profile %s, %s: warn %v lies beyond fail %v", name, id, *l.Warn, *l.Fail)
			}
		}
	}
}

func TestJoin(t *testing.T) {
	since, now := 1.0, 12.0
	got := Join(
		[]Check{{ID: "time.sync", Verdict: Pass}, {ID: "cpu.steal", Verdict: Pass, Value: &since}},
		[]Check{{ID: "cpu.steal", Verdict: Fail, Value: &now}, {ID: "host.os", Verdict: Unknown}},
	)
	var ids []string
	for _, c := range got {
		ids = append(ids, c.ID)
	}
	if want := []string{"host.os", "cpu.steal", "time.sync"}; !slices.Equal(ids, want) {
		t.Errorf("order is %v, want that of Checks: %v", ids, want)
	}
	if c := find(t, got, "cpu.steal"); *c.Value != now {
		t.Errorf("the better of two cpu.steal was kept: %v", *c.Value)
	}
}
