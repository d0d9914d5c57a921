package desired

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/desired/family"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/desired/parts"
)

// fleetURL is what Applications call the fleet repository.
const fleetURL = "https://git.example.com/acme/fleet.git"

// application is one from a directory of the fleet repository. The fields are lines
// of its metadata or spec, by their place.
func application(name, dir string, metadata string, spec ...string) string {
	return fmt.Sprintf("apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: %s\n  namespace: argocd\n  %s\nspec:\n"+
		"  project: default\n  source: {repoURL: '%s', targetRevision: HEAD, path: %s}\n  destination: {name: in-cluster, namespace: shop}\n"+
		"  syncPolicy: {automated: {prune: true}}\n  %s\n---\n", name, metadata, fleetURL, dir, strings.Join(spec, "\n  "))
}

const finalizer = "finalizers: [resources-finalizer.argocd.argoproj.io]"

// argoFiles are a fleet with a Delivery of Argo CD's kinds, whose root brings two
// apps, one of which brings another.
func argoFiles() map[string]string {
	return map[string]string{
		"fleet.yaml":            "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec: {urls: ['" + fleetURL + "']}\n",
		"clusters/prod-eu.yaml": cluster("prod-eu", "prod"),
		"clusters/dev-1.yaml":   cluster("dev-1", "dev"),
		"deliveries/root.yaml":  delivery("root", "source: {path: argocd}"),
		"argocd/web.yaml":       application("web", "web", finalizer),
		"argocd/more.yaml":      application("more", "more", finalizer) + configMap("beside", "a"),
		"more/deep.yaml":        application("deep", "deep", finalizer),
		"web/web.yaml":          deployment("web:1"),
		"deep/deep.yaml":        configMap("deep", "a"),
	}
}

func TestApplicationsBecomeApps(t *testing.T) {
	r := newRepository(t)
	r.commit(argoFiles())
	p := r.open(nil)
	compiled := compile(t, p, pin(t, p))
	for name, c := range compiled {
		want := []string{"deep: ConfigMap/deep", "more:", "root: ConfigMap/beside", "web: Deployment/web"}
		if diff := cmp.Diff(want, describe(c)); diff != "" || c.Incomplete != nil || len(c.Problems) > 0 {
			t.Errorf("%s: %v %v (-want +have):\n%s", name, c.Incomplete, c.Problems, diff)
		}
		parents := map[string]string{}
		for _, d := range c.Apps {
			parents[d.Name] = d.Options.Lineage.Parent
			if d.Options.Lineage.Delivery != "root" {
				t.Errorf("%s: %s is of the tree of %q", name, d.Name, d.Options.Lineage.Delivery)
			}
		}
		if diff := cmp.Diff(map[string]string{"root": "", "web": "root", "more": "root", "deep": "more"}, parents); diff != "" {
			t.Errorf("%s: parents (-want +have):\n%s", name, diff)
		}
	}

	// A commit to one child renders that child, and reads no Application again.
	renders := p.render.Stats().Renders
	r.commit(map[string]string{"deep/deep.yaml": configMap("deep", "b")})
	compile(t, p, pin(t, p))
	if n := p.render.Stats().Renders - renders; n != 1 {
		t.Errorf("%d renders after a change to one app, want 1", n)
	}
	if n := p.readings.Len(); n != 4 { // two looks for each cluster, of what they had at first
		t.Errorf("%d readings are remembered, want those of the first commit", n)
	}
}

func TestApplicationsAreAppliedAsTheyAre(t *testing.T) {
	for _, test := range []struct {
		reason string
		files  map[string]string
	}{
		{"the Delivery says so", map[string]string{"deliveries/root.yaml": delivery("root", "source: {path: argocd}", "dialect: {mode: apply}")}},
		{"the Cluster does", map[string]string{"clusters/dev-1.yaml": cluster("dev-1", "dev") + "spec: {dialect: {mode: apply}}\n"}},
		{"the Fleet does", map[string]string{"fleet.yaml": "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec: {defaults: {dialect: {mode: apply}}}\n"}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			r := newRepository(t)
			files := argoFiles()
			maps.Copy(files, test.files)
			r.commit(files)
			p := r.open(nil)
			c := compile(t, p, pin(t, p), "dev-1")["dev-1"]
			if diff := cmp.Diff([]string{"root: ConfigMap/beside Application/more Application/web"}, describe(c)); diff != "" {
				t.Errorf("(-want +have):\n%s", diff)
			}
			if !c.Apps[0].Options.Dialects || len(c.Trees) > 0 {
				t.Errorf("options %+v, trees %v", c.Apps[0].Options, c.Trees)
			}
		})
	}
}

