package apply

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/object"
)

// counted returns what counts of an object's content for whether Git has changed it.
func (it *item) counted(body *unstructured.Unstructured) ([]byte, error) {
	if it.ignored.Empty() {
		return object.Canonical(body)
	}
	body = body.DeepCopy()
	if err := it.ignored.Remove(body.Object); err != nil {
		return nil, err
	}
	return object.Canonical(body)
}

// view is a live object, what is wanted of it, and both as they are compared.
type view struct {
	body *unstructured.Unstructured // what is to be applied
	seen ownership.Object
	want *unstructured.Unstructured
}

// view looks at a live object. From then on the item's rules are about that one.
func (r *run) view(it *item, o ownership.Object, adopted bool) (v view, err error) {
	fields, err := it.ignored.Of(o)
	if err != nil {
		return v, err
	}
	it.rules.These = fields
	v.body = it.body.DeepCopy()
	if r.target.Options.LeaveDifferences && !it.ignored.Empty() {
		if v.body, err = it.ignored.Without(it.body, fields); err != nil {
			return v, err
		}
		v.body.SetGroupVersionKind(it.body.GroupVersionKind())
		v.body.SetNamespace(it.body.GetNamespace())
		v.body.SetName(it.body.GetName())
	}
	object.Mark(v.body, r.owner, it.id, adopted)
	ownership.Cut(v.body, o.Theirs(ownership.Injected(it.id), it.rules))
	v.want = v.body
	if !it.ignored.Empty() {
		if v.want, err = it.ignored.Without(v.body, fields); err != nil {
			return v, err
		}
	}
	v.seen, err = it.ignored.Disregard(o, fields)
	return v, err
}

// stands compares a live object with what is wanted of it, and reports whether
// people or former deployers added to it.
func (v view) stands(it *item, o ownership.Object) (standing ownership.Standing, added bool) {
	return v.seen.Compare(v.want), !o.Added(v.body, it.rules).Empty()
}

// comparable returns an object, as it is after a write, as it is compared and shown.
func (it *item) comparable(after *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if it.ignored.Empty() {
		return after, nil
	}
	fields, err := it.ignored.Of(ownership.Read(after))
	if err != nil {
		return nil, err
	}
	return it.ignored.Without(after, fields)
}

// addedTo reports whether people or former deployers have added to an object.
func (it *item) addedTo(after *unstructured.Unstructured) (bool, error) {
	o := ownership.Read(after)
	rules := it.rules
	var err error
	rules.These, err = it.ignored.Of(o)
	return err == nil && !o.Added(it.body, rules).Empty(), err
}

// respects reports whether who owns a field of an object matters to what is
// written, so that the object must be read before it is applied.
func (it *item) respects() bool { return len(it.rules.Left) > 0 || !it.ignored.Empty() }
