package desired

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/api/v1alpha1"
)

// planOf returns the plan of the last commit of r.
func planOf(t *testing.T, r *repository) *Plan {
	t.Helper()
	p := r.open(nil)
	fetch(t, p, nil)
	before := strings.TrimSpace(r.git("", "rev-parse", "HEAD~1"))
	plan, err := p.Plan(t.Context(), v1alpha1.Revision{Commit: before}, v1alpha1.Revision{Commit: r.head()})
	if err != nil {
		t.Fatal(err)
	}
	if plan.From != before || plan.To != r.head() {
		t.Errorf("the plan is from %s to %s", plan.From, plan.To)
	}
	return plan
}

func configMaps(from, to int) string {
	var manifests []string
	for i := from; i <= to; i++ {
		manifests = append(manifests, configMap(fmt.Sprintf("c%d", i), "a"))
	}
	return strings.Join(manifests, "---\n")
}

func secret(value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: %s, user: app}\n", value)
}

func TestPlan(t *testing.T) {
	const limited = "limits: {namespaces: [shop], kinds: [ConfigMap]}"
	tests := []struct {
		reason        string
		before, after map[string]string // beside fleetFiles; the second is the change
		want          string
	}{
		{
			"a commit that changes nothing for the clusters", nil, map[string]string{"README.md": "words\n"}, `
0 of 3 clusters change
`}, {
			"a line in the base is one change of all clusters", nil, map[string]string{"web/base/web.yaml": deployment("web:2")}, `
web on all 3 clusters
  updated   apps/Deployment shop/web
              spec.template.spec.containers[name=web].image: "example.org/web:1" -> "example.org/web:2"

3 of 3 clusters change
`}, {
			"a line in an overlay is one change of those that share it", nil,
			map[string]string{"web/overlays/prod/kustomization.yaml": "resources: [../../base]\nreplicas: [{name: web, count: 5}]\n"}, `
web on prod-eu, prod-us
  updated   apps/Deployment shop/web
              spec.replicas: 3 -> 5

2 of 3 clusters change
`}, {
			"another change of another app", nil, map[string]string{
				"web/overlays/dev/kustomization.yaml": "resources: [../../base]\nreplicas: [{name: web, count: 2}]\n",
				"settings/more.yaml":                  configMap("more", "a"), "settings/settings.yaml": ""}, `
settings on all 3 clusters
  deleted   ConfigMap shop/settings
  created   ConfigMap shop/more

web on dev-1
  updated   apps/Deployment shop/web
              spec.replicas: 1 -> 2

3 of 3 clusters change
`}, {
			"an app that does not render stays as it is", nil, map[string]string{
				"web/overlays/prod/kustomization.yaml": "resources: [../../base, gone.yaml]\n", "settings/settings.yaml": configMap("settings", "b")}, `
problem: web: rendering web/overlays/prod: web/overlays/prod/kustomization.yaml:PROBLEM

settings on all 3 clusters
  updated   ConfigMap shop/settings
              data.key: "a" -> "b"

3 of 3 clusters change
`}, {
			"an app that did not render", map[string]string{"settings/settings.yaml": "kind: ["}, map[string]string{"settings/settings.yaml": configMap("settings", "b")}, `
settings on all 3 clusters
  what it was before cannot be told, so that all of it counts as new
  created   ConfigMap shop/settings

3 of 3 clusters change
`}, {
			"a new cluster", nil, map[string]string{"clusters/prod-ap.yaml": cluster("prod-ap", "prod")}, `
settings on prod-ap
  created   ConfigMap shop/settings

web on prod-ap
  created   apps/Deployment shop/web

1 of 4 clusters change
`}, {
			"a cluster that leaves", nil, map[string]string{"clusters/dev-1.yaml": ""}, `
* on dev-1
  the cluster leaves the fleet; its objects stay

1 of 3 clusters change
`}, {
			"a cluster whose document cannot be read does not", nil, map[string]string{"clusters/dev-1.yaml": "kind: ["}, `
problem: clusters/dev-1.yaml:PROBLEM

0 of 3 clusters change
`}, {
			"an app that leaves", nil, map[string]string{"deliveries/settings.yaml": ""}, `
settings on all 3 clusters
  leaves the cluster; its objects stay as orphans
  orphaned  ConfigMap shop/settings

3 of 3 clusters change
`}, {
			"a Delivery in error is one problem, wherever it applies", nil, map[string]string{"deliveries/settings.yaml": delivery("settings", "source: {path: settings}", "prune: 3")}, `
problem: deliveries/settings.yaml:PROBLEM

0 of 3 clusters change
`}, {
			"an app whose document cannot be read does not", nil, map[string]string{"deliveries/settings.yaml": "kind: ["}, `
problem: deliveries/settings.yaml:PROBLEM

0 of 3 clusters change
`}, {
			"more than may go unasked", map[string]string{"settings/settings.yaml": configMaps(1, 8)}, map[string]string{"settings/settings.yaml": configMaps(1, 2)}, `
settings on all 3 clusters
  held      ConfigMap shop/c3: 6 of the app's 8 objects would go, more than 5
  held      ConfigMap shop/c4: 6 of the app's 8 objects would go, more than 5
  held      ConfigMap shop/c5: 6 of the app's 8 objects would go, more than 5
  held      ConfigMap shop/c6: 6 of the app's 8 objects would go, more than 5
  held      ConfigMap shop/c7: 6 of the app's 8 objects would go, more than 5
  held      ConfigMap shop/c8: 6 of the app's 8 objects would go, more than 5
  what is held goes with confirmPrune: 125cc0b7528b1a1c65eac9f5b69957fc

3 of 3 clusters change
`}, {
			"what was confirmed with the commit", map[string]string{"settings/settings.yaml": configMaps(1, 8)}, map[string]string{
				"settings/settings.yaml":   configMaps(1, 2),
				"deliveries/settings.yaml": delivery("settings", "source: {path: settings}", "confirmPrune: 125cc0b7528b1a1c65eac9f5b69957fc")}, `
settings on all 3 clusters
  its options change: confirmPrune: (none) -> "125cc0b7528b1a1c65eac9f5b69957fc"
  deleted   ConfigMap shop/c3: confirmed by confirmPrune
  deleted   ConfigMap shop/c4: confirmed by confirmPrune
  deleted   ConfigMap shop/c5: confirmed by confirmPrune
  deleted   ConfigMap shop/c6: confirmed by confirmPrune
  deleted   ConfigMap shop/c7: confirmed by confirmPrune
  deleted   ConfigMap shop/c8: confirmed by confirmPrune

3 of 3 clusters change
`}, {
			"one object of more than half of a fleet", map[string]string{"clusters/prod-ap.yaml": cluster("prod-ap", "prod"), "settings/settings.yaml": configMaps(1, 2)},
			map[string]string{"settings/settings.yaml": configMaps(1, 1)}, `
settings on all 4 clusters
  held      ConfigMap shop/c2: would go on 4 of the fleet's 4 clusters at once, more than half
  what is held goes with confirmPrune: 7af20e8782507e3b71e3cf91f346bfdf

4 of 4 clusters change
`}, {
			"the same, on a few of them", map[string]string{"clusters/prod-ap.yaml": cluster("prod-ap", "prod"), "web/overlays/dev/c2.yaml": configMap("c2", "a"),
				"web/overlays/dev/kustomization.yaml": "resources: [../../base, c2.yaml]\n"},
			map[string]string{"web/overlays/dev/kustomization.yaml": "resources: [../../base]\n"}, `
web on dev-1
  deleted   ConfigMap shop/c2

1 of 4 clusters change
`}, {
			"an app that comes out empty", nil, map[string]string{"settings/settings.yaml": "# nothing\n"}, `
settings on all 3 clusters
  skipped   ConfigMap shop/settings: the app has come out empty, which deletes nothing; to remove the app, remove its Delivery

3 of 3 clusters change
`}, {
			"an app that does not prune", map[string]string{
				"settings/settings.yaml": configMaps(1, 2), "deliveries/settings.yaml": delivery("settings", "source: {path: settings}", "prune: false")},
			map[string]string{"settings/settings.yaml": configMaps(1, 1)}, `
settings on all 3 clusters
  skipped   ConfigMap shop/c2: no longer in Git; pruning is off for this app

3 of 3 clusters change
`}, {
			"an object that another app takes", map[string]string{"settings/settings.yaml": configMaps(1, 2)},
			map[string]string{"settings/settings.yaml": configMaps(1, 1), "web/overlays/dev/c2.yaml": configMap("c2", "a"),
				"web/overlays/dev/kustomization.yaml": "resources: [../../base, c2.yaml]\nreplicas: [{name: web, count: 1}]\n"}, `
settings on dev-1
  orphaned  ConfigMap shop/c2: left to the app "web", which claims it

settings on prod-eu, prod-us
  deleted   ConfigMap shop/c2

web on dev-1
  adopted   ConfigMap shop/c2

3 of 3 clusters change
`}, {
			"what limits refuse", map[string]string{"deliveries/settings.yaml": delivery("settings", "source: {path: settings}", limited)},
			map[string]string{"settings/more.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: other}\n---\n" +
				"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\n"}, `
settings on all 3 clusters
  failed    rbac.authorization.k8s.io/ClusterRole a: limits allow the kinds ConfigMap, not ClusterRole.rbac.authorization.k8s.io
  failed    ConfigMap other/a: limits allow the namespaces shop, not "other"

3 of 3 clusters change
`}, {
			"options alone", nil, map[string]string{"deliveries/settings.yaml": delivery("settings", "source: {path: settings}", "prune: false", "deadline: 5m")}, `
settings on all 3 clusters
  its options change: deadline: "10m0s" -> "5m0s", prune: true -> false

3 of 3 clusters change
`}, {
			"whom an app waits for", map[string]string{"a/a.yaml": configMap("a", "a"), "b/b.yaml": configMap("b", "a"), "c/c.yaml": configMap("c", "a"),
				"deliveries/a.yaml": delivery("a", "source: {path: a}"), "deliveries/b.yaml": delivery("b", "source: {path: b}"),
				"deliveries/c.yaml": delivery("c", "source: {path: c}", "dependsOn: [a, b]")},
			map[string]string{"deliveries/a.yaml": "", "deliveries/c.yaml": delivery("c", "source: {path: c}", "dependsOn: [settings]")}, `
a on all 3 clusters
  leaves the cluster; its objects stay as orphans
  orphaned  ConfigMap shop/a

c on all 3 clusters
  also waits for settings; no longer waits for b

3 of 3 clusters change
`}, {
			"an app that is suspended", map[string]string{"deliveries/settings.yaml": delivery("settings", "source: {path: settings}", "suspend: true")},
			map[string]string{"settings/settings.yaml": configMap("settings", "b")}, `
settings on all 3 clusters
  is suspended: nothing is written
  updated   ConfigMap shop/settings
              data.key: "a" -> "b"

3 of 3 clusters change
`}, {
			"a hook", nil, map[string]string{"settings/hook.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {argocd.argoproj.io/hook: PreSync}}\n"}, `
settings on all 3 clusters
  hooks run: PreSync batch/Job shop/migrate

3 of 3 clusters change
`}}
	for _, test := range tests {
		r := newRepository(t)
		r.write(fleetFiles())
		r.commit(test.before)
		r.commit(test.after)
		have := planOf(t, r).String()
		// What exactly is wrong with a file is for others to say.
		if head, _, ok := strings.Cut(test.want, "PROBLEM"); ok {
			if from := len(head) - 1; len(have) > from {
				rest := have[from:]
				have = have[:from] + "PROBLEM" + rest[strings.Index(rest, "\n\n"):]
			}
		}
		if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
	}
}

