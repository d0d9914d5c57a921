package apply

import (
	"nave.dev/internal/change"
)

// gateAll notes which items are not to be brought about yet. Namespaces and
// definitions come before all waves, so that only a gate of the first one is about
// them.
func (r *run) gateAll() {
	if r.target.Gate == nil || r.mode == showing {
		return
	}
	first := 0
	for _, it := range r.items {
		first = min(first, it.wave)
	}
	for _, it := range r.items {
		wave := it.wave
		if kind := it.id.GroupKind(); kind == namespaceKind || kind == definitionKind {
			wave = first
		}
		it.gated = r.target.Gate(wave)
	}
}

// gated reports whether the items of a stage wait for something outside of the app.
func (s stage) gated() bool { return s.items[0].gated != "" }

// unseen reports whether the cluster may never have had what Git says now of an
// item: one that is known to have been as it should be, and is not, was changed by
// somebody else.
func (it *item) unseen() bool { return it.known == nil || it.known.Desired != it.digest }

// holdBack leaves an item as it is, since a gate is closed.
func (r *run) holdBack(it *item) {
	it.entry, it.baseline = change.Entry{Action: change.Skipped, Reason: r.wait("wave %d waits for %s", it.wave, it.gated)}, nil
}
