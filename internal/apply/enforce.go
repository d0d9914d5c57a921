package apply

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/object"
)

// course is what is to become of a live object.
type course struct {
	live   ownership.Object
	body   *unstructured.Unstructured // what is to be applied
	taking bool                       // fields of former deployers are taken over
}

// enforce writes what is wanted over a live object: it takes former deployers'
// fields over, hands over what Nave gives up, and applies.
func (r *run) enforce(ctx context.Context, it *item, set course) (*unstructured.Unstructured, error) {
	o, body := set.live, set.body
	var err error
	if set.taking {
		if o, err = r.takeOver(ctx, it, o, body); err != nil {
			return nil, err
		}
	}
	if err = r.handOver(ctx, it, o, body); err != nil {
		return nil, err
	}
	after, err := r.apply(ctx, it, body, o.GetUID())
	if cluster.UIDMismatch(err) {
		return nil, errAgain
	}
	return after, err
}

// takeOver makes Nave the owner of what former deployers and people own of the
// object. Nothing but managed fields changes, and only in the version that was read.
func (r *run) takeOver(ctx context.Context, it *item, o ownership.Object, body *unstructured.Unstructured) (ownership.Object, error) {
	o, err := r.tracked(ctx, it, o, body)
	if err != nil {
		return o, err
	}
	entries, taken := o.TakeOver(body, it.rules)
	if taken.Empty() {
		return o, nil
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/resourceVersion", "value": o.GetResourceVersion()},
		{"op": "add", "path": "/metadata/managedFields", "value": entries},
	})
	if err != nil {
		return o, fmt.Errorf("encoding the managed fields of %s: %w", it.id, err)
	}
	after, _, err := r.client.put(ctx, r.write(it, "take over", cluster.Request{Form: types.JSONPatchType, Content: patch}))
	if apierrors.IsConflict(err) {
		return o, errAgain
	}
	if err != nil {
		return o, err
	}
	return ownership.Read(after), nil
}

// tracked returns the object with managed fields even if it has none: those
// that its first apply would give it.
func (r *run) tracked(ctx context.Context, it *item, o ownership.Object, body *unstructured.Unstructured) (ownership.Object, error) {
	if len(o.GetManagedFields()) > 0 {
		return o, nil
	}
	after, _, err := r.client.put(ctx, r.write(it, "apply", cluster.Request{Body: body, Force: true, DryRun: true}))
	if err != nil {
		return o, err
	}
	before := o.DeepCopy()
	for _, entry := range after.GetManagedFields() {
		if entry.Manager == ownership.BeforeFirstApply {
			before.SetManagedFields(append(before.GetManagedFields(), entry))
		}
	}
	return ownership.Read(before), nil
}

// handOver applies the live value of the fields that Nave gives up under a
// second manager, so that they do not fall back to a default.
func (r *run) handOver(ctx context.Context, it *item, o ownership.Object, body *unstructured.Unstructured) error {
	given := o.GivenUp(body, it.rules)
	if given.Empty() {
		return nil
	}
	fields, _ := ownership.Extract(o.Object, given.Union(o.Kept())).(map[string]any)
	kept := &unstructured.Unstructured{Object: fields}
	kept.SetAPIVersion(body.GetAPIVersion())
	kept.SetKind(body.GetKind())
	kept.SetNamespace(it.id.Namespace)
	kept.SetName(it.id.Name)
	kept.SetUID(o.GetUID())
	_, _, err := r.client.put(ctx, r.write(it, "hand over", cluster.Request{Body: kept, Manager: ownership.HandoverManager}))
	if apierrors.IsConflict(err) {
		return errAgain
	}
	return err
}

// preview returns the object as enforce would leave it, by dry runs.
func (r *run) preview(ctx context.Context, it *item, set course) (*unstructured.Unstructured, error) {
	o, body := set.live, set.body.DeepCopy()
	if given := o.GivenUp(body, it.rules); !given.Empty() {
		ownership.Fill(body.Object, o.DeepCopy().Object, given)
	}
	body.SetUID(o.GetUID())
	after, _, err := r.client.put(ctx, r.write(it, "apply", cluster.Request{Body: body, Force: true, DryRun: true}))
	if cluster.UIDMismatch(err) {
		return nil, errAgain
	}
	if err != nil || !set.taking {
		return after, err
	}
	if o, err = r.tracked(ctx, it, o, body); err != nil {
		return nil, err
	}
	_, taken := o.TakeOver(body, it.rules)
	result := ownership.Read(after)
	if result.Ours == nil || taken.Difference(result.Ours).Empty() {
		return after, nil
	}
	without := result.Without(taken, result.Ours, it.rules)
	without.SetResourceVersion(o.GetResourceVersion())
	content, err := object.Canonical(without)
	if err != nil {
		return nil, err
	}
	after, _, err = r.client.put(ctx, r.write(it, "update", cluster.Request{Content: content, DryRun: true}))
	if apierrors.IsConflict(err) {
		return nil, errAgain
	}
	return after, err
}
