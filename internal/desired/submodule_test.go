package desired

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// submodule adds another repository as a submodule, or brings one up to date, in the next commit.
func (r *repository) submodule(path, url string) {
	r.tb.Helper()
	if _, err := os.Stat(filepath.Join(r.dir, path)); err == nil {
		r.git("", "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--remote", path)
		return
	}
	r.git("", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "-b", "main", url, path)
}

// sources is the Fleet with repositories as sources, each for Deliveries.
func sources(repositories map[string]*repository, deliveries string) map[string]string {
	text := "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  sources:\n"
	for name, r := range repositories {
		text += fmt.Sprintf("  - {name: %s, url: 'file://%s', revision: {branch: main}, deliveries: [%s]}\n", name, r.dir, deliveries)
	}
	return map[string]string{"fleet.yaml": text}
}

// withSubmodule is a fleet whose web is built on a base in a submodule, by a relative URL, that has a submodule of its own,
// and whose settings are a directory with a submodule in it.
func withSubmodule(t *testing.T) (r, base, deep *repository) {
	deep = newRepository(t)
	deep.commit(map[string]string{"web.yaml": deployment("web:1"), "README.md": "deep\n"})
	base = newRepository(t)
	base.submodule("deep", "file://"+deep.dir)
	base.commit(map[string]string{"web/kustomization.yaml": "resources: [../deep/web.yaml]\n", "files/more.yaml": configMap("more", "a")})
	r = newRepository(t)
	r.commit(fleetFiles())
	r.submodule("web/base/parts", "../"+filepath.Base(base.dir))
	r.submodule("settings/below", "file://"+deep.dir)
	files := sources(map[string]*repository{"base": base, "deep": deep}, "web, settings")
	files["web/base/kustomization.yaml"] = "resources: [parts/web]\n"
	r.commit(files)
	return r, base, deep
}

// failure is the error of an app on a cluster.
func failure(t *testing.T, compiled map[string]*Compiled, name string) string {
	t.Helper()
	for _, d := range compiled["prod-eu"].Apps {
		if d.Name == name && d.Err != nil {
			return d.Err.Error()
		}
	}
	t.Fatalf("%s is not in error: %v", name, describe(compiled["prod-eu"]))
	return ""
}

func TestSubmodules(t *testing.T) {
	r, base, deep := withSubmodule(t)
	p := r.open(nil)
	pinned := pin(t, p)
	before := pinned.ID()
	// The sources were never fetched, and are when they are needed.
	compiled := compile(t, p, pinned)
	if diff := cmp.Diff([]string{"settings: ConfigMap/settings Deployment/web", "web: Deployment/web"}, describe(compiled["prod-eu"])); diff != "" {
		t.Fatalf("(-want +have):\n%s", diff)
	}
	if got := image(t, compiled, "prod-eu"); got != "web:1" {
		t.Fatalf("built on the submodule: %s", got)
	}
	want := map[string]string{"base@ref:" + base.head(): base.head(), "deep@ref:" + deep.head(): deep.head()}
	if diff := cmp.Diff(want, pinned.Sources); diff != "" || pinned.ID() == before {
		t.Errorf("the commits are not in the snapshot (-want +have):\n%s", diff)
	}

	// A commit of the submodule's repository changes nothing before it is the one that the tree records.
	renders := p.render.Stats().Renders
	deep.commit(map[string]string{"web.yaml": deployment("web:2")})
	r.commit(map[string]string{"README.md": "more\n"})
	fetch(t, p, pinned)
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:1" || p.render.Stats().Renders != renders {
		t.Errorf("%s after a commit that is not recorded, and %d renders, want %d", got, p.render.Stats().Renders, renders)
	}
	base.submodule("deep", "")
	base.commit(nil)
	r.submodule("web/base/parts", "")
	r.commit(nil)
	// The source was last fetched before it had the commit.
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:2" {
		t.Errorf("with the new commit: %s", got)
	}
	// A commit that changes a submodule in what no app reads costs no render.
	renders = p.render.Stats().Renders
	deep.commit(map[string]string{"README.md": "deeper\n"})
	base.submodule("deep", "")
	base.commit(nil)
	r.submodule("web/base/parts", "")
	r.commit(nil)
	fetch(t, p, pinned)
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:2" || p.render.Stats().Renders != renders {
		t.Errorf("%s after a change to what was not read, and %d renders, want %d", got, p.render.Stats().Renders, renders)
	}
}

func TestSubmoduleRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, r, base, deep *repository) map[string]string
		web    []string
	}{
		"no source": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				return sources(map[string]*repository{"deep": deep}, "web, settings")
			},
			[]string{`"web/base/parts" is a submodule of `, " at commit ", "its repository is no source of the fleet\nhint: add it to the Fleet's spec.sources: {name: ", "revision: {branch: main}, deliveries: [web]}"},
		},
		"not this Delivery's": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				return sources(map[string]*repository{"base": base, "deep": deep}, "settings")
			},
			[]string{`"web/base/parts" is a submodule of `, `source "base" may not be used by Delivery "web", only by settings`},
		},
		"nested, no source": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				return sources(map[string]*repository{"base": base}, "web, settings")
			},
			[]string{`"web/base/parts/deep" is a submodule of file://`, "is no source of the fleet"},
		},
		"gone": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				base.git("", "commit", "--quiet", "--amend", "-m", "Rewritten")
				return map[string]string{"README.md": "x\n"}
			},
			[]string{`"web/base/parts" is a submodule of `, `source "base" has no commit "`, "hint: push it to a branch or tag there"},
		},
		"unsigned": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				files := sources(map[string]*repository{"base": base, "deep": deep}, "web, settings")
				files["fleet.yaml"] = strings.ReplaceAll(files["fleet.yaml"], "deliveries:", "verify: {allowedSignersFile: signers}, deliveries:")
				_, files["signers"] = newKey(t, "tess")
				return files
			},
			[]string{`"web/base/parts" is a submodule of `, "is refused: "},
		},
		"a transport that runs a command": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				return map[string]string{".gitmodules": "[submodule \"x\"]\npath = web/base/parts\nurl = ext::sh -c touch% " + r.dir + "/ran\n"}
			},
			[]string{`"web/base/parts" is a submodule at commit `, "its protocol is not one of"},
		},
		"a path outside": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				return map[string]string{".gitmodules": "[submodule \"x\"]\npath = ../parts\nurl = x\n"}
			},
			[]string{`.gitmodules:2: submodule "x": its path "../parts" does not lead to a place in the repository`},
		},
		"not stated": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				return map[string]string{".gitmodules": ""}
			},
			[]string{`"web/base/parts" is a submodule at commit `, ".gitmodules does not say where its repository is"},
		},
		"update none": {
			func(t *testing.T, r, base, deep *repository) map[string]string {
				r.git("", "config", "--file", ".gitmodules", "submodule.web/base/parts.update", "none")
				return map[string]string{"README.md": "x\n"}
			},
			[]string{"says update = none"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, base, deep := withSubmodule(t)
			p := r.open(nil)
			if name != "gone" { // what was rendered while it was allowed does not count
				compile(t, p, pin(t, p))
			}
			r.commit(test.change(t, r, base, deep))
			compiled := compile(t, p, pin(t, p))
			text := failure(t, compiled, "web")
			for _, want := range test.web {
				if !strings.Contains(text, want) {
					t.Errorf("%s\nlacks %q", text, want)
				}
			}
			if _, err := os.Stat(filepath.Join(r.dir, "ran")); err == nil {
				t.Error("a command was run")
			}
		})
	}
}

