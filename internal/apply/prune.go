package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/apply/autoscaler"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/prune"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// prune deletes what Git no longer has, as far as the plan allows, once all that
// is new is healthy and the hooks have run. It returns how many objects were there
// that are not to stay.
func (r *run) prune(ctx context.Context) (left int) {
	if r.stopped() {
		return 1 // what the app has now is not known
	}
	plan, err := r.prunePlan(ctx)
	if err != nil {
		if !r.stop(ctx, err) {
			r.wait("pruning waits until it is known what the app has: %v", err)
		}
		return 1
	}
	r.report(plan)
	left = len(plan.Delete) + len(plan.Held) + r.going
	if len(plan.Delete) == 0 || r.stopped() {
		return left
	}
	if !r.target.Options.PruneFirst {
		obstacle := r.hooks.Blocked
		if obstacle == "" {
			obstacle = r.obstacle(ctx, []stage{{items: r.items}})
		}
		if obstacle != "" {
			reason := r.wait("pruning %d objects waits: %s", len(plan.Delete), obstacle)
			for _, o := range plan.Delete {
				r.result.Changes = append(r.result.Changes, change.Entry{Object: o.ID, Action: change.Skipped, Reason: reason})
			}
			return left
		}
	}
	r.deleteAll(ctx, plan)
	return left
}

// prunePlan decides what happens to objects with the app's marks that Git no
// longer has.
func (r *run) prunePlan(ctx context.Context) (prune.Plan, error) {
	t := r.target
	tracked := t.Tracked
	if tracked == nil {
		kinds := slices.Clone(t.Kinds)
		for _, it := range r.items {
			if !t.FirstApply {
				kinds = append(kinds, it.id.GroupKind())
			}
		}
		slices.SortFunc(kinds, func(a, b schema.GroupKind) int {
			return object.Compare(object.ID{Group: a.Group, Kind: a.Kind}, object.ID{Group: b.Group, Kind: b.Kind})
		})
		found, err := r.client.marked(ctx, slices.Compact(kinds), object.AppLabel+"="+r.owner.Label())
		if err != nil {
			return prune.Plan{}, err
		}
		tracked = found[t.App]
	}
	request := prune.Request{
		App: t.App, Enabled: t.Options.Prune, Complete: t.Complete, Removed: t.Removed, LeavesAlone: t.Options.LeavesAlone,
		AllowEmpty: t.Options.AllowEmpty, HoldAll: t.Options.HoldPrunes,
		ClaimedBy: t.ClaimedBy, Needs: t.Needs, Confirmed: slices.Clone(t.Confirmed),
		ClusterObjects: t.ClusterObjects, PrunedBefore: t.PrunedThisRound, Hold: t.HoldPrunes,
	}
	if t.Options.ConfirmPrune != "" {
		request.Confirmed = append(request.Confirmed, t.Options.ConfirmPrune)
	}
	wanted := map[types.UID]bool{}
	for _, it := range r.items {
		if it.optional && it.entry.Action == "" {
			continue
		}
		request.Wanted = append(request.Wanted, it.id)
		if it.baseline != nil {
			wanted[it.baseline.UID] = true
		}
	}
	for _, o := range tracked {
		if o.Owner == r.owner && o.Deleting {
			r.going++
		}
		// The same object may be served by two groups.
		if o.Owner == r.owner && !o.Deleting && !wanted[o.UID] {
			request.Tracked = append(request.Tracked, prune.Object{ID: o.ID, UID: o.UID, Adopted: o.Adopted, Kept: o.Kept, Confirm: o.Confirm, Extraneous: o.Extraneous, Removal: o.Removal})
		}
	}
	// The share of an app counts what it wants and has, not what is left over.
	request.Size = len(request.Tracked) + len(wanted)
	return prune.New(request), nil
}

// report enters what the plan keeps and holds into the result.
func (r *run) report(plan prune.Plan) {
	r.result.Changes = append(r.result.Changes, plan.Kept...)
	if len(plan.Held) == 0 {
		return
	}
	held := &Held{Digest: plan.Digest, Reason: plan.WhyHeld}
	for _, o := range plan.Held {
		held.Objects = append(held.Objects, o.ID)
		r.result.Changes = append(r.result.Changes, change.Entry{
			Object: o.ID, Action: change.Held, Reason: fmt.Sprintf("%s (confirm %s)", plan.Why(o), plan.Digest),
		})
	}
	r.result.Held = held
}

// deleteAll deletes in the plan's order, objects of one rank at once.
func (r *run) deleteAll(ctx context.Context, plan prune.Plan) {
	var mu sync.Mutex
	released := map[object.ID]bool{}
	for from := 0; from < len(plan.Delete) && !r.stopped(); {
		to := from
		for to < len(plan.Delete) && object.Rank(plan.Delete[to].ID) == object.Rank(plan.Delete[from].ID) {
			to++
		}
		var group sync.WaitGroup
		for _, o := range plan.Delete[from:to] {
			group.Add(1)
			go func() {
				defer group.Done()
				entry, workload := r.delete(ctx, o)
				mu.Lock()
				defer mu.Unlock()
				if entry.Action != "" {
					r.result.Changes = append(r.result.Changes, entry)
				}
				if workload != (object.ID{}) {
					released[workload] = true
				}
			}()
		}
		group.Wait()
		from = to
	}
	deleted := r.result.Changes.Count(change.Deleted)
	r.result.Pruned = min(plan.Counted, deleted)
	r.unscale(ctx, released)
}

