package desired

import (
	"slices"
	"strings"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/checks"
)

func definition(scope string) string {
	return "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: gears.example.org}\nspec:\n  group: example.org\n" +
		"  scope: " + scope + "\n  names: {kind: Gear, plural: gears}\n  versions: [{name: v1, served: true, storage: true}]\n"
}

func TestDefinitionsOfOtherApps(t *testing.T) {
	files := fleetFiles()
	files["deliveries/crds.yaml"] = delivery("crds", "source: {path: crds}")
	files["deliveries/gears.yaml"] = delivery("gears", "source: {path: gears}")
	files["gears/gear.yaml"] = "apiVersion: example.org/v1\nkind: Gear\nmetadata: {name: a}\n"
	const limited = "namespace: shop\n  limits: {kinds: [ConfigMap]}\n  source: {path: crds}"
	tests := []struct {
		reason      string
		definitions map[string]string
		facts       map[string]bool
		want        string // namespace of the object in Git without one
	}{
		{"a namespaced kind gets the Delivery's namespace", map[string]string{"crds/a.yaml": definition("Namespaced")}, nil, "shop"},
		{"a cluster-wide one none", map[string]string{"crds/a.yaml": definition("Cluster")}, nil, ""},
		{"Git counts before what the cluster still has", map[string]string{"crds/a.yaml": definition("Cluster")}, map[string]bool{"Gear.example.org": true}, ""},
		{"apps that differ leave it to the cluster", map[string]string{"crds/a.yaml": definition("Cluster"), "settings/a.yaml": definition("Namespaced")},
			map[string]bool{"Gear.example.org": true}, "shop"},
		{"what an app may not have defines nothing", map[string]string{"crds/a.yaml": definition("Cluster"), "deliveries/crds.yaml": strings.Replace(delivery("crds", limited), "  namespace: shop\n", "", 1)},
			map[string]bool{"Gear.example.org": true}, "shop"},
		{"without a definition the cluster counts", map[string]string{"crds/a.yaml": configMap("a", "a")}, map[string]bool{"Gear.example.org": true}, "shop"},
	}
	for _, test := range tests {
		r := newRepository(t)
		r.commit(files)
		r.commit(test.definitions)
		p := r.open(nil)
		pinned := pin(t, p)
		facts := func(string) app.Facts { return app.Facts{Scopes: test.facts} }
		compiled, err := p.Compile(t.Context(), pinned, []string{"dev-1"}, facts)
		if err != nil {
			t.Fatal(err)
		}
		apps := compiled["dev-1"].Apps
		i := slices.IndexFunc(apps, func(d app.Desired) bool { return d.Name == "gears" })
		if apps[i].Err != nil {
			t.Fatalf("%s: %v", test.reason, apps[i].Err)
		}
		if have := apps[i].Bundle.Objects[0].GetNamespace(); have != test.want {
			t.Errorf("%s: namespace %q, want %q", test.reason, have, test.want)
		}
		renders := p.render.Stats().Renders
		if _, err := p.Compile(t.Context(), pinned, []string{"dev-1", "prod-eu"}, facts); err != nil {
			t.Fatal(err)
		}
		if more := p.render.Stats().Renders - renders; more != 1 {
			t.Errorf("%s: %d renders of what was rendered, want that of prod's overlay alone", test.reason, more)
		}
	}
}

func TestChecks(t *testing.T) {
	r := newRepository(t)
	r.commit(fleetFiles())
	p := r.open(nil)
	if pinned := pin(t, p); pinned.Checks != (checks.Checks{}) {
		t.Errorf("without any: %+v", pinned.Checks)
	}
	r.commit(map[string]string{"health/example.org/Gear/health.lua": `return {status = "Healthy"}`})
	good := pin(t, p)
	if good.Checks.Files == nil || good.Checks.Digest == "" || len(good.Problems) > 0 {
		t.Errorf("a good one: %+v, %v", good.Checks, good.Problems)
	}
	r.commit(map[string]string{"README.md": "words\n"})
	if same := pin(t, p); same.Checks.Digest != good.Checks.Digest {
		t.Errorf("a commit that does not touch the checks gives them another digest")
	}
	r.commit(map[string]string{"health/core/Service/health.lua": "local x = 1\nreturn }", "health/core/Pod/helth.lua": "return {}"})
	bad := pin(t, p)
	text := bad.Problems.Error()
	if bad.Checks.Digest == good.Checks.Digest || len(bad.Problems) != 2 || !strings.Contains(text, "health/core/Service/health.lua:2:1: ") ||
		!strings.Contains(text, "health/core/Pod/helth.lua:1:1: nothing reads this file") {
		t.Errorf("broken ones: %v", bad.Problems)
	}
	for name, c := range compile(t, p, bad) {
		if c.Incomplete != nil || len(c.Apps) != 2 {
			t.Errorf("%s: a broken check is no reason to lose apps: %+v", name, c.Assignment)
		}
	}
}
