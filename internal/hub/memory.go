package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"nave.dev/internal/store"
)

// remembering is the time between two writes of what is known of clusters, if it is
// another than before.
const remembering = 5 * time.Second

// remember writes down what is known of clusters until ctx is done.
func (h *Hub) remember(ctx context.Context) {
	ticker := time.NewTicker(remembering)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		h.reload()
		if err := h.keepKnown(ctx); err != nil && ctx.Err() == nil {
			h.opts.Log.Warn("what is known of clusters is not written down", "error", err)
		}
	}
}

// reload has a rotation of the authority's key count that another process did.
func (h *Hub) reload() {
	key := h.shown
	if h.agents != nil {
		key = h.agents.authority
	}
	if key == nil {
		return
	}
	before := key.Roots()
	if err := key.Reload(); err != nil {
		h.opts.Log.Error("the authority's key stays as it was", "error", err)
	} else if !bytes.Equal(before, key.Roots()) {
		h.opts.Log.Info("the authority's key was rotated, or an older one retired", "fingerprint", key.Fingerprint())
	}
}

// keepKnown writes down what agents have said since it was written last.
func (h *Hub) keepKnown(ctx context.Context) error {
	h.mu.Lock()
	var remotes []*remote
	for _, m := range h.members {
		if r, ok := m.spoke.(*remote); ok {
			remotes = append(remotes, r)
		}
	}
	h.mu.Unlock()
	h.remembers.Lock()
	defer h.remembers.Unlock()
	var known []store.Cluster
	var kept []*remote
	for _, r := range remotes {
		if c, news := r.known(); news {
			known, kept = append(known, c), append(kept, r)
		}
	}
	err := h.store.KeepClusters(ctx, known...)
	if err != nil {
		for _, r := range kept {
			r.mu.Lock()
			r.news = true
			r.mu.Unlock()
		}
	}
	return err
}

// known is what the store keeps of the cluster, and whether it is another than when
// this was last asked.
func (r *remote) known() (c store.Cluster, news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.news || !r.mirror.Reported {
		return c, false
	}
	state, err := json.Marshal(r.mirror.State())
	if err != nil {
		return c, false
	}
	facts, err := json.Marshal(r.mirror.Facts)
	if err != nil {
		return c, false
	}
	r.news = false
	c = r.last
	c.Name, c.State, c.Facts, c.Accepted = r.cluster, state, facts, r.mirror.State().Number
	return c, true
}

// recall has the hub show what one before it knew last.
func (h *Hub) recall(ctx context.Context) error {
	clusters, err := h.store.Clusters(ctx)
	if err != nil {
		return err
	}
	for _, c := range clusters {
		h.before[c.Name] = c
	}
	return nil
}
