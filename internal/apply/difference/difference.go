// Package difference reads which differences between Git and the cluster do not
// count, and finds the places in an object that they mean: by JSON pointers, by
// path expressions, and by who owns a field. It knows no cluster, compares nothing
// and decides nothing about what it finds: that is package ownership's.
package difference

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/jq"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/object"
)

// Differences are an app's, read. Its zero value has none.
type Differences []difference

// difference is one of an app's Differences, read.
type difference struct {
	app.Difference
	pointers    []pointer
	expressions []*jq.Expression
}

// Read reads the differences as an app's options have them. The error says which
// pointer or expression is none.
func Read(differences []app.Difference) (Differences, error) {
	var found Differences
	for _, d := range differences {
		read := difference{Difference: d}
		for _, text := range d.Pointers {
			p, err := parsePointer(text)
			if err != nil {
				return nil, err
			}
			read.pointers = append(read.pointers, p)
		}
		for _, text := range d.JQ {
			expression, err := jq.Parse(text)
			if err != nil {
				return nil, err
			}
			read.expressions = append(read.expressions, expression)
		}
		found = append(found, read)
	}
	return found, nil
}

// Of returns the fields of an object whose differences do not count. Evaluating
// expressions, whenever that is, ends with ctx.
func (ds Differences) Of(ctx context.Context, id object.ID) ownership.Ignored {
	var all ownership.Ignored
	var pointers []pointer
	var expressions []*jq.Expression
	for _, d := range ds {
		if d.Applies(id) {
			pointers = append(pointers, d.pointers...)
			all.Managers = append(all.Managers, d.Managers...)
			expressions = append(expressions, d.expressions...)
		}
	}
	if len(expressions)+len(pointers) == 0 {
		return all
	}
	all.Places = func(fields map[string]any) ([][]any, error) {
		var places [][]any
		for _, p := range pointers {
			if place := p.place(fields); place != nil {
				places = append(places, place)
			}
		}
		for _, expression := range expressions {
			found, err := expression.Paths(ctx, fields)
			if err != nil {
				return nil, err
			}
			places = append(places, found...)
		}
		return places, nil
	}
	return all
}

// pointer is a JSON pointer (RFC 6901), in its parts.
type pointer []string

func parsePointer(text string) (pointer, error) {
	if len(text) == 0 || text[0] != '/' {
		return nil, fmt.Errorf("%q is no JSON pointer, which begins with a slash", text)
	}
	var parts pointer
	for part := range strings.SplitSeq(text[1:], "/") {
		parts = append(parts, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return parts, nil
}

// place returns where an object has what the pointer means, nil if nowhere.
func (p pointer) place(object map[string]any) (place []any) {
	var at any = object
	for _, part := range p {
		switch in := at.(type) {
		case map[string]any:
			next, there := in[part]
			if !there {
				return nil
			}
			place, at = append(place, part), next
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			place, at = append(place, i), in[i]
		default:
			return nil
		}
	}
	return place
}
