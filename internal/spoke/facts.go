package spoke

import (
	"context"
	"reflect"

	"nave.dev/internal/app"
	"nave.dev/internal/spoke/rival"
)

// argoNamespace is that of a running Argo CD's own Applications, as read from Git.
const argoNamespace = "argocd"

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
		rivals := rival.New(argoNamespace)
		s.rivals = rivals
		ctx, s.unmeet = context.WithCancel(ctx)
		s.tasks.Go(func() { rivals.Watch(ctx, s.applier.WatchObjects) })
	case !served && s.rivals != nil:
		s.unmeet()
		s.rivals = nil
	}
}
