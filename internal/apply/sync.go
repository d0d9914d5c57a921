package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// Sync brings an app's objects to what Git says: namespaces, then definitions
// until they are established, then wave after wave, each once the one before is
// healthy, and last, once all that is new is healthy, what Git no longer has is
// pruned. It does not wait for health: it does what can be done now, says in
// WaitsFor what the rest waits for, and is called again when that has changed.
// The app's hooks run before, among and after its objects, and before the prune;
// each is created once, whatever happens to this process.
//
// An object that fails fails alone, with what depends on it. The error is about
// the cluster or the target as a whole, and comes with what was done before it.
func (c *Client) Sync(ctx context.Context, t Target) (Result, error) {
	if t.Options.Suspend {
		return Result{WaitsFor: "the app is suspended"}, nil
	}
	r, err := c.begin(ctx, t, syncing)
	if err != nil {
		return Result{}, err
	}
	if r.blocked != "" {
		return Result{WaitsFor: r.blocked}, nil
	}
	r.prepareAll(ctx)
	// Run the hooks that come first.
	if obstacle := r.hooks.Before(ctx); obstacle != "" {
		r.postpone(stages(r.items), r.wait("%s", obstacle))
		return r.finish()
	}
	// Learn what is there, as far as the baselines do not tell.
	r.lookAround(ctx)
	// Bring the objects to what Git says, and run the hooks among and after them.
	r.applyAll(ctx)
	r.hooks.After(ctx)
	// Delete what Git no longer has.
	left := r.prune(ctx)
	r.hooks.Gone(ctx, left)
	return r.finish()
}

// prepareAll prepares all items. One whose kind a definition of the bundle is
// yet to make stays unprepared.
func (r *run) prepareAll(ctx context.Context) {
	for _, it := range r.items {
		if r.prepare(ctx, it); it.err != nil && r.stop(ctx, it.err) {
			return
		}
	}
}

// few is how many objects of a kind are read one by one before it is cheaper to
// list the kind.
const few = 3

// lookAround lists the kinds of which several objects are not known.
func (r *run) lookAround(ctx context.Context) {
	unknown := map[schema.GroupKind][]*item{}
	for _, it := range r.items {
		if it.err == nil && it.known == nil {
			unknown[it.id.GroupKind()] = append(unknown[it.id.GroupKind()], it)
		}
	}
	var first []*item // one of each kind to list
	for _, items := range unknown {
		if r.target.FirstApply || len(items) > few {
			first = append(first, items[0])
		}
	}
	r.each(first, func(it *item) { r.client.present.Look(ctx, it.resource) })
}

// applyAll applies the items stage by stage.
func (r *run) applyAll(ctx context.Context) {
	stages := stages(r.items)
	for i, stage := range stages {
		if r.stopped() {
			return
		}
		if i == 0 || stage.wave > stages[i-1].wave {
			reason := ""
			if !stage.gated() {
				reason = r.gate(ctx, stages, i)
			} else if r.hooks.Active() {
				r.hooks.Blocked = fmt.Sprintf("wave %d waits for %s", stage.wave, stage.items[0].gated)
			}
			if reason != "" {
				r.postpone(stages[i:], reason)
				return
			}
		}
		r.each(stage.items, func(it *item) {
			if it.entry.Action == "" { // a namespace may have been made for a hook
				r.one(ctx, it)
			}
		})
		if stage.definitions {
			r.establish(ctx, stage.items)
		}
	}
	r.applied = stages
}

// gate says why the wave of a stage, and all that follows, waits: hooks and objects
// of the waves before it come first.
func (r *run) gate(ctx context.Context, stages []stage, i int) string {
	r.applied = stages[:i]
	obstacle, failure := r.hooks.Between(ctx, stages[i].wave)
	if failure != "" {
		r.hooks.Fail(ctx, failure)
		obstacle = r.hooks.Failure()
	}
	if obstacle == "" && i > 0 && slices.ContainsFunc(stages[i:], r.pending) {
		obstacle = r.obstacle(ctx, stages[:i])
	}
	if obstacle == "" {
		return ""
	}
	reason := r.wait("wave %d waits: %s", stages[i].wave, obstacle)
	if r.hooks.Active() {
		r.hooks.Blocked = reason
	}
	return reason
}

