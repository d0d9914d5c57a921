package kustomization

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"nave.dev/internal/render/tree"
)

func files(content map[string]string) tree.Tree {
	m := fstest.MapFS{}
	for name, data := range content {
		m[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return tree.Source{Files: m}
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

func TestIsRemote(t *testing.T) {
	for ref, want := range map[string]bool{
		"https://example.com/a.yaml": true, "HTTP://example.com": true, "git::https://example.com/x": true,
		"git@example.com:x/y.git": true, "ssh://git@example.com/x": true, "github.com/x/y": true, "GitHub.com:x/y": true,
		"file:///etc/passwd": true, "gh:x/y": true, " https://example.com": true, "org-1@example.com:x": true,
		"base": false, "../../base": false, "github.company/x": false, "a@b": true, "dir/https:/x": false, "key=a.txt": false,
	} {
		if isRemote(ref) != want {
			t.Errorf("isRemote(%q) = %t, want %t", ref, !want, want)
		}
	}
}

// Builds with a schema of their own and builds without run beside each other and do not see each other's.
func TestSchemaIsNotShared(t *testing.T) {
	const patch = "patches:\n- patch: |\n    apiVersion: example.com/v1\n    kind: Stack\n    metadata: {name: a}\n    spec: {parts: [{name: two}]}\n"
	const stack = "apiVersion: example.com/v1\nkind: Stack\nmetadata: {name: a}\nspec: {parts: [{name: one}]}\n"
	repository := files(map[string]string{
		"custom/kustomization.yaml": "resources: [a.yaml]\nopenapi: {path: schema.json}\n" + patch,
		"custom/a.yaml":             stack,
		"custom/schema.json":        `{"definitions": {"v1.Stack": {"x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Stack", "version": "v1"}], "properties": {"spec": {"properties": {"parts": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name", "items": {"properties": {"name": {"type": "string"}}}}}}}}}}`,
		"plain/kustomization.yaml":  "resources: [a.yaml]\n" + patch,
		"plain/a.yaml":              stack,
	})
	want := map[string]int{"custom": 2, "plain": 1} // merged, replaced
	var all sync.WaitGroup
	for i := range 20 {
		dir := []string{"custom", "plain"}[i%2]
		all.Go(func() {
			objects, err := Build(repository, dir)
			if err != nil {
				t.Error(err)
				return
			}
			parts := objects[0].Object["spec"].(map[string]any)["parts"].([]any)
			if len(parts) != want[dir] {
				t.Errorf("%s has %d parts, want %d", dir, len(parts), want[dir])
			}
		})
	}
	all.Wait()
}

func TestDeepBases(t *testing.T) {
	content := map[string]string{}
	for i := range maxDepth + 1 {
		content[fmt.Sprintf("b%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../b%d]\n", i+1)
	}
	if _, err := Build(files(content), "b0"); err == nil || !strings.Contains(err.Error(), "deep in bases") {
		t.Errorf("error %v, want one that names the depth", err)
	}
}

// Wide diamonds of bases are walked once each: 2^20 ways lead to the last.
func TestDiamondsAreWalkedOnce(t *testing.T) {
	content := map[string]string{"b20/kustomization.yaml": "resources: [gone.yaml]\n"}
	for i := range 20 {
		content[fmt.Sprintf("b%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../l%d, ../r%d]\n", i, i)
		for _, side := range []string{"l", "r"} {
			content[fmt.Sprintf("%s%d/kustomization.yaml", side, i)] = fmt.Sprintf("resources: [../b%d]\n", i+1)
		}
	}
	_, err := Build(files(content), "b0")
	if err == nil || strings.Count(err.Error(), "gone.yaml") != 2 { // the reference and what it resolves to
		t.Errorf("error %v, want the missing file once", err)
	}
}

func TestFilesystem(t *testing.T) {
	f := filesystem{files(map[string]string{"a/b.yaml": "b", "a/c/d.yaml": "d", "e.txt": "e"})}
	for name, want := range map[string][]string{
		"/a/*.yaml": {"/a/b.yaml"}, "a/*": {"/a/b.yaml", "/a/c"}, "/*/c/d.*": {"/a/c/d.yaml"}, "/x/*": nil,
	} {
		got, err := f.Glob(name)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Glob(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := f.Glob("["); !errors.Is(err, path.ErrBadPattern) {
		t.Errorf("bad pattern: %v", err)
	}
	var walked []string
	if err := f.Walk("/a", func(name string, info fs.FileInfo, err error) error {
		walked = append(walked, fmt.Sprintf("%s %t", name, info.IsDir()))
		return err
	}); err != nil || !slices.Equal(walked, []string{"/a true", "/a/b.yaml false", "/a/c true", "/a/c/d.yaml false"}) {
		t.Errorf("walked %q, %v", walked, err)
	}
	for name, want := range map[string]struct {
		dir  filesys.ConfirmedDir
		file string
	}{"/": {"/", ""}, "/a": {"/a", ""}, "/a/../a/b.yaml": {"/a", "b.yaml"}, "/../../e.txt": {"/", "e.txt"}} {
		dir, file, err := f.CleanedAbs(name)
		if err != nil || dir != want.dir || file != want.file {
			t.Errorf("CleanedAbs(%q) = %q, %q, %v", name, dir, file, err)
		}
	}
	if _, _, err := f.CleanedAbs("/gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("CleanedAbs of nothing: %v", err)
	}
	if err := f.WriteFile("/a/b.yaml", nil); !errors.Is(err, errReadOnly) {
		t.Errorf("writing: %v", err)
	}
	if _, err := f.ReadFile("/a"); err == nil {
		t.Error("a directory was read as a file")
	}
}

// noNetwork fails a test that fetches anything.
type noNetwork struct{ t *testing.T }

func (n noNetwork) RoundTrip(request *http.Request) (*http.Response, error) {
	n.t.Errorf("%s was fetched", request.URL)
	return nil, errors.New("no network")
}

func FuzzBuild(f *testing.F) {
	for _, seed := range []string{
		"resources: [a.yaml]\n", "resources: [https://example.com/x, 'http:/x', ../..]\n", "bases: &a [*a]\n", "components: [c]\nnamePrefix: x-\n",
		"generators:\n- |\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n  metadata: {name: a}\n  files: [https://example.com]\n",
		"patches: [{path: a.yaml}, {patch: '[]', target: {kind: X}}]\nvars: [{name: A, objref: {kind: ConfigMap, name: a, apiVersion: v1}}]\n",
		"configMapGenerator: [{name: a, files: [b=a.yaml], envs: [a.yaml], literals: [a=b]}]\nreplicas: [{name: a, count: 3}]\n",
		"replacements: [{source: {kind: ConfigMap}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.x]}]}]\n", "apiVersion: v1\nkind: Component\n", "openapi: {version: v1.20.4}\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		original := http.DefaultTransport
		http.DefaultTransport = noNetwork{t}
		defer func() { http.DefaultTransport = original }()
		recorder := tree.Record(tree.Source{Files: fstest.MapFS{
			"app/kustomization.yaml":   {Data: []byte(data)},
			"app/a.yaml":               {Data: []byte(configMap)},
			"app/c/kustomization.yaml": {Data: []byte("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n")},
		}})
		func() {
			defer func() { _ = recover() }() // build.Run turns the panics of Kustomize into errors
			_, _ = Build(recorder, "app")
		}()
		for _, read := range recorder.Reads() {
			if !fs.ValidPath(read.Path) {
				t.Errorf("%q was looked for", read.Path)
			}
		}
	})
}
