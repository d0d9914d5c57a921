package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
)

// delete deletes a hook as it was read, if the app may, and lets it go.
func (h *Runner) delete(ctx context.Context, resource cluster.Resource, live *unstructured.Unstructured, how metav1.DeletionPropagation) error {
	id := object.Of(live)
	if reason, ok := h.App.Permits(id, resource.Namespaced, true); !ok {
		return errors.New("deleting it: " + reason)
	}
	uid, version := live.GetUID(), live.GetResourceVersion()
	request := cluster.Request{Object: id, Resource: resource, As: h.As, Delete: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}, Propagation: how}
	after, err := h.Put(ctx, request, "delete")
	switch {
	case cluster.Missing(err, id):
		return nil
	case apierrors.IsConflict(err):
		return errAgain
	case err != nil:
		return err
	}
	if after.GetUID() != live.GetUID() {
		return nil // the answer tells of success, and not of the object
	}
	return h.release(ctx, resource, after)
}

// release takes our finalizer off a hook as it was read.
func (h *Runner) release(ctx context.Context, resource cluster.Resource, live *unstructured.Unstructured) error {
	finalizers := live.GetFinalizers()
	at := slices.Index(finalizers, object.HookFinalizer)
	if at < 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": live.GetResourceVersion(), "uid": live.GetUID(), "finalizers": slices.Delete(finalizers, at, at+1),
	}})
	if err != nil {
		return err
	}
	id := object.Of(live)
	request := cluster.Request{Object: id, Resource: resource, As: h.As, Manager: object.FieldManager, Form: types.MergePatchType, Content: patch}
	_, err = h.Put(ctx, request, "release hook")
	switch {
	case cluster.Missing(err, id):
		return nil
	case apierrors.IsConflict(err):
		return errAgain
	}
	return err
}

// letGo takes our finalizer off a hook whose result is on record, and deletes it
// if it is to go.
func (h *Runner) letGo(ctx context.Context, st State, remove bool) error {
	if st.UID == "" {
		return nil // it was never there
	}
	resource, err := h.Cluster.Find(ctx, st.ID.GroupKind().WithVersion(""))
	var unknown *cluster.UnknownKindError
	if errors.As(err, &unknown) && unknown.Missing() {
		return nil
	}
	if err == nil {
		err = errAgain
	}
	for attempts := 0; attempts < 4 && errors.Is(err, errAgain); attempts++ {
		var live *unstructured.Unstructured
		live, err = h.Cluster.Get(ctx, resource, st.ID)
		switch {
		case cluster.Missing(err, st.ID) || err == nil && live.GetUID() != st.UID:
			return nil
		case err != nil:
		case remove && live.GetDeletionTimestamp() == nil:
			err = h.delete(ctx, resource, live, "")
		default:
			err = h.release(ctx, resource, live)
		}
	}
	return err
}

// tidy lets all hooks of the run go, and deletes those that are not to stay. As
// in Argo CD the outcome of the sync decides, and of its failure for the hooks
// that run in that case their own.
func (h *Runner) tidy(ctx context.Context) (obstacle string) {
	for _, key := range slices.Sorted(maps.Keys(h.now.Hooks)) {
		st := h.now.Hooks[key]
		succeeded := h.now.State == Succeeded
		if st.Phase == app.SyncFail {
			succeeded = st.Result == Succeeded
		}
		if err := h.letGo(ctx, st, st.IfSucceeded && succeeded || st.IfFailed && !succeeded); err != nil && !refused(err) {
			h.Stop(ctx, err)
			obstacle = fmt.Sprintf("%s hook %s to be let go: %s", st.Phase, st.ID, cluster.Explain(err))
		}
	}
	return obstacle
}

// Release lets go of all hooks of the run: they stay, and end as they may.
func (h *Runner) Release(ctx context.Context) error {
	var failures []error
	for _, key := range slices.Sorted(maps.Keys(h.now.Hooks)) {
		failures = append(failures, h.letGo(ctx, h.now.Hooks[key], false))
	}
	return errors.Join(failures...)
}
