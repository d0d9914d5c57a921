package apply

import (
	"strings"
	"testing"
	"time"

	"nave.dev/internal/change"
)

const podAutoscaler = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: NS}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 9
`

// later moves the clients' clocks on, past every cache.
func (g *ground) later() {
	now := time.Now().Add(time.Hour)
	g.client.options.Now = func() time.Time { return now }
}

// scale sets replicas as an autoscaler does.
func (g *ground) scale(manager, replicas string) {
	g.Helper()
	g.patch(manager, "Deployment", "web", `{"spec":{"replicas":`+replicas+`}}`, "scale")
}

func TestRule2AutoscalerOwnsReplicas(t *testing.T) {
	for name, stated := range map[string]string{"Git states a number": web, "Git states none": strings.Replace(web, "  replicas: 2\n", "", 1)} {
		t.Run(name, func(t *testing.T) {
			g := on(t)
			none := stated != web
			first := "2"
			if none {
				first = "1"
			}
			target := g.target("web", stated)
			result := g.sync(target)
			g.wantField(first, "no autoscaler yet", "Deployment", "web", "spec", "replicas")
			if none {
				g.scale("kubectl", "3")
				first = "3"
			}

			// The autoscaler arrives in Git: nothing moves.
			with := g.with(g.knowing(target, result), stated+"---\n"+podAutoscaler)
			result = g.sync(with)
			g.wantField(first, "adding an autoscaler moves no replicas", "Deployment", "web", "spec", "replicas")
			g.scale("horizontal-pod-autoscaler", "6")
			repaired := g.repair(g.knowing(with, result))
			if n := repaired.Changes.Count(change.Unchanged); n != 4 {
				t.Errorf("the autoscaler's work is taken for drift:\n%s", repaired.Changes)
			}
			changed := g.sync(g.knowing(g.with(with, strings.Replace(stated, "web:1", "web:2", 1)+"---\n"+podAutoscaler), repaired))
			g.wantField("6", "an apply leaves the autoscaler's number", "Deployment", "web", "spec", "replicas")

			// It leaves Git: Git's number applies, or the live one stays.
			gone := g.sync(g.knowing(g.with(with, strings.Replace(stated, "web:1", "web:2", 1)), changed))
			if gone.Changes.Count(change.Deleted) != 1 {
				t.Fatalf("the autoscaler was not pruned:\n%s", gone.Changes)
			}
			want := "2"
			if none {
				want = "6"
			}
			g.wantField(want, "after the autoscaler", "Deployment", "web", "spec", "replicas")
		})
	}
}

func TestRule2LiveAutoscalerOfSomebodyElseOwnsReplicas(t *testing.T) {
	g := on(t)
	target := g.target("web", web)
	result := g.sync(target)
	g.create("kubectl-autoscale", podAutoscaler)
	g.scale("horizontal-pod-autoscaler", "7")
	g.later()
	result = g.repair(g.knowing(target, result))
	if result.Changes.Count(change.Unchanged) != 3 {
		t.Errorf("the autoscaler's work is taken for drift:\n%s", result.Changes)
	}
	g.wantField("7", "the autoscaler decides", "Deployment", "web", "spec", "replicas")
	g.delete("HorizontalPodAutoscaler", "web")
	g.client = g.another()
	g.sync(target)
	g.wantField("2", "without it Git's number applies", "Deployment", "web", "spec", "replicas")
}

func TestRule2AdoptingAnAutoscaledWorkloadMovesNothing(t *testing.T) {
	g := on(t)
	g.create("kubectl-client-side-apply", old+"---\n"+podAutoscaler)
	target := g.target("web", web+"---\n"+podAutoscaler)
	for _, field := range entryOf(g.diff(target), "Deployment", "web").Fields {
		if field.Path == "spec.replicas" {
			t.Errorf("the diff says %s", field)
		}
	}
	g.sync(target)
	g.wantField("5", "adoption moves no replicas", "Deployment", "web", "spec", "replicas")
	g.patch("x", "Deployment", "web", `{"metadata":{"finalizers":null}}`)
}

func TestRule2NumberDroppedFromGitStays(t *testing.T) {
	g := on(t)
	target := g.target("web", strings.Replace(web, "replicas: 2", "replicas: 4", 1))
	target.Known = g.sync(target).Baselines
	without := g.with(target, strings.Replace(web, "  replicas: 2\n", "", 1))
	for _, field := range entryOf(g.diff(without), "Deployment", "web").Fields {
		t.Errorf("the diff says %s", field)
	}
	result := g.sync(without)
	g.wantField("4", "the live number stays", "Deployment", "web", "spec", "replicas")
	g.sync(g.knowing(without, result))
	g.wantField("4", "and goes on to stay", "Deployment", "web", "spec", "replicas")
	g.sync(target)
	g.wantField("4", "Git states it again", "Deployment", "web", "spec", "replicas")
	g.sync(g.with(target, strings.Replace(web, "replicas: 2", "replicas: 3", 1)))
	g.wantField("3", "the hand-over does not get into Git's way", "Deployment", "web", "spec", "replicas")
}

func TestRule2InjectedBundlesAreNotFoughtOver(t *testing.T) {
	g := on(t)
	const hook = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: PREFIX}
webhooks:
- name: a.example.org
  clientConfig: {url: "https://a.example.org", caBundle: ""}
  sideEffects: None
  admissionReviewVersions: [v1]
  rules: [{apiGroups: [example.org], apiVersions: [v1], operations: [CREATE], resources: [none]}]
`
	g.onEnd("ValidatingWebhookConfiguration", "PREFIX")
	target := g.target("web", hook)
	result := g.sync(target)
	// As cert-manager's injector does.
	live := g.live("ValidatingWebhookConfiguration", "PREFIX")
	live.Object["webhooks"].([]any)[0].(map[string]any)["clientConfig"].(map[string]any)["caBundle"] = "Y2VydA=="
	g.update("cainjector", live)
	repaired := g.repair(g.knowing(target, result))
	g.want("unchanged ValidatingWebhookConfiguration PREFIX", "an injected bundle is its injector's", repaired.Changes)
	g.sync(g.with(g.knowing(target, repaired), strings.Replace(hook, "[CREATE]", "[UPDATE]", 1)))
	g.wantField(`"Y2VydA=="`, "an apply leaves it", "ValidatingWebhookConfiguration", "PREFIX", "webhooks", 0, "clientConfig", "caBundle")
	g.wantField(`["UPDATE"]`, "the rest is applied", "ValidatingWebhookConfiguration", "PREFIX", "webhooks", 0, "rules", 0, "operations")
}

func TestRule2AggregatedRulesAreNotFoughtOver(t *testing.T) {
	g := on(t)
	const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: PREFIX}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {x: "y"}}]}
rules: []
`
	g.onEnd("ClusterRole", "PREFIX")
	target := g.target("web", role)
	result := g.sync(target)
	g.patch("kubectl-edit", "ClusterRole", "PREFIX", `{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`)
	g.want("unchanged ClusterRole PREFIX", "the controller fills the rules in", g.aggregate(target, result).Changes)
	g.sync(g.with(target, strings.Replace(role, `x: "y"`, `x: "z"`, 1)))
	g.wantField(`["get"]`, "an apply leaves them", "ClusterRole", "PREFIX", "rules", 0, "verbs")
}

// aggregate gives the rules to the controller's manager and repairs.
func (g *ground) aggregate(target Target, result Result) Result {
	g.Helper()
	live := g.live("ClusterRole", "PREFIX")
	live.Object["rules"].([]any)[0].(map[string]any)["resources"] = []any{"nodes"}
	g.update("clusterrole-aggregation-controller", live)
	return g.repair(g.knowing(target, result))
}
