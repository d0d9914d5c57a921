package ownership

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"nave.dev/internal/object"
)

// TakeOver returns the managed fields that the object has once Nave owns what
// former deployers and people own of it, apart from what the rules leave, and
// the fields that change hands. If there are none, nothing need be written.
//
// Applying afterwards removes whatever of them is not wanted, with the server's
// own rules for lists, defaults and co-owners. What an API server ascribes to
// before-first-apply holds everything that the object had, allocated addresses
// and injected bundles among it; of that only the fields which the annotation
// of kubectl apply names are taken.
func (o Object) TakeOver(wanted *unstructured.Unstructured, rules Rules) ([]metav1.ManagedFieldsEntry, *fieldpath.Set) {
	taken := &fieldpath.Set{}
	var entries []metav1.ManagedFieldsEntry
	for _, raw := range o.GetManagedFields() {
		entry, ok := decoded(o.Entries, raw)
		if !ok || entry.ours() || !rules.former(entry) {
			if !ok || !entry.ours() {
				entries = append(entries, raw)
			}
			continue
		}
		take := o.takes(entry, wanted, rules)
		taken = taken.Union(take)
		if rest := entry.Fields.Difference(take); !rest.Empty() {
			raw.FieldsV1 = encode(rest)
			entries = append(entries, raw)
		}
	}
	if taken.Empty() {
		return nil, taken
	}
	all := taken
	if o.Ours != nil {
		all = taken.Union(o.Ours)
	}
	return append(entries, metav1.ManagedFieldsEntry{
		Manager: object.FieldManager, Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: wanted.GetAPIVersion(), FieldsType: "FieldsV1", FieldsV1: encode(all),
	}), taken
}

// takes returns the fields of one entry that Nave takes over.
func (o Object) takes(entry Entry, wanted *unstructured.Unstructured, rules Rules) *fieldpath.Set {
	eligible := func(p fieldpath.Path) bool { return true }
	if entry.Manager == BeforeFirstApply {
		named := lastApplied(o.Unstructured)
		eligible = func(p fieldpath.Path) bool { return named != nil && namedOrGone(p, named, wanted.Object) }
	}
	take, leave := &fieldpath.Set{}, &fieldpath.Set{}
	for p := range entry.Fields.All() {
		_, there := lookup(o.Object, p)
		if watched(p) && !rules.left(p) && eligible(p) && (there || entry.APIVersion == wanted.GetAPIVersion()) {
			take.Insert(p)
		} else {
			leave.Insert(p)
		}
	}
	// A map or list of which something is left stays with whoever has it.
	whole := &fieldpath.Set{}
	for p := range take.All() {
		if !hasBelow(leave, p) {
			whole.Insert(p)
		}
	}
	return whole
}

// namedOrGone reports whether kubectl's annotation names a field. An element of
// a list that it names, and that is wanted no more, goes with all its defaults:
// half of one would be no valid object.
func namedOrGone(p fieldpath.Path, named, wanted map[string]any) bool {
	if _, ok := lookup(named, p); ok {
		return true
	}
	for i := range p {
		if p[i].Key == nil {
			continue
		}
		_, wasNamed := lookup(named, p[:i+1])
		_, isWanted := lookup(wanted, p[:i+1])
		if wasNamed && !isWanted {
			return true
		}
	}
	return false
}

// lastApplied returns what kubectl apply says that it applied, or nil.
func lastApplied(u *unstructured.Unstructured) map[string]any {
	text, ok := u.GetAnnotations()[lastAppliedAnnotation]
	if !ok {
		return nil
	}
	var named map[string]any
	if json.Unmarshal([]byte(text), &named) != nil {
		return nil
	}
	if annotations, ok, _ := unstructured.NestedMap(named, "metadata", "annotations"); ok || annotations == nil {
		if annotations == nil {
			annotations = map[string]any{}
		}
		annotations[lastAppliedAnnotation] = text // it does not name itself
		if unstructured.SetNestedMap(named, annotations, "metadata", "annotations") != nil {
			return nil
		}
	}
	return named
}

