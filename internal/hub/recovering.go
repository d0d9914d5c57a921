package hub

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"nave.dev/internal/desired"
	"nave.dev/internal/hub/marking"
)

// recovering returns what is missing, or nil. The hub is locked.
func (h *Hub) recovering() *marking.Recovering {
	if h.agents == nil {
		return nil
	}
	why := h.store.Origin().Recovering
	if why == "" {
		return nil
	}
	return &marking.Recovering{Why: why, Awaited: h.awaited()}
}

// awaited are the clusters of which only their agents could say what happened, and
// have not. One whose file is in error is among them: nobody knows what it is. The hub
// is locked.
func (h *Hub) awaited() (names []string) {
	for name, m := range h.members {
		r, byAgent := m.spoke.(*remote)
		switch {
		case m.suspended, byAgent && r.Known(), m.spoke != nil && !byAgent:
		case m.spoke == nil && !m.expires.IsZero() && !h.opts.Now().Before(m.expires):
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// enrolmentWaits says why no cluster enrols now, or nil, to somebody who may know of
// the clusters that sees says.
func (h *Hub) enrolmentWaits(sees func(cluster string) bool) error {
	h.mu.Lock()
	missing := h.recovering()
	h.mu.Unlock()
	if missing == nil {
		return nil
	}
	return missing.Waits(sees)
}

// recover ends the recovering once every agent has reported. What they reported of
// their identities is written down before, so that no used token counts again.
func (h *Hub) recover(ctx context.Context, pinned *desired.Pinned) {
	h.mu.Lock()
	missing := h.recovering()
	h.mu.Unlock()
	if missing == nil || len(missing.Awaited) > 0 || pinned.Fleet.Name == "" || pinned.Fleet.Incomplete != nil {
		return
	}
	if err := h.recovered(ctx, missing.Why); err != nil {
		h.opts.Log.Error("the hub goes on recovering", "error", err)
		return
	}
	h.opts.Log.Info("recovered: every cluster has reported", "before", missing.Why)
}

func (h *Hub) recovered(ctx context.Context, why string) error {
	if err := h.keepKnown(ctx, true); err != nil {
		return err
	}
	return h.store.SetRecovering(ctx, why, "")
}

// serveRecovered ends the recovering without the clusters that an operator names.
func (h *Hub) serveRecovered(w http.ResponseWriter, r *http.Request) {
	var a Action
	if !readAction(w, r, &a) {
		return
	}
	h.mu.Lock()
	missing, read := h.recovering(), h.pinned != nil && h.pinned.Fleet.Name != "" && h.pinned.Fleet.Incomplete == nil
	h.mu.Unlock()
	var unnamed []string
	if missing != nil {
		unnamed = slices.DeleteFunc(slices.Clone(missing.Awaited), func(name string) bool { return slices.Contains(a.Without, name) })
	}
	switch {
	case a.Reason == "":
		http.Error(w, "a reason is needed", http.StatusBadRequest)
		return
	case missing == nil:
		http.Error(w, "the hub is not recovering", http.StatusConflict)
		return
	case !read:
		http.Error(w, "the hub has not read all of the fleet repository yet, and cannot tell which clusters there are", http.StatusServiceUnavailable)
		return
	case len(unnamed) > 0:
		http.Error(w, fmt.Sprintf("not named, and not heard of either: %s", strings.Join(unnamed, ", ")), http.StatusConflict)
		return
	}
	err := h.audit.Do(r.Context(), entry(r, a, ""), func() (any, error) {
		return map[string]any{"before": missing.Why, "without": missing.Awaited}, h.recovered(r.Context(), missing.Why)
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.opts.Log.Info("recovered by an operator", "actor", a.Actor, "reason", a.Reason, "without", missing.Awaited)
	answer(w, missing)
}
