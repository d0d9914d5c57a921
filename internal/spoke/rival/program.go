package rival

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/object"
)

// program is what another program makes of the objects of one kind.
type program struct {
	kind  schema.GroupKind
	name  string                                  // as people know it
	app   func(object.ID) string                  // the name of the app that Git has of an object
	keeps func(u *unstructured.Unstructured) bool // whether the program sees to an object, and writes here
	leave func(object.ID) string                  // how a person has it leave an object alone
}

// The namespaces of the programs' own objects, as read from Git.
const (
	argoNamespace = "argocd"
	fluxNamespace = "flux-system"
)

var programs = []program{
	{
		kind: schema.GroupKind{Group: "argoproj.io", Kind: "Application"}, name: "Argo CD", app: homeIn(argoNamespace), keeps: keptByArgo,
		leave: func(object.ID) string {
			return "scale its application controller down and remove that Application without its finalizer"
		},
	},
	{
		kind: schema.GroupKind{Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"}, name: "Flux", app: homeIn(fluxNamespace), keeps: keptByFlux,
		leave: suspend("kustomization"),
	},
	{
		kind: schema.GroupKind{Group: "helm.toolkit.fluxcd.io", Kind: "HelmRelease"}, name: "Flux", keeps: keptByFlux,
		app:   func(id object.ID) string { return "helm_" + id.Namespace + "_" + id.Name },
		leave: suspend("helmrelease"),
	},
}

// homeIn names apps by objects: one in the program's own namespace has the plain name,
// and one elsewhere has its namespace before it. Whoever may create objects elsewhere
// may write their status too, and is to stop nobody else's app.
func homeIn(namespace string) func(object.ID) string {
	return func(id object.ID) string {
		if id.Namespace == namespace {
			return id.Name
		}
		return id.Namespace + "_" + id.Name
	}
}

// keptByArgo reports whether a controller has seen to an Application: only it writes
// when that was, and what came of its last sync. One that nobody ever saw to, as where
// only the definition is there, keeps nothing.
func keptByArgo(u *unstructured.Unstructured) bool {
	reconciled, _, _ := unstructured.NestedString(u.Object, "status", "reconciledAt")
	phase, _, _ := unstructured.NestedString(u.Object, "status", "operationState", "phase")
	return cmp.Or(reconciled, phase) != ""
}

// keptByFlux reports whether a controller has seen to an object, which gives it
// conditions, and goes on: not while it is suspended, and not here where it has the
// credentials of another cluster.
func keptByFlux(u *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	_, elsewhere, _ := unstructured.NestedMap(u.Object, "spec", "kubeConfig")
	return len(conditions) > 0 && !suspended && !elsewhere
}

// suspend says how Flux is had to leave an object alone.
func suspend(kind string) func(object.ID) string {
	return func(id object.ID) string {
		return fmt.Sprintf("suspend it (flux suspend %s %s -n %s), or take Flux away (flux uninstall --keep-namespace)", kind, id.Name, id.Namespace)
	}
}
