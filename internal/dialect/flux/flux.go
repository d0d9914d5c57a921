// Package flux reads Flux's Kustomizations and HelmReleases, and the sources that they
// name, as apps of Nave. It is a function of values: given the objects that the apps of a Delivery came
// to and the members of the fleet, it tells which further apps they ask for. It
// fetches, renders and applies nothing, and names sources as the objects do. What Flux
// has and Nave has not is an error that names the field, and what makes no difference
// here is left without a word.
package flux

import (
	"cmp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/object"
)

// Namespace is the usual one of Flux.
const Namespace = "flux-system"

// The groups of the kinds that are read.
const (
	kustomizeGroup    = "kustomize.toolkit.fluxcd.io"
	helmGroup         = "helm.toolkit.fluxcd.io"
	sourceGroup       = "source.toolkit.fluxcd.io"
	extensionsGroup   = "source.extensions.fluxcd.io"
	notificationGroup = "notification.toolkit.fluxcd.io"
	imageGroup        = "image.toolkit.fluxcd.io"
)

// groupSuffix is what all groups of Flux end in.
const groupSuffix = ".fluxcd.io"

// Dialect reads objects of Flux's kinds. Its zero value is ready.
type Dialect struct{}

// Interprets reports whether an object is of a kind that is read here: it is then
// not applied.
func (Dialect) Interprets(id object.ID) bool {
	return strings.HasSuffix(id.Group, groupSuffix) && app.AsksForApps(id)
}

// Common reports whether an object counts for the apps of other Deliveries: none does.
func (Dialect) Common(u *unstructured.Unstructured) (object.ID, bool) { return idOf(u), false }

// MayAsk reports whether objects of an app could be among those that Read takes into
// account: any app may have a source, or a Kustomization.
func (Dialect) MayAsk(app.Options, []asking.Object) bool { return true }

// idOf is an object's identity, in the usual namespace if it states none.
func idOf(u *unstructured.Unstructured) object.ID {
	id := object.Of(u)
	id.Namespace = cmp.Or(id.Namespace, Namespace)
	return id
}

// appName is that of an object's app. A Kustomization is called as it is in the usual
// namespace, NAMESPACE_NAME elsewhere, and a HelmRelease helm_NAMESPACE_NAME: names of
// Kubernetes have no "_".
func appName(kind, namespace, name string) string {
	switch {
	case kind == "HelmRelease":
		return "helm_" + namespace + "_" + name
	case namespace == Namespace:
		return name
	}
	return namespace + "_" + name
}

// Installation reports whether an object belongs to an installation of Flux, which
// must not run where its kinds are read here: a part of it by the labels of its own
// manifests and charts, or one of its definitions of kinds. A Namespace never does.
func Installation(u *unstructured.Unstructured) bool {
	switch u.GetKind() {
	case "Namespace":
		return false
	case "CustomResourceDefinition":
		return strings.HasSuffix(u.GetName(), groupSuffix)
	}
	labels := u.GetLabels()
	if labels["app.kubernetes.io/part-of"] == "flux" && (labels["app.kubernetes.io/version"] != "" || labels["app.kubernetes.io/component"] != "") {
		return true
	}
	return u.GetKind() == "FluxInstance" && u.GroupVersionKind().Group == "fluxcd.controlplane.io"
}
