package verify

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	h := newHistogram()
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * 10 * time.Microsecond)
	}
	h.add(10 * time.Minute) // beyond what the histogram tells apart
	l := h.latency()
	if !near(l.P50, 5.01) || !near(l.P90, 9.01) || !near(l.P99, 9.91) {
		t.Errorf("p50 %v p90 %v p99 %v, want 5.01 9.01 9.91", l.P50, l.P90, l.P99)
	}
	if l.Max != 600_000 || l.Over1s != 1 || l.Over100 != 1 || l.Over10 != 1 {
		t.Errorf("max %v ms, above 1 s %d, 100 ms %d, 10 ms %d; want 600000, 1, 1, 1", l.Max, l.Over1s, l.Over100, l.Over10)
	}
	if got := newHistogram().latency(); got != (Latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestSpreadNeedsTwoFullWindows(t *testing.T) {
	full := Window{Samples: spreadSamples, P99: 2}
	for name, windows := range map[string][]Window{
		"none":       nil,
		"one":        {full},
		"one is few": {full, {Samples: spreadSamples - 1, P99: 50}},
	} {
		if ratio, ok := spread(windows); ok {
			t.Errorf("%s: spread %v", name, ratio)
		}
	}
	if ratio, ok := spread([]Window{full, {Samples: spreadSamples, P99: 7}}); !ok || ratio != 3.5 {
		t.Errorf("spread %v, %v, want 3.5", ratio, ok)
	}
}
