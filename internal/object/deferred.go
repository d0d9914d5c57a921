package object

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// SubstituteAnnotation, with the value disabled, keeps an object as it is where variables
// are replaced in others.
const SubstituteAnnotation = "nave.dev/substitute"

const (
	deferred            = "on-cluster" // a value of SubstituteAnnotation
	variablesAnnotation = "nave.dev/variables"
)

// Defer notes on an object that variables are replaced in it on its cluster, which alone
// knows some of them, and which it uses of those that are known already: when one of these
// is another one, so is the object.
func Defer(u *unstructured.Unstructured, known map[string]string) {
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[SubstituteAnnotation] = deferred
	if len(known) > 0 {
		text, err := json.Marshal(known)
		if err != nil {
			panic(err) // texts
		}
		annotations[variablesAnnotation] = string(text)
	}
	u.SetAnnotations(annotations)
}

// Deferred reports whether Defer was called for an object.
func Deferred(u *unstructured.Unstructured) bool {
	return u.GetAnnotations()[SubstituteAnnotation] == deferred
}

// Undefer returns an object without what Defer noted on it.
func Undefer(u *unstructured.Unstructured) *unstructured.Unstructured {
	bare := u.DeepCopy()
	unstructured.RemoveNestedField(bare.Object, "metadata", "annotations", SubstituteAnnotation)
	unstructured.RemoveNestedField(bare.Object, "metadata", "annotations", variablesAnnotation)
	return Clean(bare)
}
