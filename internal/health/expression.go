package health

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app/healthcheck"
)

// SourceExpression is an expression that an app has for objects of the kind.
const SourceExpression Source = "expression"

// CheckBy is Check by an expression of the object's app, which wins over all other
// rules; nil is none. As in Flux one that cannot be evaluated leaves it open how the
// object is. Before a controller has written a status that is no failure.
func (c *Checker) CheckBy(ctx context.Context, check *healthcheck.Check, obj *unstructured.Unstructured) Result {
	if check == nil || obj == nil {
		return c.Check(ctx, obj)
	}
	o := object(obj.Object)
	result := Result{Status: Progressing, Source: SourceExpression, Ignored: o.text("metadata", "annotations", IgnoreAnnotation) == "true"}
	if message, deleting := c.deleting(o); deleting {
		result.Message = shorten(message)
		return result
	}
	verdict, err := check.Verdict(obj)
	switch {
	case err != nil && obj.GetKind() == "Secret":
		result.Status, result.Message = Unknown, "the expression for its health fails; why is withheld, since it may repeat a secret value"
	case err != nil && len(o.object("status")) == 0:
		result.Message = noStatusYet
	case err != nil:
		result.Status, result.Message = Unknown, shorten(err.Error())
	case verdict == healthcheck.Current:
		result.Status = Healthy
	case verdict == healthcheck.Failed:
		result.Status, result.Message = Degraded, "it has failed, by an expression of its app"
	default:
		result.Message = "it is not there yet, by an expression of its app"
	}
	return result
}
