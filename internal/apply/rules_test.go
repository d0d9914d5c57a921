package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/change"
)

func TestRule7OneInvalidObjectFailsAlone(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a")+strings.Replace(web, "image: example.org/web:1", "image: ''", 1)+`
---
apiVersion: v1
kind: ConfigMap
metadata: {name: nowhere}
`)
	result := g.sync(target)
	g.want("created ConfigMap a; created ConfigMap settings; created Service web; failed ConfigMap nowhere; failed Deployment web", "two are invalid", result.Changes)
	if reason := entryOf(result.Changes, "Deployment", "web").Reason; !strings.Contains(reason, "spec.template.spec.containers[0].image: Required value") {
		t.Errorf("reason %q", reason)
	}
	if reason := entryOf(result.Changes, "ConfigMap", "nowhere").Reason; !strings.Contains(reason, "no namespace") {
		t.Errorf("reason %q", reason)
	}
}

func TestRule7DependantsOfWhatFailedAreSkipped(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a")+`
apiVersion: v1
kind: Namespace
metadata: {name: PREFIX-broken, labels: {"bad label!": x}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: inside, namespace: PREFIX-broken}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: wrong.PREFIX.example.org}
spec: {group: PREFIX.example.org, names: {kind: Broken, plural: brokens}, scope: Namespaced, versions: []}
---
apiVersion: PREFIX.example.org/v1
kind: Broken
metadata: {name: b, namespace: NS}
---
apiVersion: nobody.example.org/v1
kind: Nothing
metadata: {name: lost, namespace: NS}
`)
	result := g.sync(target)
	g.want("created ConfigMap a; failed CustomResourceDefinition wrong.PREFIX.example.org; failed Namespace PREFIX-broken; "+
		"skipped Broken b; skipped ConfigMap inside; skipped Nothing lost", "what depends on a failure is skipped", result.Changes)
	for name, want := range map[string]string{"inside": "needs Namespace", "b": "CustomResourceDefinition wrong", "lost": "no kind Nothing.nobody.example.org"} {
		for _, entry := range result.Changes {
			if entry.Object.Name == name && !strings.Contains(entry.Reason, want) {
				t.Errorf("%s: reason %q, want %q", name, entry.Reason, want)
			}
		}
	}
	if !strings.Contains(result.WaitsFor, "Nothing.nobody.example.org") {
		t.Errorf("waits for %q", result.WaitsFor)
	}
}

func TestRule8ImmutableFieldIsNamedAndReplacedOnlyWhenAsked(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	g.sync(target)
	uid := g.live("Deployment", "web").GetUID()
	moved := g.with(target, strings.NewReplacer("matchLabels: {app: web}", "matchLabels: {app: web, v: two}", "labels: {app: web}", "labels: {app: web, v: two}").Replace(web))
	result := g.sync(moved)
	entry := entryOf(result.Changes, "Deployment", "web")
	if entry.Action != change.Failed || !strings.HasPrefix(entry.Reason, "spec.selector cannot be changed in place") {
		t.Errorf("%s: %s", entry.Action, entry.Reason)
	}
	if g.live("Deployment", "web").GetUID() != uid {
		t.Fatal("the object was replaced unasked")
	}
	moved.Options.Replace = true
	if got := entryOf(g.diff(moved), "Deployment", "web").Action; got != change.Replaced || g.live("Deployment", "web").GetUID() != uid {
		t.Errorf("the diff says %s", got)
	}
	result = g.sync(moved)
	g.want("replaced Deployment web; unchanged ConfigMap settings; unchanged Service web", "asked for", result.Changes)
	if g.live("Deployment", "web").GetUID() == uid {
		t.Error("the object was not replaced")
	}
	g.wantField(`{"app":"web","v":"two"}`, "Git's selector", "Deployment", "web", "spec", "selector", "matchLabels")
}

func TestRule8ReplaceNeverTakesData(t *testing.T) {
	g := on(t)
	const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: NS}
spec: {accessModes: [ReadWriteOnce], storageClassName: a, resources: {requests: {storage: 1Gi}}}
`
	target := g.target("web", claim)
	target.Options.Replace = true
	g.sync(target)
	uid := g.live("PersistentVolumeClaim", "data").GetUID()
	result := g.sync(g.with(target, strings.Replace(claim, "storageClassName: a", "storageClassName: b", 1)))
	entry := entryOf(result.Changes, "PersistentVolumeClaim", "data")
	if entry.Action != change.Failed || !strings.Contains(entry.Reason, "spec cannot be changed") || !strings.Contains(entry.Reason, "replace does not apply") {
		t.Errorf("%s: %s", entry.Action, entry.Reason)
	}
	if g.live("PersistentVolumeClaim", "data").GetUID() != uid {
		t.Error("a volume claim was replaced")
	}
}

