package argocd_test

import (
	"strings"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/dialect/argocd"
)

// ask reads manifests by the app that they are of, on one cluster.
func ask(t *testing.T, of map[string]string) argocd.Result {
	t.Helper()
	request := argocd.Request{Delivery: "root", Path: "argocd", Cluster: "prod", Members: []argocd.Member{{Name: "prod"}}, Options: app.Options{Prune: true}}
	for name, text := range of {
		for _, manifest := range manifests(t, []byte(text)) {
			request.Objects = append(request.Objects, argocd.Object{Manifest: manifest, App: name})
		}
	}
	return argocd.Read(request)
}

// failure is why an app cannot be told, empty if it can.
func failure(result argocd.Result, name string) string {
	for _, f := range result.Failed {
		if f.Name == name {
			return f.Err.Error()
		}
	}
	return ""
}

func told(result argocd.Result, name string) bool {
	for _, child := range result.Children {
		if child.Name == name {
			return true
		}
	}
	return false
}

// TestNamedAsDelivery says that an Application which takes its Delivery's name
// fails itself alone: it is not its own parent.
func TestNamedAsDelivery(t *testing.T) {
	result := ask(t, map[string]string{"root": `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: root}
spec: {source: {repoURL: git, path: elsewhere}, destination: {name: in-cluster}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: web, annotations: {argocd.argoproj.io/sync-wave: "1"}}
spec: {source: {repoURL: git, path: web}, destination: {name: in-cluster}}
`})
	if why := failure(result, "root"); !strings.Contains(why, "metadata.name") {
		t.Errorf("root: %q", why)
	}
	if !told(result, "web") {
		t.Errorf("web is not told: %v", result.Failed)
	}
}

// TestDeepBelowName says the same of a chain that is too long.
func TestDeepBelowName(t *testing.T) {
	one := func(name string) string {
		return "---\n{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: " + name + "}, spec: {source: {repoURL: git, path: x}, destination: {name: in-cluster}}}\n"
	}
	of := map[string]string{"root": one("root") + one("a")}
	for name := "a"; len(name) < 20; name += "a" {
		of[name] = one(name + "a")
	}
	if err := ask(t, of).Incomplete; err == nil || !strings.Contains(err.Error(), "root > a > aa") {
		t.Errorf("incomplete: %v", err)
	}
}
