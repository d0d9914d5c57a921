package spoke

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
)

// takeFacts takes over what the cluster serves now, and tells who renders by it.
func (s *session) takeFacts(facts app.Facts) {
	if reflect.DeepEqual(facts, s.facts) {
		return
	}
	s.facts = facts
	for _, w := range s.apps {
		w.rights.Doubt() // it may have kinds that were not known
	}
	if s.assigned != nil {
		s.claim()
	}
	s.spoke.mu.Lock()
	s.spoke.facts = facts
	s.spoke.mu.Unlock()
	s.spoke.opts.Listener.FactsChanged(s.spoke.opts.Cluster)
}

// meet has the objects of a running Argo CD or Flux watched as long as the cluster has
// their kinds.
func (s *session) meet(ctx context.Context) {
	served := func(kind schema.GroupKind) bool { _, known := s.facts.Namespaced(kind); return known }
	for _, follow := range s.rivals.Meet(ctx, served) {
		s.tasks.Go(func() { follow(s.applier.WatchObjects) })
	}
}
