package apply

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

const web = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: NS}
data: {mode: fast}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}, {name: metrics, port: 9090}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: example.org/web:1
        env: [{name: LEVEL, value: info}]
        ports: [{containerPort: 8080}]
        resources: {limits: {cpu: 1000m, memory: 64Mi}}
`

func TestSyncCreatesWithMarksThenCostsNothing(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	target.FirstApply = true
	first := g.sync(target)
	g.want("created ConfigMap settings; created Deployment web; created Service web", "a first sync creates", first.Changes)
	_, writes := g.requests.take()
	if len(writes) != 3 {
		t.Errorf("wrote %q, want a request an object", writes)
	}
	for _, u := range target.Bundle.Objects {
		live := g.live(u.GetKind(), u.GetName())
		owner, adopted, ok := object.OwnerOf(live)
		if !ok || adopted || owner != (object.Owner{Fleet: g.env.Prefix, App: "web"}) {
			t.Errorf("%s is marked %v, adopted %v, counts %v", object.Of(live), owner, adopted, ok)
		}
	}

	target.FirstApply, target.Known, target.Tracked = false, first.Baselines, []Tracked{}
	again := g.sync(target)
	g.want("unchanged ConfigMap settings; unchanged Deployment web; unchanged Service web", "nothing changed", again.Changes)
	if all, _ := g.requests.take(); len(all) > 0 {
		t.Errorf("known and unchanged objects cost %q", all)
	}
	if len(again.Baselines) != 3 {
		t.Errorf("%d baselines, want those that were given", len(again.Baselines))
	}

	target = g.with(target, strings.Replace(web, "mode: fast", "mode: slow", 1))
	changed := g.sync(target)
	g.want("unchanged Deployment web; unchanged Service web; updated ConfigMap settings", "one object changed", changed.Changes)
	all, writes := g.requests.take()
	if len(writes) != 1 || len(all) > 1 {
		t.Errorf("one changed object cost %q", all)
	}
	g.wantField(`"slow"`, "the change was applied", "ConfigMap", "settings", "data", "mode")
}

func TestSyncWithoutBaselinesOnlyReadsWhatIsInPlace(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	g.sync(target)
	g.client = g.another()
	g.requests.take()
	result := g.sync(target)
	g.want("unchanged ConfigMap settings; unchanged Deployment web; unchanged Service web", "a restart changes nothing", result.Changes)
	all, writes := g.requests.take()
	if len(writes) > 0 {
		t.Errorf("wrote %q", writes)
	}
	objects := 0
	for _, line := range all {
		if strings.Contains(line, "/namespaces/"+g.namespace+"/") {
			objects++
		}
	}
	if objects > 3 {
		t.Errorf("three objects cost %q", all)
	}
}

func TestRecoverFindsBaselinesByOneListAKind(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	want := g.sync(target).Baselines
	g.patch("kubectl-edit", "Service", "web", `{"spec":{"selector":{"app":"other"}}}`)
	g.client = g.another()
	g.requests.take()
	got, err := g.client.Recover(t.Context(), []Target{target})
	if err != nil {
		t.Fatal(err)
	}
	if _, writes := g.requests.take(); len(writes) > 0 {
		t.Errorf("wrote %q", writes)
	}
	for _, u := range target.Bundle.Objects {
		id := object.Of(u)
		baseline, ok := got[0][id]
		if ok != (id.Kind != "Service") || ok && baseline != want[id] {
			t.Errorf("%s: %v %+v, want %+v", id, ok, baseline, want[id])
		}
	}
	target.Known, target.Tracked = got[0], []Tracked{}
	g.want("unchanged ConfigMap settings; unchanged Deployment web; updated Service web", "only what differs is applied", g.sync(target).Changes)
	if all, writes := g.requests.take(); len(writes) != 1 || len(all) > 3 {
		t.Errorf("one object that differs cost %q", all)
	}
}

func TestSyncOfAKnownObjectThatIsGoneOrAnotherStartsOver(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("gone", "another"))
	target.Known = g.sync(target).Baselines
	g.delete("ConfigMap", "gone")
	g.delete("ConfigMap", "another")
	g.create("helm", configMaps("another"))
	result := g.sync(g.with(target, strings.ReplaceAll(configMaps("gone", "another"), "k: v", "k: w")))
	g.want("adopted ConfigMap another; created ConfigMap gone", "a baseline is of one object, not of a name", result.Changes)
	if !result.Baselines[entryOf(result.Changes, "ConfigMap", "another").Object].Adopted {
		t.Error("another object of the same name is not marked as adopted")
	}
}

func TestSyncAdoptsWhatAppearedUnseen(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a", "b"))
	target.FirstApply = true
	g.sync(g.target("other", configMaps("c"))) // lists nothing yet
	first := true
	g.client.options.Listener.Writing = func(w Write) {
		if first { // after the list, before the write
			first = false
			g.create("helm", strings.ReplaceAll(configMaps(w.Object.Name), "{k: v}", "{k: theirs, more: theirs}"))
		}
	}
	g.client.options.Concurrency = 1
	result := g.sync(target)
	if result.Changes.Count(change.Adopted) != 1 || result.Changes.Count(change.Created) != 1 {
		t.Errorf("one object appeared in between:\n%s", result.Changes)
	}
	for id, baseline := range result.Baselines {
		if want := entryOf(result.Changes, id.Kind, id.Name).Action == change.Adopted; baseline.Adopted != want {
			t.Errorf("%s: adopted %v, want %v", id, baseline.Adopted, want)
		}
		g.wantField(`{"k":"v"}`, "Git decides in the end", "ConfigMap", id.Name, "data")
	}
}

// TestWhatIsSettledIsLetGo looks at what a sync holds of its objects when all are
// applied: of tens of thousands of them, what was sent and what came back would
// be most of a hub's memory.
func TestWhatIsSettledIsLetGo(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	for _, round := range []string{"created", "unchanged"} {
		r, err := g.client.begin(t.Context(), target, syncing)
		if err != nil {
			t.Fatal(err)
		}
		r.prepareAll(t.Context())
		r.applyAll(t.Context())
		result, err := r.finish()
		if err != nil || len(result.Baselines) != len(r.items) {
			t.Fatalf("%s: %v, %s", round, err, result.Changes)
		}
		for _, it := range r.items {
			if it.body != nil || it.encoded != nil || lifeless[it.id.GroupKind()] && it.live != nil {
				t.Errorf("%s: %s is held in memory after it was applied", round, it.id)
			}
		}
		target.Known = result.Baselines
	}
}

// TestHealthIsAskedOfWholeObjects is about objects of whose apply only the metadata is answered.
func TestHealthIsAskedOfWholeObjects(t *testing.T) {
	g := on(t)
	whole := func(u *unstructured.Unstructured) (bool, bool, string) {
		if u.Object["spec"] == nil {
			t.Errorf("%s is judged without its spec", object.Of(u))
		}
		return true, false, ""
	}
	reads := func() (found []string) {
		all, _ := g.requests.take()
		return slices.DeleteFunc(all, func(line string) bool {
			return !strings.Contains(line, "/deployments/") || !strings.HasPrefix(line, "GET ")
		})
	}
	target := g.target("web", web+"---\n"+configMaps("old"))
	target.Health, target.FirstApply = whole, true
	result := g.sync(target)
	target.FirstApply = false
	if found := reads(); len(found) > 0 {
		t.Errorf("nothing waits for health, and yet %q", found)
	}
	target = g.knowing(g.with(target, strings.Replace(web, "web:1", "web:2", 1)), result)
	g.want("deleted ConfigMap old; unchanged ConfigMap settings; unchanged Service web; updated Deployment web", "a prune waits for health", g.sync(target).Changes)
	if found := reads(); len(found) != 1 {
		t.Errorf("read %q, want the Deployment, once", found)
	}

	waves := g.target("waves", strings.NewReplacer("name: web", "name: other", "name: settings", "name: more").Replace(web)+
		"---\n"+strings.Replace(configMaps("last"), "metadata: {name:", `metadata: {annotations: {argocd.argoproj.io/sync-wave: "1"}, name:`, 1))
	waves.Health, waves.FirstApply = whole, true
	if result := g.sync(waves); result.WaitsFor != "" {
		t.Errorf("waits for %q", result.WaitsFor)
	}
	if found := reads(); len(found) > 0 {
		t.Errorf("a wave waits for health, which the answers to applies tell, and yet %q", found)
	}
}
