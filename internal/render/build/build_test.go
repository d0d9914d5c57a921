package build

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/app"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// linked is a directory on disk with files and with links to directories, by name.
func linked(t *testing.T, files, links map[string]string) tree.Tree {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skipf("this file system has no symbolic links, which the test is about: %v", err)
		}
	}
	return tree.Source{Files: os.DirFS(dir)}
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

func TestLinksInACircle(t *testing.T) {
	plain := linked(t, map[string]string{"app/a.yaml": configMap}, map[string]string{"app/x": "../app", "app/y": "../app"})
	out, _, err := Run(plain, Job{Path: "app"})
	if err != nil || len(out.Objects) != 1 || len(out.Warnings) != 2 {
		t.Errorf("%+v, %v, want one object and a warning of each link", out, err)
	}
	chart := linked(t, map[string]string{"c/Chart.yaml": "{apiVersion: v2, name: c, version: 1.0.0}", "c/templates/a.yaml": configMap}, map[string]string{"c/x": "../c", "c/y": "../c"})
	if _, _, err := Run(chart, Job{Path: "c"}); err == nil || !strings.Contains(err.Error(), "in a circle") {
		t.Errorf("error %v, want one of the circle", err)
	}
	bases := linked(t, map[string]string{"k/kustomization.yaml": "resources: [x, y]\n"}, map[string]string{"k/x": "../k", "k/y": "../k"})
	if _, _, err := Run(bases, Job{Path: "k"}); err == nil || !strings.Contains(err.Error(), "links that lead in a circle") {
		t.Errorf("error %v, want one of the circle", err)
	}
}

func TestLinkedBaseIsFollowed(t *testing.T) {
	files := linked(t, map[string]string{"shared/kustomization.yaml": "resources: [a.yaml]\n", "shared/a.yaml": configMap, "app/kustomization.yaml": "resources: [base]\n"}, map[string]string{"app/base": "../shared"})
	out, _, err := Run(files, Job{Path: "app"})
	if err != nil || len(out.Objects) != 1 {
		t.Errorf("%+v, %v, want the object of the linked base", out, err)
	}
}

// panicking is a tree that makes whatever reads it panic, as a library does on input that it did not expect.
type panicking struct{ tree.Source }

func (panicking) List(string) ([]tree.Entry, error) { panic("index out of range") }

func TestPanicIsAnError(t *testing.T) {
	_, _, err := Run(panicking{tree.Source{Files: fstest.MapFS{"app/a.yaml": {}}}}, Job{Path: "app"})
	var problem manifest.Problem
	if !errors.As(err, &problem) || problem.File != "app" || !strings.Contains(err.Error(), "index out of range") || !strings.Contains(problem.Hint, "panicking") {
		t.Errorf("error %v, want one with the app, the reason and where it was", err)
	}
}

func TestUnreadableFilesAreNamed(t *testing.T) {
	files := map[string]string{
		"Chart.yaml":  "apiVersion: v2\n name: c\n",
		"values.yaml": "a: b\n c: d\n",
	}
	for name, data := range files {
		chart := fstest.MapFS{"c/Chart.yaml": {Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")}}
		chart["c/"+name] = &fstest.MapFile{Data: []byte(data)}
		_, _, err := Run(tree.Source{Files: chart}, Job{Path: "c"})
		var problem manifest.Problem
		if !errors.As(err, &problem) || problem.File != "c/"+name || problem.Line != 2 {
			t.Errorf("%s: error %v, want one at line 2 of it", name, err)
		}
	}
}

func TestFactsOfAnErrorAreReported(t *testing.T) {
	chart := tree.Source{Files: fstest.MapFS{
		"c/Chart.yaml":       {Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")},
		"c/templates/a.yaml": {Data: []byte(`{{ if semverCompare "<1.30" .Capabilities.KubeVersion.Version }}{{ fail "too old" }}{{ end }}`)},
	}}
	facts := app.Facts{KubernetesVersion: "v1.29.0"}
	_, seen, err := Run(chart, Job{Path: "c", Facts: facts})
	if err == nil || len(seen) != 1 || seen[0] != (Fact{FactVersion, "v1.29.0"}) {
		t.Errorf("error %v depends on %v, want the version", err, seen)
	}
	if !Holds(facts, seen) || Holds(app.Facts{KubernetesVersion: "v1.30.0"}, seen) {
		t.Error("the error would be repeated for a cluster that is new enough")
	}
}

func TestMisspeltKindsOfDialects(t *testing.T) {
	tests := map[string]struct {
		apiVersion, kind, meant string
		reason                  string
	}{
		"letter":          {"argoproj.io/v1alpha1", "Aplication", "Application", "an app would be taken for removed"},
		"case":            {"argoproj.io/v1alpha1", "Applicationset", "ApplicationSet", "kinds have upper and lower case"},
		"project":         {"argoproj.io/v1alpha1", "AppProjects", "AppProject", "a project that is gone refuses its apps"},
		"right":           {"argoproj.io/v1alpha1", "Application", "", "nothing is wrong"},
		"other group":     {"example.com/v1", "Aplication", "", "others may call their kinds as they like"},
		"rollouts":        {"argoproj.io/v1alpha1", "Rollout", "", "the group has other kinds"},
		"workflows":       {"argoproj.io/v1alpha1", "ClusterWorkflowTemplate", "", "the group has other kinds"},
		"cron":            {"argoproj.io/v1alpha1", "CronWorkflow", "", "the group has other kinds"},
		"events":          {"argoproj.io/v1alpha1", "EventSource", "", "the group has other kinds"},
		"analysis":        {"argoproj.io/v1alpha1", "AnalysisTemplate", "", "the group has other kinds"},
		"flux":            {"kustomize.toolkit.fluxcd.io/v1", "Kustomisation", "Kustomization", "an app would be taken for removed"},
		"flux, release":   {"helm.toolkit.fluxcd.io/v2", "Release", "HelmRelease", "the group has no other kind"},
		"flux, right":     {"helm.toolkit.fluxcd.io/v2", "HelmRelease", "", "nothing is wrong"},
		"kustomize":       {"kustomize.config.k8s.io/v1beta1", "Kustomisation", "", "this is none of Flux"},
		"of the operator": {"argoproj.io/v1beta1", "ArgoCD", "", "the group has other kinds"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			data := "apiVersion: " + test.apiVersion + "\nkind: " + test.kind + "\nmetadata: {name: a}\n"
			_, _, err := Run(tree.Source{Files: fstest.MapFS{"argo/a.yaml": {Data: []byte(data)}}}, Job{Path: "argo"})
			if test.meant == "" {
				if err != nil {
					t.Errorf("error %v, want none: %s", err, test.reason)
				}
				return
			}
			var problems manifest.Problems
			if !errors.As(err, &problems) || len(problems) != 1 || problems[0].File != "argo/a.yaml" || !strings.Contains(problems[0].Hint, `"`+test.meant+`"`) {
				t.Errorf("error %v, want one with the file and %q: %s", err, test.meant, test.reason)
			}
		})
	}
}
