package flux_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/dialecttest"
	"nave.dev/internal/dialect/flux"
)

// asked is a request for manifests, by the apps that have them.
func asked(t testing.TB, of map[string]string) asking.Request {
	t.Helper()
	request := asking.Request{Delivery: "prod", Path: "clusters/prod", Cluster: "prod-eu", Members: []asking.Member{{Name: "prod-eu", Selected: true}}, Options: app.Options{Prune: true}}
	for name, text := range of {
		for _, manifest := range dialecttest.Manifests(t, []byte(text)) {
			request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: name})
		}
	}
	return request
}

func kustomization(namespace, name, spec string) string {
	return fmt.Sprintf("---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: %s, namespace: %s}\nspec: {prune: true, sourceRef: {kind: GitRepository, name: flux-system, namespace: flux-system}, %s}\n", name, namespace, spec)
}

// Who comes of an app cannot stop or replace what others have by using its name first.
func TestNamesAreNotTaken(t *testing.T) {
	tenant := kustomization("flux-system", "tenant", "path: tenant")
	for _, test := range []struct {
		reason string
		of     map[string]string
		parent func(string) string
		want   string // the path of web, or its failure
	}{
		{"an ancestor's counts", map[string]string{"prod": tenant + kustomization("flux-system", "web", "path: right"), "tenant": kustomization("flux-system", "web", "path: wrong")}, nil, "right"},
		{"the one that was there before counts", map[string]string{
			"prod": tenant + kustomization("flux-system", "a", "path: a"), "a": kustomization("flux-system", "web", "path: wrong"), "tenant": kustomization("flux-system", "web", "path: right"),
		}, func(string) string { return "tenant" }, "right"},
		{"of two that are new neither does", map[string]string{
			"prod": tenant + kustomization("flux-system", "a", "path: a"), "a": kustomization("flux-system", "web", "path: one"), "tenant": kustomization("flux-system", "web", "path: other"),
		}, nil, "it is there twice"},
		{"one that no API server takes is in nobody's way", map[string]string{
			"prod": tenant + kustomization("flux-system", "platform", "path: platform"), "tenant": kustomization("team", "web", "path: right"), "platform": kustomization("flux-system", "team_web", "path: wrong"),
		}, nil, "right"},
		{"one that may not be had is in nobody's way", map[string]string{
			"prod":        kustomization("team", "tenant", "path: tenant, serviceAccountName: deployer") + kustomization("flux-system", "platform", "path: platform"),
			"team_tenant": kustomization("flux-system", "web", "path: wrong"), "platform": kustomization("flux-system", "web", "path: right"),
		}, nil, "right"},
	} {
		request := asked(t, test.of)
		request.Parent = test.parent
		got := ""
		result := (flux.Dialect{}).Read(request)
		for _, child := range result.Children {
			if strings.HasSuffix(child.Name, "web") {
				got = child.Origins[0].Path
			}
		}
		for _, failure := range result.Failed {
			if strings.HasSuffix(failure.Name, "web") {
				got += failure.Err.Error()
			}
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.reason, got, test.want)
		}
	}
}

// A Kustomization that is its own child, or asks for another one without end, ends.
func TestGenerationsEnd(t *testing.T) {
	of := map[string]string{"prod": kustomization("flux-system", "k0", "path: k0")}
	for i := range 40 {
		of[fmt.Sprintf("k%d", i)] = kustomization("flux-system", fmt.Sprintf("k%d", i+1), fmt.Sprintf("path: k%d", i+1)) + kustomization("flux-system", "k0", "path: other")
	}
	result := (flux.Dialect{}).Read(asked(t, of))
	if result.Incomplete == nil || !strings.Contains(result.Incomplete.Error(), "more than 16 times") || len(result.Children) != 16 {
		t.Errorf("%d apps, incomplete: %v", len(result.Children), result.Incomplete)
	}
	// The Delivery's own name, and that of an app of another dialect, stand for no parent.
	request := asked(t, map[string]string{"prod": kustomization("flux-system", "prod", "path: x") + kustomization("flux-system", "argo", "path: x"), "argo": kustomization("flux-system", "argo", "path: y")})
	request.Others = map[string]app.Options{"argo": {}}
	if result := (flux.Dialect{}).Read(request); len(result.Failed) != 2 || len(result.Children) != 0 {
		t.Errorf("%v %v", result.Children, result.Failed)
	}
}

// Repositories that include each other end.
func TestIncludesEnd(t *testing.T) {
	source := func(name, included string) string {
		return fmt.Sprintf("---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: %s, namespace: flux-system}\nspec: {url: 'https://example.com/%s', include: [{repository: {name: %s}}]}\n", name, name, included)
	}
	result := (flux.Dialect{}).Read(asked(t, map[string]string{"prod": source("a", "b") + source("b", "a") +
		strings.Replace(kustomization("flux-system", "k", "path: x"), "name: flux-system, namespace", "name: a, namespace", 1)}))
	if len(result.Failed) != 1 || !strings.Contains(result.Failed[0].Err.Error(), "include") {
		t.Errorf("%v %v", result.Children, result.Failed)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"Kustomization","apiVersion":"kustomize.toolkit.fluxcd.io/v1","metadata":{"name":"a"},"spec":{"dependsOn":[{"name":"a","readyExpr":"dep.status.x"}],"images":[{}],"ignore":[{}],"postBuild":{"substituteFrom":[{"kind":"Secret","name":"x"}]},"sourceRef":{"kind":"GitRepository","name":"flux-system"}}}`,
		`{"kind":"HelmRelease","apiVersion":"helm.toolkit.fluxcd.io/v2","metadata":{"name":"a"},"spec":{"chart":{"spec":{"chart":"../x","sourceRef":{"kind":"GitRepository","name":"flux-system"}}},"install":{"serverSideApply":{}}}}`,
		`{"kind":"ArtifactGenerator","apiVersion":"source.extensions.fluxcd.io/v1beta1","metadata":{"name":"a"},"spec":{"sources":[{"alias":"a","kind":"GitRepository","name":"flux-system"}],"artifacts":[{"name":"x","copy":[{"from":"@a/**","to":"@artifact/"}]}]}}`,
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		request := asked(t, nil)
		for _, text := range []string{first, second} {
			content := map[string]any{}
			if json.Unmarshal([]byte(text), &content) != nil {
				return
			}
			manifest := &unstructured.Unstructured{}
			if data, err := json.Marshal(content); err != nil || manifest.UnmarshalJSON(data) != nil {
				return
			}
			request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: "prod"})
		}
		result := (flux.Dialect{}).Read(request)
		for _, child := range result.Children {
			if child.Cluster != "prod-eu" || len(child.Origins) != 1 || strings.HasPrefix(child.Origins[0].Path, "..") {
				t.Errorf("%+v", child)
			}
		}
	})
}
