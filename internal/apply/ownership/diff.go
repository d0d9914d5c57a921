package ownership

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// Changes returns the fields that differ between the object and a later state
// of it, each with whoever made the earlier value what it is. Status and what
// only a server writes are left out, and so are Nave's marks unless they are
// asked for. Values of Secrets are redacted by the key.
func (o Object) Changes(after *unstructured.Unstructured, marks bool, key []byte) []change.Field {
	d := differ{marks: marks}
	var claims []claim
	for i, entry := range o.Entries {
		if !entry.ours() && entry.Manager != HandoverManager {
			claims = append(claims, claim{entry: &o.Entries[i], fields: entry.Fields})
		}
	}
	from := object.Clean(object.Redact(o.Unstructured, key)).Object
	to := object.Clean(object.Redact(after, key)).Object
	d.compare("", from, to, claims)
	return d.found
}

// claim is what one manager owns at or below a place in the object.
type claim struct {
	entry  *Entry
	fields *fieldpath.Set // nil: all of it
}

// into returns the claims one level down, where matches says which element that is.
func into(claims []claim, matches func(fieldpath.PathElement) bool) []claim {
	var inner []claim
	for _, c := range claims {
		if c.fields == nil {
			inner = append(inner, c)
			continue
		}
		for element, below := range parts(c.fields) {
			if matches(element) {
				inner = append(inner, claim{c.entry, below})
			}
		}
	}
	return inner
}

// differ collects the differences of two values.
type differ struct {
	marks bool
	found []change.Field
}

// identifiers are fields that tell the elements of a list apart, in the order in
// which they are tried.
var identifiers = []string{"name", "mountPath", "containerPort", "port", "key", "ip", "type", "devicePath", "topologyKey"}

var plainField = regexp.MustCompile(`^[A-Za-z_$][\w$-]*$`)

func (d *differ) compare(path string, from, to any, claims []claim) {
	if equal(from, to) {
		return
	}
	fromMap, ok := from.(map[string]any)
	if toMap, both := to.(map[string]any); ok && both {
		d.maps(path, fromMap, toMap, claims)
		return
	}
	fromList, ok := from.([]any)
	if toList, both := to.([]any); ok && both && d.lists(path, fromList, toList, claims) {
		return
	}
	field := change.Field{Path: path, From: from, To: to}
	var latest time.Time
	for _, c := range claims {
		if field.Manager == "" || c.entry.Time.After(latest) {
			field.Manager, latest = c.entry.Manager, c.entry.Time
		}
	}
	d.found = append(d.found, field)
}

func (d *differ) maps(path string, from, to map[string]any, claims []claim) {
	keys := slices.Sorted(maps.Keys(from))
	for key := range to {
		if _, both := from[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if key == lastAppliedAnnotation || IsMark(key) && !d.marks {
			continue
		}
		name := key
		switch {
		case !plainField.MatchString(key):
			name = path + "[" + strconv.Quote(key) + "]"
		case path != "":
			name = path + "." + key
		}
		// A map that one side lacks is gone through, so that what is left out
		// stays left out inside of it.
		a, b := from[key], to[key]
		if key == "metadata" || key == "annotations" || key == "labels" {
			if a == nil {
				a = map[string]any{}
			}
			if b == nil {
				b = map[string]any{}
			}
		}
		d.compare(name, a, b, into(claims, func(e fieldpath.PathElement) bool {
			return e.FieldName != nil && *e.FieldName == key
		}))
	}
}

// lists compares two lists element by element if a field identifies the elements.
func (d *differ) lists(path string, from, to []any, claims []claim) bool {
	for _, field := range identifiers {
		a, okA := indexBy(from, field)
		b, okB := indexBy(to, field)
		if !okA || !okB {
			continue
		}
		ids := slices.Collect(maps.Keys(a))
		for id := range b {
			if _, both := a[id]; !both {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		for _, id := range ids {
			item := a[id]
			if item == nil {
				item = b[id]
			}
			d.compare(fmt.Sprintf("%s[%s=%s]", path, field, id), a[id], b[id], into(claims, func(e fieldpath.PathElement) bool {
				return find([]any{item}, e) == 0
			}))
		}
		return true
	}
	if len(from) != len(to) || !slices.ContainsFunc(from, isMap) {
		return false
	}
	for i := range from {
		d.compare(fmt.Sprintf("%s[%d]", path, i), from[i], to[i], into(claims, func(e fieldpath.PathElement) bool {
			return find([]any{from[i]}, e) == 0
		}))
	}
	return true
}

func isMap(v any) bool { _, ok := v.(map[string]any); return ok }

// indexBy returns the elements of a list by the value of a field, if every
// element has one and no two share it.
func indexBy(list []any, field string) (map[string]any, bool) {
	index := map[string]any{}
	for _, item := range list {
		fields, ok := item.(map[string]any)
		if !ok || fields[field] == nil {
			return nil, false
		}
		id := fmt.Sprint(fields[field])
		if _, twice := index[id]; twice {
			return nil, false
		}
		index[id] = item
	}
	return index, true
}
