package argocd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/dialect/dialecttest"
)

// ask reads manifests by the app that they are of, on one cluster.
func ask(t *testing.T, of map[string]string) asking.Result {
	t.Helper()
	request := asking.Request{Delivery: "root", Path: "argocd", Cluster: "prod", Members: []asking.Member{{Name: "prod"}}, Options: app.Options{Prune: true}}
	for name, text := range of {
		for _, manifest := range dialecttest.Manifests(t, []byte(text)) {
			request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: name})
		}
	}
	return (argocd.Dialect{}).Read(request)
}

// failure is why an app cannot be told, empty if it can.
func failure(result asking.Result, name string) string {
	for _, f := range result.Failed {
		if f.Name == name {
			return f.Err.Error()
		}
	}
	return ""
}

func told(result asking.Result, name string) bool {
	for _, child := range result.Children {
		if child.Name == name {
			return true
		}
	}
	return false
}

// TestNamedAsDelivery says that an Application which takes its Delivery's name
// fails itself alone: it is not its own parent.
func TestNamedAsDelivery(t *testing.T) {
	result := ask(t, map[string]string{"root": `
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: root}
spec: {source: {repoURL: git, path: elsewhere}, destination: {name: in-cluster}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: web, annotations: {argocd.argoproj.io/sync-wave: "1"}}
spec: {source: {repoURL: git, path: web}, destination: {name: in-cluster}}
`})
	if why := failure(result, "root"); !strings.Contains(why, "metadata.name") {
		t.Errorf("root: %q", why)
	}
	if !told(result, "web") {
		t.Errorf("web is not told: %v", result.Failed)
	}
}

// TestDeepBelowName says the same of a chain that is too long.
func TestDeepBelowName(t *testing.T) {
	one := func(name string) string {
		return "---\n{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: " + name + "}, spec: {source: {repoURL: git, path: x}, destination: {name: in-cluster}}}\n"
	}
	of := map[string]string{"root": one("root") + one("a")}
	for name := "a"; len(name) < 20; name += "a" {
		of[name] = one(name + "a")
	}
	if err := ask(t, of).Incomplete; err == nil || !strings.Contains(err.Error(), "root > a > aa") {
		t.Errorf("incomplete: %v", err)
	}
}

// TestProjectsAreNotLeft says that an app which a project narrows cannot widen
// itself by an Application or a project of its own.
func TestProjectsAreNotLeft(t *testing.T) {
	const tenant = `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: tenant}
spec: {sourceRepos: ["*"], destinations: [{name: in-cluster, namespace: "tenant-*"}], sourceNamespaces: ["tenant-*"]}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: tenant}
spec: {project: tenant, source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: tenant-a}}
`
	result := ask(t, map[string]string{"root": tenant, "tenant": `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: mine}
spec: {sourceRepos: ["*"], destinations: [{name: "*", namespace: "*"}], clusterResourceWhitelist: [{group: "*", kind: "*"}]}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: out}
spec: {source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: kube-system}}
---
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: out}
spec: {generators: [{list: {elements: [{name: a}]}}], template: {metadata: {name: out-by-set}, spec: {source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: kube-system}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: mine, namespace: tenant-a}
spec: {project: mine, source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: kube-system}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: default, namespace: tenant-a}
spec: {source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: kube-system}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: fine, namespace: tenant-a}
spec: {project: tenant, source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: tenant-b}}
`})
	for name, want := range map[string]string{
		"out":              `app "tenant" may not have it: project "tenant": limits allow the namespaces tenant-*, not "argocd"`,
		"out-by-set":       `app "tenant" may not have it: project "tenant"`,
		"tenant-a_mine":    `there is no AppProject "mine"`,
		"tenant-a_default": `there is no AppProject "default"`,
	} {
		if why := failure(result, name); told(result, name) || !strings.Contains(why, want) {
			t.Errorf("%s: %q, want %q", name, why, want)
		}
	}
	if !told(result, "tenant") || !told(result, "tenant-a_fine") {
		t.Errorf("failed: %v", result.Failed)
	}
}

