package hub

import (
	"fmt"
	"net/http"
	"slices"

	"nave.dev/internal/people/gate"
	"nave.dev/internal/spoke"
)

// A page of the fleet has at most so many clusters, and no further one after so many
// apps: so that it takes as long in a fleet of thousands as in one of dozens.
const (
	pageClusters = 500
	pageApps     = 1000
)

// Apps that an answer about the fleet may show of its clusters.
const (
	AllApps    = "all"    // every one, which is what is shown unless asked otherwise
	UnwellApps = "unwell" // those that are not Synced, or not Healthy
	NoApps     = "none"
)

// serveFleet answers what is known of the fleet, and of its clusters by name those
// after the one in the query, as many as are a page. With cluster it is of that one
// alone; apps says which apps are shown of each.
func (h *Hub) serveFleet(w http.ResponseWriter, r *http.Request) {
	show := r.FormValue("apps")
	if !slices.Contains([]string{"", AllApps, UnwellApps, NoApps}, show) {
		http.Error(w, fmt.Sprintf("apps are never %q: %s, %s or %s", show, AllApps, UnwellApps, NoApps), http.StatusBadRequest)
		return
	}
	answer(w, h.snapshot().seenBy(gate.From(r.Context())).page(r.FormValue("cluster"), r.FormValue("after"), show))
}

// page is a part of a fleet, whose clusters are by name. What it says of the whole is
// the same on each.
func (f Fleet) page(cluster, after, show string) Fleet {
	clusters := []Cluster{}
	apps := 0
	for _, c := range f.Clusters {
		if c.Cluster <= after || cluster != "" && c.Cluster != cluster {
			continue
		}
		if len(clusters) == pageClusters || apps >= pageApps {
			f.Next = clusters[len(clusters)-1].Cluster
			break
		}
		c.show(show)
		apps += len(c.Apps)
		clusters = append(clusters, c)
	}
	f.Clusters = clusters
	return f
}

// show leaves those apps that are asked for. The slice of before is not changed.
func (c *Cluster) show(which string) {
	switch which {
	case NoApps:
		c.Apps = []spoke.AppState{}
	case UnwellApps:
		shown := []spoke.AppState{}
		for _, app := range c.Apps {
			if app.Sync != spoke.Synced || app.Health.Status != spoke.Healthy {
				shown = append(shown, app)
			}
		}
		c.Apps = shown
	}
}

// count counts the apps of the cluster.
func (c *Cluster) count() {
	c.AppCount, c.AppsSynced = len(c.Apps), 0
	for _, app := range c.Apps {
		if app.Sync == spoke.Synced {
			c.AppsSynced++
		}
	}
}
