// Package argocd reads Argo CD's Applications, AppProjects and ApplicationSets
// as apps of Nave. It is a function of values: given the objects that the apps of
// a Delivery came to, the members of the fleet and files for generators, it tells
// which further apps they ask for. It fetches, renders and applies nothing, and
// names sources as the objects do. What Argo CD has and Nave has not is an error
// that names the field, and what makes no difference here is left without a word.
package argocd

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/object"
)

// Group is the API group of the kinds that are read.
const Group = "argoproj.io"

// Namespace is the usual one of Argo CD.
const Namespace = "argocd"

// Dialect reads objects of Argo CD's kinds. Its zero value is ready.
type Dialect struct{}

// Interprets reports whether an object is of a kind that is read here: it is then
// not applied. Other kinds of the group, such as Rollout, are ordinary objects.
func (Dialect) Interprets(id object.ID) bool { return id.Group == Group && app.AsksForApps(id) }

// Common reports whether an object counts for the apps of other Deliveries as well,
// as an AppProject does, and returns what it is in full.
func (d Dialect) Common(u *unstructured.Unstructured) (object.ID, bool) {
	id := object.Of(u)
	id.Namespace = cmp.Or(id.Namespace, Namespace)
	return id, id.Kind == "AppProject" && d.Interprets(id)
}

// MayAsk reports whether objects of an app with such options could be among those
// that Read takes into account. They could not if the app's project keeps it out of
// Argo CD's namespace, where the objects are, unless one of all the projects, which
// are the given objects, has Applications in other namespaces.
func (Dialect) MayAsk(options app.Options, objects []asking.Object) bool {
	project := options.Project
	elsewhere := func(o asking.Object) bool {
		namespaces, found, err := unstructured.NestedSlice(o.Manifest.Object, "spec", "sourceNamespaces")
		return err != nil || found && len(namespaces) > 0
	}
	places := app.Limits{Namespaces: project.Namespaces, DeniedNamespaces: project.DeniedNamespaces}
	_, may := places.Permits(object.ID{Group: Group, Kind: "AppProject", Namespace: Namespace}, true, true)
	return may || slices.ContainsFunc(objects, elsewhere)
}
