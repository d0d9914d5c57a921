// Package rival tells which apps a running Argo CD keeps on a cluster as well: its
// Applications are there, with what it last did about them. It watches their kind,
// which its caller begins only where the cluster has it, and decides nothing.
package rival

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
)

// Kind is that of the objects by which a running Argo CD is told.
var Kind = schema.GroupKind{Group: "argoproj.io", Kind: "Application"}

// retry is the time after which a cluster that does not let Applications be watched
// is tried again.
const retry = time.Minute

// Rivals are the Applications on one cluster that a running Argo CD keeps. It is
// safe for concurrent use.
type Rivals struct {
	namespace string // of Argo CD
	changed   chan struct{}

	mu      sync.Mutex
	unknown string                        // why not all of them are known; empty if they are
	kept    map[string]map[object.ID]bool // by each name that the app of one may have
	stale   map[object.ID]bool            // of the kept ones, those that this watch has yet to tell of
}

// New returns Rivals of which nothing is known until Watch. The namespace is that of
// Argo CD: an Application there has the name of its app, one elsewhere has the
// namespace before it.
func New(namespace string) *Rivals {
	return &Rivals{namespace: namespace, changed: make(chan struct{}, 1), unknown: "the Applications on the cluster are being listed", kept: map[string]map[object.ID]bool{}, stale: map[object.ID]bool{}}
}

// Changed has something when Why may answer otherwise than before. Of nil it never
// has.
func (r *Rivals) Changed() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.changed
}

// Why says why an app of the name is not to be written to the cluster, or nothing:
// an Argo CD keeps an Application of that name there, or it is not known whether one
// does. Of nil nothing is in the way.
func (r *Rivals) Why(app string) string {
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept[app]) > 0 {
		id := slices.MinFunc(slices.Collect(maps.Keys(r.kept[app])), object.Compare)
		return fmt.Sprintf("a running Argo CD keeps the Application %s/%s on the cluster, and both would write; "+
			"scale its application controller down and remove that Application without its finalizer, or set dialect.mode: apply", id.Namespace, id.Name)
	}
	if r.unknown != "" {
		return "it is not known whether a running Argo CD keeps it: " + r.unknown
	}
	return ""
}

// Watch keeps up with the cluster until ctx is done. It is given the function that
// watches whole objects of a kind, as [apply.Client.WatchObjects] does.
func (r *Rivals) Watch(ctx context.Context, watch func(context.Context, schema.GroupKind, bool, func(apply.Event)) error) {
	for {
		err := watch(ctx, Kind, false, r.take)
		if ctx.Err() != nil {
			return
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		r.doubt(first)
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return
		}
	}
}

// doubt notes that not all Applications are known. Those that are known stay until
// all are listed anew, by a watch that knows nothing of this one.
func (r *Rivals) doubt(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unknown = why
	for _, ids := range r.kept {
		maps.Copy(r.stale, ids)
	}
	r.signal()
}

// take takes in one event of the watch. While it is interrupted, what was known is
// all that can be said.
func (r *Rivals) take(event apply.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch event.Type {
	case apply.Interrupted:
		return
	case apply.Listed:
		r.unknown = ""
		for id := range r.stale {
			r.note(id, false)
		}
		clear(r.stale)
	default:
		delete(r.stale, event.ID)
		r.note(event.ID, event.Type != apply.Deleted && kept(event.Object))
	}
	r.signal()
}

// note notes whether an Argo CD keeps an Application. Only one in its own namespace
// has the plain name: whoever may create Applications elsewhere may write their
// status too, and is to stop nobody else's app.
func (r *Rivals) note(id object.ID, kept bool) {
	app := id.Name
	if id.Namespace != r.namespace {
		app = id.Namespace + "_" + id.Name
	}
	switch {
	case !kept:
		if delete(r.kept[app], id); len(r.kept[app]) == 0 {
			delete(r.kept, app)
		}
	case r.kept[app] == nil:
		r.kept[app] = map[object.ID]bool{id: true}
	default:
		r.kept[app][id] = true
	}
}

// kept reports whether a controller has seen to an Application: only it writes when
// that was, and what came of its last sync. One that nobody ever saw to, as where
// only the definition is there, keeps nothing.
func kept(u *unstructured.Unstructured) bool {
	reconciled, _, _ := unstructured.NestedString(u.Object, "status", "reconciledAt")
	phase, _, _ := unstructured.NestedString(u.Object, "status", "operationState", "phase")
	return cmp.Or(reconciled, phase) != ""
}

// signal has the caller ask again. Rivals is locked.
func (r *Rivals) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
