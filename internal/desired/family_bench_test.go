package desired

import (
	"fmt"
	"strings"
	"testing"
)

// setFiles are a fleet of 24 clusters with an ApplicationSet of 50 apps for each.
func setFiles(level string) map[string]string {
	files := map[string]string{
		"fleet.yaml":           "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec: {urls: ['" + fleetURL + "']}\n",
		"deliveries/root.yaml": delivery("root", "source: {path: argocd}", "dialect: {context: fleet}"),
	}
	for i := range 24 {
		name := fmt.Sprintf("prod-%02d", i)
		files["clusters/"+name+".yaml"] = cluster(name, "prod")
	}
	elements := ""
	for i := range 50 {
		elements += fmt.Sprintf("          - {app: app-%02d, level: %s}\n", i, level)
		level = "info"
		files[fmt.Sprintf("apps/app-%02d/kustomization.yaml", i)] = "resources: [all.yaml]\n"
		files[fmt.Sprintf("apps/app-%02d/all.yaml", i)] = fourObjects(fmt.Sprintf("app-%02d", i))
	}
	files["argocd/set.yaml"] = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all, namespace: argocd}\nspec:\n  goTemplate: true\n" +
		"  generators:\n  - matrix:\n      generators:\n      - clusters: {}\n      - list:\n          elements:\n" + elements +
		"  template:\n    metadata: {name: '{{.name}}-{{.app}}'}\n    spec:\n      project: default\n" +
		"      source: {repoURL: '" + fleetURL + "', targetRevision: HEAD, path: 'apps/{{.app}}', kustomize: {images: ['example.org/web:{{.level}}']}}\n" +
		"      destination: {name: '{{.name}}', namespace: shop}\n      syncPolicy: {automated: {prune: true}}\n"
	return files
}

// thousandFiles are a fleet of one cluster, with a root of 1,000 Applications.
func thousandFiles(level string) map[string]string {
	files := argoFiles()
	for name := range files {
		if !strings.HasPrefix(name, "fleet") && !strings.HasPrefix(name, "deliveries/") {
			delete(files, name)
		}
	}
	files["clusters/prod.yaml"] = cluster("prod", "prod")
	for i := range 1000 {
		name := fmt.Sprintf("app-%03d", i)
		files["argocd/"+name+".yaml"] = application(name, "apps/"+name, finalizer)
		files["apps/"+name+"/all.yaml"] = fourObjects(name)
	}
	files["apps/app-000/more.yaml"] = configMap("more", level)
	return files
}

// kustomizedFiles are a fleet of one cluster, with 1,000 Kustomizations of Flux that wait
// for one of them.
func kustomizedFiles(level string) map[string]string {
	files := thousandFiles(level)
	files["deliveries/root.yaml"] = delivery("root", "source: {path: argocd}", "kind: flux")
	for i := range 1000 {
		name := fmt.Sprintf("app-%03d", i)
		files["argocd/"+name+".yaml"] = fluxed(name, "apps/"+name)
		if i > 0 {
			files["argocd/"+name+".yaml"] = fluxed(name, "apps/"+name, "dependsOn: [{name: app-000}]")
		}
	}
	return files
}

func fourObjects(name string) (text string) {
	for _, part := range []string{"a", "b", "c"} {
		text += configMap(name+"-"+part, part) + "---\n"
	}
	return text + strings.ReplaceAll(deployment("web:1"), "{name: web}", "{name: "+name+"}")
}

// BenchmarkFamilies compiles what is rendered already, before and after a commit that
// changes nothing, and one that changes one thing.
func BenchmarkFamilies(b *testing.B) {
	for _, fleet := range []struct {
		name  string
		files func(level string) map[string]string
		apps  int
	}{
		{"set-24x50", setFiles, 24 * 51},
		{"1x1000", thousandFiles, 1001},
		{"flux-1x1000", kustomizedFiles, 1001},
	} {
		r := newRepository(b)
		r.commit(fleet.files("info"))
		p := r.open(nil)
		measure := func(change func(i int) map[string]string) func(b *testing.B) {
			return func(b *testing.B) {
				compile(b, p, pin(b, p))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					b.StopTimer()
					if change != nil {
						r.commit(change(i))
					}
					pinned := pin(b, p)
					b.StartTimer()
					apps := 0
					for _, c := range compile(b, p, pinned) {
						apps += len(c.Apps)
					}
					if apps != fleet.apps {
						b.Fatalf("%d apps, want %d", apps, fleet.apps)
					}
				}
			}
		}
		b.Run(fleet.name+"/no-change", measure(func(i int) map[string]string { return map[string]string{"README.md": fmt.Sprint(i)} }))
		b.Run(fleet.name+"/one-change", measure(func(i int) map[string]string { return fleet.files(fmt.Sprintf("level-%d", i)) }))
	}
}
