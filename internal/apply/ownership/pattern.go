package ownership

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Pattern names fields, such as spec.replicas, metadata.annotations["a/b"],
// spec.template.spec.containers[name=web].image or webhooks[*].clientConfig.
// A field below a named one is named as well.
type Pattern []step

// step is one part of a pattern: a field, or an element of a list by the value
// of one of its fields, by its place, or any.
type step struct {
	field    string
	key, val string
	index    int
	form     form
}

type form int

const (
	byField form = iota
	byKey
	byIndex
	byAny
)

// ParsePattern reads a pattern. It takes JSON pointers (/spec/replicas) too,
// in which a "*" stands for any element and a number for a place in a list.
func ParsePattern(text string) (Pattern, error) {
	if strings.HasPrefix(text, "/") {
		return parsePointer(text)
	}
	var pattern Pattern
	rest := text
	for first := true; rest != ""; first = false {
		var s step
		var err error
		switch {
		case rest[0] == '[':
			s, rest, err = parseBracket(rest)
		case rest[0] == '.' && !first:
			s, rest, err = parseField(rest[1:])
		case first:
			s, rest, err = parseField(rest)
		default:
			err = fmt.Errorf("unexpected %q", rest)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the field path %q: %w", text, err)
		}
		pattern = append(pattern, s)
	}
	if len(pattern) == 0 {
		return nil, fmt.Errorf("reading the field path %q: it is empty", text)
	}
	return pattern, nil
}

func parseField(rest string) (step, string, error) {
	end := strings.IndexAny(rest, ".[]\"")
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return step{}, "", fmt.Errorf("a field's name is missing before %q", rest)
	}
	return step{field: rest[:end]}, rest[end:], nil
}

// parseBracket reads ["key"], [*], [2] or [name=web].
func parseBracket(rest string) (step, string, error) {
	if strings.HasPrefix(rest, `["`) {
		quoted, err := strconv.QuotedPrefix(rest[1:])
		if err != nil {
			return step{}, "", fmt.Errorf("the quoted key at %q does not end", rest)
		}
		key, err := strconv.Unquote(quoted)
		after, closed := strings.CutPrefix(rest[1+len(quoted):], "]")
		if err != nil || !closed {
			return step{}, "", fmt.Errorf("a ] is missing after %s", quoted)
		}
		return step{field: key}, after, nil
	}
	inside, after, closed := strings.Cut(rest[1:], "]")
	if !closed {
		return step{}, "", fmt.Errorf("a ] is missing after %q", rest)
	}
	if inside == "*" {
		return step{form: byAny}, after, nil
	}
	if key, val, ok := strings.Cut(inside, "="); ok && key != "" {
		return step{form: byKey, key: key, val: strings.Trim(val, `"`)}, after, nil
	}
	index, err := strconv.Atoi(inside)
	if err != nil || index < 0 {
		return step{}, "", fmt.Errorf("[%s] is none of [\"key\"], [field=value], [number] and [*]", inside)
	}
	return step{form: byIndex, index: index}, after, nil
}

func parsePointer(text string) (Pattern, error) {
	var pattern Pattern
	for _, part := range strings.Split(text[1:], "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		index, err := strconv.Atoi(part)
		switch {
		case part == "":
			return nil, fmt.Errorf("reading the field path %q: a field's name is missing", text)
		case part == "*":
			pattern = append(pattern, step{form: byAny})
		case err == nil && index >= 0:
			// The field may be a map with such a key, so both are tried.
			pattern = append(pattern, step{form: byIndex, index: index, field: part})
		default:
			pattern = append(pattern, step{field: part})
		}
	}
	return pattern, nil
}

// Matches reports whether a path is named by the pattern, or lies below what is.
// Managed fields know no places in lists, so a place matches any element.
func (pattern Pattern) Matches(p fieldpath.Path) bool {
	if len(p) < len(pattern) {
		return false
	}
	for i, s := range pattern {
		if !s.matches(p[i]) {
			return false
		}
	}
	return true
}

func (s step) matches(element fieldpath.PathElement) bool {
	switch s.form {
	case byField:
		return element.FieldName != nil && *element.FieldName == s.field
	case byKey:
		if element.Key == nil {
			return false
		}
		for _, field := range *element.Key {
			if field.Name == s.key {
				return fmt.Sprint(field.Value.Unstructured()) == s.val
			}
		}
		return false
	case byIndex:
		if element.FieldName != nil {
			return *element.FieldName == s.field
		}
		return element.Index == nil || *element.Index == s.index
	default:
		return true
	}
}

// Remove deletes what the pattern names from a value, in place, and returns the
// value: a list from which an element went is another list.
func (pattern Pattern) Remove(from any) any {
	if len(pattern) == 0 {
		return from
	}
	last := len(pattern) == 1
	switch from := from.(type) {
	case map[string]any:
		for key, inner := range from {
			if s := pattern[0]; !(s.form == byAny || s.form != byKey && s.field == key) {
				continue
			}
			if last {
				delete(from, key)
			} else {
				from[key] = pattern[1:].Remove(inner)
			}
		}
	case []any:
		kept := make([]any, 0, len(from))
		for i, inner := range from {
			if !pattern[0].picks(i, inner) {
				kept = append(kept, inner)
			} else if !last {
				kept = append(kept, pattern[1:].Remove(inner))
			}
		}
		return kept
	}
	return from
}

// picks reports whether the step names the element of a list.
func (s step) picks(i int, element any) bool {
	switch s.form {
	case byAny:
		return true
	case byIndex:
		return i == s.index
	case byKey:
		fields, ok := element.(map[string]any)
		found, has := fields[s.key]
		return ok && has && fmt.Sprint(value.NewValueInterface(found).Unstructured()) == s.val
	default:
		return false
	}
}
