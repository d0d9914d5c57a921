package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nave.dev/internal/app"
)

// repository makes a file system of contents by path.
func repository(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, content := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return fsys
}

const (
	head     = "apiVersion: nave.dev/v1alpha1\nkind: "
	someone  = head + "Fleet\nmetadata: {name: shop}\nspec:\n  sources:\n  - {name: team, url: 'file:///srv/team.git', revision: {branch: main}, deliveries: ['*']}\n"
	cluster1 = head + "Cluster\nmetadata: {name: c1, labels: {env: dev}}\nspec: {variables: {A: a, B: b}}\n"
)

func TestAppsOptions(t *testing.T) {
	usual := app.Spec{
		Name: "web", Delivery: "web",
		Parts: []app.Part{{
			Source: app.Source{Commit: "the fleet repository", Path: "web"},
			Render: app.Render{Helm: app.HelmOptions{ReleaseName: "web"}},
		}},
		Options: app.Options{Prune: true, CorrectDrift: true, Deadline: 10 * time.Minute},
	}
	but := func(change func(*app.Spec)) app.Spec {
		spec := usual
		spec.Parts = slices.Clone(spec.Parts)
		change(&spec)
		return spec
	}
	const own, foreign = "  source: {path: web}\n", "  source: {name: team, path: web}\n"
	tests := []struct {
		reason         string
		fleet, cluster string // in place of the usual ones
		spec           string
		want           app.Spec
	}{{
		reason: "what is not said is as documented",
		spec:   own,
		want:   usual,
	}, {
		reason: "the Fleet's defaults hold where the Delivery says nothing",
		fleet: head + "Fleet\nmetadata: {name: shop}\nspec: {defaults: {prune: false, deadline: 1m, drift: " +
			"{mode: report, ignore: [{kind: '*', paths: [metadata.annotations.x]}]}}}\n",
		spec: own,
		want: but(func(s *app.Spec) {
			s.Options = app.Options{Deadline: time.Minute, IgnoreFields: []app.FieldRule{{Kind: "*", Paths: []string{"metadata.annotations.x"}}}}
		}),
	}, {
		reason: "the Delivery wins over the defaults, except that fields to ignore add up",
		fleet: head + "Fleet\nmetadata: {name: shop}\nspec: {defaults: {prune: false, deadline: 1m, drift: " +
			"{mode: report, ignore: [{kind: '*', paths: [a]}]}}}\n",
		spec: own + "  prune: true\n  deadline: 2m\n  drift: {mode: correct, ignore: [{group: apps, kind: Deployment, name: w, paths: [b]}]}\n",
		want: but(func(s *app.Spec) {
			s.Options.Deadline = 2 * time.Minute
			s.Options.IgnoreFields = []app.FieldRule{{Kind: "*", Paths: []string{"a"}},
				{Group: "apps", Kind: "Deployment", Name: "w", Paths: []string{"b"}}}
		}),
	}, {
		reason: "a foreign source is held to namespaced kinds",
		spec:   foreign + "  limits: {namespaces: [web]}\n",
		want: but(func(s *app.Spec) {
			s.Parts[0].Source = app.Source{Repository: "team", Commit: `branch:main of "team"`, Path: "web"}
			s.Options.Limits = app.Limits{Namespaces: []string{"web"}, NamespacedOnly: true}
		}),
	}, {
		reason: "which the Delivery may say is not wanted",
		spec:   foreign + "  limits: {namespaces: ['*'], kinds: [Secret], namespacedOnly: false}\n",
		want: but(func(s *app.Spec) {
			s.Parts[0].Source = app.Source{Repository: "team", Commit: `branch:main of "team"`, Path: "web"}
			s.Options.Limits = app.Limits{Namespaces: []string{"*"}, Kinds: []string{"Secret"}}
		}),
	}, {
		reason: "switches are carried over",
		spec: own + "  createNamespace: true\n  namespace: shop\n  replace: true\n  pruneFirst: true\n  suspend: true\n" +
			"  confirmPrune: 0123abcd\n  serviceAccount: shop/deployer\n  dependsOn: [z, b]\n  kind: plain\n",
		want: but(func(s *app.Spec) {
			s.Parts[0].Render = app.Render{Kind: app.Plain, Namespace: "shop"}
			s.Options.CreateNamespace, s.Options.Replace, s.Options.PruneFirst, s.Options.Suspend = true, true, true, true
			s.Options.ConfirmPrune, s.Options.ServiceAccount = "0123abcd", "shop/deployer"
			s.Options.DependsOn = []string{"b", "z"}
		}),
	}, {
		reason: "objects that are only created are rendered for the cluster by itself",
		spec:   own + "  createOnly: [{kind: Secret, name: web-password}, {group: cert-manager.io, kind: Certificate}]\n",
		want: but(func(s *app.Spec) {
			rules := app.ObjectRules{{Kind: "Secret", Name: "web-password"}, {Group: "cert-manager.io", Kind: "Certificate"}}
			s.Options.CreateOnly, s.Parts[0].Render.CreateOnly, s.Parts[0].Render.Cluster = rules, rules, "c1"
		}),
	}, {
		reason:  "a suspended cluster suspends its apps",
		cluster: head + "Cluster\nmetadata: {name: c1}\nspec: {suspend: true}\n",
		spec:    own,
		want:    but(func(s *app.Spec) { s.Options.Suspend = true }),
	}, {
		reason: "variables are the cluster's and the Delivery's, which win, and only where they are substituted",
		spec:   own + "  substitute: true\n  variables: {B: '${cluster.name}', C: '$${D}'}\n",
		want: but(func(s *app.Spec) {
			s.Parts[0].Render.Substitute = true
			s.Parts[0].Render.Variables = map[string]string{"A": "a", "B": "c1", "C": "${D}"}
		}),
	}, {
		reason: "parameters of a chart are filled in, at any depth, and numbers are left alone",
		spec: own + "  kind: helm\n  helm: {releaseName: w, skipCRDs: true, valueFiles: ['${cluster.labels.env}.yaml', /common.yaml], " +
			"values: {a: [1, true, {b: 'x-${cluster.variables.A}'}], c: null}}\n",
		want: but(func(s *app.Spec) {
			s.Parts[0].Render.Kind = app.Helm
			s.Parts[0].Render.Helm = app.HelmOptions{ReleaseName: "w", SkipCRDs: true, ValueFiles: []string{"dev.yaml", "/common.yaml"},
				Values: map[string]any{"a": []any{1.0, true, map[string]any{"b": "x-a"}}, "c": nil}}
		}),
	}, {
		reason: "another revision of the fleet repository",
		spec:   "  source: {path: web, revision: {branch: '${cluster.labels.env}'}}\n",
		want:   but(func(s *app.Spec) { s.Parts[0].Source.Commit = "branch:dev of the fleet repository" }),
	}}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			files := map[string]string{
				"fleet.yaml": someone, "clusters/c.yaml": cluster1,
				"deliveries/d.yaml": head + "Delivery\nmetadata: {name: web}\nspec:\n  clusters: {all: true}\n" + test.spec,
			}
			for _, name := range []string{"b", "z"} {
				files["deliveries/"+name+".yaml"] = head + "Delivery\nmetadata: {name: " + name + "}\nspec: {clusters: {all: true}, source: {path: x}}\n"
			}
			if test.fleet != "" {
				files["fleet.yaml"] = test.fleet
			}
			if test.cluster != "" {
				files["clusters/c.yaml"] = test.cluster
			}
			f, problems := Load(repository(files))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			placement, err := f.Apps("c1", commits)
			if err != nil || len(placement.Apps) != 3 || placement.Incomplete != nil {
				t.Fatalf("have %+v, %v; want three apps", placement, err)
			}
			if diff := cmp.Diff(test.want, placement.Apps[1], cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +have)\n%s", diff)
			}
		})
	}
}

