package releases

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
	"nave.dev/internal/release"
)

// helmLabel is on every object of a release of Helm.
const helmLabel = "app.kubernetes.io/managed-by=Helm"

// helmManager is the field manager of Helm.
const helmManager = "helm"

// Marks of Helm on an object, which name its release.
const (
	releaseName      = "meta.helm.sh/release-name"
	releaseNamespace = "meta.helm.sh/release-namespace"
)

// followRetry is when a kind that could not be watched is tried again.
const followRetry = 5 * time.Second

// Follow tells the changes of the objects of all releases until ctx ends, each as an
// event of an object of its app. Kinds are watched as releases have objects of them,
// with the status where the rules of that time ask for it, and anew when these are others,
// or sight says something else of where the kind is seen.
func (a *Applier) Follow(ctx context.Context, rules func() Rules, sight func(schema.GroupKind) string, tell func(apply.Event)) {
	type watched struct {
		version string
		stop    context.CancelFunc
		done    chan struct{} // closed when it has told its last event
	}
	followed := map[schema.GroupKind]watched{}
	var watches sync.WaitGroup
	defer watches.Wait()
	for {
		kinds, changed := a.memory.kinds()
		now := rules()
		if len(kinds) > 0 && len(followed) == 0 { // a cluster without releases is asked nothing
			watches.Go(func() { a.followRecords(ctx, tell) })
			watches.Go(func() { a.followValues(ctx, tell) })
		}
		for kind := range kinds {
			before, there := followed[kind]
			if version := now.Version(kind) + sight(kind); !there || before.version != version {
				under, stop := context.WithCancel(ctx)
				next, whole := watched{version, stop, make(chan struct{})}, now.HasRule(kind)
				followed[kind] = next
				watches.Go(func() {
					defer close(next.done)
					defer stop()
					if there {
						before.stop()
						<-before.done
					}
					a.follow(under, kind, whole, tell)
				})
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Rules say of which kinds the health is asked for, and name what they say of one.
type Rules interface {
	HasRule(kind schema.GroupKind) bool
	Version(kind schema.GroupKind) string
}

// FollowAnew has Follow ask for rules and sights again.
func (a *Applier) FollowAnew() {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	a.memory.news()
}

// news tells that there is something else to follow.
func (m *Memory) news() {
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// kinds are those of all objects of releases, and what tells when they are others.
func (m *Memory) kinds() (kinds map[schema.GroupKind]bool, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kinds = map[schema.GroupKind]bool{}
	for _, k := range m.apps {
		for id := range k.objects {
			kinds[id.GroupKind()] = true
		}
	}
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return kinds, m.changed
}

// follow watches one kind.
func (a *Applier) follow(ctx context.Context, kind schema.GroupKind, whole bool, tell func(apply.Event)) {
	there := map[object.ID]bool{}
	for ctx.Err() == nil {
		// What cannot be watched is tried again: what is wrong with it shows in the next step.
		_ = a.Client.WatchLabelled(ctx, kind, helmLabel, whole, func(event apply.Event) {
			switch event.Type {
			case apply.Listed:
				for id, app := range a.memory.ofKind(kind) {
					if !there[id] {
						tell(a.event(apply.Event{Type: apply.Deleted, Kind: kind, Tracked: apply.Tracked{ID: id}}, app))
					}
				}
				return
			case apply.Interrupted:
				return
			case apply.Deleted:
				delete(there, event.ID)
			default:
				there[event.ID] = true
			}
			if app := a.memory.appOf(event); app != "" {
				tell(a.event(event, app))
			}
		})
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
		}
	}
}

// followRecords watches Helm's own records, for revisions that somebody else makes.
func (a *Applier) followRecords(ctx context.Context, tell func(apply.Event)) {
	for ctx.Err() == nil {
		_ = a.Client.WatchLabelled(ctx, schema.GroupKind{Kind: "Secret"}, release.RecordLabels, false, func(event apply.Event) {
			if event.Object == nil || event.Type == apply.Deleted {
				return
			}
			name, foreign := release.RecordOf(event.Object)
			if app, id := a.memory.recorded(event.ID.Namespace + "/" + name); foreign && app != "" {
				look := a.event(apply.Event{Type: apply.Modified, Kind: id.GroupKind(), Tracked: apply.Tracked{ID: id}}, app)
				look.Fields = "another revision " + event.Version
				tell(look) // an object may be another one now, and what finds that out sees why
			}
		})
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
		}
	}
}

// valuesEvery is how often values that releases read from their cluster are looked at.
const valuesEvery = time.Minute

// followValues has releases looked at again whose values may have become others.
func (a *Applier) followValues(ctx context.Context, tell func(apply.Event)) {
	ticker := time.NewTicker(valuesEvery)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			for app, id := range a.memory.reading() {
				look := a.event(apply.Event{Type: apply.Modified, Kind: id.GroupKind(), Tracked: apply.Tracked{ID: id}}, app)
				look.Fields = "values as of " + now.String()
				tell(look)
			}
		case <-ctx.Done():
			return
		}
	}
}

// reading returns the apps whose releases read values from their cluster, each with
// one of its objects.
func (m *Memory) reading() map[string]object.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[string]object.ID{}
	for name, k := range m.apps {
		if k.reads && len(k.objects) > 0 {
			found[name] = slices.MinFunc(slices.Collect(maps.Keys(k.objects)), object.Compare)
		}
	}
	return found
}

