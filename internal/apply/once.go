package apply

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// leave settles an object that is only to be created, and exists: its content is
// not looked at. One without the app's marks gets them and nothing else; if it
// existed before it counts as adopted, so that only people have it deleted.
func (r *run) leave(ctx context.Context, it *item, claim claim, note string) error {
	_, before, marked := object.OwnerOf(it.live)
	if marked && claim == mine {
		it.entry = change.Entry{Action: change.Unchanged}
		r.done(it, it.live)
		return nil
	}
	it.entry = change.Entry{Action: change.Adopted, Reason: note}
	if claim == mine {
		it.entry = change.Entry{Action: change.Corrected, Reason: "its marks were removed"}
	}
	if reporting := r.mode == repairing && !r.target.Options.CorrectDrift; reporting || r.mode == showing {
		if reporting {
			it.entry.Action = change.Drifted
		}
		r.done(it, it.live)
		return nil
	}
	adopted := claim == nobodys || before || it.known != nil && it.known.Adopted
	after, err := r.apply(ctx, it, r.marksAlone(it, adopted), it.live.GetUID())
	if apierrors.IsConflict(err) || cluster.UIDMismatch(err) {
		return errAgain
	}
	if err != nil {
		return err
	}
	r.done(it, after)
	return nil
}

// marksAlone returns what to apply to a live object so that it gets the app's
// marks and keeps all else: the fields that Nave owns by now, if any, as they
// are. It holds for the version that was read, and, by the UID that goes with it,
// for no object that would have to be made.
func (r *run) marksAlone(it *item, adopted bool) *unstructured.Unstructured {
	body := &unstructured.Unstructured{Object: map[string]any{}}
	if o := ownership.Read(it.live); o.Ours != nil {
		if owned, ok := ownership.Extract(o.DeepCopy().Object, o.Ours).(map[string]any); ok {
			body.Object = owned
		}
	}
	body.SetAPIVersion(it.body.GetAPIVersion())
	body.SetKind(it.body.GetKind())
	body.SetNamespace(it.id.Namespace)
	body.SetName(it.id.Name)
	body.SetResourceVersion(it.live.GetResourceVersion())
	object.Mark(body, r.owner, it.id, adopted)
	return body
}

// onlyIfAbsent returns an object as content to apply that conflicts with any
// object that is there by then: none has version 1, which in etcd is that of an
// empty store. That an update of another version than the stored one is a
// conflict is what the API promises; a server that did not would break every
// controller. That the version of an object which is not there is not looked at
// is how every generic registry works (a test asks a real one); one that refused
// it would create nothing, and say so. A POST, whose refusal is plainer, makes an
// entry of the operation Update in the managed fields: the marks in it would not
// count as applied by Nave, and the fields could not be taken back by an apply
// once the rule goes.
func onlyIfAbsent(u *unstructured.Unstructured) ([]byte, error) {
	u = u.DeepCopy()
	u.SetResourceVersion("1")
	return object.Canonical(u)
}
