package hook

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
)

// phase runs the hooks of a phase, wave after wave, as far as that can be done
// now. It says what is waited for, or what failed, or neither if all is done.
func (h *Runner) phase(ctx context.Context, phase app.Phase) (obstacle, failure string) {
	for _, wave := range h.waves(phase) {
		if obstacle, failure = h.wave(ctx, phase, wave); obstacle != "" || failure != "" {
			break
		}
	}
	return obstacle, failure
}

// wave runs the hooks of one wave: they are on record before any is created, and
// each result is before its hook is let go.
func (h *Runner) wave(ctx context.Context, phase app.Phase, wave int) (obstacle, failure string) {
	var list []app.Hook
	for _, hook := range h.list {
		if hook.Phase == phase && hook.Wave == wave {
			list = append(list, hook)
		}
	}
	for _, hook := range list {
		if _, begun := h.now.Hooks[hook.Key]; begun {
			continue
		}
		st, err := h.plan(ctx, hook)
		if err != nil {
			h.Stop(ctx, err)
			return fmt.Sprintf("%s hook %s: %s", phase, st.ID, cluster.Explain(err)), ""
		}
		h.now.Hooks[hook.Key] = st
		h.unsaved = true
	}
	if phase != app.SyncFail && h.now.Wave != wave && h.unsaved {
		h.now.Wave = wave
	}
	if h.unsaved && !h.keep(ctx) {
		return "the record to be written", ""
	}
	var ended []string
	for _, hook := range list {
		st := h.now.Hooks[hook.Key]
		if st.Result == "" && !h.Stopped() {
			waits := h.advance(ctx, &hook, hook.Key, &st)
			h.now.Hooks[hook.Key] = st
			if st.Result == "" && obstacle == "" {
				obstacle = fmt.Sprintf("%s hook %s: %s", phase, st.ID, waits)
			}
			if st.Result != "" {
				ended = append(ended, hook.Key)
			}
		}
		if st.Result == Failed && failure == "" {
			failure = fmt.Sprintf("%s hook %s: %s", phase, st.ID, st.Reason)
		}
	}
	if h.unsaved && !h.keep(ctx) {
		return "the record to be written", ""
	}
	for _, key := range ended {
		h.letGo(ctx, h.now.Hooks[key], false) // if that fails, the end of the run does it
	}
	if obstacle != "" {
		return obstacle, "" // what else of the wave runs is awaited first
	}
	return "", failure
}

// plan makes out which object a hook is to be. What can never be one has failed.
func (h *Runner) plan(ctx context.Context, hook app.Hook) (State, error) {
	st := State{ID: object.Of(hook.Object), Phase: hook.Phase, IfSucceeded: hook.IfSucceeded, IfFailed: hook.IfFailed}
	if st.ID.Name == "" {
		prefix := hook.Object.GetGenerateName()
		st.ID.Name = prefix[:min(len(prefix), 52)] + h.now.creation(h.Owner, hook.Key)[:10]
	}
	resource, err := h.Cluster.Find(ctx, hook.Object.GroupVersionKind())
	var unknown *cluster.UnknownKindError
	switch {
	case errors.As(err, &unknown) && unknown.Missing():
		st.Result, st.Reason = Failed, cluster.Explain(err)
	case err != nil:
		return st, err
	case !resource.Namespaced:
		st.ID.Namespace = ""
	case st.ID.Namespace == "":
		st.Result, st.Reason = Failed, fmt.Sprintf("it states no namespace, and %s needs one", st.ID.Kind)
	}
	return st, nil
}

// advance does what can be done now for a hook that has begun, and says what it
// waits for. Without the hook itself, one that is not there is not created.
func (h *Runner) advance(ctx context.Context, hook *app.Hook, key string, st *State) (waits string) {
	done, err := h.Take(ctx, st.ID)
	if err != nil {
		h.Stop(ctx, err)
		return "it was broken off"
	}
	defer done()
	kind := st.ID.GroupKind().WithVersion("")
	if hook != nil {
		kind = hook.Object.GroupVersionKind()
	}
	before := *st
	resource, err := h.Cluster.Find(ctx, kind)
	if err == nil {
		err = errAgain
	}
	for attempts := 0; attempts < 4 && errors.Is(err, errAgain); attempts++ {
		waits, err = h.try(ctx, hook, key, resource, st)
	}
	if err != nil && !h.Stop(ctx, err) && refused(err) {
		st.Result, st.Reason = Failed, cluster.Explain(err)
	}
	h.unsaved = h.unsaved || *st != before
	if err != nil {
		return cluster.Explain(err)
	}
	return waits
}

// refused reports whether the server would give the same answer again.
func refused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