// recorded returns the app of which Helm keeps the records under a name, and one of its
// objects.
func (m *Memory) recorded(storage string) (app string, id object.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, k := range m.apps {
		if k.storage == storage && len(k.objects) > 0 {
			return name, slices.MinFunc(slices.Collect(maps.Keys(k.objects)), object.Compare)
		}
	}
	return "", object.ID{}
}

// event is one of an object of an app.
func (a *Applier) event(event apply.Event, app string) apply.Event {
	event.Owner = object.Owner{Fleet: a.fleet, App: app}
	event.Fields = written(event.Object)
	return event
}

// baseline is what an object of a release is held against, when Helm wrote it included:
// by a rollback that a person asks for, Helm changes values of fields that it had before.
func (a *Applier) baseline(u *unstructured.Unstructured) apply.Baseline {
	b := a.Client.Baseline(u)
	b.Fields = written(u)
	return b
}

// written says when Helm last changed an object.
func written(u *unstructured.Unstructured) string {
	if u == nil {
		return ""
	}
	for _, entry := range u.GetManagedFields() {
		if entry.Manager == helmManager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Time != nil {
			return entry.Time.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

// ofKind are the objects of a kind that releases have, and whose they are.
func (m *Memory) ofKind(kind schema.GroupKind) map[object.ID]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[object.ID]string{}
	for name, k := range m.apps {
		for id := range maps.Keys(k.objects) {
			if id.GroupKind() == kind {
				found[id] = name
			}
		}
	}
	return found
}

// appOf returns the app whose release an object is of, by Helm's marks or, if they are
// gone, by what is known of it.
func (m *Memory) appOf(event apply.Event) string {
	if event.Object == nil {
		return ""
	}
	annotations := event.Object.GetAnnotations()
	named := annotations[releaseNamespace] + "/" + annotations[releaseName]
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, k := range m.apps {
		if k.release == named && (k.objects[event.ID] || k.objects == nil) || k.objects[event.ID] && event.Type == apply.Deleted {
			return name
		}
	}
	return ""
}

// Watch tells of marked objects as apply.Client does. That one of a release lost its
// marks is no deletion: Follow tells of it.
func (a *Applier) Watch(ctx context.Context, kind schema.GroupKind, marked bool, tell func(apply.Event)) error {
	return a.Client.Watch(ctx, kind, marked, a.save(marked, tell))
}

// WatchObjects is Watch with whole objects.
func (a *Applier) WatchObjects(ctx context.Context, kind schema.GroupKind, marked bool, tell func(apply.Event)) error {
	return a.Client.WatchObjects(ctx, kind, marked, a.save(marked, tell))
}

// save tells all but what Follow does.
func (a *Applier) save(marked bool, tell func(apply.Event)) func(apply.Event) {
	return func(event apply.Event) {
		if !marked || event.Type != apply.Deleted || a.memory.ofKind(event.Kind)[event.ID] == "" {
			tell(event)
		}
	}
}
