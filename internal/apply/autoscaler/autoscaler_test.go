package autoscaler

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
)

func scaler(apiVersion, kind string, target map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"namespace": "shop", "name": "web"},
		"spec": map[string]any{"scaleTargetRef": target},
	}}
}

func TestTarget(t *testing.T) {
	deployment := object.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
	tests := []struct {
		reason string
		scaler *unstructured.Unstructured
		want   object.ID
	}{
		{"the reference says it all", scaler("autoscaling/v2", "HorizontalPodAutoscaler", map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}), deployment},
		{"KEDA means a Deployment", scaler("keda.sh/v1alpha1", "ScaledObject", map[string]any{"name": "web"}), deployment},
		{"what is no text beside it is passed over", scaler("keda.sh/v1alpha1", "ScaledObject", map[string]any{"name": "web", "other": int64(1)}), deployment},
		{"it targets nothing", scaler("keda.sh/v1alpha1", "ScaledObject", nil), object.ID{}},
		{"its target's version is none", scaler("autoscaling/v2", "HorizontalPodAutoscaler", map[string]any{"apiVersion": "a/b/c", "name": "web"}), object.ID{}},
		{"it is no autoscaler", scaler("example.org/v1", "ScaledObject", map[string]any{"name": "web"}), object.ID{}},
	}
	for _, test := range tests {
		if got, ok := Target(test.scaler); got != test.want || ok != (test.want != object.ID{}) {
			t.Errorf("%s: got %s, %t, want %s", test.reason, got, ok, test.want)
		}
	}
}

// scalers is a cluster with autoscalers of Kubernetes' own and without KEDA.
type scalers struct {
	objects []*unstructured.Unstructured
	lists   int
	during  func() // a list
}

func (s *scalers) Known(_ context.Context, kind schema.GroupKind) (cluster.Resource, bool, error) {
	return cluster.Resource{}, kind == podAutoscaler, nil
}

func (s *scalers) List(_ context.Context, _ cluster.Resource, _ cluster.Depth, _ metav1.ListOptions, each func(*unstructured.Unstructured)) (string, error) {
	s.lists++
	for _, u := range s.objects {
		each(u)
	}
	if s.during != nil {
		s.during()
	}
	return "", nil
}

func TestListServesForAWhile(t *testing.T) {
	now := time.Now()
	c := &scalers{objects: []*unstructured.Unstructured{
		scaler("autoscaling/v2", "HorizontalPodAutoscaler", map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}),
	}}
	list := NewList(c, func() time.Time { return now })
	steps := []struct {
		reason string
		before func()
		lists  int
	}{
		{"nothing is known", func() {}, 1},
		{"it was just read", func() { now = now.Add(maxAge - 1) }, 1},
		{"it is old", func() { now = now.Add(1) }, 2},
		{"the clock was set back", func() { now = now.Add(-time.Hour) }, 3},
		{"it was forgotten", list.Forget, 4},
	}
	for _, step := range steps {
		step.before()
		got, err := list.Targets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Among(c.objects), got); diff != "" || len(got) != 1 || c.lists != step.lists {
			t.Errorf("%s: %d lists, want %d (-want +got):\n%s", step.reason, c.lists, step.lists, diff)
		}
	}
}

func TestListOfBeforeIsNotKept(t *testing.T) {
	c := &scalers{objects: []*unstructured.Unstructured{
		scaler("autoscaling/v2", "HorizontalPodAutoscaler", map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}),
	}}
	list := NewList(c, time.Now)
	c.during = func() { // it is deleted meanwhile
		c.objects, c.during = nil, nil
		list.Forget()
	}
	if _, err := list.Targets(t.Context()); err != nil {
		t.Fatal(err)
	}
	if targets, err := list.Targets(t.Context()); err != nil || len(targets) > 0 {
		t.Errorf("%v, %v: a list that was under way when it was to be forgotten is kept", targets, err)
	}
}
