package apply

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/hook"
	"nave.dev/internal/object"
)

// runner returns what runs the hooks of the run's app.
func (r *run) runner() (*hook.Runner, error) {
	t := r.target
	options := hook.Options{
		Cluster: r.client.cluster, Now: r.client.options.Now, Owner: r.owner, As: r.user,
		Digest: t.Bundle.Digest, Hooks: t.Bundle.Hooks, App: t.Options, Rerun: t.Rerun, Removal: t.Removal,
		Keep: t.KeepRun, Completion: r.completion, Prepare: r.prepareHook, Create: r.createHook, Put: r.client.putHook,
		Take:      func(ctx context.Context, id object.ID) (func(), error) { return r.client.turns.Take(ctx, id) },
		ClaimedBy: r.claimant, MakeNamespace: r.makeNamespace, Obstacle: r.obstacleBelow,
		Failing: func() bool { return r.failing },
		Stop:    r.stop, Halt: r.halt, Stopped: r.stopped, Wait: r.wait,
	}
	if options.Keep == nil {
		options.Keep = func(context.Context, hook.Run) error { return errors.New("nothing here keeps runs of hooks") }
	}
	return hook.New(options, t.Run)
}

// completion says whether a hook is done. What has no life is once it exists.
func (r *run) completion(u *unstructured.Unstructured) (done, failed bool, message string) {
	if r.target.Completion == nil || lifeless[u.GroupVersionKind().GroupKind()] {
		return true, false, ""
	}
	return r.target.Completion(u)
}

// prepareHook makes what is to be created of a hook in the bundle.
func (r *run) prepareHook(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if object.Encrypted(u) {
		var err error
		if u, err = r.decrypt(u); err != nil {
			return nil, err
		}
	}
	return u, object.PlainData(u)
}

// createHook creates a hook; one that is there is a conflict.
func (r *run) createHook(ctx context.Context, resource cluster.Resource, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	content, err := onlyIfAbsent(u)
	if err != nil {
		return nil, err
	}
	return r.client.putHook(ctx, cluster.Request{
		Object: object.Of(u), Resource: resource, As: r.user, Manager: object.FieldManager, Form: types.ApplyPatchType, Content: content,
	}, "run hook")
}

func (c *Client) putHook(ctx context.Context, request cluster.Request, verb string) (*unstructured.Unstructured, error) {
	u, _, err := c.put(ctx, write{request, verb})
	return u, err
}

// makeNamespace makes a namespace of the app's own that hooks are in.
func (r *run) makeNamespace(ctx context.Context, name string) {
	if it := r.namespaces[name]; it != nil && it.entry.Action == "" && it.known == nil {
		r.one(ctx, it)
	}
}

// obstacleBelow returns what of the stages that were applied, of waves below the
// given one, is not healthy yet, or nothing.
func (r *run) obstacleBelow(ctx context.Context, wave int) string {
	var before []stage
	for _, s := range r.applied {
		if s.wave < wave {
			before = append(before, s)
		}
	}
	return r.obstacle(ctx, before)
}

// ReleaseHooks lets go of the hooks of a run whose app has left the cluster: they
// stay, and end as they may.
func (c *Client) ReleaseHooks(ctx context.Context, app string, run hook.Run) error {
	runner, err := hook.New(hook.Options{Cluster: c.cluster, Owner: c.owner(app), Put: c.putHook}, run)
	if err != nil {
		return err
	}
	return runner.Release(ctx)
}

// WatchHooks calls a function for each change of a hook of a kind, until ctx ends
// or, as Watch, the kind cannot be watched.
func (c *Client) WatchHooks(ctx context.Context, kind schema.GroupKind, changed func(object.ID)) error {
	return c.follow(ctx, kind, metav1.ListOptions{LabelSelector: object.HookLabel}, cluster.Metadata, func(e Event) {
		if e.ID.Name != "" {
			changed(e.ID)
		}
	})
}
