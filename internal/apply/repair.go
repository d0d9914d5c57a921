package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// Repair looks at some objects of an app, because an event differed from their
// baselines, and undoes what others changed, or only reports it where the app's
// options say so. Each entry says which fields, by whom and when. Nothing is
// pruned, and identities that the app does not have are passed over.
func (c *Client) Repair(ctx context.Context, t Target, ids []object.ID) (Result, error) {
	if t.Options.Suspend {
		return Result{WaitsFor: "the app is suspended"}, nil
	}
	r, err := c.begin(ctx, t, repairing)
	if err != nil {
		return Result{}, err
	}
	if r.blocked != "" {
		return Result{WaitsFor: r.blocked}, nil
	}
	r.only(ctx, ids)
	r.each(r.items, func(it *item) { r.one(ctx, it) })
	return r.finish()
}

// only prepares the items and keeps those with the identities.
func (r *run) only(ctx context.Context, ids []object.ID) {
	var kept []*item
	asked := map[object.ID]bool{}
	for _, id := range ids {
		asked[id] = true
	}
	for _, it := range r.items {
		// The bundle may state a namespace where the kind has none.
		bare := object.ID{Group: it.id.Group, Kind: it.id.Kind, Name: it.id.Name}
		if !asked[it.id] && !asked[bare] {
			continue
		}
		if r.prepare(ctx, it); it.err != nil && r.stop(ctx, it.err) {
			break
		}
		if asked[it.id] {
			kept = append(kept, it)
		}
	}
	r.items = kept
	r.definitions, r.namespaces = nil, nil // what is not looked at is taken to be there
}

// Diff returns what Sync would do to the cluster as it is now, every field with
// its manager, by dry runs of the API server. It writes nothing.
func (c *Client) Diff(ctx context.Context, t Target) (change.Set, error) {
	r, err := c.begin(ctx, t, showing)
	if err != nil {
		return nil, err
	}
	result, err := r.compare(ctx)
	return result.Changes, err
}

// Compare is Diff for who follows the cluster: an object with a baseline that
// holds is not read again, and the result has the baselines of all that is as Git
// says.
func (c *Client) Compare(ctx context.Context, t Target) (Result, error) {
	r, err := c.begin(ctx, t, showing)
	if err != nil {
		return Result{}, err
	}
	r.trusting = true
	result, err := r.compare(ctx)
	for _, entry := range result.Changes {
		if entry.Action != change.Unchanged {
			delete(result.Baselines, entry.Object)
		}
	}
	return result, err
}

// compare finds out what syncing would do.
func (r *run) compare(ctx context.Context) (Result, error) {
	if r.blocked != "" {
		return Result{WaitsFor: r.blocked}, fmt.Errorf("it waits for %s", r.blocked)
	}
	r.prepareAll(ctx)
	for _, s := range stages(r.items) {
		r.each(s.items, func(it *item) { r.show(ctx, it) })
	}
	if !r.stopped() {
		plan, err := r.prunePlan(ctx)
		if err != nil && !r.stop(ctx, err) {
			return Result{}, err
		}
		r.report(plan)
		for _, o := range plan.Delete {
			r.result.Changes = append(r.result.Changes, change.Entry{Object: o.ID, Action: change.Deleted, Reason: "no longer in Git"})
		}
	}
	return r.finish()
}

// show finds out what would be done to one item. An object whose definition or
// namespace the app is yet to make cannot be tried, and would be created.
func (r *run) show(ctx context.Context, it *item) {
	var unknown *cluster.UnknownKindError
	if _, own := r.definitions[it.id.GroupKind()]; own && errors.As(it.err, &unknown) && unknown.Failing == nil {
		it.entry = change.Entry{Action: change.Created}
		return
	}
	r.one(ctx, it)
}

// Kinds returns the group-kinds that a target's objects are of, sorted: those
// that a cluster record must name before the target is first applied.
func Kinds(t Target) []schema.GroupKind {
	seen := map[schema.GroupKind]bool{}
	var kinds []schema.GroupKind
	add := func(kind schema.GroupKind) {
		if !seen[kind] {
			seen[kind] = true
			kinds = append(kinds, kind)
		}
	}
	for _, u := range t.Bundle.Objects {
		add(object.Of(u).GroupKind())
	}
	if t.Options.CreateNamespace {
		add(namespaceKind)
	}
	slices.SortFunc(kinds, func(a, b schema.GroupKind) int {
		return object.Compare(object.ID{Group: a.Group, Kind: a.Kind}, object.ID{Group: b.Group, Kind: b.Kind})
	})
	return kinds
}
