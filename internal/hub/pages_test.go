package hub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/desired"
	"nave.dev/internal/hub/fetching"
	"nave.dev/internal/spoke"
)

// wide is a fleet of clusters with a number of apps each, of which the first is unwell.
func wide(clusters, apps int) Fleet {
	fleet := Fleet{Name: "wide", Sync: spoke.OutOfSync}
	for i := range clusters {
		c := Cluster{State: spoke.State{Cluster: fmt.Sprintf("cluster-%04d", i)}}
		for j := range apps {
			state := spoke.AppState{Name: fmt.Sprintf("app-%03d", j), Sync: spoke.Synced, Health: spoke.Health{Status: spoke.Healthy}}
			if j == 0 {
				state.Sync = spoke.OutOfSync
			}
			c.Apps = append(c.Apps, state)
		}
		c.count()
		fleet.Clusters = append(fleet.Clusters, c)
	}
	return fleet
}

func TestPages(t *testing.T) {
	fleet := wide(1200, 40)
	for _, c := range []struct {
		reason, cluster, show string
		pages, clusters, apps int
	}{
		{"a page has some apps more than enough, at most", "", "", 48, 1200, 40},
		{"a page without apps has many clusters", "", NoApps, 3, 1200, 0},
		{"what is not well", "", UnwellApps, 3, 1200, 1},
		{"one cluster", "cluster-0007", AllApps, 1, 1, 40},
		{"no such cluster", "cluster", AllApps, 1, 0, 0},
	} {
		seen, after, pages := map[string]bool{}, "", 0
		for {
			page := fleet.page(c.cluster, after, c.show)
			pages++
			for _, one := range page.Clusters {
				if seen[one.Cluster] || len(one.Apps) != c.apps || one.AppCount != 40 || one.AppsSynced != 39 {
					t.Fatalf("%s: %s with %d of %d apps, seen before: %t", c.reason, one.Cluster, len(one.Apps), one.AppCount, seen[one.Cluster])
				}
				seen[one.Cluster] = true
			}
			if page.Name != "wide" || page.Sync != spoke.OutOfSync || page.Clusters == nil {
				t.Fatalf("%s: a page of another fleet: %+v", c.reason, page)
			}
			if after = page.Next; after == "" {
				break
			}
		}
		if diff := cmp.Diff([]int{c.pages, c.clusters}, []int{pages, len(seen)}); diff != "" {
			t.Errorf("%s: pages and clusters: %s", c.reason, diff)
		}
	}
	if got := len(fleet.Clusters[0].Apps); got != 40 {
		t.Errorf("the fleet itself has %d apps on a cluster now, want 40", got)
	}
}

// TestServeFleet: a word that nobody knows is refused, so that a mistake does not look
// like a fleet in order. Who was let in by nobody sees no cluster.
func TestServeFleet(t *testing.T) {
	h := &Hub{sources: fetching.New(&desired.Pipeline{}, nil, nil), pipeline: &desired.Pipeline{}, members: map[string]*member{"two": {err: "b"}, "one": {err: "a"}}}
	for path, want := range map[string]int{"/": http.StatusOK, "/?apps=none": http.StatusOK, "/?apps=sick": http.StatusBadRequest} {
		recorder := httptest.NewRecorder()
		h.serveFleet(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		var fleet Fleet
		if recorder.Code != want || want == http.StatusOK && (json.Unmarshal(recorder.Body.Bytes(), &fleet) != nil || len(fleet.Clusters) != 0) {
			t.Errorf("%s: %d %s", path, recorder.Code, recorder.Body)
		}
	}
}
