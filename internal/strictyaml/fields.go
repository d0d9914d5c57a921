package strictyaml

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// structFields is what a struct type takes from a mapping.
type structFields struct {
	byName map[string]structField
	names  []string // sorted
}

// structField is a field of a struct or of one embedded in it.
type structField struct {
	index []int // of each struct on the way
	typ   reflect.Type
}

// in returns the field in the struct v, and allocates the embedded structs on the way that are pointers.
func (f structField) in(v reflect.Value) reflect.Value {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

var fieldCache sync.Map // reflect.Type to *structFields

// fieldsOf returns the fields of the struct type t.
func fieldsOf(t reflect.Type) *structFields {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.(*structFields)
	}
	fields := collect(t)
	fieldCache.Store(t, fields)
	return fields
}

// candidate is a field that may carry its name, unless another one has a better right to it.
type candidate struct {
	structField
	tagged bool
}

// collect finds the fields of t as encoding/json does: the one least deep in embedded structs has the name; of several
// at that depth the one that a tag names; if that does not decide it, none.
func collect(t reflect.Type) *structFields {
	fields := &structFields{byName: map[string]structField{}}
	decided := map[string]bool{}
	visited := map[reflect.Type]bool{}
	for level := []structField{{typ: t}}; len(level) > 0; {
		found := map[string][]candidate{}
		var deeper []structField
		for _, embedded := range level {
			if !visited[embedded.typ] {
				deeper = append(deeper, own(embedded, found)...)
			}
		}
		for _, embedded := range level {
			visited[embedded.typ] = true
		}
		for name, candidates := range found {
			if decided[name] {
				continue
			}
			decided[name] = true
			if f, ok := choose(candidates); ok {
				fields.byName[name] = f
				fields.names = append(fields.names, name)
			}
		}
		level = deeper
	}
	slices.Sort(fields.names)
	return fields
}

// own adds the fields of the struct s to found, by name, and returns the structs embedded in it.
func own(s structField, found map[string][]candidate) (embedded []structField) {
	for i := range s.typ.NumField() {
		sf := s.typ.Field(i)
		tag := sf.Tag.Get("json")
		base := sf.Type
		if base.Kind() == reflect.Pointer && base.Name() == "" {
			base = base.Elem()
		}
		inner := sf.Anonymous && base.Kind() == reflect.Struct
		// An embedded struct of an unexported type has exported fields all the same, but no pointer to it can be set.
		if tag == "-" || !sf.IsExported() && (!inner || sf.Type.Kind() == reflect.Pointer) {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		f := structField{index: append(slices.Clone(s.index), i), typ: sf.Type}
		switch {
		case inner && name == "":
			f.typ = base
			embedded = append(embedded, f)
		case !sf.IsExported():
		case name == "":
			found[sf.Name] = append(found[sf.Name], candidate{structField: f})
		default:
			found[name] = append(found[name], candidate{structField: f, tagged: true})
		}
	}
	return embedded
}

// choose returns the candidate that has the name, if one does.
func choose(candidates []candidate) (structField, bool) {
	if len(candidates) > 1 {
		candidates = slices.DeleteFunc(candidates, func(c candidate) bool { return !c.tagged })
	}
	if len(candidates) != 1 {
		return structField{}, false
	}
	return candidates[0].structField, true
}
