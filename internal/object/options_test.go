package object

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAsked(t *testing.T) {
	for _, test := range []struct{ reason, name, value, want string }{
		{"nothing", "a", "b", "false false false false"},
		{"Argo CD's way to replace", SyncOptionsAnnotation, "Prune=false, Force=true", "true false false false"},
		{"Flux's", fluxForce, "Enabled", "true false false false"},
		{"that is off", fluxForce, "Disabled", "false false false false"},
		{"created once", fluxApply, "IfNotPresent", "false true false false"},
		{"merged", fluxApply, "Merge", "false false false true"},
		{"ignored", fluxApply, "Ignore", "false false true false"},
		{"not reconciled", fluxReconcile, "disabled", "false false true false"},
		{"applied as always", fluxApply, "Override", "false false false false"},
	} {
		annotated, labelled := &unstructured.Unstructured{Object: map[string]any{}}, &unstructured.Unstructured{Object: map[string]any{}}
		annotated.SetAnnotations(map[string]string{test.name: test.value})
		if got := fmt.Sprint(ReplaceAsked(annotated), OnceAsked(annotated), LeftAsked(annotated), MergeAsked(annotated)); got != test.want {
			t.Errorf("%s: %s, want %s", test.reason, got, test.want)
		}
		if labelled.SetLabels(map[string]string{test.name: test.value}); test.name == SyncOptionsAnnotation {
			continue
		}
		if got := fmt.Sprint(ReplaceAsked(labelled), OnceAsked(labelled), LeftAsked(labelled), MergeAsked(labelled)); got != test.want {
			t.Errorf("%s, as a label: %s, want %s", test.reason, got, test.want)
		}
	}
}
