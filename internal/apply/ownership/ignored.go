package ownership

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Ignored names fields whose differences do not count. Its zero value names none.
type Ignored struct {
	// Places are where an object has such fields, each a path from the root: texts for
	// fields and numbers for places in lists. Nil is nowhere.
	Places func(object map[string]any) ([][]any, error)
	// Managers are field managers whose fields are such.
	Managers []string
}

// Empty reports whether no field is ignored.
func (i Ignored) Empty() bool { return i.Places == nil && len(i.Managers) == 0 }

// Remove deletes the ignored fields from an object in place, as far as the object
// itself tells which they are.
func (i Ignored) Remove(object map[string]any) error {
	if i.Places == nil {
		return nil
	}
	places, err := i.Places(object)
	if err != nil {
		return err
	}
	// From the back, so that places in lists stay what they were.
	slices.SortFunc(places, func(a, b []any) int { return comparePlaces(b, a) })
	for _, place := range places {
		removeAt(object, place)
	}
	return nil
}

// Of returns the fields, by whoever owns them, that are ignored of an object.
func (i Ignored) Of(o Object) (*fieldpath.Set, error) {
	found := &fieldpath.Set{}
	if i.Empty() {
		return found, nil
	}
	var places [][]any
	if i.Places != nil {
		var err error
		if places, err = i.Places(o.Object); err != nil {
			return nil, err
		}
	}
	for _, entry := range o.Entries {
		for p := range entry.Fields.All() {
			if len(places) > 0 && inside(places, o.Object, p) {
				found.Insert(p)
			}
		}
		if entry.ours() || !slices.Contains(i.Managers, entry.Manager) {
			continue
		}
		for p := range entry.Fields.Leaves().All() {
			found.Insert(p)
		}
	}
	return found, nil
}

// Disregard returns a copy of an object as it was read without the ignored fields,
// those that Of returned among them.
func (i Ignored) Disregard(o Object, fields *fieldpath.Set) (Object, error) {
	if i.Empty() {
		return o, nil
	}
	u, err := i.Without(o.Unstructured, fields)
	if err != nil {
		return o, err
	}
	seen := Object{Unstructured: u, Entries: slices.Clone(o.Entries)}
	for i, entry := range o.Entries {
		seen.Entries[i].Fields = entry.Fields.Difference(fields)
		if entry.ours() {
			seen.Ours = seen.Entries[i].Fields
		}
	}
	return seen, nil
}

// Without returns a copy of an object, or of what is wanted of it, without the
// ignored fields.
func (i Ignored) Without(u *unstructured.Unstructured, fields *fieldpath.Set) (*unstructured.Unstructured, error) {
	u = u.DeepCopy()
	Cut(u, fields)
	err := i.Remove(u.Object)
	return u, err
}

// inside reports whether a field of an object is at or below one of some places.
func inside(places [][]any, object map[string]any, p fieldpath.Path) bool {
	var at any = object
	var here []any
	for _, element := range p {
		switch in := at.(type) {
		case map[string]any:
			if element.FieldName == nil {
				return false
			}
			here = append(here, *element.FieldName)
			at = in[*element.FieldName]
		case []any:
			i := find(in, element)
			if i < 0 {
				return false
			}
			here = append(here, i)
			at = in[i]
		default:
			return false
		}
	}
	return slices.ContainsFunc(places, func(place []any) bool {
		return len(place) <= len(here) && comparePlaces(place, here[:len(place)]) == 0
	})
}

// comparePlaces orders paths: numbers by size and before texts, and a path before
// what is below it.
func comparePlaces(a, b []any) int {
	return slices.CompareFunc(a, b, func(x, y any) int {
		n, isNumber := x.(int)
		m, both := y.(int)
		switch {
		case isNumber && both:
			return n - m
		case isNumber:
			return -1
		case both:
			return 1
		}
		s, _ := x.(string)
		t, _ := y.(string)
		if s == t {
			return 0
		} else if s < t {
			return -1
		}
		return 1
	})
}

// removeAt deletes the value at a place, in place, and returns the changed value.
func removeAt(from any, place []any) any {
	switch in := from.(type) {
	case map[string]any:
		key, ok := place[0].(string)
		inner, there := in[key]
		switch {
		case !ok || !there:
		case len(place) == 1:
			delete(in, key)
		default:
			in[key] = removeAt(inner, place[1:])
		}
	case []any:
		i, ok := place[0].(int)
		switch {
		case !ok || i < 0 || i >= len(in):
		case len(place) == 1:
			return slices.Delete(slices.Clone(in), i, i+1)
		default:
			in[i] = removeAt(in[i], place[1:])
		}
	}
	return from
}
