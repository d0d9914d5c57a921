package desired

import (
	"fmt"
	"testing"
)

// BenchmarkNothingNew is a look at a commit that changes nothing for 24 clusters
// with 50 apps each, as one to a README: what a hub does between the fetch and
// knowing that no cluster has anything to do.
func BenchmarkNothingNew(b *testing.B) {
	const clusters, apps = 24, 50
	files := map[string]string{
		"fleet.yaml": "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\n",
	}
	for i := range clusters {
		name := fmt.Sprintf("c-%02d", i)
		files["clusters/"+name+".yaml"] = cluster(name, name)
	}
	for i := range apps {
		name := fmt.Sprintf("app-%02d", i)
		files["deliveries/"+name+".yaml"] = delivery(name, "source: {path: 'apps/"+name+"/overlays/${cluster.labels.env}'}")
		files["apps/"+name+"/base/kustomization.yaml"] = "resources: [a.yaml, b.yaml]\n"
		files["apps/"+name+"/base/a.yaml"] = configMap(name+"-a", "one")
		files["apps/"+name+"/base/b.yaml"] = configMap(name+"-b", "two")
		for j := range clusters {
			files[fmt.Sprintf("apps/%s/overlays/c-%02d/kustomization.yaml", name, j)] = fmt.Sprintf("namePrefix: c%02d-\nresources: [../../base]\n", j)
		}
	}
	r := newRepository(b)
	r.commit(files)
	p := r.open(nil)
	compile(b, p, pin(b, p))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		r.commit(map[string]string{"README.md": fmt.Sprintf("words %d\n", n)})
		b.StartTimer()
		compile(b, p, pin(b, p))
	}
}
