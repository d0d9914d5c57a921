package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"helm.sh/helm/v4/pkg/kube"
	helm "helm.sh/helm/v4/pkg/release/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// driftAnnotation keeps an object from being looked at, as a label or an annotation.
const driftAnnotation = "helm.toolkit.fluxcd.io/driftDetection"

// Check is what a look at a release's objects came to.
type Check struct {
	// Objects are all those of the release.
	Objects []object.ID
	// Live are those that are there and as they should be, or were corrected.
	Live []*unstructured.Unstructured
	// Changes say what differs, or what was corrected, and what failed.
	Changes change.Set
	// Foreign says that somebody else made the last revision, or is about to. Then
	// nothing is compared, as what is recorded is not what is wanted.
	Foreign bool
	// Outdated says that values which are read from the cluster make another revision
	// of what is wanted now.
	Outdated bool
}

// Check compares the objects of a release's last revision, all or some, with what is
// recorded of them, by dry runs of the API server, and corrects what differs if its
// Drift says so. A release that does not look for drift, or is not there, has its
// objects named and nothing read. Fields that Ignored names of an object are no drift
// and stay as they are.
func (c *Client) Check(ctx context.Context, t Target, some []object.ID) (Check, error) {
	var check Check
	run, err := c.begin(ctx, t)
	if err != nil {
		return check, err
	}
	defer run.end()
	h, err := run.helm(decision{})
	if err != nil {
		return check, err
	}
	seen, err := run.observe()
	if err != nil || !seen.present() {
		return check, err
	}
	if check.Foreign = !seen[0].ours; check.Foreign {
		return check, nil
	}
	if len(t.Release.ValuesFrom) > 0 && seen[0].wanted != "" {
		if err := run.readValues(); err != nil {
			return check, err
		}
		check.Outdated = seen[0].wanted != run.wanted
	}
	found, err := h.config.Releases.Get(t.Release.Name, seen[0].number)
	if err != nil {
		return check, fmt.Errorf("reading revision %d: %w", seen[0].number, err)
	}
	recorded, err := asRelease(found)
	if err != nil {
		return check, err
	}
	err = h.check(recorded, some, &check)
	return check, err
}

// check looks at the objects that are recorded.
func (h *driven) check(recorded *helm.Release, some []object.ID, check *Check) error {
	resources, err := h.guard.Client.Build(bytes.NewBufferString(recorded.Manifest), false)
	if err != nil {
		return fmt.Errorf("reading the objects of revision %d: %w", recorded.Version, err)
	}
	for _, info := range resources {
		id := idOf(info)
		check.Objects = append(check.Objects, id)
		if h.target.Release.Drift == app.DriftPassed || some != nil && !slices.Contains(some, id) {
			continue
		}
		live, entry, err := h.one(info, recorded)
		if h.ctx.Err() != nil {
			return context.Cause(h.ctx)
		}
		if err != nil {
			entry = change.Entry{Object: id, Action: change.Failed, Reason: err.Error()}
		}
		if entry.Action != change.Unchanged {
			check.Changes = append(check.Changes, entry)
		}
		if live != nil && entry.Action != change.Drifted && entry.Action != change.Failed {
			check.Live = append(check.Live, live)
		}
	}
	return nil
}

// one compares one object, and corrects it if it is to.
func (h *driven) one(info *resource.Info, recorded *helm.Release) (live *unstructured.Unstructured, entry change.Entry, err error) {
	id := idOf(info)
	entry = change.Entry{Object: id, Action: change.Unchanged}
	want, ok := info.Object.(*unstructured.Unstructured)
	if !ok {
		return nil, entry, fmt.Errorf("it is a %T", info.Object)
	}
	want = want.DeepCopy()
	own(want, recorded)
	if err := h.guard.permit(kube.ResourceList{info}); err != nil {
		return nil, entry, err
	}
	if live, err = h.guard.live(info); err != nil {
		return nil, entry, err
	}
	if passed(want) || live != nil && passed(live) {
		return live, entry, nil
	}
	if live == nil {
		entry.Action, entry.Reason = change.Drifted, "was deleted"
		if h.target.Release.Drift == app.DriftCorrected {
			entry.Action = change.Corrected
			live, err = h.apply(info, want, false)
		}
		return live, entry, err
	}
	if err := h.keepIgnored(id, want, live); err != nil {
		return nil, entry, err
	}
	would, err := h.apply(info, want, true)
	if err != nil {
		return nil, entry, err
	}
	entry.Fields = change.Fields(h.shown(live), h.shown(would))
	if len(entry.Fields) == 0 {
		return live, entry, nil
	}
	entry.Action = change.Drifted
	if h.target.Release.Drift == app.DriftCorrected {
		entry.Action = change.Corrected
		live, err = h.apply(info, want, false)
	}
	return live, entry, err
}

