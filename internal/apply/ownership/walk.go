package ownership

import (
	"slices"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// find returns the index of the element of a list that a path element names, or
// -1. A list is matched by the fields that are its keys; a key that an element
// leaves to the server's default fits where no other element fits better.
func find(list []any, element fieldpath.PathElement) int {
	switch {
	case element.Key != nil:
		exact := slices.IndexFunc(list, func(item any) bool { return keyed(item, *element.Key, false) })
		if exact >= 0 {
			return exact
		}
		return slices.IndexFunc(list, func(item any) bool { return keyed(item, *element.Key, true) })
	case element.Value != nil:
		return slices.IndexFunc(list, func(item any) bool { return equal(item, (*element.Value).Unstructured()) })
	case element.Index != nil && *element.Index < len(list):
		return *element.Index
	}
	return -1
}

// keyed reports whether an element of a list has the key's values; with loose, a
// value may be absent as long as one is there.
func keyed(item any, key value.FieldList, loose bool) bool {
	fields, ok := item.(map[string]any)
	if !ok {
		return false
	}
	matched := 0
	for _, field := range key {
		have, present := fields[field.Name]
		if present && !equal(have, field.Value.Unstructured()) || !present && !loose {
			return false
		}
		if present {
			matched++
		}
	}
	return matched > 0
}

// equal compares values as an API server does: 1 and 1.0 are the same number.
func equal(a, b any) bool {
	return value.Equals(value.NewValueInterface(a), value.NewValueInterface(b))
}

// lookup returns the value at a path.
func lookup(from any, p fieldpath.Path) (any, bool) {
	for _, element := range p {
		switch in := from.(type) {
		case map[string]any:
			if element.FieldName == nil {
				return nil, false
			}
			next, ok := in[*element.FieldName]
			if !ok {
				return nil, false
			}
			from = next
		case []any:
			i := find(in, element)
			if i < 0 {
				return nil, false
			}
			from = in[i]
		default:
			return nil, false
		}
	}
	return from, true
}

// cut deletes the value at a path, in place, and returns the changed value.
func cut(from any, p fieldpath.Path) any {
	if len(p) == 0 {
		return from
	}
	switch in := from.(type) {
	case map[string]any:
		if p[0].FieldName == nil {
			return from
		}
		inner, ok := in[*p[0].FieldName]
		if ok && len(p) == 1 {
			delete(in, *p[0].FieldName)
		} else if ok {
			in[*p[0].FieldName] = cut(inner, p[1:])
		}
	case []any:
		i := find(in, p[0])
		if i >= 0 && len(p) == 1 {
			return slices.Delete(slices.Clone(in), i, i+1)
		}
		if i >= 0 {
			in[i] = cut(in[i], p[1:])
		}
	}
	return from
}

// Extract returns of a value only the fields of a set, with the keys that the
// elements of lists are known by.
func Extract(from any, set *fieldpath.Set) any {
	if set == nil || set.Empty() {
		return from
	}
	switch in := from.(type) {
	case map[string]any:
		out := map[string]any{}
		for element, inner := range parts(set) {
			if element.FieldName == nil {
				continue
			}
			if v, ok := in[*element.FieldName]; ok {
				out[*element.FieldName] = Extract(v, inner)
			}
		}
		return out
	case []any:
		var out []any
		for element, inner := range parts(set) {
			i := find(in, element)
			if i < 0 {
				continue
			}
			v := Extract(in[i], inner)
			if fields, ok := v.(map[string]any); ok && element.Key != nil {
				for _, key := range *element.Key {
					fields[key.Name] = key.Value.Unstructured()
				}
			}
			out = append(out, v)
		}
		return out
	}
	return from
}

// Fill copies the fields of a set from one value into another that has the same
// shape, and returns the other.
func Fill(into, from any, set *fieldpath.Set) any {
	if set == nil || set.Empty() {
		return from
	}
	switch in := from.(type) {
	case map[string]any:
		out, ok := into.(map[string]any)
		if !ok {
			return Extract(from, set)
		}
		for element, inner := range parts(set) {
			if element.FieldName == nil {
				continue
			}
			if v, ok := in[*element.FieldName]; ok {
				out[*element.FieldName] = Fill(out[*element.FieldName], v, inner)
			}
		}
		return out
	case []any:
		out, _ := into.([]any)
		for element, inner := range parts(set) {
			i, j := find(in, element), find(out, element)
			switch {
			case i < 0:
			case j >= 0:
				out[j] = Fill(out[j], in[i], inner)
			default:
				out = append(out, Extract([]any{in[i]}, single(element, inner)).([]any)...)
			}
		}
		return out
	}
	return from
}

// single returns the set of one element and what is below it.
func single(element fieldpath.PathElement, inner *fieldpath.Set) *fieldpath.Set {
	set := &fieldpath.Set{}
	if inner == nil {
		set.Members.Insert(element)
		return set
	}
	*set.Children.Descend(element) = *inner
	return set
}

// parts returns what a set has one level down: for each element the set below
// it, nil where the element is owned as a whole.
func parts(set *fieldpath.Set) func(func(fieldpath.PathElement, *fieldpath.Set) bool) {
	return func(yield func(fieldpath.PathElement, *fieldpath.Set) bool) {
		for element := range set.Members.All() {
			if inner, ok := set.Children.Get(element); !ok || inner.Empty() {
				if !yield(element, nil) {
					return
				}
			}
		}
		for element := range set.Children.All() {
			if inner, _ := set.Children.Get(element); !inner.Empty() && !yield(element, inner) {
				return
			}
		}
	}
}