// unscale applies workloads again whose autoscaler was pruned: now the number
// that Git states counts.
func (r *run) unscale(ctx context.Context, workloads map[object.ID]bool) {
	if len(workloads) == 0 {
		return
	}
	r.client.autoscalers.Forget()
	for _, it := range r.items {
		if !workloads[it.id] || !it.ok() {
			continue
		}
		before := it.entry
		it.baseline = nil
		r.prepare(ctx, it)
		it.known = nil
		r.one(ctx, it)
		if it.entry.Action == change.Unchanged {
			it.entry = before
		}
	}
}

// delete deletes one object if a fresh look at it agrees with the plan. If it
// was an autoscaler, the workload that it targeted is returned too.
func (r *run) delete(ctx context.Context, o prune.Object) (entry change.Entry, workload object.ID) {
	entry.Object = o.ID
	fail := func(reason string) (change.Entry, object.ID) {
		entry.Action, entry.Reason = change.Failed, reason
		return entry, object.ID{}
	}
	found, err := r.client.cluster.Find(ctx, o.ID.GroupKind().WithVersion(""))
	if err != nil {
		return fail("deleting it: " + cluster.Explain(err))
	}
	if reason, ok := r.target.Options.Permits(o.ID, found.Namespaced, true); !ok {
		return fail("deleting it: " + reason)
	}
	done, err := r.client.turns.Take(ctx, o.ID)
	if err != nil {
		r.stop(ctx, err)
		return change.Entry{}, object.ID{}
	}
	defer done()
	err = errAgain
	for attempts := 0; attempts < 4 && errors.Is(err, errAgain); attempts++ {
		var live *unstructured.Unstructured
		if live, err = r.client.cluster.Get(ctx, found, o.ID); err == nil {
			if refusal := r.refuses(o, live); refusal != "" {
				entry.Action, entry.Reason = change.Skipped, refusal
				return entry, object.ID{}
			}
			workload, _ = autoscaler.Target(live)
			_, _, err = r.client.put(ctx, write{cluster.Request{
				Object: o.ID, Resource: found, As: r.user, Delete: exactly(live), Propagation: r.propagation,
			}, "delete"})
		}
		if apierrors.IsConflict(err) {
			err = errAgain
		}
	}
	switch {
	case err == nil:
		entry.Action, entry.Reason = change.Deleted, "no longer in Git"
	case cluster.Missing(err, o.ID):
		return change.Entry{}, workload // gone already, which is as good
	case r.stop(ctx, err) && ctx.Err() != nil:
		return change.Entry{}, object.ID{}
	default:
		return fail("deleting it: " + cluster.Explain(err))
	}
	return entry, workload
}

// exactly is the precondition that an object is the one that was read, unchanged.
func exactly(live *unstructured.Unstructured) *metav1.Preconditions {
	uid, version := live.GetUID(), live.GetResourceVersion()
	return &metav1.Preconditions{UID: &uid, ResourceVersion: &version}
}

// refuses says why a live object is not the one that was planned to go, or
// nothing.
func (r *run) refuses(o prune.Object, live *unstructured.Unstructured) string {
	owner, adopted, marked := object.OwnerOf(live)
	switch {
	case !marked:
		return "it does not carry the app's marks any more"
	case owner != r.owner:
		return fmt.Sprintf("it is the app %q's of the fleet %q now", owner.App, owner.Fleet)
	case o.UID != live.GetUID():
		return "it is another object of the same name now"
	case adopted && !o.Adopted:
		return "it is marked as adopted now"
	case prune.Confirm(live) && !o.Confirm:
		return "it asks for confirmation now"
	case r.target.Removed && prune.RemovalOf(live) != o.Removal:
		return "what its annotation says of its deletion is not what it was"
	case prune.Kept(live) != "":
		return prune.Kept(live)
	case live.GetDeletionTimestamp() != nil:
		return "it is being deleted already"
	}
	return ""
}

// replace deletes and creates an object because the server refuses to change
// some of its fields.
func (r *run) replace(ctx context.Context, it *item, cause error) {
	reason := "replaced, because " + cluster.Explain(cause)
	done, err := r.client.turns.Take(ctx, it.id)
	if err != nil {
		r.stop(ctx, err)
		it.entry = change.Entry{}
		return
	}
	defer done()
	live, err := r.client.cluster.Get(ctx, it.resource, it.id)
	switch {
	case err != nil && !cluster.Missing(err, it.id):
	case prune.AlwaysHeld(it.id):
		it.fail(cluster.Explain(cause) + "; replace does not apply to kinds that take data or other objects with them")
		return
	case err == nil:
		if owner, _, ok := object.OwnerOf(live); !ok || owner != r.owner {
			it.fail(cluster.Explain(cause) + "; replace does not apply to an object that the app does not own yet")
			return
		}
		if r.mode == showing {
			it.entry = change.Entry{Action: change.Replaced, Reason: reason}
			return
		}
		_, _, err = r.client.put(ctx, r.write(it, "delete", cluster.Request{Delete: exactly(live)}))
	}
	created := false
	if err == nil || cluster.Missing(err, it.id) {
		created, err = r.create(ctx, it)
	}
	switch {
	case created:
		it.entry = change.Entry{Action: change.Replaced, Reason: reason}
	case err == nil || len(cluster.ImmutableFields(err)) > 0:
		it.entry = change.Entry{Action: change.Skipped, Reason: r.wait("%s is being deleted, to be created anew", it.id)}
	case r.stop(ctx, err) && ctx.Err() != nil:
		it.entry = change.Entry{}
	default:
		it.fail(cluster.Explain(err))
	}
}
