// Package releases brings apps about that are releases of Helm, for a spoke that knows
// how to keep objects: its Applier is an apply.Client that hands such apps to the
// engine of releases and all others on, and that tells of changes to a release's
// objects as of any others. It decides what a step of a release may delete by the rules
// for prunes, so that all deletions on a cluster follow the same ones.
package releases

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/prune"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
	"nave.dev/internal/release"
)

// Applier brings the apps of one cluster about. It is safe for concurrent use.
type Applier struct {
	*apply.Client
	fleet   string
	engine  *release.Client
	cluster *cluster.Connection
	memory  *Memory
}

// Memory is what is known of a cluster's releases, for as long as the process lasts.
// Its zero value is ready.
type Memory struct {
	mu      sync.Mutex
	apps    map[string]*known
	changed chan struct{} // closed when there are other objects to follow
	granted int           // deletions that count against the cluster's budget
	ended   int           // those of them that a result has told of
}

// known is what is known of one release.
type known struct {
	release string // namespace and name, as Helm's marks on objects have them
	storage string // those of its records
	digest  string // of the bundle
	reads   bool   // values from the cluster
	lost    int
	failed  string // why the last attempt at the bundle failed
	objects map[object.ID]bool
}

// Renderer runs templates and post-renderers of releases where they can be stopped.
type Renderer = release.Renderer

// New returns an applier for the cluster that config reaches. It sends no request.
// Without a renderer apps that are releases are refused.
func New(config *rest.Config, memory *Memory, renderer Renderer, options apply.Options) (*Applier, error) {
	client, err := apply.New(config, options)
	if err != nil {
		return nil, err
	}
	engine, err := release.New(config, renderer, release.Options{Fleet: options.Fleet, Now: options.Now, DigestKey: options.DigestKey})
	if err != nil {
		return nil, err
	}
	connection, err := cluster.New(config, cluster.Options{Now: options.Now})
	if err != nil {
		return nil, err
	}
	return &Applier{Client: client, fleet: options.Fleet, engine: engine, cluster: connection, memory: memory}, nil
}

// Stated returns the objects of an app: those of its bundle, or those of its release.
// As long as these are not known the release stands for them.
func (m *Memory) Stated(name string, bundle *app.Bundle) []object.ID {
	if bundle.Release == nil {
		ids := make([]object.ID, len(bundle.Objects))
		for i, u := range bundle.Objects {
			ids[i] = object.Of(u)
		}
		return ids
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.apps[name]; k != nil && k.objects != nil {
		return slices.SortedFunc(maps.Keys(k.objects), object.Compare)
	}
	return []object.ID{ID(bundle.Release)}
}

// of returns what is known of a target's release, made anew for another bundle save
// for its objects.
func (m *Memory) of(t apply.Target) *known {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.apps == nil {
		m.apps = map[string]*known{}
	}
	k := m.apps[t.App]
	if k == nil {
		k = &known{}
		m.apps[t.App] = k
	}
	if k.digest != t.Bundle.Digest {
		k.digest, k.lost, k.failed = t.Bundle.Digest, 0, ""
	}
	r := t.Bundle.Release
	k.reads = len(r.ValuesFrom) > 0
	k.release, k.storage = r.Namespace+"/"+r.Name, cmp.Or(r.Storage, r.Namespace)+"/"+r.Name
	return k
}

// take notes which objects a release has, and has others followed if there are.
func (m *Memory) take(k *known, ids []object.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	objects := map[object.ID]bool{}
	for _, id := range ids {
		objects[id] = true
	}
	if maps.Equal(objects, k.objects) {
		return
	}
	k.objects = objects
	m.news()
}

// forget forgets a release that is gone.
func (m *Memory) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.apps, name)
}

// ID is what stands for a release itself where objects are named.
func ID(r *app.Release) object.ID {
	return object.ID{Group: "helm.sh", Kind: "Release", Namespace: r.Namespace, Name: r.Name}
}

// Entitled says what is missing of the rights by which the objects and hooks of a release
// are brought about and followed. They are known when it is rendered, or was; as long as
// something is missing nothing of a revision is written, and a Sync returns the error as
// it is. Nil means that nothing is missing.
type Entitled func(ctx context.Context, objects, hooks []object.ID) error

