package object

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// SyncOptionsAnnotation is Argo CD's annotation of how one object is synced and
// deleted.
const SyncOptionsAnnotation = "argocd.argoproj.io/sync-options"

// SyncOptions returns the options that the value of such an annotation lists,
// separated by commas.
func SyncOptions(value string) []string {
	var options []string
	for option := range strings.SplitSeq(value, ",") {
		if option = strings.TrimSpace(option); option != "" {
			options = append(options, option)
		}
	}
	return options
}

// Flux's annotations of how one object is applied, which may be labels as well.
const (
	fluxApply     = "kustomize.toolkit.fluxcd.io/ssa"
	fluxForce     = "kustomize.toolkit.fluxcd.io/force"
	fluxReconcile = "kustomize.toolkit.fluxcd.io/reconcile"
	fluxDecrypt   = "kustomize.toolkit.fluxcd.io/decrypt"
)

// says reports whether an object has an annotation or label with a value, in any case.
func says(u *unstructured.Unstructured, name, value string) bool {
	return strings.EqualFold(u.GetAnnotations()[name], value) || strings.EqualFold(u.GetLabels()[name], value)
}

// ReplaceAsked reports whether an object's author wants it deleted and created
// where it cannot be changed.
func ReplaceAsked(u *unstructured.Unstructured) bool {
	return slices.Contains(SyncOptions(u.GetAnnotations()[SyncOptionsAnnotation]), "Force=true") || says(u, fluxForce, "enabled")
}

// OnceAsked reports whether an object's author wants it created where it is missing,
// and then left as it is.
func OnceAsked(u *unstructured.Unstructured) bool { return says(u, fluxApply, "IfNotPresent") }

// MergeAsked reports whether an object's author leaves alone what others put beside the
// fields that Git states.
func MergeAsked(u *unstructured.Unstructured) bool { return says(u, fluxApply, "Merge") }

// LeftAsked reports whether an object's author wants it neither applied nor deleted.
func LeftAsked(u *unstructured.Unstructured) bool {
	return says(u, fluxApply, "Ignore") || says(u, fluxReconcile, "disabled")
}
