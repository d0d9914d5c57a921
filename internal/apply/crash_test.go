package apply

import (
	"context"
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/object"
)

// A story that needs every kind of write: objects are created, updated, adopted
// with fields taken over, handed over, replaced and pruned.
const (
	crashBefore = `
apiVersion: v1
kind: ConfigMap
metadata: {name: gone, namespace: NS}
data: {k: v}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: fixed, namespace: NS}
immutable: true
data: {k: v}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "example.org/db:1"}]}
`
	crashAfter = `
apiVersion: v1
kind: ConfigMap
metadata: {name: fixed, namespace: NS}
immutable: true
data: {k: w}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "example.org/db:2"}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: db, namespace: NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: db}
  maxReplicas: 9
---
` + web
)

// errCrash stands for the end of the process.
var errCrash = errors.New("crashed")

// crash runs Sync and ends it at its nth write, before or after the cluster has
// it. It reports whether there was such a write.
func (g *ground) crash(target Target, n int, before bool) bool {
	g.Helper()
	ctx, cancel := context.WithCancelCause(g.Context())
	defer cancel(nil)
	writes, crashed := 0, false
	count := func() {
		if writes++; writes == n {
			crashed = true
			cancel(errCrash)
		}
	}
	listener := Listener{Wrote: func(Write, error) { count() }}
	if before {
		listener = Listener{Writing: func(Write) { count() }}
	}
	c := g.another(func(o *Options) { o.Listener, o.Concurrency = listener, 1 })
	_, err := c.Sync(ctx, target)
	if crashed != errors.Is(err, errCrash) && before {
		g.Errorf("crashed %v at write %d, and the error is %v", crashed, n, err)
	}
	return crashed
}

// state is everything that counts of the namespace's objects, for comparison.
func (g *ground) state() string {
	g.Helper()
	var b strings.Builder
	for _, kind := range []string{"ConfigMap", "Service", "Deployment", "StatefulSet", "HorizontalPodAutoscaler"} {
		list, err := g.at(kind).List(g.Context(), metav1.ListOptions{})
		if err != nil {
			g.Fatal(err)
		}
		for i := range list.Items {
			u := &list.Items[i]
			owner, adopted, _ := object.OwnerOf(u)
			o := ownership.Read(u)
			clean := object.Clean(u)
			unstructured.RemoveNestedField(clean.Object, "spec", "clusterIP")
			unstructured.RemoveNestedField(clean.Object, "spec", "clusterIPs")
			data, err := object.Canonical(clean)
			if err != nil {
				g.Fatal(err)
			}
			b.WriteString(owner.App + " " + o.OursHash())
			if adopted {
				b.WriteString(" adopted")
			}
			b.WriteString(" " + string(data) + "\n")
		}
	}
	names := strings.NewReplacer(g.namespace, "NS", g.env.Prefix, "PREFIX")
	return names.Replace(b.String())
}

// rewriting brings a namespace to where the story begins and returns the app's next
// target.
func rewriting(g *ground) Target {
	target := g.target("web", crashBefore)
	g.sync(target)
	g.create("kubectl-client-side-apply", old)
	g.patch("x", "Deployment", "web", `{"metadata":{"finalizers":null}}`)
	g.patch("horizontal-pod-autoscaler", "StatefulSet", "db", `{"spec":{"replicas":3}}`, "scale")
	target = g.with(target, crashAfter)
	target.Options = app.Options{Prune: true, CorrectDrift: true, Replace: true}
	return target
}

// An autoscaler leaves a workload whose number Git states, and which it had
// scaled.
const (
	unscaled = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "example.org/db:1"}]}
`
	scaled = unscaled + `
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: db, namespace: NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: db}
  maxReplicas: 9
`
)

func unscaling(g *ground) Target {
	target := g.target("web", scaled)
	g.sync(target)
	g.patch("horizontal-pod-autoscaler", "StatefulSet", "db", `{"spec":{"replicas":5}}`, "scale")
	return g.with(target, unscaled)
}

func TestRule6ACrashAtAnyWriteAndARerunConverge(t *testing.T) {
	for name, story := range map[string]struct {
		stage func(*ground) Target
		verbs []string // that it needs at least
	}{
		"every write":          {rewriting, []string{"apply", "take over", "hand over", "delete"}},
		"an autoscaler leaves": {unscaling, []string{"apply", "delete"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := on(t)
			target := story.stage(g)
			verbs := map[string]int{}
			writes := 0
			c := g.another(func(o *Options) {
				o.Concurrency = 1
				o.Listener.Writing = func(w Write) { verbs[w.Verb]++; writes++ }
			})
			if _, err := c.Sync(t.Context(), target); err != nil {
				t.Fatal(err)
			}
			want := g.state()
			for _, verb := range story.verbs {
				if verbs[verb] == 0 {
					t.Fatalf("the story has no %q: %v", verb, verbs)
				}
			}
			for n := 1; n <= writes; n++ {
				for _, before := range []bool{true, false} {
					g := on(t)
					target := story.stage(g)
					if !g.crash(target, n, before) {
						t.Fatalf("there is no write %d of %d", n, writes)
					}
					result, err := g.another().Sync(t.Context(), target)
					if err != nil {
						t.Fatal(err)
					}
					if got := g.state(); got != want {
						t.Errorf("after a crash at write %d (before %v):\n%s\ngot\n%s\nwant\n%s", n, before, result.Changes, got, want)
					}
				}
			}
		})
	}
}
