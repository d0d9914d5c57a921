// Package served follows what a cluster serves. The main type is Follower: it watches the definitions of kinds and, when
// any has changed, asks the cluster anew.
package served

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
)

// definition is the kind of the objects that define kinds.
var definition = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

const (
	// settle is how long a cluster is left alone after a definition changed: the
	// server takes a moment to serve it, and definitions come in groups.
	settle = time.Second
	// unanswered is the time after which a cluster that did not answer is asked again.
	unanswered = 30 * time.Second
	// refused is the time after which a cluster that does not let definitions be
	// watched is tried again.
	refused = time.Minute
)

// Cluster is what is followed; an *apply.Client is one.
type Cluster interface {
	Watch(ctx context.Context, kind schema.GroupKind, marked bool, event func(apply.Event)) error
	Facts(ctx context.Context) (app.Facts, error)
}

// Follower tells what a cluster serves whenever that may be something else.
type Follower struct{ facts chan app.Facts }

// New returns a Follower that tells nothing until Run.
func New() *Follower { return &Follower{facts: make(chan app.Facts)} }

// Facts has what the cluster serves now.
func (f *Follower) Facts() <-chan app.Facts { return f.facts }

// Run watches the metadata of all definitions, also of those that others install,
// until ctx is done. The first list counts as a change: one may have come since the
// facts were read. One question at a time is under way; what changes meanwhile leads
// to the next.
func (f *Follower) Run(ctx context.Context, cluster Cluster) {
	changed := make(chan struct{}, 1)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		for {
			cluster.Watch(ctx, definition, false, func(event apply.Event) { // its error is ctx's, or that it may not be watched
				if event.Type == apply.Interrupted {
					return
				}
				select {
				case changed <- struct{}{}:
				default:
				}
			})
			if !pause(ctx, refused) {
				return
			}
		}
	})
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		for wait := settle; pause(ctx, wait); wait = unanswered {
			if facts, err := cluster.Facts(ctx); err == nil {
				select {
				case f.facts <- facts:
				case <-ctx.Done():
				}
				break
			}
		}
	}
}

// pause waits, and reports whether ctx is not done.
func pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}
