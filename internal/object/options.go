package object

import (
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

// ReplaceAsked reports whether an object's author wants it deleted and created
// where it cannot be changed.
func ReplaceAsked(u *unstructured.Unstructured) bool {
	for _, option := range SyncOptions(u.GetAnnotations()[SyncOptionsAnnotation]) {
		if option == "Force=true" {
			return true
		}
	}
	return false
}
