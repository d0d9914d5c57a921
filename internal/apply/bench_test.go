package apply

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/testenv"
)

// BenchmarkCold applies apps of four objects that are not there yet, sixteen at
// once, and compares with a plain loop that applies as many of the same objects
// with the same concurrency: the metric floor-ratio is the price of everything
// that Nave knows.
func BenchmarkCold(b *testing.B) {
	const apps, workers = 100, 16
	env := testenv.New(b)
	plain, err := dynamic.NewForConfig(env.Config)
	if err != nil {
		b.Fatal(err)
	}
	bundles := func(namespace string) []*app.Bundle {
		var found []*app.Bundle
		for i := range apps {
			text := strings.ReplaceAll(strings.ReplaceAll(web, "NS", namespace), "name: web,", fmt.Sprintf("name: web-%d,", i))
			text = strings.ReplaceAll(text, "name: settings", fmt.Sprintf("name: settings-%d", i)) +
				fmt.Sprintf("---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web-%d, namespace: %s}\n", i, namespace)
			var objects []*unstructured.Unstructured
			for _, part := range strings.Split(text, "\n---\n") {
				u := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
					b.Fatal(err)
				}
				objects = append(objects, u)
			}
			bundle, err := app.NewBundle(objects, nil)
			if err != nil {
				b.Fatal(err)
			}
			found = append(found, bundle)
		}
		return found
	}
	atOnce := func(n int, work func(i int)) time.Duration {
		began := time.Now()
		var group sync.WaitGroup
		next := make(chan int)
		for range workers {
			group.Add(1)
			go func() {
				defer group.Done()
				for i := range next {
					work(i)
				}
			}()
		}
		for i := range n {
			next <- i
		}
		close(next)
		group.Wait()
		return time.Since(began)
	}
	var floor, ours time.Duration
	for b.Loop() {
		b.StopTimer()
		force := true
		loop := bundles(env.Namespace(b))
		floor += atOnce(apps, func(i int) {
			for _, u := range loop[i].Objects {
				data, err := object.Canonical(u)
				if err == nil {
					_, err = plain.Resource(plurals[u.GetKind()]).Namespace(u.GetNamespace()).Patch(b.Context(), u.GetName(), types.ApplyPatchType, data,
						metav1.PatchOptions{FieldManager: "floor", Force: &force})
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
		namespace := env.Namespace(b)
		ready := bundles(namespace)
		c, err := New(env.Config, Options{Fleet: namespace, Concurrency: workers})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		ours += atOnce(apps, func(i int) {
			_, err := c.Sync(b.Context(), Target{
				App: fmt.Sprint("app-", i), Bundle: ready[i], FirstApply: true, Complete: true, Tracked: []Tracked{},
				Options: app.Options{Prune: true, CorrectDrift: true},
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	b.ReportMetric(float64(ours)/float64(floor), "floor-ratio")
}