// TestAnAppInErrorKeepsItsTree: whoever cannot be told may ask for others.
func TestAnAppInErrorKeepsItsTree(t *testing.T) {
	for _, test := range []struct {
		reason, file, content, says string
	}{
		{"a child that does not render", "more/deep.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: [", `app "more" of "root" is in error`},
		{"a child that is not understood", "argocd/web.yaml", strings.ReplaceAll(application("web", "web", finalizer), "name: in-cluster", "name: nowhere"), `app "web", which "root" asks for, is in error`},
		{"a repository that is no source", "argocd/web.yaml", strings.ReplaceAll(application("web", "web", finalizer), fleetURL, "https://git.example.com/other.git"),
			`app "web" of "root" is in error`},
		{"a child of the name of another Delivery", "deliveries/web.yaml", delivery("web", "source: {path: deep}"), "has the name of another app"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			r := newRepository(t)
			files := argoFiles()
			files[test.file] = test.content
			r.commit(files)
			p := r.open(nil)
			c := compile(t, p, pin(t, p), "dev-1")["dev-1"]
			if c.Incomplete == nil || !strings.Contains(c.Incomplete.Error(), test.says) {
				t.Errorf("incomplete: %v, want %q; apps %v", c.Incomplete, test.says, describe(c))
			}
		})
	}
}

func TestApplicationsThatNeverEnd(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	for i := range family.MaxGenerations + 2 {
		files[fmt.Sprintf("chain/%d/next.yaml", i)] = application(fmt.Sprintf("link-%d", i+1), fmt.Sprintf("chain/%d", i+1), "")
	}
	files["argocd/web.yaml"] = application("link-0", "chain/0", "")
	r.commit(files)
	p := r.open(nil)
	c := compile(t, p, pin(t, p), "dev-1")["dev-1"]
	if c.Incomplete == nil || !strings.Contains(c.Incomplete.Error(), "more than 16 times in a row: root > link-0 > link-1 >") {
		t.Errorf("incomplete: %v", c.Incomplete)
	}
}

func TestSeveralSourcesAreOneApp(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	first := strings.Replace(application("web", "web", ""), "source: {", "sources:\n  - {", 1)
	files["argocd/web.yaml"] = strings.Replace(first, "  destination:", "  - {repoURL: '"+fleetURL+"', path: again}\n  destination:", 1)
	files["again/web.yaml"] = deployment("web:2")
	files["again/deep.yaml"] = configMap("extra", "a")
	r.commit(files)
	p := r.open(nil)
	c := compile(t, p, pin(t, p), "dev-1")["dev-1"]
	web := c.Apps[slices.IndexFunc(c.Apps, func(d app.Desired) bool { return d.Name == "web" })]
	if web.Err != nil {
		t.Fatal(web.Err)
	}
	data, err := web.Bundle.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(data); !strings.Contains(text, "web:2") || strings.Contains(text, "web:1") || len(web.Bundle.Objects) != 2 {
		t.Errorf("the last source does not count: %s", text)
	}
	if !slices.Contains(c.Warnings["web"], "apps/Deployment shop/web is in several sources; that of the last one counts") {
		t.Errorf("warnings: %q", c.Warnings["web"])
	}
}

