package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/kube"
	helm "helm.sh/helm/v4/pkg/release/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/resource"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// Marks by which Helm knows what is its own.
const (
	releaseName      = "meta.helm.sh/release-name"
	releaseNamespace = "meta.helm.sh/release-namespace"
	managedBy        = "app.kubernetes.io/managed-by" // a label
	hookAnnotation   = "helm.sh/hook"
	resourcePolicy   = "helm.sh/resource-policy"
)

// guard stands between Helm and the cluster: it is Helm's client, and lets nothing be
// written that limits refuse, and nothing be deleted that was not reviewed. Helm
// renders through it, so that all objects of a revision are known before any is
// written.
type guard struct {
	*kube.Client
	run  *run
	next decision
	// present is the revision that an upgrade starts from.
	present *helm.Release
	// reviewed is set once it is known what may be deleted; mayGo are those objects.
	reviewed bool
	mayGo    map[object.ID]bool
	held     *Held
	lacks    error // what Target.Entitled says
	changes  change.Set
	written  []*unstructured.Unstructured // no hooks
}

func newGuard(r *run, d decision) *guard {
	client := kube.New(r.own)
	client.Namespace = r.target.Release.Namespace
	client.SetLogger(slog.DiscardHandler)
	return &guard{Client: client, run: r, next: d, mayGo: map[object.ID]bool{}}
}

// IsReachable implements kube.Interface: the requests that follow tell.
func (g *guard) IsReachable() error { return nil }

// idOf returns the identity of an object, whose kind and scope the cluster has told.
func idOf(info *resource.Info) object.ID {
	kind := info.Mapping.GroupVersionKind
	id := object.ID{Group: kind.Group, Kind: kind.Kind, Name: info.Name}
	if info.Namespaced() {
		id.Namespace = info.Namespace
	}
	return id
}

// Build implements kube.Interface, and refuses what limits do. Fields are checked by
// the API server, which every supported one does: to ask whether it does, Helm reads
// the whole schema of each group in use, each time.
func (g *guard) Build(reader io.Reader, _ bool) (kube.ResourceList, error) {
	resources, err := g.Client.Build(reader, false)
	if err != nil {
		return nil, err
	}
	return resources, g.permit(resources)
}

// permit holds objects against the limits of the app, and against other apps' claims.
func (g *guard) permit(resources kube.ResourceList) error {
	var refused []error
	for _, info := range resources {
		id := idOf(info)
		if reason, ok := g.run.target.Options.Permits(id, info.Namespaced(), true); !ok {
			refused = append(refused, fmt.Errorf("%s: %s", id, reason))
		} else if owner, claimed := g.claimed(id); claimed {
			refused = append(refused, fmt.Errorf("%s belongs to the app %q", id, owner))
		}
	}
	return errors.Join(refused...)
}

// entitled asks whether all rights are there by which objects are brought about.
func (g *guard) entitled(resources kube.ResourceList) error {
	if g.run.target.Entitled == nil {
		return nil
	}
	var objects, hooks []object.ID
	for _, info := range resources {
		switch {
		case isTest(info.Object) && !g.run.target.Release.Tests.Run:
		case isHook(info.Object):
			hooks = append(hooks, idOf(info))
		default:
			objects = append(objects, idOf(info))
		}
	}
	g.lacks = g.run.target.Entitled(g.run.ctx, objects, hooks)
	return g.lacks
}

func (g *guard) claimed(id object.ID) (app string, ok bool) {
	if g.run.target.ClaimedBy == nil {
		return "", false
	}
	return g.run.target.ClaimedBy(id)
}

// Run implements the interface of a post-renderer. It has the release's own applied,
// and reviews what came of it.
func (g *guard) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	out, err := g.run.client.renderer.PostRender(g.run.ctx, g.run.target.Release, rendered.Bytes())
	if err != nil {
		return nil, err
	}
	resources, err := g.Build(bytes.NewReader(out), false) // refuses hooks as well
	if err != nil {
		return nil, err
	}
	if err := g.entitled(resources); err != nil {
		return nil, err
	}
	if err := g.reviewUpgrade(resources); err != nil {
		return nil, err
	}
	if g.held != nil {
		return nil, errors.New("it waits for a confirmation")
	}
	return bytes.NewBuffer(out), nil
}

// reviewUpgrade reviews what the present revision has and the next one does not.
func (g *guard) reviewUpgrade(next kube.ResourceList) error {
	g.reviewed = true
	var wanted kube.ResourceList
	for _, info := range next {
		if !isHook(info.Object) {
			wanted = append(wanted, info)
		}
	}
	if err := g.refuseForeign(wanted); err != nil || g.present == nil {
		return err
	}
	present, err := g.Client.Build(bytes.NewBufferString(g.present.Manifest), false)
	if err != nil {
		return fmt.Errorf("reading the objects of revision %d: %w", g.present.Version, err)
	}
	return g.review(present.Difference(wanted), wanted, len(present))
}

