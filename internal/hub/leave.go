package hub

import (
	"fmt"
	"net/http"
	"time"

	"nave.dev/internal/people/gate"
	"nave.dev/internal/tunnel"
)

// leaveAfter is how long the hub has seen a cluster's time be over before it tells the
// agent to leave, which cannot be undone: a clock that jumped may have come back.
const leaveAfter = 5 * time.Minute

// over returns a DismissedError if the time of an ephemeral cluster is over.
func (m *member) over(now time.Time) error {
	if m.expired.IsZero() || now.Sub(m.expired) < leaveAfter {
		return nil
	}
	return &tunnel.DismissedError{Reason: "the cluster's time in the fleet ended at " + m.expires.Format(time.RFC3339)}
}

// Removed is what became of a cluster that was removed.
type Removed struct {
	Cluster string `json:"cluster"`
	// Identity is the highest number that is not accepted any more.
	Identity int64 `json:"identity"`
}

// serveRemove has a cluster that is no longer in the fleet repository be forgotten, and
// its agent leave.
func (h *Hub) serveRemove(w http.ResponseWriter, r *http.Request) {
	var a Action
	if !readAction(w, r, &a) {
		return
	}
	if !gate.From(r.Context()).May(a.Cluster, h.labels(a.Cluster)) {
		h.forbid(w, r, a)
		return
	}
	if a.Reason == "" {
		http.Error(w, "a reason is needed", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	_, member := h.members[a.Cluster]
	read := h.pinned != nil && h.pinned.Fleet.Incomplete == nil
	h.mu.Unlock()
	switch {
	case h.agents == nil:
		http.Error(w, "the hub takes no agents\nhint: a cluster with a kubeconfig is left alone once its Cluster is not in the fleet repository", http.StatusConflict)
		return
	case member:
		http.Error(w, fmt.Sprintf("the fleet repository has a Cluster %q\nhint: remove its document first; what Nave applied to it stays in any case", a.Cluster), http.StatusConflict)
		return
	case !read:
		http.Error(w, "the fleet repository is not read, or not whole: which clusters it has is not known", http.StatusConflict)
		return
	}
	if err := h.enrolmentWaits(h.sight(r)); err != nil { // what its agents had may not be known
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	removed := Removed{Cluster: a.Cluster}
	err := h.audit.Do(r.Context(), entry(r, a, a.Cluster), func() (_ any, err error) {
		removed.Identity, err = h.agents.dismissed.Add(r.Context(), a.Cluster)
		return removed, err
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.mu.Lock()
	delete(h.before, a.Cluster)
	h.mu.Unlock()
	h.opts.Log.Info("a cluster was removed", "cluster", a.Cluster, "identity", removed.Identity, "actor", a.Actor, "reason", a.Reason)
	answer(w, removed)
}
