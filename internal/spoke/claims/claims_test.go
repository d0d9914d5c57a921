package claims

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

func TestClaims(t *testing.T) {
	bundle, err := app.NewBundle([]*unstructured.Unstructured{
		{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": "w", "namespace": "shop"}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := Of(map[string][]*app.Bundle{"web": {bundle}, "broken": nil}, false, app.Facts{})
	if c.Complete() {
		t.Error("claims are complete though an app in error has no bundle")
	}
	for _, id := range []object.ID{
		{Group: "example.com", Kind: "Widget", Namespace: "shop", Name: "w"},
		{Group: "example.com", Kind: "Widget", Name: "w"}, // the kind may have no namespaces
	} {
		if owner, ok := c.By("other", id); !ok || owner != "web" {
			t.Errorf("by(%v) = %q, %t", id, owner, ok)
		}
	}
	for _, id := range []object.ID{
		{Kind: "Namespace", Name: "shop"},
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "widgets.example.com"},
	} {
		if user, ok := c.Needs("other", id); !ok || user != "web" {
			t.Errorf("needs(%v) = %q, %t", id, user, ok)
		}
		if user, ok := c.Needs("web", id); ok {
			t.Errorf("needs(%v) of the app itself = %q", id, user)
		}
	}
}