// TestRevisionsOfTheFleetRepository: what is tracked is the snapshot's commit,
// another revision is pinned.
func TestRevisionsOfTheFleetRepository(t *testing.T) {
	r := newRepository(t)
	r.commit(map[string]string{"web/web.yaml": deployment("web:0")})
	r.git("", "tag", "v1.0.0")
	r.git("", "tag", "part/v0.1.0")
	old := r.head()
	r.commit(map[string]string{"web/web.yaml": deployment("web:2")})
	r.git("", "tag", "part/v0.1.2")
	r.git("", "tag", "v0.1.9", old)
	newer := r.head()
	files := argoFiles()
	files["argocd/web.yaml"] = strings.Replace(application("web", "web", ""), "targetRevision: HEAD", "targetRevision: v1.x", 1)
	files["argocd/more.yaml"] = strings.Replace(application("deep", "deep", ""), "targetRevision: HEAD", "targetRevision: main", 1) +
		strings.Replace(application("part", "web", ""), "targetRevision: HEAD", "targetRevision: v0.1.*, tagPrefix: part/", 1) +
		strings.Replace(application("pinned", "web", ""), "targetRevision: HEAD", "targetRevision: v0.1.0, tagPrefix: part/", 1)
	r.commit(files)
	p := r.open(nil)
	pinned := pin(t, p)
	c := compile(t, p, pinned, "dev-1")["dev-1"]
	want := map[string][]app.Source{
		"part": {{Commit: newer, Path: "web"}}, "pinned": {{Commit: old, Path: "web"}},
		"web": {{Commit: old, Path: "web"}}, "deep": {{Commit: r.head(), Path: "deep"}}, "root": {{Commit: r.head(), Path: "argocd"}},
	}
	if diff := cmp.Diff(want, c.Sources); diff != "" {
		t.Errorf("%v (-want +have):\n%s", describe(c), diff)
	}
	if pinned.Sources["@ref:v1.x"] != old {
		t.Errorf("pinned: %v", pinned.Sources)
	}
}

