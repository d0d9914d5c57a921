package argocd

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Installation reports whether an object belongs to an installation of Argo CD,
// which must not run where its kinds are read here: a part of it by the labels that
// its own manifests and its chart have, one of its definitions of kinds, a workload
// that runs its image, or a repository or cluster that it is told of. A Namespace
// never does, nor what others only call a part of it.
func Installation(u *unstructured.Unstructured) bool {
	kind := u.GroupVersionKind()
	labels := u.GetLabels()
	switch kind.Kind {
	case "Namespace":
		return false
	case "CustomResourceDefinition":
		switch u.GetName() {
		case "applications." + Group, "applicationsets." + Group, "appprojects." + Group:
			return true
		}
	case "Secret":
		if labels[annotationPrefix+"secret-type"] != "" {
			return true
		}
	case "Deployment", "StatefulSet", "DaemonSet":
		if runsArgoCD(u) {
			return true
		}
	}
	return labels["app.kubernetes.io/part-of"] == "argocd" && strings.HasPrefix(labels["app.kubernetes.io/name"], "argocd-")
}

// runsArgoCD reports whether a workload has Argo CD's own image.
func runsArgoCD(u *unstructured.Unstructured) bool {
	containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	for _, container := range containers {
		entries, _ := container.(map[string]any)
		image, _ := entries["image"].(string)
		image, _, _ = strings.Cut(image, "@")
		if slash := strings.LastIndex(image, "/"); strings.Contains(image[slash+1:], ":") {
			image = image[:strings.LastIndex(image, ":")]
		}
		if image == "argoproj/argocd" || strings.HasSuffix(image, "/argoproj/argocd") {
			return true
		}
	}
	return false
}
