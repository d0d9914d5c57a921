package strictyaml

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is one YAML document with the positions of everything in it. It is read-only: several goroutines may use
// one at the same time.
//
// Fields are named by paths such as spec.nodePools[0].cpu. A key that is not a plain word stands in brackets, quoted
// as by %q: metadata.labels["app.kubernetes.io/name"]; the form without quotes, which Kubernetes prints, is understood
// as well. The empty path is the whole document.
type Document struct {
	// File is the name given when the document was read.
	File string

	root *yaml.Node
}

// Decode sets the value that into points to from the document and returns all that does not fit, sorted. Fields that
// the document does not name keep what they held; a list replaces what was there, a mapping adds to it, and null
// empties pointers, maps, slices and interfaces and leaves the rest. Everything that fits is set even if there are
// problems, so that validation can go on and report more; beyond that a value with problems is not to be used. Decode
// panics if into is not a pointer or is nil.
//
// A type that implements json.Unmarshaler is handed its part of the document as JSON with sorted keys, one that
// implements encoding.TextUnmarshaler its text. Into an empty interface numbers are decoded as float64, and one that
// would lose digits is a problem.
func (d *Document) Decode(into any) Problems {
	v := mustPoint(into)
	if d.root == nil {
		return nil
	}
	dec := decoder{file: d.File, seen: map[Problem]bool{}}
	dec.value(d.root, v, nil)
	dec.problems.Sort()
	return dec.finish()
}

// Problem returns a problem with the field, at its position. A field that is not in the document is reported at the
// nearest thing above it that is.
func (d *Document) Problem(field, format string, args ...any) Problem {
	line, column := d.Position(field)
	return Problem{File: d.File, Line: line, Column: column, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Position returns the line and column, from 1, of the field's value, or of its key if there is no value or it is a
// mapping or list that starts on a later line. A field that is not in the document is where the nearest thing above it
// is.
func (d *Document) Position(field string) (line, column int) {
	n, key, _ := d.find(field)
	if n == nil {
		return 1, 1
	}
	return position(n, key)
}

// Text returns the scalar at the field as it is written, without quotes, and whether there is one. It serves to look
// at apiVersion and kind before a type to decode into is chosen.
func (d *Document) Text(field string) (string, bool) {
	n, _, found := d.find(field)
	if n == nil || !found {
		return "", false
	}
	n = target(n)
	return n.Value, n.Kind == yaml.ScalarNode && !isNull(n)
}

// find returns the node at the path and the key it stands at, or the nearest above it and found false.
func (d *Document) find(field string) (n, key *yaml.Node, found bool) {
	n = d.root
	for n != nil && field != "" {
		step, rest, ok := firstStep(field)
		if !ok {
			return n, key, false
		}
		childKey, child := step.from(target(n))
		if child == nil {
			return n, key, false
		}
		n, key, field = child, childKey, rest
	}
	return n, key, n != nil
}

// step is one element of a path: the name of a key, or, if index is not negative, either the place in a list or that
// number as a key.
type step struct {
	name  string
	index int
}

// firstStep takes the first element off a path that is not empty. It returns false if the path is malformed.
func firstStep(path string) (s step, rest string, ok bool) {
	s.index = -1
	inner, bracket := strings.CutPrefix(path, "[")
	switch {
	case !bracket:
		path = strings.TrimPrefix(path, ".")
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		s.name = path[:end]
		return s, path[end:], end > 0
	case strings.HasPrefix(inner, `"`):
		quoted, err := strconv.QuotedPrefix(inner)
		if err != nil {
			return s, "", false
		}
		s.name, err = strconv.Unquote(quoted)
		rest, closed := strings.CutPrefix(inner[len(quoted):], "]")
		return s, rest, closed && err == nil
	default:
		name, rest, closed := strings.Cut(inner, "]")
		s.name = name
		if i, err := strconv.Atoi(name); err == nil {
			s.index = i
		}
		return s, rest, closed
	}
}

// from returns what the step leads to from n, or nil.
func (s step) from(n *yaml.Node) (key, value *yaml.Node) {
	switch n.Kind {
	case yaml.SequenceNode:
		if s.index >= 0 && s.index < len(n.Content) {
			return nil, n.Content[s.index]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i]; !isMerge(key) && target(key).Value == s.name {
				return key, n.Content[i+1]
			}
		}
		for _, merged := range mergedInto(n) {
			if key, value := s.from(merged); value != nil {
				return key, value
			}
		}
	}
	return nil, nil
}

// target returns the node that n stands for: itself, unless it is an alias.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// isMerge tells whether key is the << which merges other mappings into its own.
func isMerge(key *yaml.Node) bool { return key.Tag == mergeTag }

// mergedInto returns the mappings merged into n, the one that wins first, and leaves out what is no mapping.
func mergedInto(n *yaml.Node) []*yaml.Node {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			continue
		}
		for _, source := range mergeSources(n.Content[i+1]) {
			if source = target(source); source.Kind == yaml.MappingNode {
				merged = append(merged, source)
			}
		}
	}
	return merged
}

// mergeSources returns what the value of a merge names: the items of a list, or itself.
func mergeSources(value *yaml.Node) []*yaml.Node {
	if list := target(value); list.Kind == yaml.SequenceNode {
		return list.Content
	}
	return []*yaml.Node{value}
}

// position returns where to point for n, which stands at key, or at no key in a list: at n itself, unless it is a
// block that starts on a later line than its key or is nothing at all.
func position(n, key *yaml.Node) (line, column int) {
	block := (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode) && n.Style&yaml.FlowStyle == 0
	if key != nil && (block || isNull(n) && n.Value == "") {
		n = key
	}
	return n.Line, n.Column
}