// try is one attempt of advance. errAgain says that the object changed meanwhile.
func (h *Runner) try(ctx context.Context, hook *app.Hook, key string, resource cluster.Resource, st *State) (waits string, err error) {
	live, err := h.Cluster.Get(ctx, resource, st.ID)
	switch {
	case cluster.Missing(err, st.ID) && st.UID != "":
		st.end(Failed, "it was deleted while it ran")
		return "", nil
	case cluster.Missing(err, st.ID) && hook == nil:
		st.end(Failed, "it was not begun")
		return "", nil
	case cluster.Missing(err, st.ID):
		live, err = h.create(ctx, *hook, key, resource, st)
		if err != nil || live == nil {
			return "", err
		}
	case err != nil:
		return "", err
	}
	owner, creation, ours := object.HookOf(live)
	same := ours && owner == h.Owner && creation == h.now.creation(h.Owner, key)
	switch {
	case same && (st.UID == "" || st.UID == live.GetUID()):
		return h.judge(ctx, resource, live, st)
	case st.UID != "":
		st.end(Failed, "it was deleted while it ran, and is another object now")
		return "", nil
	case hook == nil:
		st.end(Failed, "it was not begun")
		return "", nil
	}
	return h.replace(ctx, resource, live, st)
}

// end records what became of a hook. A reason that was found before counts.
func (st *State) end(result Status, reason string) {
	st.Result = result
	if result == Succeeded {
		st.Reason = ""
	} else if st.Reason == "" {
		st.Reason = reason
	}
}

// create creates a hook if nothing of its name is there.
func (h *Runner) create(ctx context.Context, hook app.Hook, key string, resource cluster.Resource, st *State) (*unstructured.Unstructured, error) {
	if reason, ok := h.App.Permits(st.ID, resource.Namespaced, true); !ok {
		st.end(Failed, reason)
		return nil, nil
	}
	if name, claimed := h.ClaimedBy(st.ID); claimed {
		st.end(Failed, fmt.Sprintf("the app %q has an object of that name", name))
		return nil, nil
	}
	body := hook.Object.DeepCopy()
	unstructured.RemoveNestedField(body.Object, "metadata", "generateName")
	body.SetName(st.ID.Name)
	body.SetNamespace(st.ID.Namespace)
	body, err := h.Prepare(body)
	if err != nil {
		st.end(Failed, err.Error())
		return nil, nil
	}
	object.MarkHook(body, h.Owner, h.now.creation(h.Owner, key), st.ID)
	live, err := h.Create(ctx, resource, body)
	if apierrors.IsConflict(err) {
		return nil, errAgain // it is there by now
	}
	return live, err
}

// judge finds out whether a hook has ended. One that is stopped is so in the
// foreground: it is gone once what it started is.
func (h *Runner) judge(ctx context.Context, resource cluster.Resource, live *unstructured.Unstructured, st *State) (waits string, err error) {
	if st.UID == "" {
		st.UID, st.Since = live.GetUID(), live.GetCreationTimestamp().UTC()
	}
	deleting := live.GetDeletionTimestamp() != nil
	done, failed, message := h.Completion(live)
	switch {
	case done:
		st.end(Succeeded, "")
	case failed:
		st.Reason = message
		st.end(Failed, "it has failed")
	case deleting && st.Reason == "":
		st.end(Failed, "it was deleted while it ran")
	case deleting:
		return "it is being stopped", h.release(ctx, resource, live)
	case st.Reason != "":
		foreground := metav1.DeletePropagationForeground
		if err := h.delete(ctx, resource, live, foreground); err != nil {
			return "", err
		}
		return "", errAgain
	default:
		waits = "it runs" + since(st.Since)
		if message != "" {
			waits += ": " + message
		}
	}
	return waits, nil
}

// replace makes way for a hook whose name another object has: one of an earlier
// run, or of a former deployer. Whatever else it is stays, and the hook fails.
func (h *Runner) replace(ctx context.Context, resource cluster.Resource, live *unstructured.Unstructured, st *State) (waits string, err error) {
	owner, _, ours := object.HookOf(live)
	kept, _, marked := object.OwnerOf(live)
	_, former, _ := app.HookPhases(live)
	switch {
	case ours && owner != h.Owner:
		st.end(Failed, fmt.Sprintf("the app %q of the fleet %q has a hook of that name", owner.App, owner.Fleet))
		return "", nil
	case marked:
		st.end(Failed, fmt.Sprintf("the app %q of the fleet %q has an object of that name", kept.App, kept.Fleet))
		return "", nil
	case !ours && !former:
		st.end(Failed, "an object of that name is there that is no hook; rename one of them, or delete it")
		return "", nil
	case live.GetDeletionTimestamp() != nil:
		return "the one of an earlier sync is being deleted", h.release(ctx, resource, live)
	}
	if done, failed, message := h.Completion(live); !done && !failed {
		return "the one of an earlier sync is not done: " + message, nil
	}
	if err := h.delete(ctx, resource, live, ""); err != nil {
		return "", err
	}
	return "", errAgain
}

// since says for how long something has been.
func since(when time.Time) string {
	if when.IsZero() {
		return ""
	}
	return " since " + when.UTC().Format(time.RFC3339)
}