// passed reports whether an object says that it is not to be looked at.
func passed(u *unstructured.Unstructured) bool {
	return u.GetAnnotations()[driftAnnotation] == "disabled" || u.GetLabels()[driftAnnotation] == "disabled"
}

// own puts Helm's marks on an object, as Helm does when it applies it.
func own(u *unstructured.Unstructured, recorded *helm.Release) {
	labels, annotations := u.GetLabels(), u.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels[managedBy] = "Helm"
	annotations[releaseName], annotations[releaseNamespace] = recorded.Name, recorded.Namespace
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
}

// apply applies an object as Helm does, or tries to.
func (h *driven) apply(info *resource.Info, want *unstructured.Unstructured, try bool) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(want)
	if err != nil {
		return nil, fmt.Errorf("encoding it: %w", err)
	}
	force := true
	helper := resource.NewHelper(info.Client, info.Mapping).WithFieldManager(fieldManager).DryRun(try)
	applied, err := helper.Patch(info.Namespace, info.Name, types.ApplyPatchType, data, &metav1.PatchOptions{Force: &force})
	if err != nil {
		if try && apierrors.IsInvalid(err) {
			return nil, fmt.Errorf("it cannot be compared: %w", err)
		}
		return nil, err
	}
	u, ok := applied.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("it is a %T", applied)
	}
	return u, nil
}

// shown is an object as it is compared: without what the server notes about writes.
func (h *driven) shown(u *unstructured.Unstructured) map[string]any {
	u = object.Redact(u, h.client.options.DigestKey).DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	delete(u.Object, "status")
	return u.Object
}

// keepIgnored has the fields of an object that others may set wanted as they are.
func (h *driven) keepIgnored(id object.ID, want, live *unstructured.Unstructured) error {
	if h.target.Ignored == nil {
		return nil
	}
	places, err := h.target.Ignored(id, want, live)
	if err != nil {
		return err
	}
	var problems []error
	for _, place := range places {
		problems = append(problems, transplant(want.Object, live.Object, place))
	}
	return errors.Join(problems...)
}

// transplant gives a place in an object, a path of fields and of numbers of list
// elements, the value that it has in another, or none if that has none.
func transplant(to, from map[string]any, place []any) error {
	value, there := at(from, place)
	if len(place) == 0 {
		return errors.New("a whole object cannot be ignored")
	}
	var parent any = to
	for _, step := range place[:len(place)-1] {
		next, ok := child(parent, step)
		if !ok {
			if !there {
				return nil
			}
			fields, isMap := parent.(map[string]any)
			name, isName := step.(string)
			if !isMap || !isName {
				return nil // an element that is not wanted
			}
			next = map[string]any{}
			fields[name] = next
		}
		parent = next
	}
	switch last := place[len(place)-1].(type) {
	case string:
		fields, ok := parent.(map[string]any)
		if !ok {
			return nil
		}
		if delete(fields, last); there {
			fields[last] = value
		}
	case int:
		list, ok := parent.([]any)
		if ok && last < len(list) && there {
			list[last] = value
		}
	}
	return nil
}

// at returns the value at a place.
func at(object map[string]any, place []any) (value any, there bool) {
	value = object
	for _, step := range place {
		if value, there = child(value, step); !there {
			return nil, false
		}
	}
	return value, len(place) > 0
}

func child(value, step any) (any, bool) {
	switch step := step.(type) {
	case string:
		fields, _ := value.(map[string]any)
		found, ok := fields[step]
		return found, ok
	case int:
		list, _ := value.([]any)
		if step < 0 || step >= len(list) {
			return nil, false
		}
		return list[step], true
	}
	return nil, false
}
