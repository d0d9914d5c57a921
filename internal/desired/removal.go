package desired

import (
	"fmt"
	"maps"
	"slices"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/desired/parts"
)

// remove has the apps deleted that are no longer asked for and go with their
// objects. Whoever was asked for by a Delivery that is now in error may be asked
// for still: then nobody is taken for removed.
func (h *handing) remove(r Receiver, stays map[string]bool) {
	if h.wanted.Incomplete != nil {
		return
	}
	failing, suspended := map[string]bool{}, map[string]bool{}
	for _, now := range h.wanted.Apps {
		failing[now.Name], suspended[now.Name] = now.Err != nil, now.Options.Suspend
	}
	for _, name := range slices.Sorted(maps.Keys(h.last)) {
		last := h.last[name]
		if of := last.Given().Lineage.Delivery; !stays[name] && last.Bundle != "" && failing[of] {
			h.wanted.Incomplete = fmt.Errorf("app %q came of %q, which is in error", name, of)
			return
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.last)) {
		last := h.last[name]
		if stays[name] || last.Bundle == "" || !ledger.Cascades(name, h.last, r.Trees) {
			continue
		}
		if last.Removed && len(last.Left) == 0 && r.settled(name, last) {
			continue // nothing is left of it
		}
		had := r.Bundle(last.Bundle)
		if !last.Removed && had == nil {
			continue // what it had is not known
		}
		stays[name] = true
		gone := removal(name, last.Given())
		if had != nil && had.Release != nil {
			gone.Bundle = had // which says what release is to go
		}
		gone.Options.Suspend = suspended[last.Given().Lineage.Delivery]
		h.wanted.Apps = append(h.wanted.Apps, gone)
	}
	h.wanted.Sort()
}

// removal is an app that is given so that its objects are deleted.
func removal(name string, options app.Options) app.Desired {
	options.Prune, options.CreateNamespace = true, false
	options.DependsOn, options.Gates, options.After = nil, nil, nil
	options.Manual = false
	options.HoldPrunes = options.HoldPrunes || options.Lineage.Confirm
	return app.Desired{Name: name, Options: options, Removed: true, Bundle: parts.Nothing}
}
