// Package metrics is what a hub tells Prometheus.
package metrics

import (
	"net/http"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nave.dev/internal/desired"
	"nave.dev/internal/spoke"
	"nave.dev/internal/spoke/gauge"
)

// Seen is what a hub knows at the moment of a scrape.
type Seen struct {
	Commit     string // of the fleet repository that is in force
	Sources    []desired.SourceState
	Recovering bool
	Awaited    int // clusters that it waits for meanwhile
	Clusters   []spoke.State
}

// Metrics are events as counters, and what is seen.
type Metrics struct {
	see      func() Seen
	registry *prometheus.Registry
	events   *prometheus.CounterVec
}

var (
	revisionInfo  = prometheus.NewDesc("nave_revision_info", "1 for the commit of the fleet repository that is in force.", []string{"commit"}, nil)
	hubRecovering = prometheus.NewDesc("nave_hub_recovering", "Whether the hub's database may lack what happened, so that enrolment waits.", nil, nil)
	hubAwaited    = prometheus.NewDesc("nave_hub_awaited_clusters", "Clusters that a hub which is recovering waits for.", nil, nil)
	gitFailing    = prometheus.NewDesc("nave_source_failing", "Whether the last fetch of the source failed.", []string{"source"}, nil)
)

// New returns metrics of what see returns, which is asked at each scrape.
func New(see func() Seen) *Metrics {
	m := &Metrics{see: see, registry: prometheus.NewRegistry(), events: gauge.Events()}
	m.registry.MustRegister(m, m.events, goCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// goCollector tells of the runtime, and of the memory that was in use after the last
// collection: what is in use between two says more of when they were.
func goCollector() prometheus.Collector {
	live := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")}
	return collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live))
}

// Count counts an event.
func (m *Metrics) Count(e spoke.Event) { m.events.WithLabelValues(e.Cluster, string(e.Kind)).Inc() }

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	gauge.Describe(out)
	for _, desc := range []*prometheus.Desc{revisionInfo, gitFailing, hubRecovering, hubAwaited} {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	tell := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	truth := map[bool]float64{true: 1}
	seen := m.see()
	tell(hubRecovering, truth[seen.Recovering])
	tell(hubAwaited, float64(seen.Awaited))
	for _, source := range seen.Sources {
		tell(gitFailing, truth[source.Failing()], source.Name)
	}
	if seen.Commit != "" {
		tell(revisionInfo, 1, seen.Commit)
	}
	for _, state := range seen.Clusters {
		gauge.Collect(out, state)
	}
}
