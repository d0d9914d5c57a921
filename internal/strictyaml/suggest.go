package strictyaml

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// unknownHint says what may be meant by the unknown field at p: the same name on a level above or the next one below,
// since an indentation is easily wrong, a similar name on this level, or else the names there are.
func unknownHint(p *place) string {
	for above := p.up; above != nil; above = above.up {
		if above.within != nil && above.within.has(p.name) {
			if above.up == nil {
				return fmt.Sprintf("%q is a field at the top of the document: check the indentation", p.name)
			}
			return fmt.Sprintf("%q is a field of %s: check the indentation", p.name, above.up)
		}
	}
	for _, name := range p.within.names {
		if inner := fieldsBelow(p.within.byName[name].typ); inner != nil && inner.has(p.name) {
			return fmt.Sprintf("%q belongs under %q", p.name, name)
		}
	}
	if near := Nearest(p.name, p.within.names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(p.within.names) == 0 {
		return "no fields are known here"
	}
	return "known fields: " + strings.Join(p.within.names, ", ")
}

func (f *structFields) has(name string) bool {
	_, ok := f.byName[name]
	return ok
}

// fieldsBelow returns the fields of a value of type t, or nil if it takes none by name.
func fieldsBelow(t reflect.Type) *structFields {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	switch reflect.New(t).Interface().(type) {
	case json.Unmarshaler, encoding.TextUnmarshaler:
		return nil
	}
	return fieldsOf(t)
}

// Nearest returns the one of names that is most likely meant by name, or "". Names count as near if they differ only
// in case and separators, in one letter of three, or by an ending.
func Nearest(name string, names []string) string {
	simple := simplify(name)
	if len(simple) > 64 {
		return ""
	}
	limit := max(1, len(simple)/3)
	best, bestDistance := "", limit+1
	for _, candidate := range names {
		other := simplify(candidate)
		distance := editDistance(simple, other)
		if len(simple) >= 3 && strings.HasPrefix(other, simple) {
			distance = min(distance, limit)
		}
		if distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

func simplify(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// editDistance returns how many insertions, deletions, replacements and swaps of neighbouring bytes lead from a to b.
func editDistance(a, b string) int {
	// Rows of the table of distances between prefixes: the last but one, the last, and the current one.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			differ := 1
			if a[i] == b[j] {
				differ = 0
			}
			row[j+1] = min(last[j]+differ, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
