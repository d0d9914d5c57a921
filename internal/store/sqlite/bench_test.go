package sqlite

import (
	"fmt"
	"testing"
	"time"

	"nave.dev/internal/store"
)

// BenchmarkRecord is how fast events are taken in and written: 10,000 a second
// must be little.
func BenchmarkRecord(b *testing.B) {
	s := start(b, b.TempDir(), Options{Events: 1 << 40})
	event := store.Event{Kind: "Synced", Message: "12 objects applied, 3 unchanged, of commit 0123456789abcdef", Detail: []byte(`{"changes":[]}`)}
	n := 0
	for b.Loop() {
		event.Cluster, event.App = fmt.Sprintf("cluster-%d", n%1000), fmt.Sprintf("app-%d", n%100)
		s.Record(event)
		if n++; n%batch == 0 {
			s.flush(b.Context())
		}
	}
	s.flush(b.Context())
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	if s.history.dropped > 0 {
		b.Errorf("%d events were dropped", s.history.dropped)
	}
}

// BenchmarkEvents is how long a page takes among many events.
func BenchmarkEvents(b *testing.B) {
	const events = 5_000_000
	if testing.Short() {
		b.Skip("writes 5,000,000 events")
	}
	s := start(b, b.TempDir(), Options{Events: 1 << 40, EventAge: 1 << 62})
	// One in a second, the last one now; of 1000 clusters, 100 apps and 10 kinds, one of which is rare.
	now := time.Now()
	must(s.writer.ExecContext(b.Context(), `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
		INSERT INTO events (time, cluster, app, kind, message)
		SELECT ? + i * 1000000000, 'cluster-' || (i * 7919 % 1000), 'app-' || (i * 104729 / 1000 % 100),
			CASE WHEN i % 100000 = 0 THEN 'Failed' ELSE 'kind-' || (i % 9) END, '12 objects applied, 3 unchanged, of commit 0123456789abcdef'
		FROM n`, events, now.Add(-events*time.Second).UnixNano()))(b)
	middle := now.Add(-events / 2 * time.Second)
	for name, query := range map[string]store.EventQuery{
		"newest":              {},
		"cluster":             {Cluster: "cluster-7"},
		"app":                 {App: "app-7"},
		"cluster-app":         {Cluster: "cluster-7", App: "app-7"},
		"rare-kind":           {Kind: "Failed"},
		"hour":                {Since: middle, Until: middle.Add(time.Hour)},
		"cluster-app-in-hour": {Cluster: "cluster-7", App: "app-7", Since: middle, Until: middle.Add(time.Hour)},
		"cluster-rare-kind":   {Cluster: "cluster-7", Kind: "Failed"},
		"middle-page":         {Before: store.Cursor{Time: middle, ID: events / 2}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(s.Events(b.Context(), query))(b)
			}
		})
	}
}
