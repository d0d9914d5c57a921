// Package rival tells which apps a running Argo CD or Flux keeps on a cluster as well:
// its objects that ask for apps are there, with what it last did about them. The main
// type is Rivals. It watches their kinds, which its caller begins only where the
// cluster has them, and decides nothing.
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

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
)

// retry is the time after which a cluster that does not let a kind be watched is
// tried again.
const retry = time.Minute

// Rivals are the objects on one cluster by which another program keeps apps. It is
// safe for concurrent use.
type Rivals struct {
	changed chan struct{}

	mu    sync.Mutex
	kinds map[schema.GroupKind]*known
}

// known is what is known of the objects of one kind.
type known struct {
	program
	drop    context.CancelFunc
	unknown string                        // why not all of them are known; empty if they are
	kept    map[string]map[object.ID]bool // by each name that the app of one may have
	stale   map[object.ID]bool            // of the kept ones, those that this watch has yet to tell of
}

// New returns Rivals that know of no kind.
func New() *Rivals {
	return &Rivals{changed: make(chan struct{}, 1), kinds: map[schema.GroupKind]*known{}}
}

// Changed has something when Why may answer otherwise than before.
func (r *Rivals) Changed() <-chan struct{} { return r.changed }

// Why says why an app of the name is not to be written to the cluster, or nothing: a
// program keeps an object there that asks for the app, or it is not known whether one
// does.
func (r *Rivals) Why(app string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	open := ""
	for _, p := range programs {
		k := r.kinds[p.kind]
		switch {
		case k == nil:
		case len(k.kept[app]) > 0:
			id := slices.MinFunc(slices.Collect(maps.Keys(k.kept[app])), object.Compare)
			return fmt.Sprintf("a running %s keeps the %s %s/%s on the cluster, and both would write; %s, or set dialect.mode: apply",
				p.name, p.kind.Kind, id.Namespace, id.Name, p.leave(id))
		case k.unknown != "":
			open = cmp.Or(open, fmt.Sprintf("it is not known whether a running %s keeps it: %s", p.name, k.unknown))
		}
	}
	return open
}

// Watch watches whole objects of a kind, those that are marked or all, until ctx is
// done or it cannot, as [apply.Client.WatchObjects] does.
type Watch func(ctx context.Context, kind schema.GroupKind, marked bool, tell func(apply.Event)) error

// Meet takes up those of the kinds that the cluster serves now, and drops those that it
// serves no more. It returns what has to run for each new one: that keeps up with the
// cluster until ctx is done or the kind is dropped. Until it has listed all objects it is
// not known who is kept.
func (r *Rivals) Meet(ctx context.Context, served func(schema.GroupKind) bool) (follow []func(Watch)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range programs {
		k, is := r.kinds[p.kind], served(p.kind)
		switch {
		case is && k == nil:
			k := &known{program: p, unknown: "the objects of kind " + p.kind.Kind + " on the cluster are being listed", kept: map[string]map[object.ID]bool{}, stale: map[object.ID]bool{}}
			following, drop := context.WithCancel(ctx)
			k.drop, r.kinds[p.kind] = drop, k
			follow = append(follow, func(watch Watch) { r.follow(following, k, watch) })
		case !is && k != nil:
			k.drop()
			delete(r.kinds, p.kind)
		}
	}
	return follow
}

func (r *Rivals) follow(ctx context.Context, k *known, watch Watch) {
	for {
		err := watch(ctx, k.kind, false, func(event apply.Event) { r.take(k, event) })
		if ctx.Err() != nil {
			return
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		r.doubt(k, first)
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return
		}
	}
}

// doubt notes that not all objects are known. Those that are known stay until all are
// listed anew, by a watch that knows nothing of this one.
func (r *Rivals) doubt(k *known, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k.unknown = why
	for _, ids := range k.kept {
		maps.Copy(k.stale, ids)
	}
	r.signal()
}

// take takes in one event of the watch. While it is interrupted, what was known is
// all that can be said.
func (r *Rivals) take(k *known, event apply.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch event.Type {
	case apply.Interrupted:
		return
	case apply.Listed:
		k.unknown = ""
		for id := range k.stale {
			k.note(id, false)
		}
		clear(k.stale)
	default:
		delete(k.stale, event.ID)
		k.note(event.ID, event.Type != apply.Deleted && k.keeps(event.Object))
	}
	r.signal()
}

// note notes whether the program keeps an object.
func (k *known) note(id object.ID, kept bool) {
	app := k.app(id)
	switch {
	case !kept:
		if delete(k.kept[app], id); len(k.kept[app]) == 0 {
			delete(k.kept, app)
		}
	case k.kept[app] == nil:
		k.kept[app] = map[object.ID]bool{id: true}
	default:
		k.kept[app][id] = true
	}
}

// signal has the caller ask again. Rivals is locked.
func (r *Rivals) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
