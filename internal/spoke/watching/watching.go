// Package watching keeps watches of kinds under way, one of each kind. The main type is
// Watches. What they tell goes to who made them, who also says how a kind is watched.
package watching

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
)

// Events of this package's own.
const (
	// Unwatched: a kind is not served, or may not be watched, so that nothing is
	// known of its objects.
	Unwatched apply.EventType = "unwatched"
	// Rewatched: what follows is a new watch of the kind.
	Rewatched apply.EventType = "rewatched"
)

// Waits until a kind is asked for again: one that the cluster does not serve, and one
// that may not be watched, each time after twice as long.
const (
	unservedRetry = 2 * time.Second
	refusedRetry  = time.Minute // at most
)

// Watches are those of one session with a cluster. They belong to one goroutine.
type Watches struct {
	// Watch watches a kind until ctx ends, or it cannot.
	Watch func(ctx context.Context, kind schema.GroupKind, tell func(apply.Event)) error
	// Events takes what they tell.
	Events chan<- apply.Event
	// Tasks has what runs.
	Tasks *sync.WaitGroup

	under map[schema.GroupKind]*one
}

// one is one watch that is under way.
type one struct {
	stop context.CancelFunc
	done chan struct{} // closed when it has told its last event
}

// Kinds are those that are watched.
func (w *Watches) Kinds() iter.Seq[schema.GroupKind] {
	return slices.Values(slices.Collect(maps.Keys(w.under)))
}

// Begin begins to watch a kind, once.
func (w *Watches) Begin(ctx context.Context, kind schema.GroupKind) {
	if w.under[kind] == nil {
		w.Anew(ctx, kind)
	}
}

// Anew watches a kind, in place of the watch that there may be: only when that
// has told its last event does the new one begin.
func (w *Watches) Anew(ctx context.Context, kind schema.GroupKind) {
	if w.under == nil {
		w.under = map[schema.GroupKind]*one{}
	}
	ctx, stop := context.WithCancel(ctx)
	before, now := w.under[kind], &one{stop, make(chan struct{})}
	w.under[kind] = now
	tell := w.Teller(ctx)
	w.Tasks.Go(func() {
		defer close(now.done)
		if before != nil {
			before.stop()
			<-before.done
			tell(apply.Event{Type: Rewatched, Kind: kind})
		}
		w.keep(ctx, kind, tell)
	})
}

// Teller hands events on until ctx is done.
func (w *Watches) Teller(ctx context.Context) func(apply.Event) {
	return func(event apply.Event) {
		select {
		case w.Events <- event:
		case <-ctx.Done():
		}
	}
}

// keep watches a kind until ctx is done.
func (w *Watches) keep(ctx context.Context, kind schema.GroupKind, tell func(apply.Event)) {
	wait := unservedRetry
	for {
		err := w.Watch(ctx, kind, tell)
		if ctx.Err() != nil {
			return
		}
		tell(apply.Event{Type: Unwatched, Kind: kind, Err: err})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		if wait = min(2*wait, refusedRetry); !apierrors.IsForbidden(err) {
			wait = unservedRetry
		}
	}
}
