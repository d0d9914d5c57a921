package hub

import (
	"maps"
	"reflect"
	"slices"

	"nave.dev/internal/hub/pausing"
	"nave.dev/internal/spoke"
)

// keepPauses keeps the pauses as the clusters have them. Those of one that is not
// known now stay until their time is over.
func (h *Hub) keepPauses() {
	h.keeping.Lock()
	defer h.keeping.Unlock()
	h.mu.Lock()
	before := h.pauses
	next := maps.Clone(before)
	for name, m := range h.members {
		if m.spoke != nil && m.spoke.Known() {
			next[name] = m.spoke.State().Pauses
		}
	}
	h.mu.Unlock()
	for name, pauses := range next {
		next[name] = slices.DeleteFunc(slices.Clone(pauses), func(p spoke.Pause) bool { return !h.opts.Now().Before(p.Until) })
	}
	maps.DeleteFunc(next, func(_ string, pauses []spoke.Pause) bool { return len(pauses) == 0 })
	if reflect.DeepEqual(before, next) {
		return
	}
	if err := pausing.Write(h.opts.Dir, next); err != nil {
		h.opts.Log.Error("pauses are only in the clusters' records", "error", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pauses = next
}
