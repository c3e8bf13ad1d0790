package verify

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// histogramMax is the longest latency that is told apart; a longer one
	// counts as this in percentiles and is still exact in Max and Mean.
	histogramMax = 2 * time.Minute
	// histogramDigits keeps percentiles within 0.1 % of the true sample.
	histogramDigits = 3
	// tailSamples is how many samples a p99.9 needs: below it rests on fewer than ten.
	tailSamples = 10_000
)

// histogram counts latencies in bounded memory (about 200 KB), however long
// the probe runs and however fast the disk is.
type histogram struct {
	counts                  *hdr.Histogram
	sum, max                time.Duration
	over10, over100, over1s int64
}

func newHistogram() *histogram {
	return &histogram{counts: hdr.New(int64(time.Microsecond), int64(histogramMax), histogramDigits)}
}

func (h *histogram) add(took time.Duration) {
	took = max(took, 0)
	h.sum += took
	h.max = max(h.max, took)
	if took > 10*time.Millisecond {
		h.over10++
	}
	if took > 100*time.Millisecond {
		h.over100++
	}
	if took > time.Second {
		h.over1s++
	}
	// Cannot fail: the value lies within the bounds given to hdr.New.
	_ = h.counts.RecordValue(int64(min(took, histogramMax)))
}

func (h *histogram) quantile(percent float64) float64 {
	// The histogram rounds up to its bucket; no percentile exceeds the maximum.
	return milliseconds(min(time.Duration(h.counts.ValueAtQuantile(percent)), h.max))
}

// latency summarizes what was added. Of nothing it is the zero Latency.
func (h *histogram) latency() Latency {
	n := h.counts.TotalCount()
	if n == 0 {
		return Latency{}
	}
	l := Latency{
		Samples: n,
		P50:     h.quantile(50), P90: h.quantile(90), P95: h.quantile(95), P99: h.quantile(99),
		Max:    milliseconds(h.max),
		Mean:   milliseconds(h.sum) / float64(n),
		Over10: h.over10, Over100: h.over100, Over1s: h.over1s,
	}
	if n >= tailSamples {
		p999 := h.quantile(99.9)
		l.P999 = &p999
	}
	return l
}

// timeline is a histogram that is also cut into windows of equal length.
type timeline struct {
	all, now *histogram
	width    time.Duration
	start    time.Duration // of the window in progress
	windows  []Window
}

func newTimeline(width time.Duration) *timeline {
	return &timeline{all: newHistogram(), now: newHistogram(), width: width}
}

// add records a sample that ended at the given time since the loop began.
func (t *timeline) add(at, took time.Duration) {
	t.all.add(took)
	if t.width <= 0 {
		return
	}
	if at >= t.start+t.width {
		t.cut()
		t.start = at - at%t.width
	}
	t.now.add(took)
}

// cut closes the window in progress; a window without samples leaves no trace,
// because the stall that emptied it is in the sample that ended it.
func (t *timeline) cut() {
	l := t.now.latency()
	if l.Samples > 0 {
		t.windows = append(t.windows, Window{Start: t.start.Seconds(), Samples: l.Samples, P50: l.P50, P99: l.P99, Max: l.Max})
	}
	t.now = newHistogram()
}

// finish returns the summary and all windows.
func (t *timeline) finish() (Latency, []Window) {
	t.cut()
	return t.all.latency(), t.windows
}

// spreadSamples is how many samples a window needs for its p99 to be compared.
const spreadSamples = 100

// spread is the largest p99 of the windows divided by the smallest: how bursty
// the neighbours are. It is false for fewer than two windows with enough samples.
func spread(windows []Window) (float64, bool) {
	var low, high float64
	seen := 0
	for _, w := range windows {
		if w.Samples < spreadSamples || w.P99 <= 0 {
			continue
		}
		if seen == 0 || w.P99 < low {
			low = w.P99
		}
		high = max(high, w.P99)
		seen++
	}
	if seen < 2 {
		return 0, false
	}
	return high / low, true
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
