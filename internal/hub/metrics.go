package hub

import (
	"net/http"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nave.dev/internal/spoke"
)

// metrics are what the hub tells Prometheus: events as counters, and the state
// of clusters and apps read at the moment of the scrape.
type metrics struct {
	hub      *Hub
	registry *prometheus.Registry
	events   *prometheus.CounterVec
}

var (
	clusterOnline  = prometheus.NewDesc("nave_cluster_online", "Whether the cluster answers.", []string{"cluster"}, nil)
	clusterSynced  = prometheus.NewDesc("nave_cluster_synced", "Whether all apps of the cluster are what Git says.", []string{"cluster"}, nil)
	clusterHealthy = prometheus.NewDesc("nave_cluster_healthy", "Whether all apps of the cluster are Healthy.", []string{"cluster"}, nil)
	clusterWatches = prometheus.NewDesc("nave_cluster_watches", "Watches that are open on the cluster.", []string{"cluster"}, nil)
	revisionInfo   = prometheus.NewDesc("nave_revision_info", "1 for the commit of the fleet repository that is in force.", []string{"commit"}, nil)
	appSynced      = prometheus.NewDesc("nave_app_synced", "Whether the app's objects are what Git says.", []string{"cluster", "app"}, nil)
	appHealth      = prometheus.NewDesc("nave_app_health", "1 for the app's present health.", []string{"cluster", "app", "health"}, nil)
	appHeld        = prometheus.NewDesc("nave_app_held_deletions", "Deletions that wait for confirmation.", []string{"cluster", "app"}, nil)
	gitFailing     = prometheus.NewDesc("nave_source_failing", "Whether the last fetch of the source failed.", []string{"source"}, nil)
)

func newMetrics(h *Hub) *metrics {
	m := &metrics{
		hub: h, registry: prometheus.NewRegistry(),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nave_events_total", Help: "Events by cluster and kind."}, []string{"cluster", "kind"}),
	}
	m.registry.MustRegister(m, m.events, goCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// goCollector tells of the runtime, and of the memory that was in use after the last
// collection: what is in use between two says more of when they were.
func goCollector() prometheus.Collector {
	live := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")}
	return collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live))
}

func (m *metrics) count(e spoke.Event) { m.events.WithLabelValues(e.Cluster, string(e.Kind)).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{clusterOnline, clusterSynced, clusterHealthy, clusterWatches, revisionInfo, appSynced, appHealth, appHeld, gitFailing} {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	truth := map[bool]float64{true: 1}
	fleet := m.hub.snapshot()
	for _, source := range fleet.Sources {
		gauge(gitFailing, truth[source.Failing()], source.Name)
	}
	if fleet.Revision.Commit != "" {
		gauge(revisionInfo, 1, fleet.Revision.Commit)
	}
	for _, c := range fleet.Clusters {
		gauge(clusterOnline, truth[c.Online], c.Cluster)
		gauge(clusterSynced, truth[c.Sync == spoke.Synced], c.Cluster)
		gauge(clusterHealthy, truth[c.Health.Status == spoke.Healthy], c.Cluster)
		gauge(clusterWatches, float64(c.Watches), c.Cluster)
		for _, app := range c.Apps {
			gauge(appSynced, truth[app.Sync == spoke.Synced], c.Cluster, app.Name)
			gauge(appHealth, 1, c.Cluster, app.Name, string(app.Health.Status))
			held := 0
			if app.Held != nil {
				held = len(app.Held.Objects)
			}
			gauge(appHeld, float64(held), c.Cluster, app.Name)
		}
	}
}
