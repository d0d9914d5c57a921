// Package judging says by which rules the health of an object is judged: those of a
// health.Checker and, before them, the expressions of the app that the object is of.
// Rules tell as well when a kind is to be read again since others count for it.
package judging

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/app/healthcheck"
	"nave.dev/internal/health"
)

// Rules are those of one cluster. They are immutable and safe for concurrent use.
type Rules struct {
	checker *health.Checker
	serial  int // of the checker
	apps    map[string]expressions
}

// expressions are those of one app.
type expressions struct {
	stated []app.HealthCheck
	checks *healthcheck.Checks
	err    error // why they cannot be read, as those of a newer hub
}

// New returns the rules of a checker, without any of apps.
func New(checker *health.Checker) *Rules { return &Rules{checker: checker} }

// Next returns the rules of a checker, and of apps that have some by their names. They
// are the same Rules if nothing is new.
func (r *Rules) Next(checker *health.Checker, stated map[string][]app.HealthCheck) *Rules {
	same := func(e expressions, s []app.HealthCheck) bool { return slices.Equal(e.stated, s) }
	if r.checker == checker && maps.EqualFunc(r.apps, stated, same) {
		return r
	}
	next := &Rules{checker: checker, serial: r.serial, apps: make(map[string]expressions, len(stated))}
	if checker != r.checker {
		next.serial++
	}
	for name, checks := range stated {
		e := expressions{stated: checks}
		e.checks, e.err = healthcheck.Read(checks)
		next.apps[name] = e
	}
	return next
}

// HasRule reports whether the health of objects of a kind depends on more than that
// they are there.
func (r *Rules) HasRule(kind schema.GroupKind) bool {
	if r.checker.HasRule(kind) {
		return true
	}
	for _, e := range r.apps {
		if e.names(kind) {
			return true
		}
	}
	return false
}

// names reports whether an app has something to say of a kind.
func (e expressions) names(kind schema.GroupKind) bool {
	return slices.ContainsFunc(e.stated, func(c app.HealthCheck) bool {
		return c.Group == kind.Group && (c.Kind == kind.Kind || c.Kind == "")
	})
}

// Version names the rules for a kind that may become others while a cluster is kept:
// where it is another one than before, objects of the kind are to be judged anew.
func (r *Rules) Version(kind schema.GroupKind) string {
	var version strings.Builder
	if r.checker.SourceOf(kind) == health.SourceCustom {
		fmt.Fprint(&version, r.serial)
	}
	for _, name := range slices.Sorted(maps.Keys(r.apps)) {
		if e := r.apps[name]; e.names(kind) {
			stated, err := json.Marshal(e.stated)
			if err != nil {
				panic(err) // plain data
			}
			fmt.Fprintf(&version, "\n%s %s", name, stated)
		}
	}
	return version.String()
}

// Check returns the health of an object of an app.
func (r *Rules) Check(ctx context.Context, name string, u *unstructured.Unstructured) health.Result {
	e := r.apps[name]
	if u == nil || !e.names(u.GroupVersionKind().GroupKind()) {
		return r.checker.Check(ctx, u)
	}
	if e.err != nil {
		return health.Result{Status: health.Unknown, Source: health.SourceExpression, Message: fmt.Sprintf("reading the health checks of %s: %v", name, e.err)}
	}
	return r.checker.CheckBy(ctx, e.checks.Of(u.GroupVersionKind().GroupKind()), u)
}
