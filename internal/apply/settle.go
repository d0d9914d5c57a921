package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/apply/autoscaler"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// errAgain says that an object changed between a read and a write.
var errAgain = errors.New("the object kept changing while it was being applied")

// settle brings one object to what is wanted, or finds out what that would
// take, and records the outcome in the item.
func (r *run) settle(ctx context.Context, it *item) {
	if reason, ok := r.target.Options.Permits(it.id, it.resource.Namespaced, true); !ok {
		if it.optional && !it.described { // only a namespace that is not there would be written
			if _, err := r.client.cluster.Get(ctx, it.resource, it.id); err == nil {
				return
			}
		}
		if it.optional {
			reason += "\nhint: make the namespace before, in an app that may, or let the limits of the app allow it"
		}
		it.fail(reason)
		return
	}
	if (r.mode == syncing || r.trusting) && !it.pending() {
		it.entry, it.baseline = change.Entry{Action: change.Unchanged}, it.known
		it.release()
		return
	}
	done, err := r.client.turns.Take(ctx, it.id)
	if err == nil {
		err = r.try(ctx, it)
		// The server may take a moment until it serves what it has established.
		_, own := r.definitions[it.id.GroupKind()]
		for attempts := 0; attempts < 20 && own && unserved(err, it.id) && ctx.Err() == nil; attempts++ {
			if err = cluster.Pause(ctx, 100*time.Millisecond); err == nil {
				err = r.try(ctx, it)
			}
		}
		done()
	}
	switch {
	case err == nil:
	case r.stop(ctx, err) && ctx.Err() != nil:
		it.entry = change.Entry{} // nothing is known of it
	case len(cluster.ImmutableFields(err)) > 0 && (r.target.Options.Replace || object.ReplaceAsked(it.source)):
		r.replace(ctx, it, err)
	default:
		if unserved(err, it.id) {
			r.client.cluster.Forget()
		}
		it.fail(cluster.Explain(err))
	}
	if it.ok() {
		it.release()
	}
}

// release lets go of what no later stage asks for, so that an app of very many
// objects is not held in memory three times over.
func (it *item) release() {
	it.body, it.encoded = nil, nil
	if lifeless[it.id.GroupKind()] {
		it.live = nil
	}
}

// unserved reports whether an answer says that the server does not know the kind.
func unserved(err error, id object.ID) bool {
	var answer apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &answer) {
		return false
	}
	details := answer.Status().Details
	return details == nil || details.Name == ""
}

func (it *item) fail(reason string) {
	it.entry, it.baseline = change.Entry{Action: change.Failed, Reason: reason}, nil
}

// try settles an object, from the start whenever it changed in between.
func (r *run) try(ctx context.Context, it *item) error {
	if r.mode == syncing {
		settled, err := r.shortcut(ctx, it)
		if settled || err != nil {
			return err
		}
	}
	err := errAgain
	for attempts := 0; attempts < 4 && errors.Is(err, errAgain); attempts++ {
		err = r.reconcile(ctx, it)
	}
	if err == nil && it.applied && it.entry.Action == change.Unchanged {
		it.entry.Action = change.Updated
	}
	return err
}

