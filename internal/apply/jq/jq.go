// Package jq evaluates path expressions in the language of jq, which say which
// parts of an object they mean. Expressions come from Git, which may be hostile:
// only what chooses parts is allowed, not what repeats or makes values, and time
// and the number of paths are bounded. It knows no cluster.
package jq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/itchyny/gojq"
)

// Bounds of an expression and its evaluation on one object.
const (
	longest  = 2000 // characters
	deepest  = 40   // levels of nesting
	most     = 2000 // paths
	duration = time.Second
)

// Expression is a path expression that has been read.
type Expression struct {
	text string
	code *gojq.Code
}

// functions are those that an expression may use: they choose, compare and look,
// and none makes more of an object than it is.
var functions = []string{
	"select", "empty", "not", "length", "type", "has", "in", "keys", "any", "all", "first", "last", "recurse",
	"test", "startswith", "endswith", "contains", "inside", "index", "rindex", "ascii_downcase", "ascii_upcase",
	"tostring", "tonumber", "ltrimstr", "rtrimstr", "values", "nulls", "booleans", "numbers", "strings", "arrays",
	"objects", "iterables", "scalars", "IN", "true", "false", "null",
}

// Parse reads an expression.
func Parse(text string) (*Expression, error) {
	if len(text) > longest {
		return nil, fmt.Errorf("a jq expression has %d characters, and at most %d are allowed", len(text), longest)
	}
	query, err := gojq.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the jq expression %q: %w", text, err)
	}
	if err := allowed(query, 0); err != nil {
		return nil, fmt.Errorf("reading the jq expression %q: %w", text, err)
	}
	paths, err := gojq.Parse("path(" + text + "\n)") // a comment ends with its line
	if err != nil {
		return nil, fmt.Errorf("reading the jq expression %q: %w", text, err)
	}
	code, err := gojq.Compile(paths)
	if err != nil {
		return nil, fmt.Errorf("reading the jq expression %q: %w", text, err)
	}
	return &Expression{text: text, code: code}, nil
}

// Paths returns where an object has what the expression means: each path from the
// root, a text for a field and a number for a place in a list. An object that the
// expression does not fit has none. An error says that a bound was reached.
func (e *Expression) Paths(ctx context.Context, object map[string]any) ([][]any, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, duration, fmt.Errorf("evaluating the jq expression %q takes more than %s", e.text, duration))
	defer cancel()
	var paths [][]any
	results := e.code.RunWithContext(ctx, plain(object))
	for {
		v, ok := results.Next()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !ok {
			return paths, nil
		}
		switch v := v.(type) {
		case error:
			// What an object does not have cannot be gone through, which only says that
			// the rest of the expression is not about it.
			return paths, nil
		case []any:
			if len(v) > 0 {
				paths = append(paths, v)
			}
		}
		if len(paths) > most {
			return nil, fmt.Errorf("evaluating the jq expression %q: it means more than %d parts of an object", e.text, most)
		}
	}
}

// plain returns a value with numbers as gojq knows them.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			out[key] = plain(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = plain(inner)
		}
		return out
	case int64:
		return int(v)
	case int32:
		return int(v)
	}
	return v
}

// operators are those that an expression may use. Sums and products are not
// among them: a text that is added to itself again and again is as long as one likes.
var operators = []gojq.Operator{
	0, gojq.OpPipe, gojq.OpComma, gojq.OpAlt, gojq.OpOr, gojq.OpAnd,
	gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe, gojq.OpSub,
}

var errLoops = errors.New("it may choose parts of an object, and neither define, repeat nor collect anything")

// allowed reports what in a query is not allowed, if anything.
func allowed(q *gojq.Query, depth int) error {
	switch {
	case q == nil:
		return nil
	case depth > deepest:
		return fmt.Errorf("it is nested deeper than %d levels", deepest)
	case q.Meta != nil || len(q.Imports) > 0 || len(q.FuncDefs) > 0 || len(q.Patterns) > 0:
		return errLoops
	case !slices.Contains(operators, q.Op):
		return fmt.Errorf("the operator %s is not allowed", q.Op)
	}
	for _, inner := range []*gojq.Query{q.Left, q.Right} {
		if err := allowed(inner, depth+1); err != nil {
			return err
		}
	}
	return allowedTerm(q.Term, depth+1)
}

func allowedTerm(t *gojq.Term, depth int) error {
	if t == nil {
		return nil
	}
	if t.Object != nil || t.Array != nil || t.Reduce != nil || t.Foreach != nil || t.Label != nil || t.Try != nil && t.Try.Catch != nil ||
		t.Format != "" || t.Break != "" || t.Type == gojq.TermTypeFormat {
		return errLoops
	}
	inner := []*gojq.Query{t.Query}
	if t.Func != nil {
		if !slices.Contains(functions, t.Func.Name) || t.Func.Name == "recurse" && len(t.Func.Args) > 0 {
			return fmt.Errorf("the function %s is not allowed", t.Func.Name)
		}
		inner = append(inner, t.Func.Args...)
	}
	if t.If != nil {
		inner = append(inner, t.If.Cond, t.If.Then, t.If.Else)
		for _, elif := range t.If.Elif {
			inner = append(inner, elif.Cond, elif.Then)
		}
	}
	texts := []*gojq.String{t.Str}
	indexes := []*gojq.Index{t.Index}
	for _, suffix := range t.SuffixList {
		indexes = append(indexes, suffix.Index)
	}
	for _, index := range indexes {
		if index == nil {
			continue
		}
		if index.IsSlice {
			return errors.New("a part of a list from one place to another is not allowed")
		}
		inner = append(inner, index.Start, index.End)
		texts = append(texts, index.Str)
	}
	if slices.ContainsFunc(texts, func(s *gojq.String) bool { return s != nil && len(s.Queries) > 0 }) {
		return errLoops
	}
	for _, q := range inner {
		if err := allowed(q, depth+1); err != nil {
			return err
		}
	}
	if t.Unary != nil {
		return allowedTerm(t.Unary.Term, depth+1)
	}
	if t.Try != nil {
		return allowed(t.Try.Body, depth+1)
	}
	return nil
}
