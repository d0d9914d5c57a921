package releases

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/object"
	"nave.dev/internal/release"
)

func deployment() *unstructured.Unstructured {
	container := func(name, image string) any { return map[string]any{"name": name, "image": image} }
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "web", "namespace": "shop", "labels": map[string]any{"tier": "front"}, "annotations": map[string]any{"a.b/c": "d"}},
		"spec": map[string]any{"replicas": int64(2), "template": map[string]any{"spec": map[string]any{
			"containers": []any{container("side", "x"), container("web", "y")},
		}}},
	}}
}

func TestIgnored(t *testing.T) {
	id := object.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
	paths := func(paths ...string) apply.Target {
		return apply.Target{Options: app.Options{IgnoreFields: []app.FieldRule{{Group: "apps", Kind: "Deployment", Paths: paths}}}}
	}
	rule := func(target *app.Selector) apply.Target {
		return apply.Target{Bundle: &app.Bundle{Release: &app.Release{DriftIgnore: []app.DriftRule{{Target: target, Pointers: []string{"/spec/replicas"}}}}}}
	}
	replicas := [][]any{{"spec", "replicas"}}
	for _, test := range []struct {
		reason string
		target apply.Target
		want   [][]any
	}{
		{"nothing is", apply.Target{}, nil},
		{"a field", paths("spec.replicas"), replicas},
		{"a pointer", paths("/spec/replicas"), replicas},
		{"an annotation", paths(`metadata.annotations["a.b/c"]`), [][]any{{"metadata", "annotations", "a.b/c"}}},
		{"an element by its name", paths("spec.template.spec.containers[name=web].image"), [][]any{{"spec", "template", "spec", "containers", 1, "image"}}},
		{"an element by its place", paths("spec.template.spec.containers[0].image"), [][]any{{"spec", "template", "spec", "containers", 0, "image"}}},
		{"every element", paths("spec.template.spec.containers[*].image"), [][]any{{"spec", "template", "spec", "containers", 0, "image"}, {"spec", "template", "spec", "containers", 1, "image"}}},
		{"another kind", apply.Target{Options: app.Options{IgnoreFields: []app.FieldRule{{Kind: "ConfigMap", Paths: []string{"spec.replicas"}}}}}, nil},
		{"every kind", apply.Target{Options: app.Options{IgnoreFields: []app.FieldRule{{Kind: "*", Paths: []string{"spec.replicas"}}}}}, replicas},
		{"a rule for every object", rule(nil), replicas},
		{"a rule by kind and a pattern of names", rule(&app.Selector{Kind: "Deployment", Name: "w.*"}), replicas},
		{"a pattern is about the whole name", rule(&app.Selector{Name: "w"}), nil},
		{"a rule by labels", rule(&app.Selector{LabelSelector: "tier=front"}), replicas},
		{"other labels", rule(&app.Selector{LabelSelector: "tier=back"}), nil},
	} {
		if test.target.Bundle == nil {
			test.target.Bundle = &app.Bundle{Release: &app.Release{}}
		}
		target, err := (&Applier{memory: &Memory{}}).target(t.Context(), test.target, &round{memory: &Memory{}})
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		u := deployment()
		have, err := target.Ignored(id, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": u.Object["metadata"]}}, u)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
		}
		if diff := cmp.Diff(test.want, distinct(have)); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
	}
}

// distinct drops what was said before: of what is wanted and of what is there, places may be the same.
func distinct(places [][]any) (all [][]any) {
	for _, place := range places {
		if len(all) == 0 || !cmp.Equal(all[len(all)-1], place) {
			all = append(all, place)
		}
	}
	return all
}

// What one release may delete counts for those that run beside it, and for those that were given an older count.
func TestReviewsShareTheBudget(t *testing.T) {
	gone := func(n int) (all []*unstructured.Unstructured) {
		for i := range n {
			all = append(all, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": string(rune('a' + i)), "namespace": "shop"}}})
		}
		return all
	}
	m := &Memory{}
	target := apply.Target{App: "web", Options: app.Options{Prune: true}, ClusterObjects: 100, Complete: true}
	removal := release.Removal{Gone: gone(5), Wanted: []object.ID{{Kind: "Service", Namespace: "shop", Name: "s"}}, Size: 50}
	diff := m.begin(target)
	diff.asking = true
	for range 3 { // which would use up the cluster's ten
		if got := diff.review(target, removal); got.Held != nil || len(got.Delete) != 5 {
			t.Errorf("a question: %+v", got)
		}
	}
	first, second, third := m.begin(target), m.begin(target), m.begin(target)
	if got := first.review(target, removal); got.Held != nil || len(got.Delete) != 5 {
		t.Errorf("the first: %+v", got)
	}
	if got := second.review(target, removal); got.Held != nil {
		t.Errorf("the second, within the cluster's ten: %+v", got)
	}
	first.end()
	second.end()
	if got := third.review(target, removal); got.Held == nil || len(got.Delete) != 0 || got.Held.Digest == "" {
		t.Errorf("the third, beyond them: %+v", got)
	}
	if got := m.begin(target).review(target, removal); got.Held != nil {
		t.Errorf("in another round: %+v", got)
	}
	unknown := target
	unknown.Complete = false
	if got := m.begin(unknown).review(unknown, removal); got.Held == nil || got.Held.Reason != whyIncomplete || len(got.Delete) != 0 {
		t.Errorf("while an app in error may want it: %+v", got)
	}
	unknown.FirstApply = true
	if got := m.begin(unknown).review(unknown, removal); got.Held != nil {
		t.Errorf("at its first apply: %+v", got)
	}
	held := third.review(target, removal).Held
	target.Confirmed = []string{held.Digest}
	if got := third.review(target, removal); got.Held != nil || len(got.Delete) != 5 {
		t.Errorf("confirmed: %+v", got)
	}
}
