package release

import (
	"context"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/event"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/statusreaders"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	kobject "github.com/fluxcd/cli-utils/pkg/object"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app/healthcheck"
)

// reader has Helm wait for objects by the expressions of an app.
type reader struct {
	mapper meta.RESTMapper
	checks *healthcheck.Checks
}

func newReader(mapper meta.RESTMapper, checks *healthcheck.Checks) engine.StatusReader {
	return &reader{mapper, checks}
}

// Supports implements engine.StatusReader.
func (r *reader) Supports(kind schema.GroupKind) bool { return r.checks.Of(kind) != nil }

// ReadStatus implements engine.StatusReader.
func (r *reader) ReadStatus(ctx context.Context, from engine.ClusterReader, id kobject.ObjMetadata) (*event.ResourceStatus, error) {
	return r.of(id.GroupKind).ReadStatus(ctx, from, id)
}

// ReadStatusForObject implements engine.StatusReader.
func (r *reader) ReadStatusForObject(ctx context.Context, from engine.ClusterReader, u *unstructured.Unstructured) (*event.ResourceStatus, error) {
	return r.of(u.GroupVersionKind().GroupKind()).ReadStatusForObject(ctx, from, u)
}

func (r *reader) of(kind schema.GroupKind) engine.StatusReader {
	return statusreaders.NewGenericStatusReader(r.mapper, func(u *unstructured.Unstructured) (*status.Result, error) {
		return statusOf(r.checks.Of(kind), u)
	})
}

// statusOf is what a check comes to, in the words of kstatus.
func statusOf(check *healthcheck.Check, u *unstructured.Unstructured) (*status.Result, error) {
	verdict, err := check.Verdict(u)
	if err != nil {
		return nil, err
	}
	words := map[healthcheck.Verdict]status.Status{
		healthcheck.InProgress: status.InProgressStatus, healthcheck.Failed: status.FailedStatus, healthcheck.Current: status.CurrentStatus,
	}
	return &status.Result{Status: words[verdict], Message: "by an expression of its app"}, nil
}