func TestRule9LimitsAreCheckedBeforeEveryWriteAndDelete(t *testing.T) {
	g := on(t)
	g.onEnd("ClusterRole", "PREFIX")
	const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: PREFIX}
rules: []
`
	target := g.target("web", configMaps("a")+role)
	target.Options.Limits = app.Limits{NamespacedOnly: true}
	result := g.sync(target)
	g.want("created ConfigMap a; failed ClusterRole PREFIX", "cluster-wide kinds are refused", result.Changes)
	if g.live("ClusterRole", "PREFIX") != nil {
		t.Error("the role was written")
	}
	target.Options.Limits = app.Limits{}
	g.sync(target)
	target = g.with(target, configMaps("a"))
	target.Options.Limits = app.Limits{Namespaces: []string{"elsewhere"}}
	result = g.sync(target)
	if entry := entryOf(result.Changes, "ConfigMap", "a"); entry.Action != change.Failed || !strings.Contains(entry.Reason, "elsewhere") {
		t.Errorf("%s: %s", entry.Action, entry.Reason)
	}
	target.Options.Limits = app.Limits{NamespacedOnly: true}
	result = g.sync(target)
	if entry := entryOf(result.Changes, "ClusterRole", g.env.Prefix); entry.Action != change.Failed || g.live("ClusterRole", "PREFIX") == nil {
		t.Errorf("a delete beyond the limits: %s: %s", entry.Action, entry.Reason)
	}
}

func TestRule9ServiceAccountIsImpersonatedForWrites(t *testing.T) {
	g := on(t)
	g.create("admin", `
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: NS}
`)
	role := g.objects(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: NS}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [create, patch, update, get, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NS}]
`)
	for i, resource := range []string{"roles", "rolebindings"} {
		gvr := plurals["ClusterRole"]
		gvr.Resource = resource
		if _, err := g.person.Resource(gvr).Namespace(g.namespace).Create(t.Context(), role[i], metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	target := g.target("web", configMaps("a", "b")+strings.Replace(web, "name: settings", "name: c", 1))
	target.Options.ServiceAccount = g.namespace + "/deployer"
	var result Result
	g.eventually("the API server knows the binding", func() string {
		result = g.sync(target)
		if failed := result.Changes.Count(change.Failed); failed > 2 {
			return fmt.Sprintf("%d failures", failed)
		}
		return ""
	})
	for _, kind := range []string{"Service", "Deployment"} {
		entry := entryOf(result.Changes, kind, "web")
		if entry.Action != change.Failed || !strings.Contains(entry.Reason, "system:serviceaccount:"+g.namespace+":deployer") {
			t.Errorf("%s %s: %s", kind, entry.Action, entry.Reason)
		}
	}
	target.Options.PruneFirst = true // the two failures would hold it up
	deletes := 0
	g.client = g.another(func(o *Options) {
		o.Listener.Writing = func(w Write) {
			if w.Verb == "delete" && w.As == "system:serviceaccount:"+g.namespace+":deployer" {
				deletes++
			}
		}
		o.Concurrency = 1
	})
	result = g.sync(g.with(target, configMaps("a")))
	if deletes != 2 {
		t.Errorf("%d deletes as the account, want 2", deletes)
	}
	g.want("deleted ConfigMap b; deleted ConfigMap c; unchanged ConfigMap a", "the account may delete", result.Changes)
	target.Options.ServiceAccount = "deployer"
	if _, err := g.client.Sync(t.Context(), target); err == nil || !strings.Contains(err.Error(), "NAMESPACE/NAME") {
		t.Errorf("a service account without a namespace: %v", err)
	}
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.PREFIX.example.org}
spec:
  group: PREFIX.example.org
  names: {kind: Widget, plural: widgets}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: PREFIX.example.org/v1
kind: Widget
metadata: {name: w, namespace: NS}
spec: {size: 1}
`

func TestOrderDefinitionsAreEstablishedBeforeTheirObjects(t *testing.T) {
	g := on(t)
	g.onEnd("CustomResourceDefinition", "widgets.PREFIX.example.org")
	g.onEnd("Namespace", "PREFIX-made")
	target := g.target("web", widgets+`
---
apiVersion: v1
kind: ConfigMap
metadata: {name: early, namespace: PREFIX-made, annotations: {nave.dev/wave: "-5"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: PREFIX-made, annotations: {nave.dev/wave: "3"}}
`)
	shown := g.diff(target)
	if shown.Count(change.Created) != 4 {
		t.Errorf("the diff says\n%s", shown)
	}
	result := g.sync(target)
	g.want("created ConfigMap early; created CustomResourceDefinition widgets.PREFIX.example.org; created Namespace PREFIX-made; created Widget w",
		"all in one go", result.Changes)
	for id := range result.Baselines {
		if id.Kind == "Widget" && id.Namespace != "" {
			t.Errorf("%s: its kind has no namespaces", id)
		}
	}
	if again := g.sync(target); again.Changes.Count(change.Unchanged) != 4 {
		t.Errorf("again:\n%s", again.Changes)
	}
}

func TestOrderWavesWaitForHealth(t *testing.T) {
	g := on(t)
	wave := func(manifests, wave string) string {
		return strings.ReplaceAll(manifests, "metadata: {name:", `metadata: {annotations: {argocd.argoproj.io/sync-wave: "`+wave+`"}, name:`)
	}
	target := g.target("web", web+"---\n"+wave(configMaps("second"), "1")+wave(configMaps("third"), "2"))
	healthy := false
	target.Health = func(u *unstructured.Unstructured) (bool, bool, string) {
		return healthy || u.GetKind() != "Deployment", false, "0 of 2 replicas"
	}
	result := g.sync(target)
	g.want("created ConfigMap settings; created Deployment web; created Service web; skipped ConfigMap second; skipped ConfigMap third",
		"the first wave is not healthy", result.Changes)
	if !strings.Contains(result.WaitsFor, "apps/Deployment") || !strings.Contains(result.WaitsFor, "0 of 2 replicas") {
		t.Errorf("waits for %q", result.WaitsFor)
	}
	healthy = true
	result = g.sync(g.knowing(target, result))
	g.want("created ConfigMap second; created ConfigMap third; unchanged ConfigMap settings; unchanged Deployment web; unchanged Service web", "now it is", result.Changes)

	// What is in place does not wait for anything.
	healthy = false
	target.Tracked = []Tracked{}
	g.requests.take()
	result = g.sync(g.knowing(target, result))
	if all, _ := g.requests.take(); result.WaitsFor != "" || result.Changes.Count(change.Unchanged) != 5 || len(all) > 0 {
		t.Errorf("waits for %q with %q:\n%s", result.WaitsFor, all, result.Changes)
	}
}

func TestCreateNamespaceMakesOnlyWhatNobodyHas(t *testing.T) {
	g := on(t)
	g.onEnd("Namespace", "PREFIX-new")
	target := g.target("web", configMaps("a")+`
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: PREFIX-new}
`)
	target.Options.CreateNamespace = true
	g.want("created ConfigMap a; created ConfigMap b; created Namespace PREFIX-new", "one namespace is missing", g.sync(target).Changes)
	if labels := g.live("Namespace", g.namespace).GetLabels(); labels["nave.dev/app"] != "" {
		t.Error("a namespace that was there is marked")
	}
	again := g.sync(target)
	g.want("unchanged ConfigMap a; unchanged ConfigMap b; unchanged Namespace PREFIX-new", "it is the app's now", again.Changes)

	refused := g.target("other", strings.ReplaceAll(configMaps("c"), "NS", "PREFIX-none"))
	refused.Options.CreateNamespace, refused.Options.Limits = true, app.Limits{NamespacedOnly: true}
	failed := g.sync(refused).Changes.With(change.Failed)
	if len(failed) == 0 || !strings.Contains(failed[0].Reason, "Namespace is cluster-wide\nhint: make the namespace before") {
		t.Errorf("an app that may make no namespace says %v", failed)
	}
}

func TestClusterGoneMidApplyReturnsWhatWasDone(t *testing.T) {
	g := on(t)
	config := rest.CopyConfig(g.env.Config)
	gate := &dying{}
	gate.wrap(config)
	c, err := New(config, Options{Fleet: g.env.Prefix, Concurrency: 1})
	if err != nil {
		t.Fatal(err)
	}
	g.sync(g.target("web", configMaps("old")))
	target := g.target("web", configMaps("a", "b", "c"))
	target.FirstApply, target.Kinds = true, Kinds(target)
	target.Options.PruneFirst = true // and yet nothing is pruned
	gate.only, gate.after = "PATCH", 1
	result, err := c.Sync(t.Context(), target)
	var unreachable *cluster.UnreachableError
	if !errors.As(err, &unreachable) || result.Changes.Count(change.Created) != 1 {
		t.Errorf("%v:\n%s", err, result.Changes)
	}
	if result.Changes.Count(change.Deleted, change.Skipped) > 0 {
		t.Errorf("more was said than is known:\n%s", result.Changes)
	}
	if g.live("ConfigMap", "old") == nil {
		t.Error("an object was pruned although the cluster was lost")
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stopped")
	cancel(cause)
	if _, err := g.client.Sync(ctx, target); !errors.Is(err, cause) {
		t.Errorf("a cancelled sync: %v", err)
	}
}

func TestSuspendedAppIsNotWritten(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a"))
	target.Options.Suspend = true
	result := g.sync(target)
	if len(result.Changes) > 0 || result.WaitsFor == "" || g.live("ConfigMap", "a") != nil {
		t.Errorf("%v, waits for %q", result.Changes, result.WaitsFor)
	}
}

func TestNamespaceBeingDeletedIsNamed(t *testing.T) {
	g := on(t) // without controllers, a namespace stays in Terminating
	g.delete("Namespace", g.namespace)
	result := g.sync(g.target("web", configMaps("a")))
	if entry := entryOf(result.Changes, "ConfigMap", "a"); entry.Action != change.Failed || !strings.Contains(entry.Reason, "namespace is being deleted") {
		t.Errorf("%s: %s", entry.Action, entry.Reason)
	}
	own := g.sync(g.target("own", configMaps("a")+"apiVersion: v1\nkind: Namespace\nmetadata: {name: NS}\n"))
	if entry := entryOf(own.Changes, "ConfigMap", "a"); entry.Action != change.Skipped || own.WaitsFor == "" {
		t.Errorf("%s: %s, waits for %q", entry.Action, entry.Reason, own.WaitsFor)
	}
}

func TestFacts(t *testing.T) {
	g := on(t)
	facts, err := g.client.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(facts.KubernetesVersion, "v1.") || !facts.Scopes["ConfigMap"] || facts.Scopes["Namespace"] || !facts.Scopes["Deployment.apps"] {
		t.Errorf("facts %+v", facts)
	}
	for _, want := range []string{"v1", "apps/v1", "apps/v1/Deployment"} {
		found := false
		for _, version := range facts.APIVersions {
			found = found || version == want
		}
		if !found {
			t.Errorf("%s is not among the versions", want)
		}
	}
}

func TestCreateNamespaceCostsNothingWhenNothingIsToBeDone(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a"))
	target.Options.CreateNamespace = true
	result := g.sync(target)
	target.Tracked = []Tracked{}
	g.requests.take()
	again := g.sync(g.knowing(target, result))
	g.want("unchanged ConfigMap a", "somebody else has the namespace", again.Changes)
	if all, _ := g.requests.take(); len(all) > 0 {
		t.Errorf("cost %q", all)
	}
}