func TestPlanShowsNoSecrets(t *testing.T) {
	r := newRepository(t)
	r.write(fleetFiles())
	r.commit(map[string]string{"settings/secret.yaml": secret("hunter2")})
	r.commit(map[string]string{"settings/secret.yaml": secret("sesame")})
	first, second := planOf(t, r), planOf(t, r)
	if len(first.Groups) != 1 || len(first.Groups[0].Clusters) != 3 {
		t.Fatalf("one change of three clusters is %+v", first.Groups)
	}
	fields := first.Groups[0].Changes[0].Fields
	if len(fields) != 1 || fields[0].Path != "stringData.password" || fields[0].From == fields[0].To {
		t.Errorf("that the value changes is not to be seen: %+v", fields)
	}
	if again := second.Groups[0].Changes[0].Fields[0]; again.From == fields[0].From {
		t.Errorf("two plans show one value alike, so that others can be tried: %v", again)
	}
	data, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{first.String(), string(data)} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "sesame") {
			t.Errorf("a value is in the plan:\n%s", text)
		}
	}
}

func TestPlanAsJSON(t *testing.T) {
	r := newRepository(t)
	r.commit(fleetFiles())
	r.commit(map[string]string{"README.md": "words\n"})
	plan := planOf(t, r)
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"from":%q,"to":%q,"groups":[],"clusters":3}`, plan.From, plan.To)
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
}
