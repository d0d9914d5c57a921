package flux

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/app/healthcheck"
)

// expressions reads by which expressions the health of objects is judged. Of an
// apiVersion the group counts alone.
func (r *reading) expressions() {
	var checks []app.HealthCheck
	for i, e := range r.spec.HealthCheckExprs {
		gv, err := schema.ParseGroupVersion(e.APIVersion)
		if err != nil || gv.Version == "" {
			r.refuse(fmt.Sprintf("spec.healthCheckExprs[%d].apiVersion", i), "such as example.org/v1", "%q is no apiVersion", e.APIVersion)
		}
		checks = append(checks, app.HealthCheck{Group: gv.Group, Kind: e.Kind, InProgress: e.InProgress, Failed: e.Failed, Current: e.Current})
	}
	_, err := healthcheck.Read(checks)
	var all interface{ Unwrap() []error }
	if errors.As(err, &all) {
		for _, err := range all.Unwrap() {
			var problem *healthcheck.Problem
			if !errors.As(err, &problem) {
				continue
			}
			field := fmt.Sprintf("spec.healthCheckExprs[%d]", problem.Check)
			if problem.Field != "" {
				field += "." + problem.Field
			}
			r.refuse(field, "", "%v", problem)
		}
	}
	r.child.Options.HealthChecks = checks
}
