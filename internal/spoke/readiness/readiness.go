// Package readiness says by an expression whether an app is ready for another one. It
// is a function of values.
package readiness

import (
	"fmt"
	"maps"

	"nave.dev/internal/app"
	"nave.dev/internal/cel"
)

// Obstacle says what of an app, which is Synced and Healthy if it is settled, a rule
// waits for, or nothing. An expression that fails,
// as one does that asks for what is not there yet, is not true.
func Obstacle(r app.Readiness, settled bool) string {
	dependency := maps.Clone(r.Dependency)
	if dependency == nil {
		dependency = map[string]any{}
	}
	dependency["status"] = status(dependency, settled)
	expression, err := cel.Compile(r.Expression, "self", "dep")
	ready := false
	if err == nil {
		ready, err = expression.True(map[string]any{"self": r.Self, "dep": dependency})
	}
	switch {
	case err != nil:
		return fmt.Sprintf("%s to be ready, by an expression that fails: %v", r.App, err)
	case !ready:
		return fmt.Sprintf("%s to be ready by the expression %s", r.App, r.Expression)
	}
	return ""
}

// status is what is known of an app, as Flux's conditions have it.
func status(object map[string]any, settled bool) map[string]any {
	condition := map[string]any{"type": "Ready", "status": "False", "reason": "Progressing", "message": "it is not Synced and Healthy"}
	if settled {
		condition = map[string]any{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": "it is Synced and Healthy"}
	}
	generation := any(int64(1))
	if metadata, ok := object["metadata"].(map[string]any); ok && metadata["generation"] != nil {
		generation = metadata["generation"]
	}
	return map[string]any{"observedGeneration": generation, "conditions": []any{condition}}
}
