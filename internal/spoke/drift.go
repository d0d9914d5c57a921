package spoke

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/apply/autoscaler"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/releases"
	"nave.dev/internal/spoke/watching"
)

// followReleases watches the objects of releases, as those of other apps.
func (s *session) followReleases(ctx context.Context) {
	s.tasks.Go(func() {
		s.applier.Follow(ctx, func() releases.Rules { return s.rules.Load() }, s.rights.Sight, s.watches.Teller(ctx))
	})
}

// observe takes in one event of a watch: the health of an object, or a sign that
// somebody changed it.
func (s *session) observe(ctx context.Context, event apply.Event) {
	switch event.Type {
	case apply.Listed:
		s.listed[event.Kind] = true
		delete(s.trouble, event.Kind)
		s.arrived(event.Kind)
		s.missing(event.Kind)
		return
	case apply.Interrupted:
		s.interrupted(event)
		return
	case watching.Unwatched, watching.Rewatched:
		if event.Type == watching.Unwatched {
			s.arrived(event.Kind)
			s.unseen(event)
		}
		delete(s.listed, event.Kind)
		s.tracked.DropKind(event.Kind)
		return
	case apply.Deleted:
		s.tracked.Drop(event.ID)
	default:
		before, _ := s.tracked.Get(event.ID)
		s.tracked.Put(event.Tracked)
		fresh := event.Type == apply.Added || before.Owner != event.Owner
		if w := s.apps[event.Owner.App]; w != nil && fresh && w.options.Prune && s.leftOver(w, event.Tracked) {
			s.late(w)
		}
	}
	s.arrived(event.Kind)
	s.scale(event)
	w := s.whose(event.ID)
	if w != nil {
		s.agenda.Add(w.name)
	}
	switch {
	case event.Type == apply.Deleted && w == nil:
		delete(s.health, event.ID)
	case event.Type == apply.Deleted:
		s.health[event.ID] = health.Result{Status: health.Missing, Message: "was deleted"}
		w.seen = false
		w.drift(event.ID, s.now())
	default:
		// Also of what is no app's yet: an unchanged object has no second event.
		if event.Object != nil {
			s.health[event.ID] = s.rules.Load().Check(ctx, event.Owner.App, event.Object)
		}
		if w != nil {
			w.seen = false
			w.compare(event.Tracked, s.now(), true)
		}
	}
}

// scale takes in that an autoscaler appeared, went or has another target: the apps
// that have the workload in Git decide anew who says how many replicas it has.
func (s *session) scale(event apply.Event) {
	var now object.ID
	if event.Type != apply.Deleted && event.Object != nil {
		now, _ = autoscaler.Target(event.Object)
	}
	before := s.scaled[event.ID]
	if now == before {
		return
	}
	s.scaled[event.ID] = now
	s.applier.ScaledOtherwise()
	for _, workload := range []object.ID{before, now} {
		for _, name := range s.claims.Owners(workload) {
			// An app knows of what it adds itself.
			if w := s.apps[name]; w != nil && (name != event.Owner.App || event.Type != apply.Added) {
				s.late(w)
			}
		}
	}
}

// whose returns the app that an object belongs to: the one whose sync brought it
// about, or whose marks it carries, or else the one that has it in Git.
func (s *session) whose(id object.ID) *work {
	shown, _ := s.tracked.Get(id)
	for _, name := range append([]string{s.applied[id], shown.Owner.App}, s.claims.Owners(id)...) {
		if w := s.apps[name]; w != nil {
			return w
		}
	}
	return nil
}

// missing looks for objects of a kind that were there before it was listed: they
// were deleted while nobody watched.
func (s *session) missing(kind schema.GroupKind) {
	for _, w := range s.apps {
		for id := range w.known {
			if _, there := s.tracked.Get(id); !there && id.GroupKind() == kind && s.whose(id) == w {
				w.seen = false
				w.drift(id, s.now().Add(beat)) // or its event is on the way
			}
		}
	}
	maps.DeleteFunc(s.health, func(id object.ID, _ health.Result) bool {
		_, there := s.tracked.Get(id)
		return !there && id.GroupKind() == kind && s.whose(id) == nil
	})
}

