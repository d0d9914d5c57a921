package change

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Fields returns how two states of an object differ, by path; none if they do
// not. A field that is null is as good as absent. Items of a list are matched by
// their name where every one has a name of its own, and by position otherwise;
// if those that stay change their order, the names are a difference of the list.
func Fields(from, to map[string]any) []Field {
	var fields []Field
	compare(&fields, "", from, to)
	return fields
}

func compare(fields *[]Field, path string, from, to any) {
	if reflect.DeepEqual(from, to) {
		return
	}
	switch a := from.(type) {
	case map[string]any:
		if b, ok := to.(map[string]any); ok {
			for _, key := range union(a, b) {
				compare(fields, join(path, key), a[key], b[key])
			}
			return
		}
	case []any:
		if b, ok := to.([]any); ok {
			compareLists(fields, path, a, b)
			return
		}
	}
	*fields = append(*fields, Field{Path: path, From: from, To: to})
}

func compareLists(fields *[]Field, path string, a, b []any) {
	before, beforeNamed := byName(a)
	after, afterNamed := byName(b)
	if beforeNamed && afterNamed {
		for _, name := range union(before, after) {
			compare(fields, fmt.Sprintf("%s[name=%s]", path, name), before[name], after[name])
		}
		from, to := common(a, after), common(b, before)
		if !slices.Equal(from, to) {
			*fields = append(*fields, Field{Path: path, From: from, To: to})
		}
		return
	}
	for i := range max(len(a), len(b)) {
		var from, to any
		if i < len(a) {
			from = a[i]
		}
		if i < len(b) {
			to = b[i]
		}
		compare(fields, fmt.Sprintf("%s[%d]", path, i), from, to)
	}
}

// byName returns list items by their names, if all have names that differ.
func byName(list []any) (map[string]any, bool) {
	named := map[string]any{}
	for _, item := range list {
		entry, ok := item.(map[string]any)
		if !ok {
			return nil, false
		}
		name, ok := entry["name"].(string)
		if _, twice := named[name]; !ok || twice {
			return nil, false
		}
		named[name] = item
	}
	return named, true
}

// common returns the names of those list items, in their order, that another
// list has as well.
func common(list []any, other map[string]any) (names []string) {
	for _, item := range list {
		name := item.(map[string]any)["name"].(string)
		if _, both := other[name]; both {
			names = append(names, name)
		}
	}
	return names
}

func union(a, b map[string]any) []string {
	keys := slices.Collect(maps.Keys(a))
	for key := range b {
		if _, ok := a[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// join appends a key to a path; one that is not a plain word is quoted.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, "./[]\" ") {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