// Sync brings an app about, as apply.Client does.
func (a *Applier) Sync(ctx context.Context, t apply.Target, entitled Entitled) (apply.Result, error) {
	switch {
	case t.Bundle.Release == nil:
		a.memory.forget(t.App) // it may have been one
		return a.Client.Sync(ctx, t)
	case t.Options.Suspend:
		return apply.Result{WaitsFor: "the app is suspended"}, nil
	}
	k := a.memory.of(t)
	round := a.memory.begin(t)
	target, err := a.target(ctx, t, round)
	if err != nil {
		return apply.Result{}, err
	}
	defer round.end()
	if t.Removed {
		done, err := a.engine.Remove(ctx, target)
		if err == nil && !done.Present {
			a.memory.forget(t.App)
		}
		return a.result(t, done, round), err
	}
	target.Lost, target.Entitled = k.lost, entitled
	done, err := a.engine.Sync(ctx, target)
	if done.Failed = cmp.Or(done.Failed, k.failed); done.Current {
		done.Failed = ""
	}
	k.lost, k.failed = done.Lost, done.Failed
	result := a.result(t, done, round)
	if err != nil || !done.Present {
		return result, err
	}
	if done.Current && len(done.Objects) > 0 {
		ids := make([]object.ID, len(done.Objects))
		for i, u := range done.Objects {
			ids[i] = object.Of(u)
		}
		a.memory.take(k, ids)
		a.settle(ctx, t, done.Objects, &result)
		return result, nil
	}
	if k.objects != nil && len(done.Steps) == 0 && !a.doubts(t, k) {
		return result, entitled.follow(ctx, slices.Collect(maps.Keys(k.objects)))
	}
	if !done.Current {
		target.Release = reporting(target.Release) // what failed is not corrected
	}
	checked, err := a.engine.Check(ctx, target, nil)
	if err != nil {
		return result, err
	}
	if checked.Foreign {
		return result, nil
	}
	if err := entitled.follow(ctx, checked.Objects); err != nil {
		return result, err
	}
	a.memory.take(k, checked.Objects)
	if done.Current {
		result.Changes = append(result.Changes, checked.Changes...)
	}
	a.settle(ctx, t, checked.Live, &result)
	return result, nil
}

// follow asks about objects that a release has: only what may be read where it is, as is
// known of what was asked about, is followed there.
func (e Entitled) follow(ctx context.Context, objects []object.ID) error {
	if e == nil {
		return nil
	}
	return e(ctx, objects, nil)
}

// doubts reports whether an object of a release is to be looked at: there is no baseline
// for it.
func (a *Applier) doubts(t apply.Target, k *known) bool {
	if t.Bundle.Release.Drift == app.DriftPassed {
		return false
	}
	for id := range k.objects {
		if _, ok := t.Known[id]; !ok {
			return true
		}
	}
	return false
}

// reporting returns a release of which drift is at most reported.
func reporting(r *app.Release) *app.Release {
	copied := *r
	if copied.Drift == app.DriftCorrected {
		copied.Drift = app.DriftReported
	}
	return &copied
}

// settle takes in objects that are as they should be: those with marks of the app's
// own, from when it was no release, lose them.
func (a *Applier) settle(ctx context.Context, t apply.Target, live []*unstructured.Unstructured, result *apply.Result) {
	result.Baselines = map[object.ID]apply.Baseline{}
	for _, u := range live {
		id := object.Of(u)
		if owner, _, ok := object.OwnerOf(u); ok && owner == (object.Owner{Fleet: a.fleet, App: t.App}) {
			given, err := a.giveUp(ctx, id, u)
			if err != nil {
				result.Changes = append(result.Changes, change.Entry{Object: id, Action: change.Failed, Reason: fmt.Sprintf("leaving it to Helm: %v", err)})
				continue
			}
			u = given
		}
		if t.Bundle.Release.Drift != app.DriftPassed {
			result.Baselines[id] = a.baseline(u)
		}
	}
}

