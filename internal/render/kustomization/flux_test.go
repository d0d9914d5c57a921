package kustomization

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// What is put into a namespace without Kustomize comes out as Kustomize has it.
func TestNamespaceAsKustomizeHasIt(t *testing.T) {
	object := func(apiVersion, kind, name, rest string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: before}\n%s\n---\n", apiVersion, kind, name, rest)
	}
	text := ""
	for kind := range namespaced {
		version := "v1"
		if kind.Group != "" {
			version = kind.Group + "/v1"
		}
		text += object(version, kind.Kind, strings.ToLower(kind.Kind), "spec: {a: 1, template: {spec: {serviceAccountName: x}}}") +
			strings.Replace(object(version, kind.Kind, strings.ToLower(kind.Kind)+"-2", ""), ", namespace: before", "", 1)
	}
	read := func(files fstest.MapFS, options *app.KustomizeOptions) map[string]any {
		objects, _, err := AsFlux(tree.Source{Files: files}, "app", options, "", manifest.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]any{}
		for _, o := range objects {
			found[o.GetKind()+" "+o.GetName()] = o.Object
		}
		return found
	}
	options := &app.KustomizeOptions{Namespace: "after"}
	plain := read(fstest.MapFS{"app/a.yaml": {Data: []byte(text)}}, options)
	built := read(fstest.MapFS{"app/a.yaml": {Data: []byte(text)}, "app/kustomization.yaml": {Data: []byte("resources: [a.yaml]\n")}}, options)
	if diff := cmp.Diff(built, plain); diff != "" || len(plain) != 2*len(namespaced) {
		t.Errorf("%d objects (-kustomize +own):\n%s", len(plain), diff)
	}
	// Others are built: a binding names the namespaces of others.
	binding := "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nroleRef: {kind: Role, name: a}\nsubjects: [{kind: ServiceAccount, name: default, namespace: before}]\n"
	found := read(fstest.MapFS{"app/a.yaml": {Data: []byte(binding)}}, options)["RoleBinding a"]
	if text := fmt.Sprint(found); !strings.Contains(text, "subjects:[map[kind:ServiceAccount name:default namespace:after]]") {
		t.Errorf("a binding is put into a namespace as %s", text)
	}
}

// Where objects come from is written on them, with a kustomization as well as without.
func TestBuildMetadata(t *testing.T) {
	const manifest1 = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	for name, files := range map[string]fstest.MapFS{
		"made":    {"app/x/a.yaml": {Data: []byte(manifest1)}},
		"present": {"app/x/a.yaml": {Data: []byte(manifest1)}, "app/kustomization.yaml": {Data: []byte("resources: [x/a.yaml]\nbuildMetadata: [originAnnotations]\n")}},
	} {
		for _, options := range []*app.KustomizeOptions{nil, {BuildMetadata: []string{"originAnnotations"}}} {
			objects, _, err := AsFlux(tree.Source{Files: files}, "app", options, "", manifest.Limits{})
			if err != nil || len(objects) != 1 {
				t.Fatalf("%s: %d objects, %v", name, len(objects), err)
			}
			want := ""
			if options != nil || name == "present" {
				want = "path: x/a.yaml\n"
			}
			if got := objects[0].GetAnnotations()["config.kubernetes.io/origin"]; got != want {
				t.Errorf("%s, %+v: it comes from %q, want %q", name, options, got, want)
			}
		}
	}
}