// Reasons follow what is so: once the Fleet has the source, the app is rendered.
func TestSubmoduleAllowedLater(t *testing.T) {
	r, base, deep := withSubmodule(t)
	p := r.open(func(o *Options) { o.SourcesApart = true })
	r.commit(sources(map[string]*repository{"deep": deep}, "web, settings"))
	if text := failure(t, compile(t, p, pin(t, p)), "web"); !strings.Contains(text, "is no source of the fleet") {
		t.Error(text)
	}
	r.commit(sources(map[string]*repository{"base": base, "deep": deep}, "web, settings"))
	pinned := pin(t, p)
	if text := failure(t, compile(t, p, pinned), "web"); !strings.Contains(text, "the source was not fetched yet") && !strings.Contains(text, "has not been fetched yet") {
		t.Error(text)
	}
	fetch(t, p, pinned) // as the hub does
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:1" {
		t.Error(got)
	}
	deep.commit(map[string]string{"web.yaml": deployment("web:2")})
	base.submodule("deep", "")
	base.commit(nil)
	r.submodule("web/base/parts", "")
	r.commit(nil)
	pinned = pin(t, p)
	if text := failure(t, compile(t, p, pinned), "web"); !strings.Contains(text, `source "base" has no commit "`) {
		t.Error(text)
	}
	fetch(t, p, pinned)
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:2" {
		t.Error(got)
	}
}

// A remote base has submodules too, as Kustomize's own clone has.
func TestSubmoduleOfRemoteBase(t *testing.T) {
	r, base, _ := withSubmodule(t)
	r.commit(map[string]string{"web/base/kustomization.yaml": "resources: ['file://" + base.dir + "//web']\n"})
	p := r.open(nil)
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:1" {
		t.Error(got)
	}
}

// A chart may be in a submodule, and depend on one that is in another.
func TestSubmoduleOfChart(t *testing.T) {
	library, charts, r := newRepository(t), newRepository(t), newRepository(t)
	library.commit(map[string]string{"Chart.yaml": "{apiVersion: v2, name: library, version: 1.0.0}\n", "templates/below.yaml": configMap("below", "a")})
	charts.commit(map[string]string{
		"web/Chart.yaml":         "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: library, version: 1.0.0, repository: 'file://../../library'}]\n",
		"web/templates/web.yaml": configMap("web", "{{ .Values.key }}"), "web/values.yaml": "key: a\n",
	})
	files := fleetFiles()
	files["deliveries/web.yaml"] = delivery("web", "source: {path: charts/web}")
	r.commit(files)
	r.submodule("charts", "file://"+charts.dir)
	r.submodule("library", "file://"+library.dir)
	r.commit(sources(map[string]*repository{"charts": charts, "library": library}, "web"))
	p := r.open(nil)
	if diff := cmp.Diff([]string{"settings: ConfigMap/settings", "web: ConfigMap/below ConfigMap/web"}, describe(compile(t, p, pin(t, p))["prod-eu"])); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	// Without the one that it depends on it is an error, and not a chart without it.
	r.commit(sources(map[string]*repository{"charts": charts}, "web"))
	if text := failure(t, compile(t, p, pin(t, p)), "web"); !strings.Contains(text, `"library" is a submodule of file://`) {
		t.Error(text)
	}
}

