package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/lab"
)

// repaired is what is measured of drift: from the answer to the write that made
// it until the object is as before.
const repaired = "drift undone"

// driftLimit bounds how long drift may stay, faults included.
const driftLimit = 5 * time.Minute

// driftRest is how long an object is left alone after it was changed: more often
// would be a fight, which is backed off from on purpose.
const driftRest = 3 * time.Minute

// mostDrift bounds the objects that are away from Git at one time.
const mostDrift = 8

// drifter changes objects on the clusters as people with kubectl do.
type drifter struct {
	*world
	rand *rand.Rand
	last map[string]time.Time // that an object was changed, by cluster and object
}

// drift is one change by hand.
type drift struct {
	what string
	make func(ctx context.Context, c *cluster, r ref, before *unstructured.Unstructured) error
	gone func(before, now *unstructured.Unstructured) bool
}

// driftable are the resources whose objects may be changed, deleted ones among
// them: nothing else depends on any but Deployments, which come back.
var driftable = []string{"deployments", "configmaps", "services", "networkpolicies", "poddisruptionbudgets", "rolebindings", "limitranges"}

// run makes drift now and then until stop ends, and waits until it is undone.
func (d *drifter) run(ctx, stop context.Context, gap time.Duration) {
	var group sync.WaitGroup
	defer group.Wait()
	places := make(chan struct{}, mostDrift)
	for lab.Pause(stop, jitter(d.rand, gap)) == nil {
		c, r, found := d.choose()
		if !found {
			continue
		}
		kinds := []drift{deletion, labelling}
		if r.Resource == "deployments" || r.Resource == "configmaps" {
			kinds = append(kinds, edition)
		}
		kind := kinds[d.rand.IntN(len(kinds))]
		places <- struct{}{}
		if stop.Err() != nil {
			break // while it waited for its turn
		}
		group.Go(func() {
			defer func() { <-places }()
			d.disturb(ctx, c, r, kind)
		})
	}
}

// choose returns an object of a cluster that is there, and that was left alone
// for a while.
func (d *drifter) choose() (*cluster, ref, bool) {
	c := d.clusters[d.rand.IntN(len(d.clusters))]
	if away, _ := c.fault(); away {
		return nil, ref{}, false
	}
	var rested []ref
	for r := range maps.Keys(c.objects) {
		if slices.Contains(driftable, r.Resource) && time.Since(d.last[c.name+" "+r.String()]) > driftRest {
			rested = append(rested, r)
		}
	}
	if len(rested) == 0 {
		return nil, ref{}, false
	}
	slices.SortFunc(rested, func(a, b ref) int { return strings.Compare(a.String(), b.String()) })
	r := rested[d.rand.IntN(len(rested))]
	d.last[c.name+" "+r.String()] = time.Now()
	return c, r, true
}

// disturb makes one change and waits until it is undone.
func (d *drifter) disturb(ctx context.Context, c *cluster, r ref, kind drift) {
	_, faults := c.fault()
	restarts := d.hubRestarts()
	before, err := c.get(ctx, r)
	if err != nil {
		return // the cluster went away this moment
	}
	if before == nil {
		d.blame("%s of %s is gone, and nobody deleted it", r, c.name)
		return
	}
	if err := kind.make(ctx, c, r, before); err != nil {
		// An API server may take too long on a machine that does much else.
		if _, now := c.fault(); now == faults && !errors.Is(err, context.DeadlineExceeded) {
			d.blame("%s of %s: %s: %v", r, c.name, kind.what, err)
		}
		// Whether the change was made is not known; it must not be there either way.
	}
	since := time.Now()
	d.count("drift, " + kind.what)
	text := poll(ctx, 20*time.Millisecond, driftLimit, func(ctx context.Context) string {
		now, err := c.get(ctx, r)
		switch {
		case err != nil:
			return err.Error()
		case now == nil:
			return "it is not there"
		case !kind.gone(before, now):
			return "it is still changed"
		}
		return ""
	})
	_, now := c.fault()
	switch {
	case ctx.Err() != nil:
	case text != "":
		d.blame("%s of %s, %s, is not as before after %s: %s", r, c.name, kind.what, driftLimit, text)
	case now == faults && d.undisturbed(restarts):
		d.took(repaired, since)
	}
}

var deletion = drift{
	what: "deleted",
	make: func(ctx context.Context, c *cluster, r ref, before *unstructured.Unstructured) error {
		c.mu.Lock()
		c.deleted[r] = true
		c.mu.Unlock()
		background := metav1.DeletePropagationBackground
		return c.client.Resource(r.GroupVersionResource).Namespace(r.namespace).Delete(ctx, r.name, metav1.DeleteOptions{PropagationPolicy: &background})
	},
	gone: func(before, now *unstructured.Unstructured) bool {
		return now.GetDeletionTimestamp() == nil && isMarked(now)
	},
}

const driftLabel = "soak.example.com/by-hand"

var labelling = drift{
	what: "labelled",
	make: func(ctx context.Context, c *cluster, r ref, _ *unstructured.Unstructured) error {
		return c.patch(ctx, r, "kubectl-label", map[string]any{"metadata": map[string]any{"labels": map[string]any{driftLabel: "yes"}}})
	},
	gone: func(_, now *unstructured.Unstructured) bool { return now.GetLabels()[driftLabel] == "" },
}

const byHand = "registry.example.com/by-hand:1"

var edition = drift{
	what: "edited",
	make: func(ctx context.Context, c *cluster, r ref, before *unstructured.Unstructured) error {
		if r.Resource == "configmaps" {
			data, _, _ := unstructured.NestedStringMap(before.Object, "data")
			for _, key := range slices.Sorted(maps.Keys(data)) {
				return c.patch(ctx, r, "kubectl-edit", map[string]any{"data": map[string]any{key: byHand}})
			}
			return fmt.Errorf("it has no data to edit")
		}
		all := containers(before)
		dig(all, 0).(map[string]any)["image"] = byHand
		return c.patch(ctx, r, "kubectl-edit", map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": all}}}})
	},
	gone: func(_, now *unstructured.Unstructured) bool {
		if image := dig(containers(now), 0, "image"); image != nil {
			return image != byHand
		}
		data, _, _ := unstructured.NestedStringMap(now.Object, "data")
		return !slices.Contains(slices.Collect(maps.Values(data)), byHand)
	},
}

// patch merges fields into an object, as a manager of that name.
func (c *cluster) patch(ctx context.Context, r ref, manager string, fields map[string]any) error {
	body, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	_, err = c.client.Resource(r.GroupVersionResource).Namespace(r.namespace).
		Patch(ctx, r.name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: manager})
	return err
}
