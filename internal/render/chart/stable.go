package chart

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
)

const hintStable = "state the value in the chart's values, or keep it in a Secret of its own that the chart refers to, or list the object under createOnly in the Delivery if it is to be made up once for each cluster"

// comparison holds two renders of the same input against each other.
type comparison struct {
	dir       string          // of the chart
	functions []string        // that may make them differ
	may       app.ObjectRules // objects whose content may differ
}

// check names what differs.
func (c comparison) check(first, second []manifest.Object) error {
	dir, because := c.dir, "because its templates use "+strings.Join(c.functions, ", ")
	if len(first) != len(second) {
		return manifest.Problem{File: dir, Message: fmt.Sprintf("the chart renders %d objects, and rendered again %d, %s", len(first), len(second), because), Hint: hintStable}
	}
	var problems manifest.Problems
	for i := range first {
		if id := object.Of(first[i].Unstructured); c.may.Match(id) && id == object.Of(second[i].Unstructured) {
			continue
		}
		var fields []string
		differences("", first[i].Object, second[i].Object, &fields)
		if len(fields) > 0 {
			const shown = 5
			if more := len(fields) - shown; more > 0 {
				fields = append(fields[:shown], fmt.Sprintf("%d more", more))
			}
			problems = append(problems, first[i].Problem(hintStable, "comes out differently at each render in %s, %s", strings.Join(fields, ", "), because))
		}
	}
	return problems.Err()
}

// differences collects the paths of fields that differ.
func differences(at string, a, b any, fields *[]string) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := maps.Clone(x)
		maps.Copy(keys, y)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			name := key
			if strings.ContainsAny(key, "./") {
				name = fmt.Sprintf("[%q]", key)
			} else if at != "" {
				name = "." + key
			}
			differences(at+name, x[key], y[key], fields)
		}
		return
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			break
		}
		for i := range x {
			differences(fmt.Sprintf("%s[%d]", at, i), x[i], y[i], fields)
		}
		return
	}
	if !reflect.DeepEqual(a, b) {
		*fields = append(*fields, at)
	}
}