// stage is a number of objects that may be applied at once.
type stage struct {
	wave        int
	definitions bool
	items       []*item
}

// stages puts items into the order of application. Namespaces and definitions
// come before all waves, since objects of any wave may need them.
func stages(items []*item) []stage {
	type place struct{ wave, rank int }
	byPlace := map[place][]*item{}
	first := 0
	for _, it := range items {
		first = min(first, it.wave)
	}
	for _, it := range items {
		at := place{it.wave, object.Rank(it.id)}
		if kind := it.id.GroupKind(); kind == namespaceKind || kind == definitionKind {
			at.wave = first
			at.rank -= 100
		}
		byPlace[at] = append(byPlace[at], it)
	}
	places := slices.SortedFunc(maps.Keys(byPlace), func(a, b place) int {
		if a.wave != b.wave {
			return a.wave - b.wave
		}
		return a.rank - b.rank
	})
	var ordered []stage
	for _, at := range places {
		items := byPlace[at]
		ordered = append(ordered, stage{at.wave, items[0].id.GroupKind() == definitionKind, items})
	}
	return ordered
}

// pending reports whether anything of a stage is to be written or looked at.
func (r *run) pending(s stage) bool {
	return slices.ContainsFunc(s.items, (*item).pending)
}

// pending reports whether the item is to be written or looked at.
func (it *item) pending() bool {
	return it.err != nil || it.known == nil || it.known.Desired != it.digest
}

// pendingIn reports whether anything in a namespace is to be written or looked at.
func (r *run) pendingIn(namespace string) bool {
	return slices.ContainsFunc(r.items, func(it *item) bool { return it.id.Namespace == namespace && it.pending() })
}

// postpone skips what is to be written in some stages, and settles the rest.
func (r *run) postpone(stages []stage, reason string) {
	for _, s := range stages {
		for _, it := range s.items {
			if it.pending() {
				it.entry = change.Entry{Action: change.Skipped, Reason: reason}
			} else {
				it.entry, it.baseline = change.Entry{Action: change.Unchanged}, it.known
			}
		}
	}
}

// one applies one item, unless what it depends on is not there.
func (r *run) one(ctx context.Context, it *item) {
	if it.optional && !it.described && it.known == nil && r.mode == syncing && !r.pendingIn(it.id.Name) && !r.hooks.In(it.id.Name) {
		return // whoever has the namespace, nothing is to be written there
	}
	if it.err != nil {
		r.prepare(ctx, it) // its kind may be there by now
	}
	if r.mode == repairing && it.pending() && r.hooks.HoldsBack() {
		it.entry = change.Entry{Action: change.Skipped, Reason: "Git has changed it, and the sync's hooks come first"}
		return
	}
	for _, other := range r.needs(it) {
		switch other.entry.Action {
		case change.Failed, change.Skipped, change.Conflict:
			it.entry = change.Entry{Action: change.Skipped, Reason: fmt.Sprintf("it needs %s, which is not there: %s", other.id, other.entry.Reason)}
			return
		}
	}
	var unknown *cluster.UnknownKindError
	switch {
	case it.err == nil:
		r.settle(ctx, it)
	case errors.As(it.err, &unknown) && unknown.Missing():
		it.entry = change.Entry{Action: change.Skipped, Reason: cluster.Explain(it.err)}
		r.wait("the cluster has no kind %s", it.id.GroupKind())
	case r.stop(ctx, it.err) && ctx.Err() != nil:
	default:
		it.fail(cluster.Explain(it.err))
	}
}

// needs returns the items without which an item cannot be applied: its
// namespace and the definition of its kind, if they are the app's own.
func (r *run) needs(it *item) []*item {
	var found []*item
	if definition, ok := r.definitions[it.id.GroupKind()]; ok {
		found = append(found, definition)
	}
	if namespace, ok := r.namespaces[it.id.Namespace]; ok && it.id.Namespace != "" {
		found = append(found, namespace)
	}
	return found
}

// establishLimit bounds how long a Sync waits for definitions of its own.
const establishLimit = 15 * time.Second