// shortcut settles with one request an object of which enough is known.
func (r *run) shortcut(ctx context.Context, it *item) (settled bool, err error) {
	_, contested := r.claimant(it.id)
	switch {
	case contested || it.optional || it.once:
		return false, nil
	case it.gated != "":
		if it.known == nil && r.client.present.Absent(it.id) {
			r.holdBack(it)
			return true, nil
		}
		return false, nil
	case it.known == nil:
		if !r.client.present.Absent(it.id) {
			return false, nil
		}
		created, err := r.create(ctx, it)
		if created {
			it.entry = change.Entry{Action: change.Created}
		}
		return created, err
	case r.delicate(it):
		return false, nil
	}
	body := it.body.DeepCopy()
	if it.known.Adopted {
		object.Mark(body, r.owner, it.id, true)
	}
	body.SetUID(it.known.UID)
	after, _, err := r.client.put(ctx, r.write(it, "apply", cluster.Request{Body: body, Force: true, Brief: r.brief(it)}))
	if cluster.UIDMismatch(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if o := ownership.Read(after); r.target.Options.CorrectDrift && !o.Added(it.body, it.rules).Empty() {
		it.applied = true
		return false, nil // Git dropped what a former deployer still holds
	}
	it.entry = change.Entry{Action: change.Updated}
	r.done(it, after)
	it.forget(r.brief(it))
	return true, nil
}

// brief reports whether the metadata of an object that was applied is all that is
// asked of it: its health is if others wait for it. What health needs and is not
// at hand is read.
func (r *run) brief(it *item) bool {
	switch it.id.GroupKind() {
	case namespaceKind, definitionKind:
		return false
	}
	return lifeless[it.id.GroupKind()] || !r.paced
}

// forget drops a live object of which only the metadata is known.
func (it *item) forget(brief bool) {
	if brief {
		it.live = nil
	}
}

// delicate reports whether fields of the object may have to be handed over, so
// that it must be read before it is applied.
func (r *run) delicate(it *item) bool {
	_, states, _ := unstructured.NestedFieldNoCopy(it.body.Object, "spec", "replicas")
	return it.respects() || it.known.Replicas && !states || len(ownership.Injected(it.id)) > 0
}

// write completes a request that is about an item.
func (r *run) write(it *item, verb string, request cluster.Request) write {
	request.Object, request.Resource, request.As = it.id, it.resource, r.user
	request.Secret = it.secret
	if request.Manager == "" {
		request.Manager = object.FieldManager
	}
	return write{request, verb}
}

// create applies an object that is believed not to exist. If it does exist,
// nothing that others own in it is overridden, and it counts as adopted.
func (r *run) create(ctx context.Context, it *item) (bool, error) {
	content := it.encoded
	if it.once {
		var err error
		if content, err = onlyIfAbsent(it.body); err != nil {
			return false, err
		}
	}
	after, created, err := r.client.put(ctx, r.write(it, "apply", cluster.Request{Form: types.ApplyPatchType, Content: content, Brief: r.brief(it)}))
	if apierrors.IsConflict(err) {
		// An object that is only created was not written, so that marks on it are
		// those of a creation whose answer was lost.
		it.surprise = !it.once
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !created && !alone(ownership.Read(after)) {
		it.surprise = true
		return false, nil
	}
	r.client.present.Appeared(it.id)
	r.done(it, after)
	it.forget(r.brief(it))
	return true, nil
}

// alone reports whether nobody but Nave has written the object, as when the
// answer to its creation was lost and the request was sent again.
func alone(o ownership.Object) bool {
	for _, entry := range o.Entries {
		if entry.Manager != object.FieldManager {
			return false
		}
	}
	return len(o.Entries) > 0
}

// done records that the object is as it should be.
func (r *run) done(it *item, after *unstructured.Unstructured) {
	it.live = after
	if _, ok := autoscaler.Target(it.source); ok && r.mode != showing {
		r.client.autoscalers.Forget()
	}
	if after.GetDeletionTimestamp() != nil {
		it.entry = change.Entry{Action: change.Skipped, Reason: r.wait("%s is being deleted", it.id)}
		return
	}
	baseline := r.client.baseline(after, it.digest)
	it.baseline = &baseline
}

// apply applies an object that exists.
func (r *run) apply(ctx context.Context, it *item, body *unstructured.Unstructured, uid types.UID) (*unstructured.Unstructured, error) {
	body.SetUID(uid)
	after, _, err := r.client.put(ctx, r.write(it, "apply", cluster.Request{Body: body, Force: true}))
	return after, err
}

// reconcile reads an object and does what it takes.
func (r *run) reconcile(ctx context.Context, it *item) error {
	live, err := r.client.cluster.Get(ctx, it.resource, it.id)
	if cluster.Missing(err, it.id) {
		return r.absent(ctx, it)
	}
	if err != nil {
		return err
	}
	it.live = live
	if live.GetDeletionTimestamp() != nil {
		it.entry = change.Entry{Action: change.Skipped, Reason: r.wait("%s is being deleted", it.id)}
		return nil
	}
	claim, note := r.claim(it, live)
	if it.gated != "" && (claim == nobodys || claim == released) {
		r.holdBack(it)
		return nil
	}
	if it.once && claim != another {
		return r.leave(ctx, it, claim, note)
	}
	switch {
	case it.optional && (claim == another || claim != mine && !it.described):
		return nil // somebody has it, which is all that matters
	case claim == another:
		it.entry = change.Entry{Action: change.Conflict, Reason: note}
		return nil
	}
	o := ownership.Read(live)
	adopted := claim == nobodys
	if claim != nobodys {
		_, before, _ := object.OwnerOf(live)
		adopted = before || it.known != nil && it.known.Adopted
	}
	v, err := r.view(it, o, adopted)
	if err != nil {
		return err
	}
	standing, added := v.stands(it, o)
	if claim == mine && standing.Holds() && !added {
		it.entry = change.Entry{Action: change.Unchanged}
		r.done(it, live)
		return nil
	}
	if it.gated != "" && standing.Stale {
		r.holdBack(it)
		return nil
	}
	// Drift is only reported where corrections are off, and so it is where all
	// that differs is drift.
	reporting := !r.target.Options.CorrectDrift && (r.mode == repairing || claim == mine && !standing.Stale)
	set := course{o, v.body, claim != mine || added && (reporting || r.target.Options.CorrectDrift)}
	var after *unstructured.Unstructured
	if reporting || r.mode == showing {
		after, err = r.preview(ctx, it, set)
	} else {
		after, err = r.enforce(ctx, it, set)
	}
	if err != nil {
		return err
	}
	if writing := r.mode != showing && !reporting; writing && r.target.Options.CorrectDrift {
		again, err := it.addedTo(after)
		if err != nil {
			return err
		}
		if again {
			it.applied = true
			return errAgain // somebody added to it after it was read
		}
	}
	shown, err := it.comparable(after)
	if err != nil {
		return err
	}
	fields := v.seen.Changes(shown, claim == mine, r.client.options.DigestKey)
	if it.secret {
		fields = change.VeilFields(fields, r.client.options.DigestKey)
	}
	it.entry = change.Entry{Action: r.action(claim, reporting, len(fields) > 0), Reason: note, Fields: fields}
	switch it.entry.Action {
	case change.Corrected, change.Drifted:
		if note == "" {
			it.entry.Reason = blame(o, fields)
		}
	}
	if reporting || r.mode == showing {
		after = live
	}
	r.done(it, after)
	return nil
}

// action names what was done, or would be.
func (r *run) action(claim claim, reporting, differs bool) change.Action {
	switch {
	case reporting && (differs || claim != mine):
		return change.Drifted
	case claim != mine:
		return change.Adopted
	case !differs:
		return change.Unchanged
	case r.mode == repairing:
		return change.Corrected
	}
	return change.Updated
}

// blame says who changed the object, and when.
func blame(o ownership.Object, fields []change.Field) string {
	managers := map[string]bool{}
	for _, field := range fields {
		managers[field.Manager] = true
	}
	var parts []string
	for _, entry := range o.Entries {
		if managers[entry.Manager] && entry.Subresource != "status" {
			delete(managers, entry.Manager)
			parts = append(parts, entry.Manager+at(entry.Time))
		}
	}
	if len(parts) > 0 {
		return "changed by " + strings.Join(parts, " and ")
	}
	if manager, when := o.LastChange(); manager != "" {
		return "fields were removed; the last other change was by " + manager + at(when)
	}
	return "fields were removed"
}

// claim says to whom an object belongs.
type claim int

const (
	mine     claim = iota // this app's
	released              // another app's that no longer wants it, or is gone
	nobodys               // not marked
	another               // somebody's who keeps it
)

// claim reads the marks of a live object.
func (r *run) claim(it *item, live *unstructured.Unstructured) (claim, string) {
	owner, _, marked := object.OwnerOf(live)
	switch {
	case !marked && it.known != nil && it.known.UID == live.GetUID():
		return mine, "" // its marks were removed
	case !marked:
		return nobodys, "it existed before"
	case it.surprise && owner == r.owner:
		return nobodys, "it existed before" // and was marked unawares
	case owner == r.owner:
		return mine, ""
	case owner.Fleet != r.owner.Fleet:
		return another, fmt.Sprintf("it belongs to the app %q of the fleet %q", owner.App, owner.Fleet)
	}
	if r.target.Keeps == nil || r.target.Keeps(owner.App, it.id) {
		return another, fmt.Sprintf("the app %q has it too, and keeps it", owner.App)
	}
	return released, fmt.Sprintf("it was the app %q's", owner.App)
}

// absent deals with an object that is not there.
func (r *run) absent(ctx context.Context, it *item) error {
	switch {
	case r.mode == showing:
		_, _, err := r.client.put(ctx, r.write(it, "apply", cluster.Request{Body: it.body, Force: true, DryRun: true}))
		if err != nil && !apierrors.IsNotFound(err) { // its namespace comes first
			return err
		}
		it.entry = change.Entry{Action: change.Created}
		return nil
	case r.mode == repairing && !r.target.Options.CorrectDrift:
		it.entry = change.Entry{Action: change.Drifted, Reason: "it was deleted"}
		return nil
	case it.gated != "" && it.unseen():
		r.holdBack(it)
		return nil
	}
	created, err := r.create(ctx, it)
	if err != nil {
		return err
	}
	if !created {
		return errAgain
	}
	it.entry = change.Entry{Action: change.Created}
	if r.mode == repairing {
		it.entry = change.Entry{Action: change.Corrected, Reason: "it was deleted"}
	}
	return nil
}