// TestServiceAccountsOfAProject says that a project with service accounts lets
// nothing be written where it has none.
func TestServiceAccountsOfAProject(t *testing.T) {
	result := ask(t, map[string]string{"root": `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: team}
spec:
  sourceRepos: ["*"]
  destinations: [{name: in-cluster, namespace: "*"}]
  destinationServiceAccounts: [{server: "https://kubernetes.default.svc", namespace: shop, defaultServiceAccount: deployer}]
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop}
spec: {project: team, source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: shop}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: other}
spec: {project: team, source: {repoURL: git, path: x, kustomize: {replicas: [{name: web, count: 3}]}}, destination: {name: in-cluster, namespace: kube-system}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: half}
spec: {source: {repoURL: git, path: x, kustomize: {replicas: [{name: web, count: 0.5}]}}, destination: {name: in-cluster}}
`})
	if !told(result, "shop") || result.Children[0].Options.ServiceAccount != "shop/deployer" {
		t.Errorf("%+v, failed: %v", result.Children, result.Failed)
	}
	if why := failure(result, "other"); !strings.Contains(why, `spec.destinationServiceAccounts: none is for namespace "kube-system"`) {
		t.Errorf("other: %q", why)
	}
	if why := failure(result, "half"); !strings.Contains(why, "replicas[0].count: want a number, have 0.5") {
		t.Errorf("half: %q", why)
	}
}

// TestAnotherDefinitionTakesNothing says that whoever asks for an app or a project
// that is another's neither takes it over nor stops it, wherever it stands.
func TestAnotherDefinitionTakesNothing(t *testing.T) {
	one := func(name, path, project string) string {
		return "---\n{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: " + name + "}, spec: {project: " + project + ", source: {repoURL: git, path: " + path + "}, destination: {name: in-cluster}}}\n"
	}
	project := func(name, repository string) string {
		return "---\n{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {name: " + name + "}, spec: {sourceRepos: ['" + repository + "'], destinations: [{name: '*', namespace: '*'}], " +
			"clusterResourceWhitelist: [{group: '*', kind: '*'}]}}\n"
	}
	const alike, undecided = "", "it is there twice, and not the same"
	for _, test := range []struct {
		reason  string
		of      map[string]string
		foreign map[string]string
		before  map[string]string // parents
		path    string            // of the app "monitoring"; empty if it fails
		failure string
		warned  string // the app that is warned that its object counts for nobody
	}{
		{"a tenant that comes first by name", map[string]string{
			"root": one("platform", "x", "default") + one("aaa", "x", "default"), "platform": one("monitoring", "good", "default"), "aaa": one("monitoring", "bad", "default"),
		}, nil, map[string]string{"monitoring": "platform"}, "good", alike, "aaa"},
		{"a tenant that is nearer to the root", map[string]string{
			"root": one("platform", "x", "default") + one("tenant", "x", "default"), "platform": one("stack", "x", "default"), "stack": one("monitoring", "good", "default"), "tenant": one("monitoring", "bad", "default"),
		}, nil, map[string]string{"monitoring": "stack"}, "good", alike, "tenant"},
		{"one that says the same", map[string]string{
			"root": one("platform", "x", "default") + one("tenant", "x", "default"), "platform": one("monitoring", "good", "default"), "tenant": one("monitoring", "good", "default"),
		}, nil, nil, "good", alike, ""},
		{"an app that would be its own parent", map[string]string{
			"root": one("monitoring", "good", "default"), "monitoring": one("monitoring", "bad", "default"),
		}, nil, map[string]string{"monitoring": "monitoring"}, "good", alike, "monitoring"},
		{"whom an app came of has it in its hands", map[string]string{
			"root": one("tenant", "x", "default") + one("monitoring", "good", "default"), "tenant": one("monitoring", "bad", "default"),
		}, nil, map[string]string{"monitoring": "tenant"}, "good", alike, "tenant"},
		{"two that are new at once", map[string]string{
			"root": one("platform", "x", "default") + one("tenant", "x", "default"), "platform": one("monitoring", "good", "default"), "tenant": one("monitoring", "bad", "default"),
		}, nil, nil, "", undecided, ""},
		{"twice in one app", map[string]string{
			"root": one("monitoring", "good", "default") + one("monitoring", "bad", "default"),
		}, nil, map[string]string{"monitoring": "root"}, "", undecided, ""},
		{"a project of a tenant", map[string]string{
			"root": project("shared", "git") + one("aaa", "x", "default") + one("monitoring", "good", "shared"), "aaa": project("shared", "other"),
		}, nil, nil, "good", alike, "aaa"},
		{"a project of another Delivery", map[string]string{
			"root": project("shared", "git") + one("monitoring", "good", "shared"),
		}, map[string]string{"aaa": project("shared", "other")}, nil, "good", alike, ""},
		{"where the Delivery has none, that of the other one", map[string]string{
			"root": one("monitoring", "good", "shared"),
		}, map[string]string{"aaa": project("shared", "git")}, nil, "good", alike, ""},
		{"two other Deliveries, of which none is meant", map[string]string{
			"root": one("monitoring", "good", "shared"),
		}, map[string]string{"aaa": project("shared", "other"), "bbb": project("shared", "git")}, nil, "", "there is another one of this name", ""},
		{"a project is not lost by another definition of the app that has it", map[string]string{
			"root":     project("narrow", "git") + one("platform", "x", "default") + one("tenant", "x", "default") + one("monitoring", "good", "own"),
			"platform": project("own", "git"), "tenant": strings.ReplaceAll(one("platform", "bad", "narrow"), "name: platform", "name: platform, labels: {a: b}"),
		}, nil, map[string]string{"platform": "root"}, "good", alike, "tenant"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			request := asking.Request{Delivery: "root", Path: "argocd", Cluster: "prod", Members: []asking.Member{{Name: "prod"}},
				Parent: func(name string) string { return test.before[name] }}
			for name, text := range test.of {
				for _, manifest := range dialecttest.Manifests(t, []byte(text)) {
					request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: name})
				}
			}
			for name, text := range test.foreign {
				for _, manifest := range dialecttest.Manifests(t, []byte(text)) {
					request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: name, Foreign: true})
				}
			}
			result := (argocd.Dialect{}).Read(request)
			path := ""
			for _, child := range result.Children {
				if child.Name == "monitoring" {
					path = child.Origins[0].Path
				}
			}
			if path != test.path || !strings.Contains(failure(result, "monitoring"), test.failure) || test.failure == "" && len(result.Failed) > 0 {
				t.Errorf("it has the path %q, want %q; failed %v", path, test.path, result.Failed)
			}
			var warned []string
			for _, w := range result.Warnings {
				if strings.Contains(w.Text, "counts for nobody") {
					warned = append(warned, w.App)
				}
			}
			if strings.Join(warned, " ") != test.warned {
				t.Errorf("warned are %q, want %q", warned, test.warned)
			}
		})
	}
}

