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
	seen map[string]int64 // the highest identity that has shown itself
}

// Read reads the list of a hub's database.
func Read(ctx context.Context, s store.Store) (*List, error) {
	upTo, err := s.Dismissed(ctx)
	return &List{store: s, upTo: upTo, seen: map[string]int64{}}, err
}

// Check returns a DismissedError if an identity was dismissed. It remembers the
// identity, which must be a proven one: a database that was lost does not know it.
func (l *List) Check(id tunnel.Identity) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[id.Cluster] = max(l.seen[id.Cluster], id.Number)
	if id.Number > l.upTo[id.Cluster] {
		return nil
	}
	return &tunnel.DismissedError{Reason: fmt.Sprintf("the cluster %q was removed from the fleet, with all identities up to %d", id.Cluster, l.upTo[id.Cluster])}
}

// Add dismisses a cluster with all identities that it has had, and returns the
// highest. 0 is of a cluster that never had an agent, as
// far as is known.
func (l *List) Add(ctx context.Context, cluster string) (int64, error) {
	l.mu.Lock()
	seen := l.seen[cluster]
	l.mu.Unlock()
	number, err := l.store.Dismiss(ctx, cluster, seen)
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