// reviewUninstall reviews all that the release has, unless all that is known of it is
// that it failed.
func (g *guard) reviewUninstall(h *driven) error {
	if !g.next.reviewed {
		return nil
	}
	g.reviewed = true
	last, err := h.last()
	if err != nil {
		return err
	}
	present, err := g.Client.Build(bytes.NewBufferString(last.Manifest), false)
	if err != nil {
		return fmt.Errorf("reading the objects of revision %d: %w", last.Version, err)
	}
	return g.review(present, nil, len(present))
}

// review has what would be deleted reviewed, as it is on the cluster now. What is no
// longer there, or not the release's own, is left out.
func (g *guard) review(gone, wanted kube.ResourceList, size int) error {
	removal := Removal{Step: g.next.step, Size: size}
	for _, info := range wanted {
		removal.Wanted = append(removal.Wanted, idOf(info))
	}
	for _, info := range gone {
		live, err := g.live(info)
		if err != nil {
			return err
		}
		if live != nil && g.owns(live) {
			removal.Gone = append(removal.Gone, live)
			g.mayGo[idOf(info)] = g.run.target.Review == nil
		}
	}
	if g.run.target.Review == nil || len(removal.Gone) == 0 {
		return nil
	}
	review := g.run.target.Review(removal)
	g.held = review.Held
	g.changes = append(g.changes, review.Kept...)
	for _, id := range review.Delete {
		g.mayGo[id] = true
	}
	return nil
}

// refuseForeign refuses to take over what another release of Helm has, which Helm
// itself does if it takes anything over.
func (g *guard) refuseForeign(wanted kube.ResourceList) error {
	release := g.run.target.Release
	if g.next.step == Install && !release.Install.Adopt || g.next.step == Upgrade && !release.Upgrade.Adopt {
		return nil
	}
	var refused []error
	for _, info := range wanted {
		live, err := g.live(info)
		if err != nil {
			return err
		}
		if live == nil {
			continue
		}
		name, namespace := live.GetAnnotations()[releaseName], live.GetAnnotations()[releaseNamespace]
		if name != "" && (name != release.Name || namespace != release.Namespace) {
			refused = append(refused, fmt.Errorf("%s belongs to the release %s/%s of Helm", idOf(info), namespace, name))
		}
	}
	return errors.Join(refused...)
}

// live reads the present state of an object, nil if there is none.
func (g *guard) live(info *resource.Info) (*unstructured.Unstructured, error) {
	found, err := resource.NewHelper(info.Client, info.Mapping).Get(info.Namespace, info.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", idOf(info), err)
	}
	u, ok := found.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("reading %s: it is a %T", idOf(info), found)
	}
	return u, nil
}

// owns reports whether an object is the release's, by Helm's own marks.
func (g *guard) owns(u *unstructured.Unstructured) bool {
	release := g.run.target.Release
	return u.GetAnnotations()[releaseName] == release.Name && u.GetAnnotations()[releaseNamespace] == release.Namespace
}

func isHook(o any) bool {
	accessor, err := meta.Accessor(o)
	return err == nil && accessor.GetAnnotations()[hookAnnotation] != ""
}

// isTest reports whether an object is made when tests are asked for, and never else.
func isTest(o any) bool {
	accessor, err := meta.Accessor(o)
	if err != nil || accessor.GetAnnotations()[hookAnnotation] == "" {
		return false
	}
	for event := range strings.SplitSeq(accessor.GetAnnotations()[hookAnnotation], ",") {
		if !strings.HasPrefix(strings.TrimSpace(event), string(helm.HookTest)) { // test-success was its name
			return false
		}
	}
	return true
}

// Create implements kube.Interface.
func (g *guard) Create(resources kube.ResourceList, options ...kube.ClientCreateOption) (*kube.Result, error) {
	if err := g.permit(resources); err != nil {
		return &kube.Result{}, err
	}
	result, err := g.Client.Create(resources, options...)
	if result == nil {
		result = &kube.Result{}
	}
	g.note(result.Created)
	for _, info := range result.Created {
		if !isHook(info.Object) {
			g.changes = append(g.changes, change.Entry{Object: idOf(info), Action: change.Created})
		}
	}
	return result, err
}

