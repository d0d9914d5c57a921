package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"nave.dev/internal/hub/past"
	"nave.dev/internal/store"
)

const (
	// remembering is the time between two looks at what is to be written down.
	remembering = 5 * time.Second
	// writing is the time between two writes of a cluster that is connected.
	writing = time.Minute
)

// remember writes down what is known of clusters until ctx is done, and then all that
// is left.
func (h *Hub) remember(ctx context.Context) {
	ticker := time.NewTicker(remembering)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), remembering)
			defer cancel()
			if err := h.keepKnown(last, true); err != nil {
				h.opts.Log.Warn("what is known of clusters is not all written down", "error", err)
			}
			return
		}
		h.reload()
		if err := h.keepKnown(ctx, false); err != nil && ctx.Err() == nil {
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

// keepKnown writes down what agents have said since it was written last: at once of
// those that are new or gone, and each writing later of the others, whose agents say it
// again to a hub that starts; with all, of every one.
func (h *Hub) keepKnown(ctx context.Context, all bool) error {
	h.mu.Lock()
	var remotes []past.Kept
	for _, m := range h.members {
		if r, ok := m.spoke.(*remote); ok {
			remotes = append(remotes, r)
		}
	}
	h.mu.Unlock()
	h.remembers.Lock()
	defer h.remembers.Unlock()
	return past.Keep(ctx, h.store, remotes, all)
}

// Due implements past.Kept.
func (r *remote) Due(all bool) (c store.Cluster, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.news || !r.mirror.Reported || !all && r.link != nil && time.Since(r.written) < writing {
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
	r.news, r.written = false, time.Now()
	c = r.last
	c.Name, c.State, c.Facts, c.Accepted = r.cluster, state, facts, r.mirror.State().Number
	return c, true
}

// Lost implements past.Kept.
func (r *remote) Lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.news, r.written = true, time.Time{}
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
