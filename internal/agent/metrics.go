package agent

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nave.dev/internal/spoke"
	"nave.dev/internal/spoke/gauge"
)

// metrics are what an agent tells Prometheus of its cluster and of itself: where a hub
// tells the same, by the same names.
type metrics struct {
	agent    *agent
	registry *prometheus.Registry
	events   *prometheus.CounterVec
}

var (
	connected   = prometheus.NewDesc("nave_agent_connected", "Whether the agent is connected to its hub.", nil, nil)
	certificate = prometheus.NewDesc("nave_agent_certificate_end_seconds", "When the agent's certificate ends, in seconds since 1970; 0 if it has none.", nil, nil)
	waiting     = prometheus.NewDesc("nave_agent_waiting_events", "Events that the hub has not been told.", nil, nil)
	assignment  = prometheus.NewDesc("nave_agent_assignment_number", "Number of the assignment that the cluster was given last; 0 for none.", nil, nil)
)

func newMetrics(a *agent) *metrics {
	m := &metrics{agent: a, registry: prometheus.NewRegistry(), events: gauge.Events()}
	m.registry.MustRegister(m, m.events, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) count(e spoke.Event) { m.events.WithLabelValues(e.Cluster, string(e.Kind)).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	gauge.Describe(out)
	for _, desc := range []*prometheus.Desc{connected, certificate, waiting, assignment} {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	a := m.agent
	a.mu.Lock()
	sp, until, events, number, online := a.spoke, a.until, len(a.outbox.events), lastNumber(a.assigned), 0.0
	if a.conn != nil {
		online = 1
	}
	a.mu.Unlock()
	end := 0.0
	if !until.IsZero() {
		end = float64(until.Unix())
	}
	for desc, value := range map[*prometheus.Desc]float64{connected: online, certificate: end, waiting: float64(events), assignment: float64(number)} {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	if sp != nil {
		gauge.Collect(out, sp.State())
	}
}
