package apply

import (
	"cmp"
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// old is web as a former deployer had it: more fields, other values.
const old = `
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: NS
  labels: {tool: former}
spec:
  selector: {app: web, tier: old}
  ports: [{name: http, port: 80}, {name: old, port: 81}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS, finalizers: [example.org/keep]}
spec:
  replicas: 5
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      priorityClassName: ""
      containers:
      - name: web
        image: example.org/web:0
        args: [--old]
      - name: sidecar
        image: example.org/sidecar:1
`

func TestRule1AdoptionTakesOverFormerDeployers(t *testing.T) {
	g := on(t)
	g.create("kubectl-client-side-apply", old)
	target := g.target("web", web)
	target.FirstApply = true

	shown := g.diff(target)
	g.want("adopted Deployment web; adopted Service web; created ConfigMap settings", "the diff says what is adopted", shown)
	service := entryOf(shown, "Service", "web")
	for _, path := range []string{"metadata.labels.tool", "spec.selector.tier", "spec.ports[name=old]"} {
		if field := fieldOf(service, path); field.From == nil || field.To != nil || field.Manager != "kubectl-client-side-apply" {
			t.Errorf("the diff does not show that %s goes: %v", path, service.Fields)
		}
	}
	deployment := entryOf(shown, "Deployment", "web")
	for _, path := range []string{"spec.template.spec.containers[name=sidecar]", "spec.template.spec.containers[name=web].args"} {
		if field := fieldOf(deployment, path); field.From == nil || field.To != nil {
			t.Errorf("the diff does not show that %s goes: %v", path, deployment.Fields)
		}
	}
	g.wantField(`"old"`, "a diff writes nothing", "Service", "web", "spec", "selector", "tier")

	result := g.sync(target)
	g.want("adopted Deployment web; adopted Service web; created ConfigMap settings", "the sync adopts", result.Changes)
	g.wantField(`{"app":"web"}`, "what Git does not have goes", "Service", "web", "spec", "selector")
	g.wantField("absent", "what Git does not have goes", "Service", "web", "metadata", "labels", "tool")
	g.wantField("absent", "the sidecar goes", "Deployment", "web", "spec", "template", "spec", "containers", 1)
	g.wantField(`["example.org/keep"]`, "finalizers are not a deployer's to lose", "Deployment", "web", "metadata", "finalizers")
	g.wantField("2", "Git states a number", "Deployment", "web", "spec", "replicas")
	for path, want := range map[string]change.Entry{"Service": service, "Deployment": deployment} {
		did := entryOf(result.Changes, path, "web")
		a, _ := json.Marshal(did.Fields)
		b, _ := json.Marshal(want.Fields)
		if string(a) != string(b) {
			t.Errorf("%s: the diff showed\n%s\nthe sync did\n%s", path, b, a)
		}
	}
	for _, kind := range []string{"Service", "Deployment"} {
		if _, adopted, ok := object.OwnerOf(g.live(kind, "web")); !ok || !adopted {
			t.Errorf("%s is not marked as adopted", kind)
		}
	}
	if _, adopted, _ := object.OwnerOf(g.live("ConfigMap", "settings")); adopted {
		t.Error("what was created is marked as adopted")
	}
	again := g.sync(target)
	if again.Changes.Count(change.Unchanged) != 3 {
		t.Errorf("a second sync:\n%s", again.Changes)
	}
	if _, adopted, _ := object.OwnerOf(g.live("Service", "web")); !adopted {
		t.Error("the second apply lost the adopted mark")
	}
	g.patch("x", "Deployment", "web", `{"metadata":{"finalizers":null}}`)
}

func TestRule1AdoptionWithoutManagedFieldsTakesOnlyWhatKubectlNamed(t *testing.T) {
	g := on(t)
	g.create("somebody", `
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: NS
  labels: {named: "yes", injected: "yes"}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"metadata":{"labels":{"named":"yes"}},"spec":{"ports":[{"name":"old","port":81},{"name":"http","port":80}],"selector":{"app":"web","tier":"old"}}}'
spec:
  selector: {app: web, tier: old}
  sessionAffinity: ClientIP
  ports: [{name: http, port: 80}, {name: old, port: 81}]
`)
	if _, err := g.at("Service").Patch(g.Context(), "web", types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(g.live("Service", "web").GetManagedFields()) != 0 {
		t.Fatal("the object still has managed fields")
	}
	address := g.field("Service", "web", "spec", "clusterIP")
	target := g.target("web", web)
	shown := entryOf(g.diff(target), "Service", "web")
	g.sync(target)
	g.wantField("absent", "kubectl named it and Git does not", "Service", "web", "metadata", "labels", "named")
	g.wantField(`"yes"`, "kubectl did not name it", "Service", "web", "metadata", "labels", "injected")
	g.wantField(`"ClientIP"`, "kubectl did not name it", "Service", "web", "spec", "sessionAffinity")
	g.wantField(`{"app":"web"}`, "kubectl named the tier", "Service", "web", "spec", "selector")
	g.wantField(address, "the address was allocated", "Service", "web", "spec", "clusterIP")
	g.wantField(`"metrics"`, "the old port went with its defaults", "Service", "web", "spec", "ports", 1, "name")
	g.wantField("absent", "the old port went with its defaults", "Service", "web", "spec", "ports", 2)
	for _, path := range []string{"metadata.labels.named", "spec.selector.tier", "spec.ports[name=old]"} {
		if fieldOf(shown, path).From == nil {
			t.Errorf("the diff did not show that %s goes: %v", path, shown.Fields)
		}
	}
	if fieldOf(shown, "metadata.labels.injected").Path != "" {
		t.Errorf("the diff showed that what is not named goes: %v", shown.Fields)
	}
}

func TestRule1TakingOverLosesNoFieldsOfOthers(t *testing.T) {
	g := on(t)
	g.create("helm", old)
	g.patch("x", "Deployment", "web", `{"metadata":{"finalizers":null}}`)
	changed := false
	g.client.options.Listener.Writing = func(w Write) {
		if w.Verb == "take over" && w.Object.Kind == "Service" && !changed { // after it was read
			changed = true
			g.patch("some-controller", "Service", "web", `{"metadata":{"annotations":{"cloud/ip":"1"}}}`)
		}
	}
	g.sync(g.target("web", web))
	owns := false
	for _, entry := range g.live("Service", "web").GetManagedFields() {
		owns = owns || entry.Manager == "some-controller"
	}
	if !changed || !owns {
		t.Errorf("a controller that wrote meanwhile (%v) owns its field: %v", changed, owns)
	}
}

func TestRule1CopiedMarksDoNotCount(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	g.sync(target)
	marked := g.live("ConfigMap", "settings")
	for name, manager := range map[string]string{"copy": "kubectl-create", "forged": object.FieldManager} {
		copied := g.objects("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: NS}")[0]
		copied.SetLabels(marked.GetLabels())
		annotations := marked.GetAnnotations()
		if name == "forged" {
			for key, value := range annotations {
				annotations[key] = strings.Replace(value, "settings", name, 1)
			}
		}
		copied.SetAnnotations(annotations)
		if _, err := g.at("ConfigMap").Create(g.Context(), copied, metav1.CreateOptions{FieldManager: manager}); err != nil {
			t.Fatal(err)
		}
	}
	result := g.sync(target)
	g.want("unchanged ConfigMap settings; unchanged Deployment web; unchanged Service web", "nothing is pruned by a copied mark", result.Changes)
	if g.live("ConfigMap", "copy") == nil || g.live("ConfigMap", "forged") == nil {
		t.Error("an object with a copied mark was deleted")
	}
}

func TestRule5OwnershipBindsWhileTheOwnerLives(t *testing.T) {
	const shared = `
apiVersion: v1
kind: ConfigMap
metadata: {name: shared, namespace: NS}
data: {by: APP}
`
	for _, test := range []struct {
		name    string
		keeps   bool
		fleet   string // empty: this one
		action  change.Action
		content string
		reason  string
	}{
		{"two live claimants", true, "", change.Conflict, `"first"`, "the first keeps it"},
		{"the owner dropped it or is gone", false, "", change.Adopted, `"second"`, "any app may adopt an orphan"},
		{"another fleet", false, "other", change.Conflict, `"first"`, "another fleet's objects are never touched"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := on(t)
			first := g.another(func(o *Options) { o.Fleet = cmp.Or(test.fleet, o.Fleet) })
			if _, err := first.Sync(t.Context(), g.target("first", strings.Replace(shared, "APP", "first", 1))); err != nil {
				t.Fatal(err)
			}
			uid := g.live("ConfigMap", "shared").GetUID()
			target := g.target("second", strings.Replace(shared, "APP", "second", 1))
			target.FirstApply = true
			target.Keeps = func(app string, id object.ID) bool { return test.keeps && app == "first" && id.Name == "shared" }
			target.ClaimedBy = func(id object.ID) (string, bool) { return "first", test.keeps && id.Name == "shared" }
			if got := entryOf(g.diff(target), "ConfigMap", "shared").Action; got != test.action {
				t.Errorf("the diff says %s: %s", got, test.reason)
			}
			result := g.sync(target)
			if got := entryOf(result.Changes, "ConfigMap", "shared").Action; got != test.action {
				t.Errorf("%s, want %s: %s\n%s", got, test.action, test.reason, result.Changes)
			}
			g.wantField(test.content, test.reason, "ConfigMap", "shared", "data", "by")
			if g.live("ConfigMap", "shared").GetUID() != uid {
				t.Error("the object was deleted on the way")
			}
		})
	}
}

func TestRule5ContestedObjectIsReadWhateverAListSaid(t *testing.T) {
	g := on(t)
	target := g.target("second", configMaps("shared"))
	target.FirstApply = true
	target.ClaimedBy = func(object.ID) (string, bool) { return "first", true }
	resource, err := g.client.cluster.Find(t.Context(), target.Bundle.Objects[0].GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	g.client.present.Look(t.Context(), resource) // and then the other app makes it
	if _, err := g.another().Sync(t.Context(), g.target("first", configMaps("shared"))); err != nil {
		t.Fatal(err)
	}
	g.want("conflict ConfigMap shared", "the first keeps it", g.sync(target).Changes)
}

func TestRule5ContestedNewObjectHasOneOwner(t *testing.T) {
	g := on(t)
	const shared = `
apiVersion: v1
kind: ConfigMap
metadata: {name: shared, namespace: NS}
data: {by: APP}
`
	targets := map[string]Target{}
	for name, other := range map[string]string{"first": "second", "second": "first"} {
		target := g.target(name, strings.Replace(shared, "APP", name, 1))
		target.FirstApply = true
		target.ClaimedBy = func(object.ID) (string, bool) { return other, true }
		targets[name] = target
	}
	actions := make(chan change.Action, 2)
	for _, target := range targets {
		go func() {
			result, err := g.client.Sync(t.Context(), target)
			if err != nil {
				t.Error(err)
			}
			actions <- entryOf(result.Changes, "ConfigMap", "shared").Action
		}()
	}
	a, b := <-actions, <-actions
	if !(a == change.Created && b == change.Conflict || a == change.Conflict && b == change.Created) {
		t.Errorf("the two claimants: %s and %s", a, b)
	}
}
