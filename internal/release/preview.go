package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"helm.sh/helm/v4/pkg/kube"
	helm "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// Preview returns what an upgrade that is due would change of a release's objects as
// they are on the cluster, by dry runs of the API server. Nothing is written, and t.Entitled
// is not asked. What the
// next revision has no more is told as t.Review decides, which is asked as before an
// upgrade: deleted, held, or kept with the reason. due is false if the next step is no
// upgrade.
func (c *Client) Preview(ctx context.Context, t Target) (changes change.Set, due bool, err error) {
	var review Review
	if decide := t.Review; decide != nil {
		t.Review = func(removal Removal) (all Review) {
			review = decide(removal)
			for _, u := range removal.Gone { // a step that is held would tell of nothing else
				all.Delete = append(all.Delete, object.Of(u))
			}
			return all
		}
	}
	t.Entitled = nil
	run, err := c.begin(ctx, t)
	if err != nil {
		return nil, false, err
	}
	defer run.end()
	if err := run.readValues(); err != nil {
		return nil, false, err
	}
	seen, err := run.observe()
	if err != nil {
		return nil, false, err
	}
	next := decide(seen, run.intent())
	if next.step != Upgrade {
		return nil, false, nil
	}
	h, err := run.helm(next)
	if err != nil {
		return nil, false, err
	}
	h.dry = true
	if err := h.upgrade(); err != nil {
		return nil, true, fmt.Errorf("trying the upgrade of the release %s/%s: %w", t.Release.Namespace, t.Release.Name, err)
	}
	changes, err = h.compare(review)
	return changes, true, err
}

// compare holds the revision that was tried against the cluster, and tells of what it
// has no more by a review.
func (h *driven) compare(review Review) (changes change.Set, err error) {
	wanted, err := h.guard.Client.Build(bytes.NewBufferString(h.made.Manifest), false)
	if err != nil {
		return nil, fmt.Errorf("reading the objects of the next revision: %w", err)
	}
	present, err := h.guard.Client.Build(bytes.NewBufferString(h.guard.present.Manifest), false)
	if err != nil {
		return nil, fmt.Errorf("reading the objects of revision %d: %w", h.guard.present.Version, err)
	}
	add := func(info *resource.Info, entry change.Entry, err error) {
		if entry.Object = idOf(info); err != nil {
			entry.Action, entry.Reason = change.Failed, err.Error()
		}
		if entry.Action != change.Unchanged {
			changes = append(changes, entry)
		}
	}
	for _, info := range wanted {
		entry, err := h.would(info, h.made)
		add(info, entry, err)
	}
	for _, info := range present.Difference(wanted) {
		live, err := h.guard.live(info)
		if err == nil && live == nil {
			continue
		}
		var entry change.Entry
		if err == nil {
			entry = h.removal(idOf(info), live, review)
		}
		add(info, entry, err)
	}
	if h.ctx.Err() != nil {
		return nil, context.Cause(h.ctx)
	}
	return changes, nil
}

// removal says what becomes of an object that the next revision does not have.
func (h *driven) removal(id object.ID, live *unstructured.Unstructured, review Review) change.Entry {
	if at := slices.IndexFunc(review.Kept, func(e change.Entry) bool { return e.Object == id }); at >= 0 {
		return review.Kept[at]
	}
	if review.Held != nil && slices.Contains(review.Held.Objects, id) {
		return change.Entry{Action: change.Held, Reason: review.Held.Reason}
	}
	if reason := h.guard.stays(id, live, false); reason != "" {
		return change.Entry{Action: change.Orphaned, Reason: reason}
	}
	return change.Entry{Action: change.Deleted}
}

// would says what a revision changes of an object.
func (h *driven) would(info *resource.Info, made *helm.Release) (change.Entry, error) {
	entry := change.Entry{Action: change.Created}
	want, ok := info.Object.(*unstructured.Unstructured)
	if !ok {
		return entry, fmt.Errorf("it is a %T", info.Object)
	}
	if err := h.guard.permit(kube.ResourceList{info}); err != nil {
		return entry, err
	}
	live, err := h.guard.live(info)
	if err != nil || live == nil {
		return entry, err
	}
	want = want.DeepCopy()
	own(want, made)
	then, err := h.apply(info, want, true)
	if err != nil {
		return entry, err
	}
	entry.Action = change.Unchanged
	if entry.Fields = change.Fields(h.shown(live), h.shown(then)); len(entry.Fields) > 0 {
		entry.Action = change.Updated
	}
	return entry, nil
}

// errReinstall says why an upgrade is not tried.
var errReinstall = errors.New("the chart has another name: the release would be uninstalled, and installed anew")
