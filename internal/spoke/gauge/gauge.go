// Package gauge tells Prometheus the state of a cluster as a spoke has it, by names
// that are the same wherever the spoke runs. It keeps nothing: the state is read at
// the moment of the scrape.
package gauge

import (
	"github.com/prometheus/client_golang/prometheus"

	"nave.dev/internal/health"
	"nave.dev/internal/spoke/report"
)

var (
	clusterOnline  = prometheus.NewDesc("nave_cluster_online", "Whether the cluster answers.", []string{"cluster"}, nil)
	clusterSynced  = prometheus.NewDesc("nave_cluster_synced", "Whether all apps of the cluster are what Git says.", []string{"cluster"}, nil)
	clusterHealthy = prometheus.NewDesc("nave_cluster_healthy", "Whether all apps of the cluster are Healthy.", []string{"cluster"}, nil)
	clusterWatches = prometheus.NewDesc("nave_cluster_watches", "Watches that are open on the cluster.", []string{"cluster"}, nil)
	appSynced      = prometheus.NewDesc("nave_app_synced", "Whether the app's objects are what Git says.", []string{"cluster", "app"}, nil)
	appHealth      = prometheus.NewDesc("nave_app_health", "1 for the app's present health.", []string{"cluster", "app", "health"}, nil)
	appHeld        = prometheus.NewDesc("nave_app_held_deletions", "Deletions that wait for confirmation.", []string{"cluster", "app"}, nil)
)

// Events returns a counter of events by cluster and kind, which say how often there
// were changes, drift and failures.
func Events() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nave_events_total", Help: "Events by cluster and kind."}, []string{"cluster", "kind"})
}

// Describe names what Collect tells.
func Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{clusterOnline, clusterSynced, clusterHealthy, clusterWatches, appSynced, appHealth, appHeld} {
		out <- desc
	}
}

// Collect tells the state of a cluster and of its apps.
func Collect(out chan<- prometheus.Metric, c report.State) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{c.Cluster}, labels...)...)
	}
	truth := map[bool]float64{true: 1}
	gauge(clusterOnline, truth[c.Online])
	gauge(clusterSynced, truth[c.Sync == report.Synced])
	gauge(clusterHealthy, truth[c.Health.Status == health.Healthy])
	gauge(clusterWatches, float64(c.Watches))
	for _, app := range c.Apps {
		gauge(appSynced, truth[app.Sync == report.Synced], app.Name)
		gauge(appHealth, 1, app.Name, string(app.Health.Status))
		held := 0
		if app.Held != nil {
			held = len(app.Held.Objects)
		}
		gauge(appHeld, float64(held), app.Name)
	}
}