func TestAppsResolve(t *testing.T) {
	f, problems := Load(repository(map[string]string{
		"fleet.yaml": someone, "clusters/c.yaml": cluster1,
		"deliveries/d.yaml": head + "Delivery\nmetadata: {name: own}\nspec: {clusters: {all: true}, source: {path: a}}\n---\n" +
			head + "Delivery\nmetadata: {name: theirs}\nspec: {clusters: {all: true}, source: {name: team, path: a}, limits: {namespaces: [a]}}\n",
	}))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	away := errors.New("connection refused")
	placement, err := f.Apps("c1", func(source, revision string) (string, error) {
		if source == "team" {
			return "", away
		}
		return "c0ffee", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(placement.Apps) != 1 || placement.Apps[0].Name != "own" {
		t.Errorf("a source that is away changes the apps of others: %+v", placement.Apps)
	}
	if failed := placement.Failed["theirs"]; !errors.Is(failed, away) || failed.Error() != `resolving branch:main of "team": connection refused` {
		t.Errorf("have error %v", failed)
	}
}

func TestAppsOfStrangers(t *testing.T) {
	tests := []struct{ reason, name, bad, want string }{
		{"a cluster that is not there", "x", "", `no cluster "x" in the fleet`},
		{"a slip", "c2", "", `no cluster "c2" in the fleet, did you mean "c1"?`},
		{"a cluster that may be in a broken file", "c2", "{", `no cluster "c2" is known: not all documents can be used: see clusters/bad.yaml`},
	}
	for _, test := range tests {
		f, _ := Load(repository(map[string]string{"fleet.yaml": someone, "clusters/c.yaml": cluster1, "clusters/bad.yaml": test.bad}))
		if _, err := f.Apps(test.name, commits); err == nil || err.Error() != test.want {
			t.Errorf("%s: have %v, want %s", test.reason, err, test.want)
		}
	}
}

// TestValuesAreCopies guards the documents, which all clusters share, against changes of what Apps returned.
func TestValuesAreCopies(t *testing.T) {
	f, problems := Load(repository(map[string]string{
		"fleet.yaml": someone, "clusters/c.yaml": cluster1,
		"deliveries/d.yaml": head + "Delivery\nmetadata: {name: a}\nspec: {clusters: {all: true}, source: {path: a}, substitute: true, " +
			"helm: {values: {a: {b: c}}}, drift: {ignore: [{kind: A, paths: [b]}]}, limits: {namespaces: [a]}}\n",
	}))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	first, err := f.Apps("c1", commits)
	if err != nil {
		t.Fatal(err)
	}
	spec := first.Apps[0]
	spec.Parts[0].Render.Helm.Values["a"].(map[string]any)["b"] = "changed"
	spec.Parts[0].Render.Variables["A"] = "changed"
	spec.Options.IgnoreFields[0].Paths[0] = "changed"
	spec.Options.Limits.Namespaces[0] = "changed"
	second, err := f.Apps("c1", commits)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", second.Apps); strings.Contains(text, "changed") {
		t.Errorf("a change of the result changed the next one: %s", text)
	}
}

func TestMembers(t *testing.T) {
	f, _ := Load(repository(map[string]string{"fleet.yaml": someone, "clusters/c.yaml": cluster1 + "---\n" +
		head + "Cluster\nmetadata: {name: pr-7}\nspec: {expires: 2030-01-31T18:00:00+01:00, kubernetesVersion: v1.36.3, aliases: [seven]}\n---\n" +
		head + "Cluster\nmetadata: {name: bad}\nspec: {suspend: 3}\n"}))
	if len(f.Members) != 3 {
		t.Fatalf("have members %+v, want three", f.Members)
	}
	bad, c1, pr := f.Members[0], f.Members[1], f.Members[2]
	if bad.Err == nil || c1.Err != nil || pr.Err != nil {
		t.Errorf("have errors %v, %v, %v; want one of the first", bad.Err, c1.Err, pr.Err)
	}
	if diff := cmp.Diff(map[string]string{"env": "dev", "nave.dev/cluster": "c1"}, c1.Labels); diff != "" {
		t.Errorf("effective labels (-want +have)\n%s", diff)
	}
	end := time.Date(2030, 1, 31, 17, 0, 0, 0, time.UTC)
	tests := []struct {
		reason string
		member Member
		now    time.Time
		want   bool
	}{
		{"before its time", pr, end.Add(-time.Nanosecond), false},
		{"the time itself counts as over, whatever the zone", pr, end, true},
		{"without a time a cluster stays", c1, end.AddDate(1000, 0, 0), false},
	}
	for _, test := range tests {
		if have := test.member.Expired(test.now); have != test.want {
			t.Errorf("%s: expired is %v", test.reason, have)
		}
	}
}

// brokenFS is a file system in which some paths cannot be opened.
type brokenFS struct {
	fs.FS
	broken string
}

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == b.broken {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return b.FS.Open(name)
}

func TestUnreadable(t *testing.T) {
	tests := []struct {
		reason string
		broken string
		extra  map[string]*fstest.MapFile
		want   string
	}{
		{"a file that cannot be opened", "clusters/c.yaml", nil, "clusters/c.yaml:1:1: cannot be read: open clusters/c.yaml: permission denied"},
		{"a directory that cannot be listed", "deliveries/team", map[string]*fstest.MapFile{"deliveries/team/a.yaml": {}},
			"deliveries/team:1:1: cannot be read: open deliveries/team: permission denied"},
		{"a link to a directory, which could hide documents", "", map[string]*fstest.MapFile{
			"elsewhere/a.yaml": {}, "deliveries/link": {Data: []byte("../elsewhere"), Mode: fs.ModeSymlink}},
			"deliveries/link:1:1: is a symbolic link to a directory, which is not followed here"},
		{"a link to nothing", "", map[string]*fstest.MapFile{"deliveries/link.yaml": {Data: []byte("nothing"), Mode: fs.ModeSymlink}},
			"deliveries/link.yaml:1:1: cannot be read: open deliveries/link.yaml: file does not exist"},
		{"a file in place of a directory", "", map[string]*fstest.MapFile{"deliveries": {}}, "deliveries:1:1: is not a directory"},
		{"a directory in place of a file", "", map[string]*fstest.MapFile{"fleet.yml/a.yaml": {}}, "fleet.yml:1:1: is a directory"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			files := repository(map[string]string{"fleet.yaml": someone, "clusters/c.yaml": cluster1, "clusters/d.yaml": strings.ReplaceAll(cluster1, "c1", "d1")})
			for name, file := range test.extra {
				files[name] = file
			}
			f, problems := Load(brokenFS{files, test.broken})
			if problems.Error() != test.want {
				t.Errorf("have problems\n%v\nwant\n%s", problems, test.want)
			}
			placement, err := f.Apps("d1", commits)
			if err != nil || placement.Incomplete == nil {
				t.Errorf("have %+v, %v; want it to be incomplete", placement, err)
			}
		})
	}
}

