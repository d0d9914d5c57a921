package spoke

import (
	"context"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/spoke/rival"
)

// definitionKind is the kind of the objects that define kinds.
var definitionKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// settleFacts is how long a cluster is left alone after a definition changed: the
// server takes a moment to serve it, and definitions come in groups.
const settleFacts = time.Second

// refusedRetry is the time after which a cluster that does not let definitions
// be watched is tried again.
const refusedRetry = time.Minute

// watchDefinitions watches the metadata of all definitions, also of those that
// others install, and notes when any has changed. The first list counts as a
// change: one may have come since the facts were read.
func (s *session) watchDefinitions(ctx context.Context) {
	tell := func(event apply.Event) {
		if event.Type == apply.Interrupted {
			return
		}
		select {
		case s.definitions <- struct{}{}:
		default:
		}
	}
	s.tasks.Go(func() {
		for {
			s.applier.Watch(ctx, definitionKind, false, tell) // its error is ctx's, or that it may not be watched
			select {
			case <-time.After(refusedRetry):
			case <-ctx.Done():
				return
			}
		}
	})
}

// defined is ready when the cluster is to be asked what it serves. One question
// at a time is under way; what changes meanwhile leads to the next.
func (s *session) defined() <-chan struct{} {
	if s.asking {
		return nil
	}
	return s.definitions
}

// learnFacts asks the cluster again what it serves, once what changed has
// settled, until it answers.
func (s *session) learnFacts(ctx context.Context) {
	s.asking = true
	s.tasks.Go(func() {
		for wait := settleFacts; ; wait = lastRetry {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			if facts, err := s.applier.Facts(ctx); err == nil {
				s.results <- func() {
					s.asking = false
					s.takeFacts(facts)
					s.meet(ctx)
				}
				return
			}
		}
	})
}

// takeFacts takes over what the cluster serves now, and tells who renders by it.
func (s *session) takeFacts(facts app.Facts) {
	if reflect.DeepEqual(facts, s.facts) {
		return
	}
	s.facts = facts
	if s.assigned != nil {
		s.claim()
	}
	s.spoke.mu.Lock()
	s.spoke.facts = facts
	s.spoke.mu.Unlock()
	s.spoke.opts.Listener.FactsChanged(s.spoke.opts.Cluster)
}

// meet has the Applications of a running Argo CD watched as long as the cluster has
// such a kind.
func (s *session) meet(ctx context.Context) {
	_, served := s.facts.Namespaced(rival.Kind)
	switch {
	case served && s.rivals == nil:
		rivals := rival.New()
		s.rivals = rivals
		ctx, s.unmeet = context.WithCancel(ctx)
		s.tasks.Go(func() { rivals.Watch(ctx, s.applier.WatchObjects) })
	case !served && s.rivals != nil:
		s.unmeet()
		s.rivals = nil
	}
}