// Without returns a copy of the object as it is once the fields in removed are
// gone which nobody else owns, according to the object's other entries.
func (o Object) Without(removed, wanted *fieldpath.Set, rules Rules) *unstructured.Unstructured {
	keep := wanted
	for _, entry := range o.Entries {
		switch {
		case entry.ours():
		case rules.former(entry):
			keep = keep.Union(entry.Fields.Difference(removed))
		default:
			keep = keep.Union(entry.Fields)
		}
	}
	result := o.DeepCopy()
	for p := range removed.Difference(keep).All() {
		if !hasBelow(keep, p) {
			cut(result.Object, p)
		}
	}
	return result
}

// Theirs returns the fields that match and that belong to neither Nave nor
// former deployers: what another controller put there by design.
func (o Object) Theirs(patterns []Pattern, rules Rules) *fieldpath.Set {
	theirs := &fieldpath.Set{}
	for _, entry := range o.Entries {
		if entry.ours() || entry.Manager == HandoverManager || rules.former(entry) {
			continue
		}
		for p := range entry.Fields.Leaves().All() {
			if slices.ContainsFunc(patterns, func(pattern Pattern) bool { return pattern.Matches(p) }) {
				theirs.Insert(p)
			}
		}
	}
	return theirs
}

// Cut removes fields from an object, in place.
func Cut(u *unstructured.Unstructured, fields *fieldpath.Set) {
	for p := range fields.All() {
		cut(u.Object, p)
	}
}

// GivenUp returns the fields that Nave owns, that the rules leave to others or
// that number replicas, and that wanted does not have: those whose value stays
// when Nave lets go of them.
func (o Object) GivenUp(wanted *unstructured.Unstructured, rules Rules) *fieldpath.Set {
	given := &fieldpath.Set{}
	if o.Ours == nil {
		return given
	}
	for p := range o.Ours.Leaves().All() {
		replicas := len(p) == 2 && name(p, 0) == "spec" && name(p, 1) == "replicas"
		if _, still := lookup(wanted.Object, p); !still && (replicas || rules.left(p)) && !dropped(p, wanted.Object) {
			if _, there := lookup(o.Object, p); there {
				given.Insert(p)
			}
		}
	}
	return given
}

// dropped reports whether a field is one of an element that Git no longer has in its
// list: half of an element would be no valid object.
func dropped(p fieldpath.Path, wanted map[string]any) bool {
	for i := range p[:len(p)-1] {
		if _, there := lookup(wanted, p[:i+1]); p[i].Key != nil && !there {
			return true
		}
	}
	return false
}

// Kept returns the fields that were handed over before and still are.
func (o Object) Kept() *fieldpath.Set {
	for _, entry := range o.Entries {
		if entry.Manager == HandoverManager {
			return entry.Fields
		}
	}
	return &fieldpath.Set{}
}

// hasBelow reports whether a set has something below a path.
func hasBelow(set *fieldpath.Set, p fieldpath.Path) bool {
	for _, element := range p {
		inner, ok := set.Children.Get(element)
		if !ok {
			return false
		}
		set = inner
	}
	return !set.Empty()
}

func encode(set *fieldpath.Set) *metav1.FieldsV1 {
	data, err := set.ToJSON()
	if err != nil {
		panic(err) // a set is plain data
	}
	fields := &metav1.FieldsV1{}
	fields.SetRawBytes(data)
	return fields
}

// decoded returns the entry that was read from raw.
func decoded(entries []Entry, raw metav1.ManagedFieldsEntry) (Entry, bool) {
	for _, entry := range entries {
		if entry.Manager == raw.Manager && entry.Operation == raw.Operation &&
			entry.Subresource == raw.Subresource && entry.APIVersion == raw.APIVersion {
			return entry, true
		}
	}
	return Entry{}, false
}