// FuzzLoad adds one file of any content to a good repository: Load must not fail, must place each problem, and must not
// lose the app that is in another file without saying why.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "{", "- a\n", cluster1, someone,
		head + "Delivery\nmetadata: {name: web}\nspec: {clusters: {all: true}, source: {path: a}, dependsOn: [own]}\n",
		head + "Delivery\nmetadata: {name: own}\nspec: {clusters: {selector: {}}, source: {path: '${cluster.labels.a}'}}\n",
		head + "Delivery\nmetadata: {name: web}\nspec: {clusters: {selector: {matchExpressions: [{key: env, operator: In, values: [dve]}]}}, " +
			"source: {name: team, path: a, revision: {semver: '>1'}}, helm: {values: {a: [{b: '${cluster.name'}]}}}\n",
		head + "Cluster\nmetadata: &a {name: c2, labels: {a: b}}\nspec: {expires: 2030-01-31T18:00:00Z, aliases: [c1]}\n---\n" + head + "Cluster\nmetadata: {}\n",
		"apiVersion: nave.dev/v2\nkind: Fleet\n",
	} {
		f.Add([]byte(seed))
	}
	own := head + "Delivery\nmetadata: {name: own}\nspec: {clusters: {names: [c1]}, source: {path: own}}\n"
	f.Fuzz(func(t *testing.T, content []byte) {
		fsys := repository(map[string]string{"fleet.yaml": someone, "clusters/c1.yaml": cluster1, "deliveries/own.yaml": own})
		fsys["deliveries/fuzz.yaml"] = &fstest.MapFile{Data: content}
		fleet, problems := Load(fsys)
		for _, p := range append(problems, fleet.Warnings...) {
			if p.File == "" || p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("problem without a place or text: %+v", p)
			}
		}
		for _, m := range fleet.Members {
			if _, err := fleet.Apps(m.Name, commits); err != nil {
				t.Errorf("member %q has no apps: %v", m.Name, err)
			}
		}
		placement, err := fleet.Apps("c1", commits)
		if err != nil {
			t.Fatal(err)
		}
		there := placement.Incomplete != nil || placement.Failed["own"] != nil
		for _, spec := range placement.Apps {
			there = there || spec.Name == "own"
			if spec.Parts[0].Source.Commit == "" || !fs.ValidPath(spec.Parts[0].Source.Path) {
				t.Errorf("app %q has source %+v", spec.Name, spec.Parts[0].Source)
			}
		}
		if !there {
			t.Error("the app of another file is gone without a word")
		}
		if len(problems) == 0 && fleet.Incomplete != nil {
			t.Errorf("incomplete without a problem: %v", fleet.Incomplete)
		}
	})
}

// BenchmarkLoad reads a fleet of 24 clusters and 50 Deliveries.
func BenchmarkLoad(b *testing.B) {
	files := map[string]string{"fleet.yaml": someone}
	for i := range 24 {
		name := fmt.Sprintf("c%d", i)
		files["clusters/"+name+".yaml"] = strings.ReplaceAll(cluster1, "c1", name)
	}
	for i := range 50 {
		files[fmt.Sprintf("deliveries/d%d.yaml", i)] = fmt.Sprintf("%sDelivery\nmetadata: {name: d%d}\nspec:\n  clusters: {selector: {matchLabels: {env: dev}}}\n"+
			"  source: {path: 'apps/%d/${cluster.labels.env}'}\n  namespace: shop\n  drift: {ignore: [{group: apps, kind: Deployment, paths: [spec.replicas]}]}\n", head, i, i)
	}
	fsys := repository(files)
	b.ReportAllocs()
	for b.Loop() {
		f, problems := Load(fsys)
		if len(problems) > 0 {
			b.Fatal(problems)
		}
		for _, m := range f.Members {
			if p, err := f.Apps(m.Name, commits); err != nil || len(p.Apps) != 50 {
				b.Fatal(p, err)
			}
		}
	}
}