// establish waits until the definitions that were just applied are served.
func (r *run) establish(ctx context.Context, definitions []*item) {
	ctx, cancel := context.WithTimeoutCause(ctx, establishLimit, cluster.ErrTimeout)
	defer cancel()
	r.each(definitions, func(it *item) {
		if it.live == nil || !it.ok() {
			return
		}
		if !established(it.live) {
			if live, err := r.untilEstablished(ctx, it); err == nil {
				it.live = live
			}
		}
		if established(it.live) {
			r.client.cluster.Learn(it.live)
			return
		}
		it.baseline = nil // so that it is looked at again
		it.entry = change.Entry{Action: change.Skipped, Reason: r.wait("%s is not established", it.id)}
	})
}

// established reports whether a definition is served.
func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, _ := c.(map[string]any)
		return condition["type"] == "Established" && condition["status"] == "True"
	})
}

// untilEstablished watches a definition until it is established.
func (r *run) untilEstablished(ctx context.Context, it *item) (*unstructured.Unstructured, error) {
	watcher, err := r.client.cluster.Watch(ctx, it.resource, cluster.Whole, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector("metadata.name", it.id.Name).String(),
		ResourceVersion: it.live.GetResourceVersion(),
	})
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", it.id, err)
	}
	defer watcher.Stop()
	for {
		select {
		case event, open := <-watcher.ResultChan():
			if !open || event.Type == watch.Error {
				return nil, fmt.Errorf("watching %s: the watch ended", it.id)
			}
			if u, ok := event.Object.(*unstructured.Unstructured); ok && established(u) {
				return u, nil
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// obstacle returns what in some stages is not healthy yet, or nothing.
func (r *run) obstacle(ctx context.Context, stages []stage) string {
	obstacles := map[*item]string{}
	var asked []*item
	for _, s := range stages {
		asked = append(asked, s.items...)
	}
	r.each(asked, func(it *item) {
		if obstacle := r.health(ctx, it); obstacle != "" {
			r.mu.Lock()
			obstacles[it] = obstacle
			r.mu.Unlock()
		}
	})
	for _, it := range asked {
		if obstacle, ok := obstacles[it]; ok {
			return obstacle
		}
	}
	return ""
}

// lifeless are kinds of Kubernetes' own that are healthy once they exist.
var lifeless = map[schema.GroupKind]bool{
	{Kind: "ConfigMap"}: true, {Kind: "Secret"}: true, {Kind: "ServiceAccount"}: true, {Kind: "LimitRange"}: true, {Kind: "ResourceQuota"}: true,
	{Group: "rbac.authorization.k8s.io", Kind: "Role"}: true, {Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}: true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}: true, {Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}: true,
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}: true, {Group: "networking.k8s.io", Kind: "IngressClass"}: true,
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}: true, {Group: "storage.k8s.io", Kind: "StorageClass"}: true,
}

// health returns why an item is not healthy, or nothing.
func (r *run) health(ctx context.Context, it *item) string {
	switch {
	case it.entry.Action == "" && it.optional:
		return "" // a namespace that somebody else has
	case it.entry.Action == "":
		return fmt.Sprintf("%s was not looked at", it.id)
	case !it.ok():
		if it.entry.Action == change.Failed {
			r.fails()
		}
		return fmt.Sprintf("%s is %s: %s", it.id, it.entry.Action, it.entry.Reason)
	case r.target.Health == nil || lifeless[it.id.GroupKind()]:
		return ""
	}
	if it.live == nil {
		live, err := r.client.cluster.Get(ctx, it.resource, it.id)
		if err != nil {
			r.stop(ctx, err)
			return fmt.Sprintf("%s cannot be read: %s", it.id, cluster.Explain(err))
		}
		it.live = live
	}
	ready, failed, message := r.target.Health(it.live)
	switch {
	case ready:
		return ""
	case failed:
		r.fails()
		return fmt.Sprintf("%s has failed: %s", it.id, message)
	case message != "":
		return fmt.Sprintf("%s is not healthy yet: %s", it.id, message)
	}
	return fmt.Sprintf("%s is not healthy yet", it.id)
}

// fails notes that something that is waited for has failed.
func (r *run) fails() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failing = true
}
