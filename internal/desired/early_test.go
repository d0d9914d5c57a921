package desired

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
)

// TestEarly has a cluster that has nothing, and one that waits for the whole.
func TestEarly(t *testing.T) {
	const plain = 80
	files := fleetFiles()
	for i := range plain {
		name := fmt.Sprintf("plain-%02d", i)
		files["deliveries/"+name+".yaml"] = delivery(name, "source: {path: "+name+"}")
		files[name+"/map.yaml"] = configMap(name, "a")
	}
	files["deliveries/broken.yaml"] = delivery("broken", "source: {path: broken}")
	files["broken/map.yaml"] = "kind: [\n"
	files["deliveries/gears.yaml"] = delivery("gears", "source: {path: gears}")
	files["gears/gear.yaml"] = "apiVersion: example.org/v1\nkind: Gear\nmetadata: {name: a}\n"
	files["deliveries/maker.yaml"] = delivery("maker", "source: {path: settings}", "createNamespace: true")
	r := newRepository(t)
	r.commit(files)
	p := r.open(nil)
	pinned := pin(t, p)
	var mu sync.Mutex
	var told []*Compiled
	compiled, err := p.CompileFor(t.Context(), pinned, map[string]Member{
		"dev-1":   {Early: func(c *Compiled) { mu.Lock(); defer mu.Unlock(); told = append(told, c) }},
		"prod-eu": {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) == 0 {
		t.Fatal("nothing is told early")
	}
	next := firstEarly
	whole := compiled["dev-1"]
	for _, c := range told {
		if len(c.Apps) < next {
			t.Errorf("told of %d apps, want %d first", len(c.Apps), next)
		}
		next = 2 * len(c.Apps)
		if !errors.Is(c.Incomplete, app.ErrRendering) || c.Cluster != "dev-1" || c.Fleet != "acme" {
			t.Errorf("%d apps for the cluster %q of %q, incomplete: %v", len(c.Apps), c.Cluster, c.Fleet, c.Incomplete)
		}
		if !slices.IsSortedFunc(c.Apps, func(a, b app.Desired) int { return strings.Compare(a.Name, b.Name) }) {
			t.Error("the apps are not in order")
		}
		for _, early := range c.Apps {
			switch early.Name {
			case "broken", "gears", "maker":
				t.Errorf("%s does not wait for the rest", early.Name)
			}
			i := slices.IndexFunc(whole.Apps, func(d app.Desired) bool { return d.Name == early.Name })
			if diff := cmp.Diff(whole.Apps[i].Options, early.Options); diff != "" || whole.Apps[i].Bundle.Digest != early.Bundle.Digest {
				t.Errorf("%s is another one in the end:\n%s", early.Name, diff)
			}
			if !slices.Equal(c.Sources[early.Name], whole.Sources[early.Name]) {
				t.Errorf("the source of %s is %v", early.Name, c.Sources[early.Name])
			}
		}
	}
	if whole.Incomplete != nil || len(whole.Apps) != plain+5 {
		t.Errorf("in the end %d apps, incomplete: %v", len(whole.Apps), whole.Incomplete)
	}
}

// What cannot be told at all is why an assignment is incomplete, whatever is
// being rendered.
func TestNothingEarlyOfWhatCannotBeTold(t *testing.T) {
	files := fleetFiles()
	for i := range 2 * firstEarly {
		name := fmt.Sprintf("plain-%02d", i)
		files["deliveries/"+name+".yaml"] = delivery(name, "source: {path: settings}")
	}
	files["deliveries/torn.yaml"] = "apiVersion: nave.dev/v1alpha1\nkind: Delivery\nmetadata: {name: [\n"
	r := newRepository(t)
	r.commit(files)
	p := r.open(nil)
	compiled, err := p.CompileFor(t.Context(), pin(t, p), map[string]Member{
		"dev-1": {Early: func(c *Compiled) { t.Errorf("%d apps are told early", len(c.Apps)) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := compiled["dev-1"]; c.Incomplete == nil || errors.Is(c.Incomplete, app.ErrRendering) {
		t.Errorf("incomplete: %v", c.Incomplete)
	}
}

// project is an AppProject whose apps are in the namespace shop.
func project(fields ...string) string {
	return "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: shop, namespace: argocd}\nspec:\n  sourceRepos: ['*']\n  " +
		strings.Join(fields, "\n  ") + "\n---\n"
}

// gear is a Gear in a namespace.
func gear(namespace string) string {
	return "apiVersion: example.org/v1\nkind: Gear\nmetadata: {name: gear, namespace: " + namespace + "}\n---\n"
}

const inShop = "destinations: [{server: '*', namespace: shop}]"

// TestChildrenEarly has a cluster that has nothing, and a root of many Applications:
// they are told early where nothing that they render to could change them.
func TestChildrenEarly(t *testing.T) {
	const many = 80
	facts := app.Facts{Scopes: map[string]bool{"Gear.example.org": false}}
	wave := func(n int) string { return fmt.Sprintf("annotations: {argocd.argoproj.io/sync-wave: '%d'}", n) }
	in := func(name, dir, metadata string, spec ...string) string {
		return strings.Replace(application(name, dir, metadata, spec...), "project: default", "project: shop", 1)
	}
	files := func() map[string]string {
		files := argoFiles()
		for _, name := range []string{"argocd/web.yaml", "argocd/more.yaml", "more/deep.yaml"} {
			delete(files, name)
		}
		files["argocd/project.yaml"] = project(inShop) + configMap("beside", "a")
		for i := range many {
			name := fmt.Sprintf("app-%02d", i)
			files["argocd/"+name+".yaml"] = in(name, "apps/"+name, finalizer)
			files["apps/"+name+"/map.yaml"] = configMap(name, "a")
		}
		return files
	}
	for _, test := range []struct {
		reason string
		change map[string]string
		never  []string // told early though others are; all if it is not nil and empty
	}{
		{"a project keeps them in their namespace", nil, nil},
		{"Applications of an Application", map[string]string{"deliveries/root.yaml": delivery("root", "source: {path: top}"), "top/top.yaml": application("top", "argocd", "")}, nil},
		{"one that waits for another one waits for the whole", map[string]string{"argocd/late.yaml": in("late", "deep", wave(1))}, []string{"late"}},
		{"one that makes namespaces does", map[string]string{"argocd/maker.yaml": strings.Replace(in("maker", "deep", ""), "{prune: true}}", "{prune: true}, syncOptions: [CreateNamespace=true]}", 1)}, []string{"maker"}},
		{"one that is not understood does", map[string]string{"argocd/odd.yaml": strings.ReplaceAll(in("odd", "deep", ""), "name: in-cluster", "name: nowhere")}, []string{"odd"}},
		{"one with Applications, which its project refuses, does", map[string]string{"argocd/odd.yaml": in("odd", "odd", ""), "odd/web.yaml": in("web", "web", "")}, []string{"odd", "web"}},
		{"the root does whose Delivery another one waits for", map[string]string{"deliveries/last.yaml": delivery("last", "source: {path: deep}", "dependsOn: [root]")}, []string{"root"}},
		{"a project that lets them change others", map[string]string{"argocd/project.yaml": project("destinations: [{server: '*', namespace: '*'}]")}, []string{}},
		{"a project with Applications in other namespaces", map[string]string{"argocd/project.yaml": project(inShop, "sourceNamespaces: [shop]")}, []string{}},
		{"one of no project", map[string]string{"argocd/odd.yaml": application("odd", "deep", "")}, []string{}},
		{"one of the name of a Delivery", map[string]string{"argocd/same.yaml": in("same", "deep", ""), "deliveries/same.yaml": delivery("same", "source: {path: web}")}, []string{}},
		{"Applications whose namespace is the cluster's to say", map[string]string{"argocd/odd.yaml": strings.Replace(in("odd", "deep", ""), "namespace: argocd", "", 1)}, []string{}},
		{"an app in error that might ask for others", map[string]string{"deliveries/root.yaml": delivery("root", "source: {path: top}"),
			"top/top.yaml": application("top", "argocd", "") + application("odd", "odd", ""), "odd/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: ["}, []string{}},
		{"a generator that cannot look", map[string]string{"argocd/set.yaml": "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: set, namespace: argocd}\nspec:\n" +
			"  generators: [{git: {repoURL: elsewhere, directories: [{path: '*'}]}}]\n  template: {metadata: {name: '{{path}}'}, spec: {}}\n"}, []string{}},
		{"a Delivery with projects that is in error until more is known", map[string]string{
			"argocd/project.yaml": configMap("beside", "a"), "deliveries/projects.yaml": delivery("projects", "source: {path: projects}"), "projects/project.yaml": project(inShop),
			"deliveries/late.yaml": delivery("late", "source: {path: late}"), "late/project.yaml": project(inShop, "description: another one"), "late/gears.yaml": gear("a") + strings.Replace(gear("b"), "kind", "spec: {}\nkind", 1),
			"deliveries/crds.yaml": delivery("crds", "source: {path: crds}"), "crds/gear.yaml": definition("Namespaced"),
		}, []string{}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			all := files()
			maps.Copy(all, test.change)
			r := newRepository(t)
			r.commit(all)
			p := r.open(nil)
			var mu sync.Mutex
			told := map[string]app.Desired{}
			compiled, err := p.CompileFor(t.Context(), pin(t, p), map[string]Member{"dev-1": {Facts: facts, Early: func(c *Compiled) {
				mu.Lock()
				defer mu.Unlock()
				if !errors.Is(c.Incomplete, app.ErrRendering) {
					t.Errorf("%d apps are told of as if they were all: %v", len(c.Apps), c.Incomplete)
				}
				for _, d := range c.Apps {
					told[d.Name] = d
				}
			}}})
			if err != nil {
				t.Fatal(err)
			}
			if none := test.never != nil && len(test.never) == 0; none != (len(told) < firstEarly) {
				t.Errorf("%d apps are told early: %v", len(told), slices.Sorted(maps.Keys(told)))
			}
			for _, whole := range compiled["dev-1"].Apps { // for which their children wait
				_, early := told[whole.Name]
				if asks := whole.Name == "root" || whole.Name == "top"; asks && len(told) > 0 && early == slices.Contains(test.never, whole.Name) {
					t.Errorf("%s is told early: %t", whole.Name, early)
				}
			}
			for _, name := range test.never {
				if _, early := told[name]; early {
					t.Errorf("%s does not wait for the whole", name)
				}
			}
			for _, whole := range compiled["dev-1"].Apps {
				if whole.Name == "last" { // it waits for more than the root in the end, which has to be there first
					continue
				}
				if early, ok := told[whole.Name]; ok && (whole.Err != nil || !reflect.DeepEqual(whole.Options, early.Options) || whole.Bundle.Digest != early.Bundle.Digest) {
					t.Errorf("%s is another one in the end: %v\n%s", whole.Name, whole.Err, cmp.Diff(early.Options, whole.Options))
				}
			}
		})
	}
}
