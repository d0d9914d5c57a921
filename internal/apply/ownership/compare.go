package ownership

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Standing says how an object stands to what is wanted of it.
type Standing struct {
	// Stale: what Nave owns is not what is wanted now. Others cannot change a
	// value and leave it to Nave, so what is wanted has changed.
	Stale bool
	// Taken: a field that is wanted belongs to somebody else.
	Taken bool
}

// Holds reports whether nothing need be applied.
func (s Standing) Holds() bool { return !s.Stale && !s.Taken }

// Compare holds an object against what is wanted. Values are compared as
// written: one that the server writes in another way, such as a quantity of
// 1000m, counts as stale, which costs one apply without effect.
func (o Object) Compare(wanted *unstructured.Unstructured) Standing {
	want := map[string]any{}
	for key, v := range wanted.Object {
		switch key {
		case "apiVersion", "kind":
		case "metadata":
			metadata := map[string]any{}
			for inner, v := range v.(map[string]any) {
				if inner == "labels" || inner == "annotations" || inner == "finalizers" || inner == "ownerReferences" {
					metadata[inner] = v
				}
			}
			want[key] = metadata
		default:
			want[key] = v
		}
	}
	c := comparison{}
	if !o.managed {
		c.Stale = !within(want, o.Object)
		return c.Standing
	}
	c.walk(want, o.Object, holding{fields: o.Ours})
	return c.Standing
}

// comparison walks over what is wanted, the object and Nave's fields at once:
// the fields say what is the key of a list and what is owned as a whole, which
// neither of the others shows.
type comparison struct{ Standing }

// quantities are the fields whose entries are amounts, which an API server
// writes in its own way: 1000m of a processor is 1.
var quantities = map[string]bool{
	"limits": true, "requests": true, "hard": true, "capacity": true, "max": true, "min": true,
	"default": true, "defaultRequest": true, "overhead": true, "podFixed": true,
}

// holding is what Nave owns of one value: the fields inside of it, or, as a
// member of what surrounds it, the value itself.
type holding struct {
	fields *fieldpath.Set
	member bool
	name   string // of the value, where it has one
	parent string // the name of the map around it
}

// walk compares one value.
func (c *comparison) walk(want, live any, owned holding) {
	if owned.fields == nil || owned.fields.Empty() {
		switch {
		case !owned.member && empty(want):
		case !owned.member && live != nil:
			c.Taken = true
		case !owned.member || !within(want, live) && !(quantities[owned.parent] && sameQuantity(want, live)):
			c.Stale = true
		}
		return
	}
	switch want := want.(type) {
	case map[string]any:
		in, _ := live.(map[string]any)
		for key, v := range want {
			element := fieldpath.FieldNameElement(key)
			inner, _ := owned.fields.Children.Get(element)
			c.walk(v, in[key], holding{inner, owned.fields.Members.Has(element), key, owned.name})
		}
		for element := range parts(owned.fields) {
			if element.FieldName == nil {
				c.Stale = true
			} else if _, ok := want[*element.FieldName]; !ok {
				c.Stale = true // Git dropped it
			}
		}
	case []any:
		in, _ := live.([]any)
		matched := 0
		for element, inner := range parts(owned.fields) {
			i, j := find(want, element), find(in, element)
			if i < 0 {
				c.Stale = true
				continue
			}
			matched++
			var there any
			if j >= 0 {
				there = in[j]
			}
			c.walk(want[i], there, holding{fields: inner, member: true})
		}
		if matched < len(want) {
			if len(in) >= len(want) {
				c.Taken = true
			} else {
				c.Stale = true
			}
		}
	default:
		c.Stale = true // a value has become a map or list
	}
}

// sameQuantity reports whether two values are one amount, written differently.
func sameQuantity(a, b any) bool {
	x, errX := resource.ParseQuantity(fmt.Sprint(a))
	y, errY := resource.ParseQuantity(fmt.Sprint(b))
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

// empty reports whether a value says nothing, so that nobody owns it.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// within reports whether a live value has everything that is wanted. The server
// adds defaults inside of values that are owned as a whole.
func within(want, live any) bool {
	switch want := want.(type) {
	case nil:
		return true
	case map[string]any:
		in, ok := live.(map[string]any)
		if !ok {
			return len(want) == 0 && live == nil
		}
		for key, v := range want {
			if !within(v, in[key]) {
				return false
			}
		}
		return true
	case []any:
		in, _ := live.([]any)
		if len(in) != len(want) {
			return false
		}
		for i := range want {
			if !within(want[i], in[i]) {
				return false
			}
		}
		return true
	}
	return live != nil && equal(want, live)
}
