package spoke

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"nave.dev/internal/app"
)

// argoNamespace is that of the Argo CD.
const argoNamespace = "argocd"

// argocd is what the cluster has of an Argo CD: its definition, and Applications.
type argocd struct {
	*ground
	client dynamic.Interface
}

var (
	definitions  = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
)

func (g *ground) argocd() *argocd {
	g.Helper()
	client, err := dynamic.NewForConfig(g.env.Config)
	if err != nil {
		g.Fatal(err)
	}
	a := &argocd{g, client}
	g.Cleanup(a.uninstall)
	return a
}

func (a *argocd) install() {
	a.Helper()
	_, err := a.client.Resource(definitions).Create(a.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "applications.argoproj.io"},
		"spec": map[string]any{
			"group": "argoproj.io", "scope": "Namespaced", "names": map[string]any{"kind": "Application", "plural": "applications"},
			"versions": []any{map[string]any{
				"name": "v1alpha1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		a.Fatal(err)
	}
	a.until("Applications are served", func() bool {
		_, err := a.client.Resource(applications).List(a.Context(), metav1.ListOptions{})
		return err == nil
	})
}

func (a *argocd) uninstall() {
	ctx := context.WithoutCancel(a.Context())
	err := a.client.Resource(definitions).Delete(ctx, "applications.argoproj.io", metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		a.Error(err)
	}
}

// keep makes an Application that a controller has seen to, or not.
func (a *argocd) keep(name string, seen bool) {
	a.Helper()
	home := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": argoNamespace}}}
	namespaces := a.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	if _, err := namespaces.Create(a.Context(), home, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		a.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{"name": name, "namespace": argoNamespace},
	}}
	if seen {
		u.Object["status"] = map[string]any{"reconciledAt": "2026-01-01T00:00:00Z"}
	}
	if _, err := a.client.Resource(applications).Namespace(argoNamespace).Create(a.Context(), u, metav1.CreateOptions{}); err != nil {
		a.Fatal(err)
	}
}

func (a *argocd) drop(name string) {
	a.Helper()
	if err := a.client.Resource(applications).Namespace(argoNamespace).Delete(a.Context(), name, metav1.DeleteOptions{}); err != nil {
		a.Fatal(err)
	}
}

// TestRivals: what a running Argo CD keeps on the cluster is left to it, with what
// came of it, until it does not.
func TestRivals(t *testing.T) {
	g := on(t)
	a := g.argocd()
	a.install()
	a.keep("shop", true)
	a.keep("idle", false)
	a.keep("plain", true)
	s, _ := g.spoke("first")
	child := func(name, parent, value string) app.Desired {
		d := g.desired(name, g.configMap(name, value))
		d.Options.Lineage = app.Lineage{Delivery: "root", Parent: parent, Cascade: true}
		return d
	}
	all := func(value string) *Assigned {
		root := g.desired("root", g.configMap("root", value))
		root.Options.Lineage.Delivery = "root"
		return assigned(g.desired("plain", g.configMap("plain", value)), child("idle", "root", value), child("shop", "root", value), child("shop-web", "shop", value), root)
	}
	held := func(name string) bool {
		for _, state := range s.State().Apps {
			if state.Name == name {
				return state.Sync == OutOfSync && strings.Contains(state.Message, "running Argo CD keeps the Application "+argoNamespace+"/")
			}
		}
		return false
	}
	s.Assign(all("one"))
	g.until("others go on", func() bool { return g.value("root") == "one" && g.value("idle") == "one" && g.value("plain") == "one" })
	g.until("it is held with what came of it", func() bool { return held("shop") && held("shop-web") })
	if g.value("shop")+g.value("shop-web") != "" {
		t.Error("both write")
	}
	if diffs, err := s.Diff(t.Context(), "shop"); err != nil || len(diffs) != 1 || !strings.Contains(diffs[0].Note, "running Argo CD") {
		t.Errorf("diff: %+v, %v", diffs, err)
	}

	a.drop("shop")
	g.synced(s)
	if g.value("shop") != "one" || g.value("shop-web") != "one" {
		t.Error("it did not go on")
	}

	// One that begins to keep the root has all of the tree held, and nothing of it is
	// deleted either.
	a.keep("root", true)
	g.until("the tree is held", func() bool { return held("root") && held("idle") && held("shop") && held("shop-web") })
	two := all("two")
	gone := g.desired("shop-web")
	gone.Options, gone.Removed = two.Apps[3].Options, true
	two.Apps[3] = gone
	s.Assign(two)
	g.until("others go on", func() bool { return g.value("plain") == "two" })
	g.until("the tree is still held", func() bool { return held("root") && held("shop-web") })
	if g.value("root") != "one" || g.value("shop") != "one" || g.value("shop-web") != "one" {
		t.Error("both write")
	}

	a.uninstall()
	g.synced(s)
	if g.value("root") != "two" || g.value("shop") != "two" || g.value("shop-web") != "" {
		t.Error("it did not go on without the kind")
	}
}
