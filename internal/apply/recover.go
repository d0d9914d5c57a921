package apply

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/object"
)

// Recover finds the baselines of apps for which none were kept. Each kind is
// read whole once, in pages, compared object by object and dropped: an object
// that is as its app wants it has a baseline among those of its target, and need
// not be applied again. Nothing is written. What could not be listed has no
// baselines, which costs reads later; the error says what that was.
func (c *Client) Recover(ctx context.Context, targets []Target) ([]map[object.ID]Baseline, error) {
	type place struct {
		run       *run
		item      *item
		baselines map[object.ID]Baseline // of the target
	}
	wanted := map[object.Owner]map[object.ID]place{}
	kinds := map[schema.GroupKind]cluster.Resource{}
	var failures []error
	baselines := make([]map[object.ID]Baseline, len(targets))
	for i, t := range targets {
		baselines[i] = map[object.ID]Baseline{}
		t.Known = nil
		r, err := c.begin(ctx, t, showing)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		places := map[object.ID]place{}
		for _, it := range r.items {
			if r.prepare(ctx, it); it.err == nil {
				places[it.id] = place{r, it, baselines[i]}
				// Compared in the version in which it is written.
				kinds[it.id.GroupKind()] = it.resource
			}
		}
		wanted[r.owner] = places
	}
	for kind, resource := range kinds {
		_, err := c.cluster.List(ctx, resource, cluster.Whole, metav1.ListOptions{LabelSelector: object.AppLabel}, func(live *unstructured.Unstructured) {
			owner, _, ok := object.OwnerOf(live)
			at, has := wanted[owner][object.Of(live)]
			if ok && has && at.item.source.GetAPIVersion() == live.GetAPIVersion() && at.run.inPlace(at.item, live) {
				at.baselines[at.item.id] = c.baseline(live, at.item.digest)
			}
		})
		if err != nil {
			failures = append(failures, fmt.Errorf("listing objects of kind %s: %w", kind, err))
		}
	}
	return baselines, errors.Join(failures...)
}

// inPlace reports whether an object with the app's marks is all that is wanted.
func (r *run) inPlace(it *item, live *unstructured.Unstructured) bool {
	if it.once {
		return live.GetDeletionTimestamp() == nil
	}
	_, adopted, _ := object.OwnerOf(live)
	o := ownership.Read(live)
	v, err := r.view(it, o, adopted)
	if err != nil {
		return false
	}
	standing, added := v.stands(it, o)
	return standing.Holds() && !added && live.GetDeletionTimestamp() == nil
}