// What an ApplicationSet finds in a submodule counts, and is found again once it can be read, and no longer once it may
// not be, though the repository that it looks through is the same.
func TestSubmoduleOfGenerator(t *testing.T) {
	apps, sets, r := newRepository(t), newRepository(t), newRepository(t)
	apps.commit(map[string]string{"team/one/one.yaml": configMap("one", "a"), "team/two/two.yaml": configMap("two", "a")})
	sets.submodule("apps", "file://"+apps.dir)
	sets.commit(nil)
	files := argoFiles()
	files["argocd/web.yaml"] = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all, namespace: argocd}\nspec:\n  goTemplate: true\n" +
		"  generators: [{git: {repoURL: 'file://" + sets.dir + "', revision: main, directories: [{path: 'apps/team/*'}]}}]\n" +
		"  template:\n    metadata: {name: 'team-{{.path.basename}}'}\n    spec:\n      project: default\n" +
		"      source: {repoURL: 'file://" + sets.dir + "', targetRevision: main, path: '{{.path.path}}'}\n      destination: {name: in-cluster, namespace: shop}\n"
	r.commit(files)
	p := r.open(nil)
	may := func(repositories map[string]*repository) *Compiled {
		fleet := sources(repositories, "root")["fleet.yaml"]
		fleet = strings.Replace(fleet, "spec:\n", "spec:\n  urls: ['"+fleetURL+"']\n", 1)
		r.commit(map[string]string{"fleet.yaml": fleet})
		return compile(t, p, pin(t, p))["prod-eu"]
	}
	refused := func(c *Compiled) {
		t.Helper()
		text := strings.Join(describe(c), ", ")
		if c.Incomplete == nil || !strings.Contains(fmt.Sprint(c.Incomplete, c.Problems), `"apps" is a submodule of file://`) || strings.Contains(text, "team-one") {
			t.Errorf("what may not be read is taken for nothing, or read: %v, %v, %s", c.Incomplete, c.Problems, text)
		}
	}
	refused(may(map[string]*repository{"sets": sets}))
	c := may(map[string]*repository{"sets": sets, "apps": apps})
	want := []string{"deep: ConfigMap/deep", "more:", "root: ConfigMap/beside", "team-one: ConfigMap/one", "team-two: ConfigMap/two"}
	if diff := cmp.Diff(want, describe(c)); diff != "" || c.Incomplete != nil {
		t.Fatalf("%v (-want +have):\n%s", c.Incomplete, diff)
	}
	refused(may(map[string]*repository{"sets": sets}))
}

// A directory that is being edited has what is checked out in it; what is not is no empty directory.
func TestSubmoduleOfWorktree(t *testing.T) {
	r, _, _ := withSubmodule(t)
	r.git("", "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive")
	open := func(dir string) map[string]*Compiled {
		p := r.open(func(o *Options) { o.Worktree, o.Repository = dir, Repository{} })
		pinned, err := p.Pin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return compile(t, p, pinned)
	}
	if got := image(t, open(r.dir), "prod-eu"); got != "web:1" {
		t.Error(got)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	r.git("", "clone", "--quiet", r.dir, clone)
	compiled := open(clone)
	for name, path := range map[string]string{"web": "web/base/parts", "settings": "settings/below"} {
		want := fmt.Sprintf("%q is a submodule: it is not checked out\nhint: git submodule update --init --recursive", path)
		if text := failure(t, compiled, name); !strings.Contains(text, want) {
			t.Errorf("%s\nlacks %s", text, want)
		}
	}
	// The nested one is missing.
	r.git("", "-c", "protocol.file.allow=always", "-C", clone, "-c", "remote.origin.url="+r.dir, "submodule", "--quiet", "update", "--init")
	if text := failure(t, open(clone), "web"); !strings.Contains(text, `"web/base/parts/deep" is a submodule: it is not checked out`) {
		t.Error(text)
	}
}

// Documents of the fleet are its own.
func TestSubmoduleOfDocuments(t *testing.T) {
	other := newRepository(t)
	other.commit(map[string]string{"web.yaml": delivery("web", "source: {path: settings}")})
	for _, place := range []string{"deliveries/other", "health/other"} {
		r := newRepository(t)
		files := fleetFiles()
		maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasPrefix(name, "web/") })
		r.commit(files)
		r.submodule(place, "file://"+other.dir)
		r.commit(nil)
		for _, p := range []*Pipeline{r.open(nil), r.open(func(o *Options) { o.Worktree = r.dir })} {
			if pinned := pin(t, p); !strings.Contains(pinned.Problems.Error(), place+":1:1: is a submodule") {
				t.Errorf("%s: %v", place, pinned.Problems)
			}
		}
	}
}