// TestGeneratorsLookWhereTheProjectAllows: what a git generator reads is a source
// of the Applications that it makes, and of the app that has it.
func TestGeneratorsLookWhereTheProjectAllows(t *testing.T) {
	set := func(project string) string {
		return `
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: set}
spec:
  generators: [{git: {repoURL: secret, revision: HEAD, directories: [{path: "*"}]}}]
  template:
    metadata: {name: "{{path}}"}
    spec: {project: ` + project + `, source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: a}}
`
	}
	const project = `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: narrow}
spec: {sourceRepos: [git], destinations: [{server: "*", name: "*", namespace: "*"}]}
`
	const tenant = `
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: tenant}
spec: {project: narrow, source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: a}}
`
	for _, test := range []struct {
		reason string
		of     map[string]string
		want   string
	}{
		{"the project that they are in", map[string]string{"root": project + "---" + set("narrow")}, `the repository "secret" of a generator is not in the list`},
		{"that of the app that has the set", map[string]string{"root": project + tenant, "tenant": set("default")}, `app "tenant" may not have it: project "narrow" does not allow it: spec.sourceRepos: the repository "secret"`},
		{"a project that is not narrow", map[string]string{"root": project + tenant + "---" + set("default")}, ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			request := asking.Request{Delivery: "root", Path: "argocd", Cluster: "prod", Members: []asking.Member{{Name: "prod"}},
				Files: repositories{"secret": {"found/x": {}}}}
			for name, text := range test.of {
				for _, manifest := range dialecttest.Manifests(t, []byte(text)) {
					request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: name})
				}
			}
			result := (argocd.Dialect{}).Read(request)
			if why := failure(result, "found"); (why == "") != (test.want == "") || !strings.Contains(why, test.want) || told(result, "found") != (test.want == "") {
				t.Errorf("%q, want %q", why, test.want)
			}
		})
	}
}

