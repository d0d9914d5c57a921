package strictyaml

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// entry is one key of a mapping with its value.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries returns what the mapping n holds, its own entries in their order, then the merged ones that it does not
// override. It reports n if it is no mapping, keys that are not text, and keys that stand there twice.
func (d *decoder) entries(n *yaml.Node, p *place) ([]entry, bool) {
	if n.Kind != yaml.MappingNode {
		hint := ""
		if name, _, found := strings.Cut(n.Value, ":"); found && n.Style == 0 && plainName.MatchString(name) {
			hint = "put a space after the colon: " + clip(name) + ": …"
		}
		d.wrong(n, p, "a mapping", hint)
		return nil, false
	}
	list := make([]entry, 0, len(n.Content)/2)
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		e := entry{key: target(n.Content[i]), value: n.Content[i+1]}
		if e.key.Kind != yaml.ScalarNode || isNull(e.key) {
			hint := ""
			if e.key.Style&yaml.FlowStyle != 0 {
				hint = "text that starts with { or [ needs quotes"
			}
			d.report(n.Content[i], p, hint, "want text as a key, have %s", describe(e.key))
			continue
		}
		at := &place{up: p, name: e.key.Value, key: n.Content[i]}
		if !d.untagged(e.key, at) {
			continue
		}
		e.name, e.key = e.key.Value, n.Content[i]
		if earlier := first[e.name]; earlier != nil {
			d.report(e.key, at, "", "key %q is already set at line %d", clip(e.name), earlier.Line)
			continue
		}
		first[e.name] = e.key
		if isMerge(e.key) {
			for _, source := range mergeSources(e.value) {
				if target(source).Kind != yaml.MappingNode {
					d.report(source, p, "", "want a mapping to merge, have %s", describe(target(source)))
				}
			}
			continue
		}
		list = append(list, e)
	}
	for _, source := range mergedInto(n) {
		merged, _ := d.entries(source, p)
		for _, e := range merged {
			if first[e.name] == nil {
				first[e.name] = e.key
				list = append(list, e)
			}
		}
	}
	return list, true
}

// plainKey reports a key that another parser would not read as the text that stands there, such as yes or 1.10. Whole
// numbers in their usual form are text for all of them, once converted to JSON.
func (d *decoder) plainKey(key *yaml.Node, p *place) bool {
	n := target(key)
	if _, old := oldBoolean(n); isText(n) && !old {
		return true
	}
	if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil && strconv.FormatInt(i, 10) == n.Value {
		return true
	}
	d.report(key, p, quoted(n), "want text as a key, have %s", clip(n.Value))
	return false
}

// numbers says what the numbers of a free form become.
type numbers int

const (
	exact  numbers = iota // int64, uint64 or float64, as they are written
	floats                // float64, and a whole number that it cannot hold is a problem
)

// free returns n as maps, lists and scalars, or false if it reported problems.
func (d *decoder) free(n *yaml.Node, p *place, as numbers) (any, bool) {
	n = p.at(n)
	if !d.untagged(n, p) {
		return nil, false
	}
	switch n.Kind {
	case yaml.MappingNode:
		before := d.reports
		entries, _ := d.entries(n, p)
		tree := make(map[string]any, len(entries))
		for _, e := range entries {
			at := &place{up: p, name: e.name, key: e.key}
			if d.plainKey(e.key, at) {
				tree[e.name], _ = d.free(e.value, at, as)
			}
		}
		return tree, d.reports == before
	case yaml.SequenceNode:
		tree, ok := make([]any, len(n.Content)), true
		for i, item := range n.Content {
			var itemOK bool
			tree[i], itemOK = d.free(item, &place{up: p, index: i}, as)
			ok = ok && itemOK
		}
		return tree, ok
	default:
		return d.freeScalar(n, p, as)
	}
}

func (d *decoder) freeScalar(n *yaml.Node, p *place, as numbers) (any, bool) {
	if meaning, old := oldBoolean(n); old {
		d.report(n, p, "write "+strconv.FormatBool(meaning)+", or put it in quotes: "+strconv.Quote(n.Value),
			"%s without quotes is a boolean for some YAML parsers and text for others", n.Value)
		return nil, false
	}
	switch n.Tag {
	case nullTag:
		return nil, true
	case boolTag:
		return strings.EqualFold(n.Value, "true"), true
	case intTag, floatTag:
		number, ok := d.number(n, p)
		if !ok || as == exact {
			return number, ok
		}
		float, ok := asFloat(number)
		if !ok {
			d.report(n, p, quoted(n), "%s has more digits than a number can keep here", clip(n.Value))
		}
		return float, ok
	default:
		return n.Value, true
	}
}
