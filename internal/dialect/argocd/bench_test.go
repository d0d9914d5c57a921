package argocd_test

import (
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/dialect/dialecttest"
)

// oneRepository is a repository by whatever name.
type oneRepository struct{ fs.FS }

func (r oneRepository) Open(string, string) (fs.FS, error) { return r.FS, nil }

// fleetOf returns an ApplicationSet that yields 50 Applications for each of some
// clusters.
func fleetOf(tb testing.TB, clusters int) asking.Request {
	tree := fstest.MapFS{}
	for i := range 50 {
		tree[fmt.Sprintf("apps/app-%02d/kustomization.yaml", i)] = &fstest.MapFile{}
	}
	request := asking.Request{Delivery: "root", Files: oneRepository{tree}}
	for i := range clusters {
		request.Members = append(request.Members, asking.Member{Name: fmt.Sprintf("prod-%02d", i), Labels: map[string]string{"env": "prod"}, Selected: true})
	}
	for _, manifest := range dialecttest.Manifests(tb, []byte(`
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: all}
spec:
  goTemplate: true
  goTemplateOptions: [missingkey=error]
  generators:
  - matrix:
      generators:
      - clusters: {selector: {matchLabels: {env: prod}}}
      - git: {repoURL: git, revision: HEAD, directories: [{path: apps/*}]}
  template:
    metadata: {name: "{{.path.basename}}-{{.name}}", labels: {env: "{{.metadata.labels.env}}"}}
    spec:
      project: default
      source: {repoURL: git, path: "{{.path.path}}", targetRevision: HEAD, kustomize: {commonLabels: {cluster: "{{.name | lower}}"}}}
      destination: {name: "{{.name}}", namespace: "{{.path.basename}}"}
      syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
`)) {
		request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: "root", Place: "all.yaml"})
	}
	return request
}

func BenchmarkApplicationSet(b *testing.B) {
	request := fleetOf(b, 24)
	b.ReportAllocs()
	for b.Loop() {
		if result := (argocd.Dialect{}).Read(request); len(result.Children) != 1200 || result.Incomplete != nil {
			b.Fatal(len(result.Children), result.Incomplete, result.Failed)
		}
	}
}

// BenchmarkApplications is a root with a thousand Applications in two waves.
func BenchmarkApplications(b *testing.B) {
	request := asking.Request{Delivery: "root", Cluster: "prod", Members: []asking.Member{{Name: "prod"}}}
	for i := range 1000 {
		for _, manifest := range dialecttest.Manifests(b, fmt.Appendf(nil, `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: app-%d, annotations: {argocd.argoproj.io/sync-wave: "%d"}}
spec: {project: default, source: {repoURL: git, path: apps/%d}, destination: {name: in-cluster, namespace: x}, syncPolicy: {automated: {}}}
`, i, i%2, i)) {
			request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: "root"})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if result := (argocd.Dialect{}).Read(request); len(result.Children) != 1000 {
			b.Fatal(result.Failed)
		}
	}
}