// TestServersOfClusters holds projects against a cluster whose server the fleet does
// not know, or does: "*" is any server, and a denial that cannot be told is none that
// can be passed by.
func TestServersOfClusters(t *testing.T) {
	const url = "https://prod.example.com"
	for _, test := range []struct {
		reason, destinations, accounts string
		alias                          string
		failure                        string // contained; empty if it is allowed
	}{
		{"any server is that of a cluster without a URL", "[{server: '*', namespace: shop}]", "", "", ""},
		{"any account too", "[{server: '*', namespace: shop}]", "[{server: '*', namespace: '*', defaultServiceAccount: deployer}]", "", ""},
		{"another server is not", "[{server: '" + url + "', namespace: shop}]", "", "", "no destination is cluster prod"},
		{"whether it is denied is not known", "[{server: '*', namespace: shop}, {server: '!" + url + "', namespace: '*'}]", "", "", "add the URL of its API server to the aliases"},
		{"nor if all others are allowed", "[{server: '!" + url + "', namespace: '*'}]", "", "", "add the URL of its API server to the aliases"},
		{"its own server is denied", "[{server: '*', namespace: shop}, {server: '!" + url + "', namespace: '*'}]", "", url, "cluster prod, https://prod.example.com is denied"},
		{"and another one is not", "[{server: '*', namespace: shop}, {server: '!" + url + "', namespace: '*'}]", "", "https://other.example.com", ""},
	} {
		project := "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: team}\nspec: {sourceRepos: ['*'], destinations: " + test.destinations
		if test.accounts != "" {
			project += ", destinationServiceAccounts: " + test.accounts
		}
		text := project + "}\n---\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: shop}\n" +
			"spec: {project: team, source: {repoURL: git, path: x}, destination: {name: prod, namespace: shop}}\n"
		member := asking.Member{Name: "prod", Selected: true}
		if test.alias != "" {
			member.Aliases = []string{test.alias}
		}
		request := asking.Request{Delivery: "root", Path: "argocd", Members: []asking.Member{member}}
		for _, manifest := range dialecttest.Manifests(t, []byte(text)) {
			request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: "root"})
		}
		result := (argocd.Dialect{}).Read(request)
		if why := failure(result, "shop"); (why == "") != (test.failure == "") || !strings.Contains(why, test.failure) || told(result, "shop") != (why == "") {
			t.Errorf("%s: %q, want %q", test.reason, why, test.failure)
		}
	}
}

// TestDenialsAreReadAsTheyAreMatched: addresses are compared in lower case, in which
// a range may run backwards. A denial that then matched nothing would allow all.
func TestDenialsAreReadAsTheyAreMatched(t *testing.T) {
	result := ask(t, map[string]string{"root": `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: team}
spec: {sourceRepos: ["!https://git.example.com/[Z-a]*"], destinations: [{server: "*", namespace: "*"}]}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop}
spec: {project: team, source: {repoURL: "https://git.example.com/a", path: x}, destination: {name: in-cluster, namespace: shop}}
`})
	if why := failure(result, "shop"); !strings.Contains(why, "spec.sourceRepos[0]: ") {
		t.Errorf("shop: %q", why)
	}
}

// TestTheSameRequestIsWarnedOfTheSame: of the definitions of one app, each has its
// own reason not to have a project.
func TestTheSameRequestIsWarnedOfTheSame(t *testing.T) {
	narrow := func(name, namespace string) string {
		return "---\n{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {name: " + name + "}, spec: {sourceRepos: ['*'], destinations: [{server: '*', namespace: " + namespace + "}]}}\n"
	}
	one := func(name, project, namespace string) string {
		return "---\n{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: " + name + "}, spec: {project: " + project +
			", source: {repoURL: git, path: x}, destination: {name: in-cluster, namespace: " + namespace + "}}}\n"
	}
	of := map[string]string{
		"root":  narrow("a", "in-a") + narrow("b", "in-b") + one("first", "default", "x") + one("second", "default", "x"),
		"first": one("twice", "a", "in-a"), "second": one("twice", "b", "in-b"), "twice": narrow("mine", "'*'"),
	}
	want := ask(t, of).Warnings
	for range 20 {
		if diff := cmp.Diff(want, ask(t, of).Warnings); diff != "" {
			t.Fatalf("(-first +later):\n%s", diff)
		}
	}
}

// TestDenialsOfNobody: a name that no Cluster has is most likely one that Argo CD
// knows, and that is missing among the aliases.
func TestDenialsOfNobody(t *testing.T) {
	for _, test := range []struct {
		reason, name string
		warned       bool
	}{
		{"the name of a Cluster", "!prod", false},
		{"a pattern of one", "!pr*", false},
		{"what a cluster calls itself", "!in-cluster", false},
		{"a name that nobody has", "!production", true},
		{"which is no denial", "production", false},
	} {
		result := ask(t, map[string]string{"root": `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: team}
spec: {sourceRepos: ["*"], destinations: [{name: "` + test.name + `", namespace: "*"}]}
`})
		warned := strings.Contains(fmt.Sprint(result.Warnings), "denies nothing")
		if warned != test.warned {
			t.Errorf("%s: %v", test.reason, result.Warnings)
		}
	}
}
