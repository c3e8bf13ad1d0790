package watcher

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what zkwatch counts. Labels have only names of the configuration and words
// of ours as values, so that nobody in a registry can make more of them.
type metrics struct {
	registry *prometheus.Registry
	apply    prometheus.Histogram
	failures prometheus.Counter
	actions  *prometheus.CounterVec
	posts    prometheus.Counter
	unposted prometheus.Counter
	loads    *prometheus.CounterVec
}

// actionKinds are those of Action that a sink has.
var actionKinds = []string{"command", "write", "reload", "repair", "foreign", "refused"}

func newMetrics(w *Watcher) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		apply: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "zkwatch_apply_duration_seconds",
			Help:    "Time to make the proxy serve changed sets.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 2.5}}),
		failures: counter("zkwatch_apply_failures_total", "Times that the proxy did not take changed sets."),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "zkwatch_proxy_actions_total",
			Help: "What was done to the proxy and its file: runtime commands, writes, reloads, repairs of foreign changes, foreign changes that were only reported, refusals."}, []string{"kind"}),
		posts:    counter("zkwatch_board_posts_total", "Notices that were posted for other hosts."),
		unposted: counter("zkwatch_board_post_failures_total", "Notices that could not be posted."),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "zkwatch_config_reloads_total",
			Help: "Configurations that were loaded or refused since the start."}, []string{"result"}),
	}
	for _, kind := range actionKinds {
		m.actions.WithLabelValues(kind)
	}
	m.loads.WithLabelValues("loaded")
	m.loads.WithLabelValues("refused")
	m.registry.MustRegister(m.apply, m.failures, m.actions, m.posts, m.unposted, m.loads, stateCollector{w},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: apiRead})
}

func (m *metrics) applied(took time.Duration, err error) {
	m.apply.Observe(took.Seconds())
	if err != nil {
		m.failures.Inc()
	}
}

func (m *metrics) action(kind string) { m.actions.WithLabelValues(kind).Inc() }

func (m *metrics) posted(err error) {
	if err != nil {
		m.unposted.Inc()
		return
	}
	m.posts.Inc()
}

func (m *metrics) reloaded(err error) {
	if err != nil {
		m.loads.WithLabelValues("refused").Inc()
		return
	}
	m.loads.WithLabelValues("loaded").Inc()
}

// metric is one that is read from the status when somebody asks.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newMetric(kind prometheus.ValueType, name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("zkwatch_"+name, help, labels, nil), kind}
}

// send sends one sample.
func (r metric) send(to chan<- prometheus.Metric, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(r.desc, r.kind, value, labels...)
}
