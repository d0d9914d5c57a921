package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"nave.dev/internal/spoke"
)

// inspectTimeout bounds how long clusters are asked for one call.
const inspectTimeout = 2 * time.Minute

var errInspectTimeout = errors.New("no answer from the cluster within 2m")

// Orphans are the objects that apps left on clusters.
type Orphans struct {
	Orphans []spoke.Orphan `json:"orphans"`
	// Errors say of clusters that could not be asked why.
	Errors map[string]string `json:"errors,omitempty"`
}

// running returns the spokes of all members, or of the named one.
func (h *Hub) running(cluster string) map[string]keeper {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := map[string]keeper{}
	for name, m := range h.members {
		if m.spoke != nil && (cluster == "" || cluster == name) {
			found[name] = m.spoke
		}
	}
	return found
}

// absent answers that a cluster cannot be asked, and why: the fleet has none of the
// name, as far as the hub has read it, or there is no way to it.
func (h *Hub) absent(w http.ResponseWriter, cluster string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch m := h.members[cluster]; {
	case m != nil:
		http.Error(w, fmt.Sprintf("cluster %q cannot be asked: %s", cluster, m.err), http.StatusBadGateway)
	case h.pinned == nil:
		http.Error(w, fmt.Sprintf("the hub has not read the fleet repository yet, and knows no cluster %q\nhint: nave status says how that goes", cluster), http.StatusServiceUnavailable)
	default:
		http.Error(w, "no such cluster", http.StatusNotFound)
	}
}

// serveDiff answers with what syncs would change on a cluster now.
func (h *Hub) serveDiff(w http.ResponseWriter, r *http.Request) {
	cluster := r.FormValue("cluster")
	s := h.running(cluster)[cluster]
	if s == nil {
		h.absent(w, cluster)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), inspectTimeout, errInspectTimeout)
	defer cancel()
	diffs, err := s.Diff(ctx, r.FormValue("app"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	answer(w, diffs)
}

// serveOrphans answers with the orphans of all clusters, or of one. A cluster
// that cannot be asked does not keep the others.
func (h *Hub) serveOrphans(w http.ResponseWriter, r *http.Request) {
	cluster := r.FormValue("cluster")
	spokes := h.running(cluster)
	if cluster != "" && len(spokes) == 0 {
		h.absent(w, cluster)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), inspectTimeout, errInspectTimeout)
	defer cancel()
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		found = Orphans{Orphans: []spoke.Orphan{}, Errors: map[string]string{}}
	)
	sees := h.sight(r)
	for name, s := range spokes {
		if !sees(name) {
			continue
		}
		group.Go(func() {
			orphans, err := s.Orphans(ctx)
			mu.Lock()
			defer mu.Unlock()
			found.Orphans = append(found.Orphans, orphans...)
			if err != nil {
				found.Errors[name] = err.Error()
			}
		})
	}
	group.Wait()
	slices.SortStableFunc(found.Orphans, func(a, b spoke.Orphan) int { return strings.Compare(a.Cluster, b.Cluster) })
	answer(w, found)
}