// Update implements kube.Interface. It deletes what Helm would, as far as that was
// reviewed.
func (g *guard) Update(originals, targets kube.ResourceList, options ...kube.ClientUpdateOption) (*kube.Result, error) {
	if err := g.permit(targets); err != nil {
		return &kube.Result{}, err
	}
	gone := originals.Difference(targets)
	result, err := g.Client.Update(originals.Intersect(targets), targets, options...)
	if result == nil {
		result = &kube.Result{}
	}
	g.note(result.Created)
	g.note(result.Updated)
	for _, info := range result.Created {
		g.changes = append(g.changes, change.Entry{Object: idOf(info), Action: change.Created})
	}
	for _, info := range result.Updated {
		if !g.unchanged(originals, info) {
			g.changes = append(g.changes, change.Entry{Object: idOf(info), Action: change.Updated})
		}
	}
	if err != nil {
		return result, err
	}
	deleted, errs := g.remove(gone, metav1.DeletePropagationBackground)
	result.Deleted = deleted
	return result, errors.Join(errs...)
}

// note keeps objects of the release as they are after they were written. What it was
// only in need of, such as its namespace, bears no marks of Helm.
func (g *guard) note(resources kube.ResourceList) {
	for _, info := range resources {
		if u, ok := info.Object.(*unstructured.Unstructured); ok && !isHook(u) && g.owns(u) {
			g.written = append(g.written, u)
		}
	}
}

// unchanged reports whether a revision has the same of an object as the one before.
func (g *guard) unchanged(originals kube.ResourceList, info *resource.Info) bool {
	before := originals.Get(info)
	if before == nil {
		return false
	}
	was, ok := before.Object.(*unstructured.Unstructured)
	is, also := info.Object.(*unstructured.Unstructured)
	return ok && also && was.GetResourceVersion() != "" && was.GetResourceVersion() == is.GetResourceVersion()
}

// Delete implements kube.Interface.
func (g *guard) Delete(resources kube.ResourceList, policy metav1.DeletionPropagation) (*kube.Result, []error) {
	deleted, errs := g.remove(resources, policy)
	return &kube.Result{Deleted: deleted}, errs
}

// remove deletes objects: hooks of Helm, and what may go. Each is read before, and goes
// only as what it was then.
func (g *guard) remove(resources kube.ResourceList, policy metav1.DeletionPropagation) (deleted kube.ResourceList, errs []error) {
	for _, info := range resources {
		id := idOf(info)
		live, err := g.live(info)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if live == nil {
			deleted = append(deleted, info)
			continue
		}
		hook := isHook(info.Object)
		if reason := g.stays(id, live, hook); reason != "" {
			if hook {
				errs = append(errs, fmt.Errorf("%s is there and stays: %s", id, reason))
			} else if !slices.ContainsFunc(g.changes, func(e change.Entry) bool { return e.Object == id }) {
				g.changes = append(g.changes, change.Entry{Object: id, Action: change.Orphaned, Reason: reason})
			}
			continue
		}
		uid := live.GetUID()
		options := &metav1.DeleteOptions{PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &uid}}
		if _, err := resource.NewHelper(info.Client, info.Mapping).DeleteWithOptions(info.Namespace, info.Name, options); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("deleting %s: %w", id, err))
			continue
		}
		deleted = append(deleted, info)
		if !hook {
			g.changes = append(g.changes, change.Entry{Object: id, Action: change.Deleted})
		}
	}
	return deleted, errs
}

// stays says why an object is not deleted, or nothing.
func (g *guard) stays(id object.ID, live *unstructured.Unstructured, hook bool) string {
	if reason, ok := g.run.target.Options.Permits(id, id.Namespace != "", true); !ok {
		return reason
	}
	if owner, claimed := g.claimed(id); claimed {
		return fmt.Sprintf("it belongs to the app %q", owner)
	}
	switch {
	case hook && !isHook(live):
		return "it is no hook of Helm, though it has the name of one"
	case hook:
		return ""
	case !g.owns(live):
		return "it is not the release's any more"
	case live.GetAnnotations()[resourcePolicy] == "keep":
		return "its annotation " + resourcePolicy + " keeps it"
	case g.reviewed && !g.mayGo[id]:
		return "its deletion was not agreed to"
	case !g.reviewed && holdsMore(id): // to remedy a failure
		return "it may hold data, or other objects"
	}
	return ""
}

// holdsMore reports whether objects of this kind take others, or data, with them when
// they are deleted.
func holdsMore(id object.ID) bool {
	switch id.GroupKind().String() {
	case "Namespace", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition.apiextensions.k8s.io":
		return true
	}
	return false
}

// permitsNamespace reports whether the limits of an app let it be in a namespace.
func permitsNamespace(o app.Options, namespace string) (reason string, ok bool) {
	for _, limits := range []app.Limits{o.Limits, o.Project} {
		narrowed := app.Limits{By: limits.By, Namespaces: limits.Namespaces, DeniedNamespaces: limits.DeniedNamespaces}
		if reason, ok := narrowed.Permits(object.ID{Kind: "Secret", Namespace: namespace, Name: "x"}, true, true); !ok {
			return reason, false
		}
	}
	return "", true
}
