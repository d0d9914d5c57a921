package prune

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/object"
)

// keepers are the annotations by which an author keeps an object, by value.
var keepers = []struct {
	name string
	says func(value string) bool
}{
	{"nave.dev/prune", func(v string) bool { return v == "disabled" }},
	{syncOptions, func(v string) bool { return slices.Contains(object.SyncOptions(v), "Prune=false") }},
	{"kustomize.toolkit.fluxcd.io/prune", func(v string) bool { return strings.EqualFold(v, "disabled") }},
	{"helm.sh/resource-policy", func(v string) bool { return v == "keep" }},
}

// The annotations of Argo CD that say how an object is deleted and compared.
const (
	syncOptions    = object.SyncOptionsAnnotation
	compareOptions = "argocd.argoproj.io/compare-options"
)

// Confirm reports whether an object's author wants its deletion confirmed.
func Confirm(u *unstructured.Unstructured) bool {
	return slices.Contains(object.SyncOptions(u.GetAnnotations()[syncOptions]), "Prune=confirm")
}

// Removal is what an object's author says of its deletion when its app goes as a
// whole; empty is nothing.
type Removal string

// What an author may say: the object stays, or its deletion is to be confirmed.
const (
	Stays Removal = "Delete=false"
	Asks  Removal = "Delete=confirm"
)

// RemovalOf returns what an object's author says of its deletion with its app.
func RemovalOf(u *unstructured.Unstructured) Removal {
	options := object.SyncOptions(u.GetAnnotations()[syncOptions])
	for _, r := range []Removal{Stays, Asks} {
		if slices.Contains(options, string(r)) {
			return r
		}
	}
	return ""
}

// Extraneous reports whether an object's author does not mind if it stays on the
// cluster once Git no longer has it.
func Extraneous(u *unstructured.Unstructured) bool {
	return slices.Contains(object.SyncOptions(u.GetAnnotations()[compareOptions]), "IgnoreExtraneous")
}

// Kept returns why an object is never pruned, or nothing: its author says so,
// or Kubernetes itself made it. The object's metadata is enough.
func Kept(u *unstructured.Unstructured) string {
	annotations := u.GetAnnotations()
	for _, keeper := range keepers {
		if value, ok := annotations[keeper.name]; ok && keeper.says(strings.TrimSpace(value)) {
			return fmt.Sprintf("kept, as its annotation %s: %s asks", keeper.name, value)
		}
	}
	if system(object.Of(u), u.GetLabels()) {
		return "kept, because Kubernetes itself makes it"
	}
	return ""
}

// system reports whether an object is one of those that Kubernetes makes.
func system(id object.ID, labels map[string]string) bool {
	switch id.GroupKind().String() {
	case "Namespace":
		return id.Name == "default" || strings.HasPrefix(id.Name, "kube-")
	case "ServiceAccount":
		return id.Name == "default"
	case "ConfigMap":
		return id.Name == "kube-root-ca.crt"
	case "Service", "Endpoints", "EndpointSlice.discovery.k8s.io":
		return id.Namespace == "default" && id.Name == "kubernetes"
	case "PriorityClass.scheduling.k8s.io":
		return strings.HasPrefix(id.Name, "system-")
	case "ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io",
		"Role.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io":
		return strings.HasPrefix(id.Name, "system:") || labels["kubernetes.io/bootstrapping"] == "rbac-defaults"
	case "APIService.apiregistration.k8s.io":
		return labels["kube-aggregator.kubernetes.io/automanaged"] != ""
	case "FlowSchema.flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io":
		return id.Name == "exempt" || id.Name == "catch-all" || strings.HasPrefix(id.Name, "system-")
	}
	return false
}