func TestContextOfTheFleet(t *testing.T) {
	generated := "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all, namespace: argocd}\nspec:\n  goTemplate: true\n" +
		"  generators: [{clusters: {}}]\n  template:\n    metadata: {name: 'web-{{.name}}'}\n    spec:\n      project: default\n" +
		"      source: {repoURL: '" + fleetURL + "', targetRevision: HEAD, path: web}\n      destination: {name: '{{.name}}', namespace: shop}\n"
	files := argoFiles()
	delete(files, "argocd/web.yaml")
	files["argocd/more.yaml"] = generated
	files["deliveries/root.yaml"] = delivery("root", "source: {path: argocd}", "dialect: {context: fleet}")
	t.Run("each gets its own", func(t *testing.T) {
		r := newRepository(t)
		r.commit(files)
		p := r.open(nil)
		for name, c := range compile(t, p, pin(t, p)) {
			if diff := cmp.Diff([]string{"root:", "web-" + name + ": Deployment/web"}, describe(c)); diff != "" || c.Incomplete != nil {
				t.Errorf("%s: %v %v (-want +have):\n%s", name, c.Incomplete, c.Problems, diff)
			}
		}
	})
	t.Run("its own objects have no place", func(t *testing.T) {
		r := newRepository(t)
		r.commit(files)
		r.commit(map[string]string{"argocd/beside.yaml": configMap("beside", "a")})
		p := r.open(nil)
		c := compile(t, p, pin(t, p), "dev-1")["dev-1"]
		if err := c.Apps[0].Err; err == nil || !strings.Contains(err.Error(), "let one of its clusters have the alias in-cluster") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("its own objects go to the cluster that is called so", func(t *testing.T) {
		r := newRepository(t)
		r.commit(files)
		r.commit(map[string]string{"argocd/beside.yaml": configMap("beside", "a"), "clusters/dev-1.yaml": cluster("dev-1", "dev") + "spec: {aliases: [in-cluster]}\n"})
		p := r.open(nil)
		compiled := compile(t, p, pin(t, p))
		for name, want := range map[string]string{"dev-1": "root: ConfigMap/beside", "prod-eu": "root:"} {
			if have := describe(compiled[name])[0]; have != want {
				t.Errorf("%s has %q, want %q", name, have, want)
			}
		}
	})
}

// TestWhoWaitsForADeliveryWaitsForItsTree: a Delivery is not there before what came of it.
func TestWhoWaitsForADeliveryWaitsForItsTree(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	files["deliveries/last.yaml"] = delivery("last", "source: {path: deep}", "dependsOn: [root]")
	r.commit(files)
	p := r.open(nil)
	c := compile(t, p, pin(t, p), "dev-1")["dev-1"]
	last := c.Apps[slices.IndexFunc(c.Apps, func(d app.Desired) bool { return d.Name == "last" })]
	if diff := cmp.Diff([]string{"deep", "more", "root", "web"}, last.Options.DependsOn); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}

// fromGit hands what a commit says to dev-1, which had what the entry says.
func fromGit(t *testing.T, p *Pipeline, last ledger.Entry, bundles map[string]*app.Bundle, settled map[string]string) Given {
	t.Helper()
	c := compile(t, p, pin(t, p), "dev-1")["dev-1"]
	given := Handover("s", map[string]Receiver{"dev-1": {
		Assignment: c.Assignment, Trees: c.Trees, Last: last, Settled: settled,
		Found:  func(string) (bool, bool) { return false, true },
		Bundle: func(digest string) *app.Bundle { return bundles[digest] },
	}}, 0)["dev-1"]
	for _, d := range given.Apps {
		if d.Bundle != nil {
			bundles[d.Bundle.Digest] = d.Bundle
		}
	}
	return given
}

func TestAChildThatIsNoLongerAskedFor(t *testing.T) {
	const without = ""
	for _, test := range []struct {
		reason  string
		before  map[string]string
		change  map[string]string
		removed []string
	}{
		{"with the finalizer", nil, map[string]string{"argocd/web.yaml": without}, []string{"web"}},
		{"without it", map[string]string{"argocd/web.yaml": application("web", "web", "")}, map[string]string{"argocd/web.yaml": without}, nil},
		{"with its parent", nil, map[string]string{"argocd/more.yaml": configMap("beside", "a")}, []string{"deep", "more"}},
		{"with a parent that stays behind", map[string]string{"argocd/more.yaml": application("more", "more", "")}, map[string]string{"argocd/more.yaml": configMap("beside", "a")}, nil},
		{"while another is in error", nil, map[string]string{"argocd/web.yaml": without, "more/deep.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: ["}, nil},
		{"while its Delivery is in error", nil, map[string]string{"argocd/web.yaml": "a: ["}, nil},
		{"of a Delivery that does not prune", nil, map[string]string{"argocd/web.yaml": without, "deliveries/root.yaml": delivery("root", "source: {path: argocd}", "prune: false")}, nil},
		{"of a Delivery that goes", nil, map[string]string{"deliveries/root.yaml": without}, nil},
		{"of a Delivery that applies it now", nil, map[string]string{"deliveries/root.yaml": delivery("root", "source: {path: argocd}", "dialect: {mode: apply}")}, nil},
		{"of a Delivery that is read for the fleet now", nil, map[string]string{"argocd/web.yaml": without,
			"clusters/dev-1.yaml":  cluster("dev-1", "dev") + "spec: {aliases: [in-cluster]}\n",
			"deliveries/root.yaml": delivery("root", "source: {path: argocd}", "dialect: {context: fleet}")}, nil},
	} {
		t.Run(test.reason, func(t *testing.T) {
			r := newRepository(t)
			files := argoFiles()
			maps.Copy(files, test.before)
			r.commit(files)
			p := r.open(nil)
			bundles := map[string]*app.Bundle{}
			first := fromGit(t, p, ledger.Entry{}, bundles, nil)
			r.commit(test.change)
			given := fromGit(t, p, first.Entry, bundles, nil)
			var removed []string
			for _, d := range given.Apps {
				if d.Removed {
					removed = append(removed, d.Name)
				}
			}
			if diff := cmp.Diff(test.removed, removed); diff != "" {
				t.Fatalf("removed (-want +have):\n%s", diff)
			}
			if removed == nil {
				return
			}
			// It is given until nothing of it is left, over a restart of the hub as well.
			again := fromGit(t, p, given.Entry, bundles, nil)
			if again.Digest() != given.Digest() {
				t.Errorf("given again %v, want what was given before", again.Apps)
			}
			settled := map[string]string{}
			for _, name := range removed {
				settled[name] = parts.Nothing.Digest
			}
			end := fromGit(t, p, again.Entry, bundles, settled)
			for _, name := range removed {
				if _, known := end.Entry.Apps[name]; known || slices.ContainsFunc(end.Apps, func(d app.Desired) bool { return d.Name == name }) {
					t.Errorf("%s is still given, or remembered: %+v", name, end.Entry.Apps[name])
				}
			}
			if lost := fromGit(t, p, first.Entry, map[string]*app.Bundle{}, nil); slices.ContainsFunc(lost.Apps, func(d app.Desired) bool { return d.Removed }) {
				t.Error("an app whose objects nobody knows is removed")
			}
		})
	}
}

// What a child's objects were asked to wait for, its removal waits for.
func TestRemovalThatIsConfirmed(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	files["argocd/web.yaml"] = strings.Replace(files["argocd/web.yaml"], "{prune: true}", "{prune: true}, syncOptions: [Delete=confirm]", 1)
	r.commit(files)
	p := r.open(nil)
	bundles := map[string]*app.Bundle{}
	first := fromGit(t, p, ledger.Entry{}, bundles, nil)
	r.commit(map[string]string{"argocd/web.yaml": "", "argocd/more.yaml": configMap("beside", "a")})
	removed := map[string]bool{}
	for _, d := range fromGit(t, p, first.Entry, bundles, nil).Apps {
		if d.Removed {
			removed[d.Name] = d.Options.HoldPrunes
		}
	}
	if diff := cmp.Diff(map[string]bool{"web": true, "more": false, "deep": false}, removed); diff != "" {
		t.Errorf("removed, and whether its deletions are held (-want +have):\n%s", diff)
	}
}

func TestPlanShowsWhichChildrenGo(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	files["argocd/more.yaml"] = application("more", "more", "")
	first := r.commit(files)
	second := r.commit(map[string]string{"argocd/web.yaml": "", "argocd/more.yaml": configMap("beside", "a")})
	p := r.open(nil)
	pin(t, p)
	plan, err := p.Plan(t.Context(), v1alpha1.Revision{Commit: first}, v1alpha1.Revision{Commit: second})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]change.Action{}
	for _, group := range plan.Groups {
		for _, entry := range group.Changes {
			have[group.App+" "+entry.Object.Name] = entry.Action
		}
	}
	want := map[string]change.Action{"web web": change.Deleted, "deep deep": change.Orphaned, "root beside": change.Created}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-want +have):\n%s\n%s", diff, plan)
	}
}