// interrupted takes in that a kind cannot be watched. While the API server cannot
// be reached, or lets nobody in, the cluster is offline; otherwise only the kind
// is in trouble, such as one whose conversion webhook is down, and nothing else
// waits for it.
func (s *session) interrupted(event apply.Event) {
	if !apply.OfOneKind(event.Err) {
		s.away[event.Kind] = event.Err
		return
	}
	s.arrived(event.Kind)
	if !s.trouble[event.Kind] {
		s.trouble[event.Kind] = true
		s.event("", EventFailed, event.Err.Error(), nil)
	}
}

// arrived takes in that the cluster answered about a kind. When it is back as a
// whole, what failed meanwhile is tried again.
func (s *session) arrived(kind schema.GroupKind) {
	if len(s.away) == 0 {
		return
	}
	if delete(s.away, kind); len(s.away) == 0 {
		s.again()
	}
}

// compare finds out whether an object as a watch shows it may differ from what was
// applied, or with news from what is reported, and then has it looked at from some time on.
func (w *work) compare(t apply.Tracked, from time.Time, news bool) {
	reported := slices.ContainsFunc(w.state.Drift, func(e change.Entry) bool { return e.Object == t.ID })
	baseline, known := w.known[t.ID] // or the sync that is under way, or to come, reads it
	switch {
	case reported && news, known && (t.Owner.App != w.name || baseline.Differs(apply.Event{Type: apply.Modified, Tracked: t})):
		w.drift(t.ID, from)
	case known && !reported:
		delete(w.drifted, t.ID)
	}
}

// drift has an object looked at from some time on, or later if it was fought
// over.
func (w *work) drift(id object.ID, from time.Time) {
	if _, waits := w.drifted[id]; !waits {
		w.drifted[id] = from.Add(w.fights.Wait(id))
	}
}

// repair looks at objects that an event showed to differ and corrects or
// reports them. No hook runs and nothing else is touched.
func (s *session) repair(ctx context.Context, w *work) {
	now := s.now()
	var ids []object.ID
	for id, from := range w.drifted {
		if !now.Before(from) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.SortFunc(ids, object.Compare)
	for _, id := range ids {
		delete(w.drifted, id)
	}
	target := s.target(ctx, w)
	s.do(ctx, w, func(ctx context.Context) func() {
		result, err := s.applier.Repair(ctx, target, ids)
		stopped := ctx.Err() != nil
		return func() {
			if stopped {
				s.learn(w, result)
				w.forget()
				return
			}
			s.report(w, ids, result, err)
			s.learn(w, result)
			for _, id := range ids { // what failed, or Git does not have, is read again by the next sync
				if _, settled := result.Baselines[id]; !settled {
					delete(w.known, id)
				}
			}
		}
	})
}

// report enters what a repair came to into the app's state and tells of it. What
// the state says of other objects stays.
func (s *session) report(w *work, ids []object.ID, result apply.Result, err error) {
	drift := result.Changes.With(change.Corrected, change.Drifted, change.Created)
	known := w.state.Drift
	for i, entry := range drift {
		if entry.Action == change.Drifted {
			continue // nothing was written, so there is no fight
		}
		if wait := w.fights.Correct(entry.Object, s.now()); wait > 0 {
			drift[i].Reason = cmp.Or(entry.Reason, "changed") + fmt.Sprintf("; somebody changes it again and again, the next correction waits %s", wait)
		}
	}
	others := func(set change.Set) change.Set {
		return slices.DeleteFunc(slices.Clone(set), func(e change.Entry) bool {
			_, looked := slices.BinarySearchFunc(ids, e.Object, object.Compare) // ids are sorted
			return looked
		})
	}
	problems := result.Changes.With(change.Failed, change.Conflict, change.Skipped)
	reported := result.Changes.With(change.Drifted)
	again := len(problems) > 0 || err != nil
	if again || len(reported) > 0 || len(known) > 0 || len(w.state.Problems) > 0 {
		w.state.Problems = append(others(w.state.Problems), problems...)
		w.state.Drift = append(others(known), reported...)
		if w.retryAt.IsZero() || err != nil {
			w.state.Conclude(result.WaitsFor, err)
			w.follow()
		}
	}
	if again && w.retryAt.IsZero() && !w.gaveUp {
		w.retryAt = s.now().Add(firstAppRetry)
	}
	if len(drift) > 0 {
		s.event(w.name, EventDrift, drift.Summary(), drift)
	}
	if err != nil {
		s.event(w.name, EventFailed, err.Error(), nil)
	}
}
