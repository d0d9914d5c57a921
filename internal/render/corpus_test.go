package render

import (
	"io/fs"
	"os"
	"path/filepath"
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

// corpus is the folder of public repositories beside the checkout.
func corpus(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../../shared/corpus")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no public repositories to render: put some into %s", dir)
	}
	return dir
}

// kustomizations lists the directories below dir with a kustomization file.
func kustomizations(t testing.TB, dir string) []string {
	t.Helper()
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasPrefix(entry.Name(), "kustomization.y") {
			below, err := filepath.Rel(dir, filepath.Dir(path))
			dirs = append(dirs, filepath.ToSlash(below))
			return err
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

// compareWithKustomize renders every kustomization below dir in both ways. It returns how many were equal.
func compareWithKustomize(t *testing.T, dir string) int {
	r := New(Options{})
	equal := 0
	for _, path := range kustomizations(t, dir) {
		want, err := direct(filepath.Join(dir, path))
		if err != nil {
			if _, ours := r.Render(t.Context(), Request{Files: os.DirFS(dir), Path: path}); ours == nil {
				t.Errorf("%s: Kustomize refuses it: %v", path, err)
			}
			continue
		}
		result, err := r.Render(t.Context(), Request{Files: os.DirFS(dir), Path: path, Params: app.Render{Kind: app.Kustomize}})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		wanted, got := map[string]any{}, map[string]any{}
		for _, u := range want {
			wanted[identity(u)] = bare(u)
		}
		for _, u := range slices.Concat(result.Bundle.Objects, result.Bundle.Hooks) {
			got[identity(u)] = bare(u)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-Kustomize +ours):\n%s", path, diff)
			continue
		}
		equal++
	}
	return equal
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

func TestKustomizeOfCorpus(t *testing.T) {
	dir := corpus(t)
	if equal := compareWithKustomize(t, dir); equal < 3 {
		t.Errorf("only %d kustomizations were compared", equal)
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
	if equal := compareWithKustomize(t, dir); equal != 2 {
		t.Errorf("%d kustomizations were compared, want 2", equal)
	}
}
