package spoke

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/claims"
	"nave.dev/internal/spoke/hours"
	"nave.dev/internal/spoke/readiness"
)

// ready reports whether an app may be written now, or compared if that is all that
// is done with it, and otherwise says in its state what it waits for.
func (s *session) ready(ctx context.Context, w *work) bool {
	if pause, paused := s.records.Record.PausedBy(w.name, s.now()); paused {
		w.idle = true
		w.state.Message = pause.String()
		return false
	}
	if w.options.Suspend {
		w.idle = true
		w.state.Message = "suspended in Git"
		return false
	}
	if w.bundle == nil {
		return false
	}
	if rival := s.rival(w); rival != "" {
		w.idle = true
		w.state.Sync, w.state.Message = OutOfSync, rival
		return false
	}
	if !s.may(ctx, w) {
		return false
	}
	if shut := s.shut(w) != ""; w.idle && !shut {
		w.forget()
		w.idle = false
	} else {
		w.idle = shut
	}
	if s.compares(w) {
		return true
	}
	if w.syncedDigest != w.bundle.Digest {
		if obstacle := s.obstacle(w); obstacle != "" {
			w.state.Sync, w.state.Message = OutOfSync, "waits for "+obstacle
			return false
		}
	}
	if w.closed != nil && !slices.Equal(w.closed, readiness.Closed(w.options.Gates, s.settled)) {
		w.tryAgain(s.now()) // a gate has opened
	}
	return true
}

// rival says why an app of a tree is not to be written since a running Argo CD or Flux
// keeps it as well, or one that it came of, or nothing.
func (s *session) rival(w *work) string {
	for range len(s.apps) {
		if w.options.Lineage.Delivery == "" {
			return ""
		}
		why := s.rivals.Why(w.name)
		for _, self := range w.options.Selves {
			why = cmp.Or(why, s.rivals.Why(self))
		}
		if why != "" {
			return why
		}
		if w = s.apps[w.options.Lineage.Parent]; w == nil {
			return ""
		}
	}
	return ""
}

// obstacle returns what an app that Git has changed waits for, or nothing.
func (s *session) obstacle(w *work) string {
	for _, name := range w.options.DependsOn {
		if !s.settled(name) {
			return fmt.Sprintf("%s to be Synced and Healthy", name)
		}
	}
	for _, r := range w.options.Ready {
		if obstacle := readiness.Obstacle(r, s.settled(r.App)); obstacle != "" {
			return obstacle
		}
	}
	for _, p := range w.options.After {
		if obstacle := s.before(p); obstacle != "" {
			return obstacle
		}
	}
	// What a commit adds comes before what it removes, also where the one is the
	// parent's and the other a child.
	parent := s.apps[w.options.Lineage.Parent]
	if w.removed && !w.options.PruneFirst && parent != nil && !parent.removed && !(parent.bundle != nil && parent.current() && len(parent.state.Problems) == 0) {
		return fmt.Sprintf("the objects of %s to be in place", parent.name)
	}
	return ""
}

// settled reports whether an app is Synced and Healthy.
func (s *session) settled(name string) bool {
	other := s.apps[name]
	return other != nil && other.err == nil && other.state.Sync == Synced && well(other.state.Health.Status)
}

// well reports whether nothing need wait for what has this health.
func well(status health.Status) bool { return status == health.Healthy || status == health.Suspended }

// before returns what of the objects that come first is not in place and healthy,
// or nothing.
func (s *session) before(p app.Precedence) string {
	other := s.apps[p.App]
	if other == nil || other.err != nil || other.bundle == nil || !other.current() {
		return p.String()
	}
	for _, u := range other.bundle.Objects {
		if object.Wave(u) >= p.Wave {
			continue
		}
		stated := object.Of(u)
		for _, id := range claims.Identities(stated, s.facts) {
			astray := func(e change.Entry) bool { return e.Object == id }
			if slices.ContainsFunc(other.state.Problems, astray) || slices.ContainsFunc(other.state.Drift, astray) {
				return fmt.Sprintf("%s of %s to be Synced", stated, p.App)
			}
		}
		if result := s.objectHealth(other, stated); !result.Ignored && !well(result.Status) {
			return fmt.Sprintf("%s of %s to be Healthy", stated, p.App)
		}
	}
	return ""
}

// shut says which times keep an app from being synced now, or nothing.
func (s *session) shut(w *work) string {
	if len(w.options.Windows) == 0 || w.removed {
		return ""
	}
	return w.hours.Shut(hours.Question{Options: w.optionsDigest, ByHand: s.requested(w), Began: w.began}, w.options.Windows, s.now())
}
