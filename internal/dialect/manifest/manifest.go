// Package manifest reads objects of the kinds that dialects read into structs as an API server
// would, and tells which fields it would drop. The structs are their users'.
package manifest

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Decode fills a struct from an object as an API server reads it, and returns the
// paths of fields that the struct has not: a server would drop them. A value of
// another type than wanted is an error that names its field.
func Decode(object map[string]any, into any) (unknown []string, err error) {
	d := decoder{}
	err = d.value(object, reflect.ValueOf(into).Elem(), "")
	return d.unknown, err
}

type decoder struct{ unknown []string }

// structures remembers the fields of structs by their names in JSON.
var structures sync.Map // reflect.Type to map[string]int

func fieldsOf(t reflect.Type) map[string]int {
	if known, ok := structures.Load(t); ok {
		return known.(map[string]int)
	}
	fields := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	structures.Store(t, fields)
	return fields
}

// ofServer are fields of metadata that only a server writes. Manifests that were
// read back from a cluster have them.
var ofServer = map[string]bool{
	"creationTimestamp": true, "deletionGracePeriodSeconds": true, "deletionTimestamp": true, "generation": true,
	"managedFields": true, "resourceVersion": true, "selfLink": true, "uid": true,
}

func (d *decoder) value(in any, out reflect.Value, at string) error {
	if in == nil {
		return nil
	}
	wrong := func(want string) error {
		hint := ""
		if want == "text" {
			hint = "\nhint: put it in quotes"
		}
		return fmt.Errorf("%s: want %s, have %s%s", strings.TrimPrefix(at, "."), want, Describe(in), hint)
	}
	switch out.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		return d.value(in, out.Elem(), at)
	case reflect.Interface:
		out.Set(reflect.ValueOf(in))
	case reflect.String:
		text, ok := in.(string)
		if !ok {
			return wrong("text")
		}
		out.SetString(text)
	case reflect.Bool:
		truth, ok := in.(bool)
		if !ok {
			return wrong("true or false")
		}
		out.SetBool(truth)
	case reflect.Int64:
		switch number := in.(type) {
		case int64:
			out.SetInt(number)
		case float64:
			if number != math.Trunc(number) || math.Abs(number) > 1<<53 {
				return wrong("a whole number")
			}
			out.SetInt(int64(number))
		default:
			return wrong("a whole number")
		}
	case reflect.Slice:
		list, ok := in.([]any)
		if !ok {
			return wrong("a list")
		}
		out.Set(reflect.MakeSlice(out.Type(), len(list), len(list)))
		for i, item := range list {
			if err := d.value(item, out.Index(i), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		entries, ok := in.(map[string]any)
		if !ok {
			return wrong("a mapping")
		}
		if out.Type().Elem().Kind() == reflect.Interface {
			out.Set(reflect.ValueOf(entries))
			return nil
		}
		out.Set(reflect.MakeMapWithSize(out.Type(), len(entries)))
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			element := reflect.New(out.Type().Elem()).Elem()
			if err := d.value(entries[key], element, at+"."+key); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(key), element)
		}
	case reflect.Struct:
		entries, ok := in.(map[string]any)
		if !ok {
			return wrong("a mapping")
		}
		fields := fieldsOf(out.Type())
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			index, known := fields[key]
			if !known {
				if at != ".metadata" || !ofServer[key] {
					d.unknown = append(d.unknown, strings.TrimPrefix(at+"."+key, "."))
				}
				continue
			}
			if err := d.value(entries[key], out.Field(index), at+"."+key); err != nil {
				return err
			}
		}
	}
	return nil
}

// Describe says what a value is, without showing much of it.
func Describe(value any) string {
	switch value := value.(type) {
	case string:
		if len(value) > 40 {
			value = value[:40] + "…"
		}
		return fmt.Sprintf("the text %q", value)
	case bool, int64, float64:
		return fmt.Sprint(value)
	case []any:
		return "a list"
	}
	return "a mapping"
}

// Copy returns a copy of a value of JSON that shares nothing with it.
func Copy(value any) any {
	switch value := value.(type) {
	case []any:
		list := make([]any, len(value))
		for i := range value {
			list[i] = Copy(value[i])
		}
		return list
	case map[string]any:
		entries := make(map[string]any, len(value))
		for key := range value {
			entries[key] = Copy(value[key])
		}
		return entries
	}
	return value
}

// Numbers returns a copy of a value with all numbers as a reader of YAML files has
// them, which knows no whole ones.
func Numbers(value any) any {
	switch value := value.(type) {
	case int64:
		return float64(value)
	case []any:
		list := make([]any, len(value))
		for i := range value {
			list[i] = Numbers(value[i])
		}
		return list
	case map[string]any:
		entries := make(map[string]any, len(value))
		for key := range value {
			entries[key] = Numbers(value[key])
		}
		return entries
	}
	return value
}

// Reason says why a text of YAML is not what was wanted, after a colon, or nothing
// if it only is of another type.
func Reason(err error) string {
	if strings.Contains(err.Error(), "cannot unmarshal") {
		return ""
	}
	return ": " + strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
}