// giveUp takes the marks off an object, and what else only they were applied with: an
// apply of nothing gives up all that was applied before, and what Helm has applied as
// well stays as it is.
func (a *Applier) giveUp(ctx context.Context, id object.ID, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	resource, err := a.cluster.Find(ctx, u.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	body := &unstructured.Unstructured{}
	body.SetGroupVersionKind(u.GroupVersionKind())
	body.SetNamespace(u.GetNamespace())
	body.SetName(u.GetName())
	body.SetUID(u.GetUID()) // or it is made anew
	given, _, err := a.cluster.Send(ctx, cluster.Request{Object: id, Resource: resource, Body: body, Manager: object.FieldManager})
	return given, err
}

// result is what a spoke is told of a step.
func (a *Applier) result(t apply.Target, done release.Result, round *round) apply.Result {
	result := apply.Result{Changes: done.Changes, Pruned: round.counted}
	if done.Held != nil {
		result.Held = &apply.Held{Digest: done.Held.Digest, Reason: done.Held.Reason, Objects: done.Held.Objects}
	}
	switch {
	case done.Left:
		result.Changes = append(result.Changes, change.Entry{Object: ID(t.Bundle.Release), Action: change.Orphaned, Reason: "its last revision is not this app's"})
	case t.Removed && done.Held == nil || done.Current || done.Held != nil:
	case done.Exhausted:
		result.Changes = append(result.Changes, change.Entry{Object: ID(t.Bundle.Release), Action: change.Failed,
			Reason: fmt.Sprintf("%s (attempts: %d, and no more until something changes)", a.why(done), done.Failures)})
	case done.Failures > 0:
		result.Changes = append(result.Changes, change.Entry{Object: ID(t.Bundle.Release), Action: change.Failed, Reason: fmt.Sprintf("%s (attempt %d)", a.why(done), done.Failures)})
	default:
		result.WaitsFor = "the next step of the release " + t.Bundle.Release.Name
	}
	return result
}

func (a *Applier) why(done release.Result) string {
	if done.Failed == "" {
		return "the last attempt failed"
	}
	return done.Failed
}

// round is what one call may delete, among those that run beside it.
type round struct {
	memory  *Memory
	before  int // deletions that other results have told of, or will in another way
	counted int
	asking  bool // nothing is deleted, so that nothing of the budgets is used up
}

func (m *Memory) begin(t apply.Target) *round {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &round{memory: m, before: m.ended - t.PrunedThisRound}
}

// end says that the result tells of what was deleted.
func (r *round) end() {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	r.memory.ended += r.counted
}

// whyIncomplete holds the deletions of a release while an app in error may want what
// goes: to leave out the deletions alone would leave the objects for ever, since no
// later revision names them.
const whyIncomplete = "it is not known what an app in error wants of it"

// review decides what of a removal is deleted, by the rules for prunes.
func (r *round) review(t apply.Target, removal release.Removal) release.Review {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	request := prune.Request{
		App: t.App, Enabled: t.Options.Prune, Complete: true, Removed: t.Removed, Wanted: removal.Wanted, Size: removal.Size,
		ClaimedBy: t.ClaimedBy, Needs: t.Needs, Confirmed: slices.Concat(t.Confirmed, []string{t.Options.ConfirmPrune}),
		ClusterObjects: t.ClusterObjects, PrunedBefore: max(0, r.memory.granted-r.before), Hold: t.HoldPrunes, HoldAll: t.Options.HoldPrunes,
		AllowEmpty: true,
	}
	if request.Hold == "" && !t.Complete && !t.FirstApply {
		request.Hold = whyIncomplete
	}
	for _, u := range removal.Gone {
		request.Tracked = append(request.Tracked, prune.Read(u))
	}
	plan := prune.New(request)
	review := release.Review{Kept: plan.Kept}
	if len(plan.Held) > 0 {
		review.Held = &release.Held{Digest: plan.Digest, Reason: plan.WhyHeld}
		for _, o := range plan.Held {
			review.Held.Objects = append(review.Held.Objects, o.ID)
		}
		return review
	}
	for _, o := range plan.Delete {
		review.Delete = append(review.Delete, o.ID)
	}
	if !r.asking {
		r.counted += plan.Counted
		r.memory.granted += plan.Counted
	}
	return review
}
