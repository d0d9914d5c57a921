// Package healthcheck evaluates health checks in the Common Expression Language, as
// Flux has them (its RFC 0009): Read compiles those of an app, and a Check says what
// comes of one object. It is a function of values, bounded as package cel is.
package healthcheck

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/cel"
)

// Verdict is what a check comes to.
type Verdict string

// The verdicts of a check.
const (
	InProgress Verdict = "in progress"
	Failed     Verdict = "failed"
	Current    Verdict = "current"
)

// Checks are those of an app. nil has none. They are immutable and safe for concurrent
// use.
type Checks struct{ byKind map[schema.GroupKind]*Check }

// Check is one for the objects of a kind.
type Check struct{ steps []step }

type step struct {
	verdict    Verdict
	expression *cel.Expression
}

// Read compiles checks. The error joins a *Problem for everything that is wrong.
func Read(stated []app.HealthCheck) (*Checks, error) {
	if len(stated) == 0 {
		return nil, nil
	}
	var problems []error
	checks := &Checks{byKind: map[schema.GroupKind]*Check{}}
	for i, s := range stated {
		kind := schema.GroupKind{Group: s.Group, Kind: s.Kind}
		if checks.byKind[kind] != nil {
			problems = append(problems, &Problem{Check: i, Err: fmt.Errorf("it is the second one of %s", cmp.Or(kind.String(), "the core group"))})
			continue
		}
		check := &Check{}
		for _, part := range []struct {
			field, text string
			verdict     Verdict
		}{{"inProgress", s.InProgress, InProgress}, {"failed", s.Failed, Failed}, {"current", s.Current, Current}} {
			if part.text == "" {
				continue
			}
			expression, err := cel.Parse(part.text)
			if err != nil {
				problems = append(problems, &Problem{Check: i, Field: part.field, Err: err})
			}
			check.steps = append(check.steps, step{part.verdict, expression})
		}
		if s.Current == "" {
			problems = append(problems, &Problem{Check: i, Field: "current", Err: errors.New("it is missing")})
		}
		checks.byKind[kind] = check
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return checks, nil
}

// Problem is something wrong with a check.
type Problem struct {
	Check int    // counts from 0
	Field string // such as current; empty for all of it
	Err   error
}

// Error says what is wrong, and not where.
func (p *Problem) Error() string { return p.Err.Error() }

// Unwrap returns what is wrong.
func (p *Problem) Unwrap() error { return p.Err }

// Of returns the check for objects of a kind, or nil: the one that names it, or else the
// one of its group.
func (c *Checks) Of(kind schema.GroupKind) *Check {
	if c == nil {
		return nil
	}
	return cmp.Or(c.byKind[kind], c.byKind[schema.GroupKind{Group: kind.Group}])
}

// Verdict says how an object is. An expression that cannot be evaluated, as one that asks
// for what is not there, is an error.
func (c *Check) Verdict(u *unstructured.Unstructured) (Verdict, error) {
	observed, stated, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	generation, known, errKnown := unstructured.NestedInt64(u.Object, "metadata", "generation")
	if err == nil && errKnown == nil && stated && known && observed != generation {
		return InProgress, nil
	}
	for _, s := range c.steps {
		truth, err := s.expression.True(u.Object)
		if err != nil {
			return "", fmt.Errorf("evaluating the expression %q: %w", s.expression, err)
		}
		if truth {
			return s.verdict, nil
		}
	}
	return InProgress, nil
}
