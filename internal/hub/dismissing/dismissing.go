// Package dismissing knows which agents have no place in the fleet any more: those of
// clusters that somebody removed. They are told so when they connect, and leave.
package dismissing

import (
	"context"
	"fmt"
	"sync"

	"nave.dev/internal/store"
	"nave.dev/internal/tunnel"
)

// List is who was dismissed. It is safe for concurrent use.
type List struct {
	store store.Store

	mu   sync.Mutex
	upTo map[string]int64
}

// Read reads the list of a hub's database.
func Read(ctx context.Context, s store.Store) (*List, error) {
	upTo, err := s.Dismissed(ctx)
	return &List{store: s, upTo: upTo}, err
}

// Check returns a DismissedError if an identity was dismissed.
func (l *List) Check(id tunnel.Identity) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id.Number > l.upTo[id.Cluster] {
		return nil
	}
	return &tunnel.DismissedError{Reason: fmt.Sprintf("the cluster %q was removed from the fleet, with all identities up to %d", id.Cluster, l.upTo[id.Cluster])}
}

// Add dismisses a cluster with all identities that it has had, and returns the
// highest. 0 is of a cluster that never had an agent.
func (l *List) Add(ctx context.Context, cluster string) (int64, error) {
	number, err := l.store.Dismiss(ctx, cluster)
	if err != nil {
		return 0, err
	}
	upTo, err := l.store.Dismissed(ctx)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.upTo = upTo
	return number, nil
}
