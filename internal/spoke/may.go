package spoke

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/change"
	"nave.dev/internal/spoke/rights"
)

// may reports whether an app has all rights that it needs. As long as that is not known
// the cluster is asked; without them nothing of the app is written, and its state says
// what it lacks. A cluster that does not say who may do what decides at each request.
func (s *session) may(ctx context.Context, w *work) bool {
	if s.rights.Everything() && w.options.ServiceAccount == "" {
		w.rights, w.state.Lacks = rights.Standing{}, nil
		return true
	}
	of := w.bundle.Digest + " " + w.optionsDigest
	if w.rights.Known(of, s.now()) {
		return s.entitled(w)
	}
	release := w.bundle.Release != nil
	rules := append(rights.Of(app.Desired{Name: w.name, Bundle: w.bundle, Options: w.options}, s.kindsNow()), w.rights.Also(of)...)
	s.do(ctx, w, func(task context.Context) func() {
		missing, err := s.rights.Missing(task, rules)
		stopped := task.Err() != nil
		return func() {
			w.late = w.late || release // a sync tells whether it has those to its objects
			if !stopped && w.rights.Take(of, missing, err, s.now()) {
				s.event(w.name, EventHeld, w.rights.Held(), nil)
			}
		}
	})
	return false
}

// kindsNow are the kinds of the cluster and of its apps.
func (s *session) kindsNow() rights.Kinds {
	if s.kinds == nil {
		kinds := rights.KindsOf(s.facts, s.assigned.Apps)
		s.kinds = &kinds
	}
	return *s.kinds
}

// entitled reports whether an app is known to lack no right, and otherwise says in its
// state what it is held for.
func (s *session) entitled(w *work) bool {
	w.state.Lacks = w.rights.Missing()
	if held := w.rights.Held(); held != "" {
		w.idle = true
		w.state.Sync, w.state.Message = OutOfSync, held
		return false
	}
	return true
}

// watch watches the marked objects of a kind, whole where their health is asked for.
func (s *session) watch(ctx context.Context, kind schema.GroupKind, tell func(apply.Event)) error {
	if s.rules.Load().HasRule(kind) {
		return s.applier.WatchObjects(ctx, kind, true, tell)
	}
	return s.applier.Watch(ctx, kind, true, tell)
}

// widen has kinds watched anew that may be read in more namespaces.
func (s *session) widen(ctx context.Context) {
	wider := s.rights.Wider()
	for kind := range s.watches.Kinds() {
		if slices.Contains(wider, kind) {
			s.watches.Anew(ctx, kind)
		}
	}
	if len(wider) > 0 {
		s.applier.FollowAnew()
	}
}

// unseen takes in that a kind is not watched any more. Where that is no longer allowed,
// other rights may be gone with it.
func (s *session) unseen(event apply.Event) {
	if s.listed[event.Kind] && apierrors.IsForbidden(event.Err) {
		s.doubtRights()
	}
}

// refusedAny takes in what became of objects that could not be brought about. What was
// refused that was known to be allowed has all rights asked for again.
func (s *session) refusedAny(problems change.Set) {
	for _, entry := range problems {
		if strings.Contains(entry.Reason, "is forbidden") {
			s.doubtRights()
			return
		}
	}
}

// doubtRights has the rights of all apps asked for again.
func (s *session) doubtRights() {
	s.rights.Forget()
	for _, w := range s.apps {
		w.rights.Doubt()
	}
}
