package spoke

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
)

// TestConversionWebhookThatHangs has the server that converts a kind between its
// versions accept every call and answer none: the API server then answers for
// that kind after half a minute, with an error. Everything else is kept, by a
// spoke that runs and by one that starts meanwhile.
func TestConversionWebhookThatHangs(t *testing.T) {
	g := on(t)
	over := make(chan struct{})
	called := make(chan struct{}, 1)
	webhook := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case called <- struct{}{}:
		default:
		}
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(webhook.Close)
	t.Cleanup(func() { close(over) })
	d := g.define("Thing", "v1", "v2")

	thing := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": d.group + "/v2", "kind": "Thing", "metadata": map[string]any{"name": "t", "namespace": g.namespace},
		"spec": map[string]any{"key": "one"},
	}}
	s, stop := g.spoke("first")
	s.Assign(assigned(g.desired("things", thing, g.configMap("a", "one")), g.desired("web", g.configMap("b", "one"))))
	g.synced(s)

	d.convert(map[string]any{"strategy": "Webhook", "webhook": map[string]any{
		"conversionReviewVersions": []any{"v1"},
		"clientConfig": map[string]any{
			"url":      webhook.URL,
			"caBundle": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: webhook.Certificate().Raw}),
		},
	}})
	select {
	case <-called: // the watch ended with the old definition, and its kind is listed anew
	case <-time.After(time.Minute):
		t.Fatal("nobody asked for a conversion within a minute")
	}
	kept := func(value string) {
		t.Helper()
		changed := thing.DeepCopy()
		changed.Object["spec"] = map[string]any{"key": value}
		s.Assign(assigned(g.desired("things", changed, g.configMap("a", value)), g.desired("web", g.configMap("b", value))))
		g.until("the other app is applied", func() bool { return g.value("b") == value })
		// The app of the kind may be waiting for an answer about it.
		d.await("what else the app has is applied", func() bool { return g.value("a") == value })
		g.delete("b")
		g.until("drift of the other app is corrected", func() bool { return g.value("b") == value })
		g.until("the other app is Synced", func() bool {
			state := s.State()
			return state.Online && len(state.Apps) == 2 && state.Apps[1].Sync == Synced
		})
	}
	kept("two")
	d.await("the app says what is in trouble", func() bool {
		shown := s.State().Apps[0]
		return shown.Sync == OutOfSync && strings.Contains(describe(s.State()), "conversion webhook")
	})
	stop()
	s, _ = g.spoke("second")
	kept("three")

	d.convert(map[string]any{"strategy": "None"})
	d.await("the kind is kept again", func() bool { return s.State().Sync == Synced && d.key("t") == "three" })
	if err := d.things().Delete(t.Context(), "t", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	d.await("its drift is corrected", func() bool { return d.key("t") == "three" })
}

// definition is a kind of the test's own group.
type definition struct {
	*ground
	client dynamic.Interface
	group  string
	name   string
}

// define defines a namespaced kind with any fields. It is stored in the first of
// its versions, and served in all.
func (g *ground) define(kind string, versions ...string) *definition {
	g.Helper()
	client, err := dynamic.NewForConfig(g.env.Config)
	if err != nil {
		g.Fatal(err)
	}
	plural := strings.ToLower(kind) + "s"
	d := &definition{ground: g, client: client, group: g.namespace + ".example.org"}
	d.name = plural + "." + d.group
	var served []any
	for i, version := range versions {
		served = append(served, map[string]any{
			"name": version, "served": true, "storage": i == 0,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
		})
	}
	_, err = d.definitions().Create(g.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": d.name},
		"spec": map[string]any{
			"group": d.group, "scope": "Namespaced", "names": map[string]any{"kind": kind, "plural": plural}, "versions": served,
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() {
		d.convert(map[string]any{"strategy": "None"})
		if err := d.definitions().Delete(context.WithoutCancel(g.Context()), d.name, metav1.DeleteOptions{}); err != nil {
			g.Error(err)
		}
	})
	return d
}

func (d *definition) definitions() dynamic.ResourceInterface {
	return d.client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
}

// things are the objects of the kind, in the version in which they are stored.
func (d *definition) things() dynamic.ResourceInterface {
	return d.client.Resource(schema.GroupVersionResource{Group: d.group, Version: "v1", Resource: "things"}).Namespace(d.namespace)
}

// key is that of an object of the kind, or "" if there is none.
func (d *definition) key(name string) string {
	d.Helper()
	found, err := d.things().Get(d.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		d.Fatal(err)
	}
	key, _, _ := unstructured.NestedString(found.Object, "spec", "key")
	return key
}

// convert changes how objects are converted from version to version.
func (d *definition) convert(how map[string]any) {
	d.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"conversion": how}})
	if err != nil {
		d.Fatal(err)
	}
	if how["strategy"] == "None" {
		patch = []byte(`{"spec":{"conversion":{"strategy":"None","webhook":null}}}`)
	}
	_, err = d.definitions().Patch(context.WithoutCancel(d.Context()), d.name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		d.Fatal(err)
	}
}

// await is until for what takes the API server its half a minute.
func (d *definition) await(what string, condition func() bool) {
	d.Helper()
	err := wait.PollUntilContextTimeout(d.Context(), 100*time.Millisecond, 3*time.Minute, true, func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		d.Fatalf("waiting until %s: %v", what, err)
	}
}
