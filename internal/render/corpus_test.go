package render

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// corpus is the folder of public repositories beside the checkout, which not everyone has.
func corpus(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../../shared/corpus")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no public repositories to render beside the checkout (shared/corpus): %v", err)
	}
	return dir
}

// directories lists those in a directory of a repository that have a file whose name begins so.
func directories(t testing.TB, repository, below, file string) []string {
	t.Helper()
	var dirs []string
	err := fs.WalkDir(os.DirFS(repository), below, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasPrefix(entry.Name(), file) {
			dirs = append(dirs, path.Dir(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// direct builds a directory with Kustomize on the disk, as its users do.
func direct(dir string) ([]*unstructured.Unstructured, error) {
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, resource := range built.Resources() {
		data, err := resource.MarshalJSON()
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return nil, err
		}
		objects = append(objects, u)
	}
	return objects, nil
}

// remote are the problems of references that Kustomize by itself would fetch: it is not asked then.
var remote = regexp.MustCompile(`(?m)refers to .*(not in the repository|is no source|URL of a file|no Git repository)`)

// outcome renders what is at a path and says in a few words what came of it: "equal" to Kustomize's own, "differs",
// "refused by both", or why Nave refuses it; a chart is "rendered". Kustomize's own result has the last word: where it
// differs, the test fails.
func outcome(t *testing.T, r *Renderer, dir, path string, kind app.Kind) string {
	result, err := r.Render(t.Context(), Request{Files: os.DirFS(dir), Path: path, Params: app.Render{Kind: kind}})
	switch {
	case err != nil && (kind == app.Helm || remote.MatchString(err.Error())):
		return reason(err)
	case kind == app.Helm:
		return "rendered"
	}
	theirs, theirErr := direct(filepath.Join(dir, path))
	switch {
	case err != nil && theirErr != nil:
		return "refused by both"
	case err != nil:
		return reason(err)
	case theirErr != nil:
		t.Errorf("%s: Kustomize refuses it: %v", path, theirErr)
		return "refused by Kustomize"
	}
	wanted, got := map[string]any{}, map[string]any{}
	for _, u := range theirs {
		wanted[identity(u)] = bare(u)
	}
	for _, u := range slices.Concat(result.Bundle.Objects, result.Bundle.Hooks) {
		got[identity(u)] = bare(u)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("%s (-Kustomize +ours):\n%s", path, diff)
		return "differs"
	}
	return "equal"
}

// particular is what only one problem says: values in quotes, versions and lines.
var particular = regexp.MustCompile(`"(\\.|[^"\\])*"|'[^']*'|\bv?\d+(\.\d+)*|\*`)

// reason is the first problem without what only this one says.
func reason(err error) string {
	text := err.Error()
	var problem Problem
	var problems Problems
	if errors.As(err, &problems) {
		text = problems[0].Message
	} else if errors.As(err, &problem) {
		text = problem.Message
	}
	line, _, _ := strings.Cut(text, "\n")
	line = particular.ReplaceAllString(line, "…")
	return line[:min(len(line), 120)]
}

// outcomes counts what comes of all kustomizations and charts in a directory of a repository.
func outcomes(t *testing.T, repository, below string) map[string]int {
	r := New(Options{})
	counts := map[string]int{}
	for kind, file := range map[app.Kind]string{app.Kustomize: "kustomization.y", app.Helm: "Chart.yaml"} {
		for _, path := range directories(t, repository, below, file) {
			what := outcome(t, r, repository, path, kind)
			counts[what]++
			t.Logf("%s: %s", path, what)
		}
	}
	return counts
}

// identity is without the namespace, which a bundle completes.
func identity(u *unstructured.Unstructured) string {
	id := object.Of(u)
	id.Namespace = ""
	return id.String()
}

// bare is an object without what a bundle adds to it or cleans from it.
func bare(u *unstructured.Unstructured) map[string]any {
	u = object.Clean(u)
	u.SetNamespace("")
	return u.Object
}

const (
	isNoSource = "refers to …: it is not in the repository" // outside of a fleet there is no source
	isFile     = "refers to …: it is the URL of a file, which is not fetched"
	isNotThere = "dependency … … is not in charts/: it is not in the repository"
	isNoURL    = "dependency … … is not in charts/: its repository is no URL of a chart repository"
)

// corpora are what comes of public repositories, by their folder in the corpus: a render that comes to be refused, or
// for another reason, shows.
var corpora = map[string]map[string]int{
	"flux2-kustomize-helm-example": {"equal": 7},
	"gatekeeper-library":           {"equal": 10},
	"kyverno-policies":             {"equal": 2},
}

func TestCorpus(t *testing.T) {
	dir := corpus(t)
	for name, want := range corpora {
		t.Run(name, func(t *testing.T) {
			repository := filepath.Join(dir, name)
			if _, err := os.Stat(repository); err != nil {
				t.Skipf("the corpus has no such repository: %v", err)
			}
			if diff := cmp.Diff(want, outcomes(t, repository, ".")); diff != "" {
				t.Errorf("outcomes (-want +have):\n%s", diff)
			}
		})
	}
}

// The modules that this one is built of bring repositories along that everyone has.
func TestCorpusOfModules(t *testing.T) {
	listed, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	for below, want := range map[string]map[string]int{
		"applicationset/examples": {"equal": 4, "rendered": 1, isFile: 2, isNotThere: 3},
		"test/e2e/testdata":       {"equal": 18, "rendered": 13, isNoSource: 4, isNotThere: 4, isNoURL: 1, "refused by both": 3},
	} {
		if diff := cmp.Diff(want, outcomes(t, strings.TrimSpace(string(listed)), below)); diff != "" {
			t.Errorf("%s: outcomes (-want +have):\n%s", below, diff)
		}
	}
}

func TestKustomizeOfSample(t *testing.T) {
	repository := fstest.MapFS{}
	for name, data := range sample().MapFS {
		repository[name] = data
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, repository); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"equal": 2, "rendered": 3}
	if diff := cmp.Diff(want, outcomes(t, dir, ".")); diff != "" {
		t.Errorf("outcomes (-want +have):\n%s", diff)
	}
}