// TestWhatIsLeftAloneStays: an object that was applied and is then taken for a part
// of Argo CD itself is not deleted, nor is it when it goes from Git after that; and
// a removed app leaves the namespace that was made for it.
func TestWhatIsLeftAloneStays(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	files["argocd/web.yaml"] = strings.Replace(application("web", "web", finalizer), "{prune: true}", "{prune: true}, syncOptions: [CreateNamespace=true]", 1)
	files["web/cm.yaml"] = configMap("argocd-cm", "a")
	r.commit(files)
	p := r.open(nil)
	bundles := map[string]*app.Bundle{}
	leaves := func(given Given, name string) app.ObjectRules {
		for _, d := range given.Apps {
			if d.Name == name && d.Err == nil {
				return d.Options.Leaves
			}
		}
		t.Fatalf("%s is not given", name)
		return nil
	}
	given := fromGit(t, p, ledger.Entry{}, bundles, nil)
	if rules := leaves(given, "web"); rules != nil {
		t.Errorf("at first %v are left alone", rules)
	}
	part := app.ObjectRules{{Kind: "ConfigMap", Name: "argocd-cm"}}
	for _, step := range []struct {
		reason string
		change map[string]string
		want   app.ObjectRules
	}{
		{"it becomes a part", map[string]string{"web/cm.yaml": strings.Replace(configMap("argocd-cm", "a"), "metadata: {",
			"metadata: {labels: {app.kubernetes.io/name: argocd-cm, app.kubernetes.io/part-of: argocd}, ", 1)}, part},
		{"it goes from Git", map[string]string{"web/cm.yaml": ""}, part},
		{"it comes back as an ordinary object", map[string]string{"web/cm.yaml": configMap("argocd-cm", "b")}, nil},
	} {
		r.commit(step.change)
		given = fromGit(t, p, given.Entry, bundles, nil)
		if diff := cmp.Diff(step.want, leaves(given, "web")); diff != "" {
			t.Errorf("%s (-want +have):\n%s", step.reason, diff)
		}
	}
	r.commit(map[string]string{"argocd/web.yaml": ""})
	for range 2 {
		given = fromGit(t, p, given.Entry, bundles, nil)
		if diff := cmp.Diff(app.ObjectRules{{Kind: "Namespace", Name: "shop"}}, leaves(given, "web")); diff != "" {
			t.Errorf("the app goes (-want +have):\n%s", diff)
		}
	}
}

// TestWhoAskedForAnAppGoesOn: another app that asks for it with other content takes
// nothing, as long as it is known which one did before.
func TestWhoAskedForAnAppGoesOn(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	files["argocd/aaa.yaml"] = application("aaa", "aaa", finalizer)
	files["aaa/deep.yaml"] = application("deep", "web", finalizer)
	r.commit(files)
	p := r.open(nil)
	for _, test := range []struct{ reason, before, parent string }{
		{"nobody knows", "", ""},
		{"the one that comes later did", "more", "more"},
		{"the one that comes first did", "aaa", "aaa"},
		{"an app that does no longer did", "web", ""},
	} {
		members := map[string]Member{"dev-1": {Parent: func(name string) string {
			if name != "deep" {
				t.Errorf("%s: asked for the parent of %s, which only one app asks for", test.reason, name)
			}
			return test.before
		}}}
		compiled, err := p.CompileFor(t.Context(), pin(t, p), members)
		if err != nil {
			t.Fatal(err)
		}
		c := compiled["dev-1"]
		deep := c.Apps[slices.IndexFunc(c.Apps, func(d app.Desired) bool { return d.Name == "deep" })]
		if (deep.Err == nil) != (test.parent != "") || deep.Err == nil && deep.Options.Lineage.Parent != test.parent {
			t.Errorf("%s: deep comes of %q: %v", test.reason, deep.Options.Lineage.Parent, deep.Err)
		}
	}
}

// TestAnotherDeliveryTakesNoName: an Application of a Delivery that has the name of
// another's stops nothing, as long as it is known whose it was.
func TestAnotherDeliveryTakesNoName(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	files["deliveries/tenant.yaml"] = delivery("tenant", "source: {path: tenant}")
	files["tenant/web.yaml"] = application("web", "deep", finalizer)
	r.commit(files)
	p := r.open(nil)
	for _, refused := range []bool{false, true} {
		if refused { // its own project does not let it have the other one
			r.commit(map[string]string{"tenant/web.yaml": project(inShop) + strings.Replace(application("mine", "mine", ""), "project: default", "project: shop", 1),
				"mine/web.yaml": application("web", "deep", finalizer)})
		}
		for _, test := range []struct{ reason, before, delivery string }{
			{"nobody knows", "", ""},
			{"it was the one's", "root", "root"},
			{"it was the other's", "tenant", "tenant"},
			{"it was somebody else's", "more", ""},
		} {
			if refused && test.delivery == "tenant" {
				continue
			}
			members := map[string]Member{"dev-1": {Parent: func(string) string { return test.before }}}
			compiled, err := p.CompileFor(t.Context(), pin(t, p), members)
			if err != nil {
				t.Fatal(err)
			}
			c := compiled["dev-1"]
			web := c.Apps[slices.IndexFunc(c.Apps, func(d app.Desired) bool { return d.Name == "web" })]
			if (web.Err == nil) != (test.delivery != "") || web.Err == nil && web.Options.Lineage.Delivery != test.delivery {
				t.Errorf("%s: web is of %q: %v", test.reason, web.Options.Lineage.Delivery, web.Err)
			}
			if c.Incomplete == nil || !strings.Contains(errors.Join(c.Problems...).Error(), "has the name of another app") {
				t.Errorf("%s: incomplete %v, problems %v", test.reason, c.Incomplete, c.Problems)
			}
		}
	}
}

// TestWhatCouldNotBeReadIsReadAgain: a generator that fails says nothing of the next
// time, whatever it was asked.
func TestWhatCouldNotBeReadIsReadAgain(t *testing.T) {
	r := newRepository(t)
	files := argoFiles()
	files["argocd/set.yaml"] = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: set, namespace: argocd}\nspec:\n" +
		"  generators: [{git: {repoURL: '" + fleetURL + "', revision: HEAD, files: [{path: list.yaml}]}}]\n" +
		"  template: {metadata: {name: '{{name}}'}, spec: {project: default, source: {repoURL: '" + fleetURL + "', path: web}, destination: {name: in-cluster, namespace: shop}}}\n"
	files["list.yaml"] = "- [\n"
	r.commit(files)
	p := r.open(nil)
	if c := compile(t, p, pin(t, p), "dev-1")["dev-1"]; c.Incomplete == nil || p.readings.Len() != 0 {
		t.Errorf("incomplete: %v; %d readings are remembered", c.Incomplete, p.readings.Len())
	}
	r.commit(map[string]string{"list.yaml": "- name: more-web\n"})
	if c := compile(t, p, pin(t, p), "dev-1")["dev-1"]; c.Incomplete != nil || p.readings.Len() == 0 {
		t.Errorf("incomplete: %v; %d readings are remembered", c.Incomplete, p.readings.Len())
	}
}
