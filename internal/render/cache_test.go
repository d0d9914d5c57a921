package render

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
)

// repository is a tree in memory with hashes as Git has them, and a count of the files that were read.
type repository struct {
	fstest.MapFS
	read atomic.Int64
}

func (r *repository) ReadFile(name string) ([]byte, error) {
	r.read.Add(1)
	return r.MapFS.ReadFile(name)
}

func (r *repository) Hash(name string) (string, bool) {
	hash := sha256.New()
	err := fs.WalkDir(r.MapFS, name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		data := []byte("directory")
		if !entry.IsDir() {
			data, err = r.MapFS.ReadFile(path)
		}
		fmt.Fprintf(hash, "%s %x\n", strings.TrimPrefix(path, name), sha256.Sum256(data))
		return err
	})
	return hex.EncodeToString(hash.Sum(nil)), err == nil
}

// with returns the repository with files written (a value of "-" removes one).
func (r *repository) with(changes map[string]string) *repository {
	files := maps.Clone(r.MapFS)
	for name, data := range changes {
		if data == "-" {
			delete(files, name)
			continue
		}
		files[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return &repository{MapFS: files}
}

// unhashed hides that a repository knows hashes.
type unhashed struct{ fs.FS }

func sample() *repository {
	return (&repository{MapFS: fstest.MapFS{}}).with(map[string]string{
		"README.md":                       "sample",
		"base/kustomization.yaml":         "resources: [web.yaml]\n",
		"base/web.yaml":                   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n",
		"base/unused.yaml":                "not: read\n",
		"overlays/prod/kustomization.yml": "resources: [../../base]\nnamespace: shop\n",
		"plain/a.yaml":                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
		"plain/deep/b.yaml":               "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: b}\n",
		"chart/Chart.yaml":                "{apiVersion: v2, name: c, version: 1.0.0}\n",
		"chart/templates/a.yaml":          "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
		"version/Chart.yaml":              "{apiVersion: v2, name: v, version: 1.0.0}\n",
		"version/templates/a.yaml":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Capabilities.KubeVersion.Minor }}'}\n",
		"apis/Chart.yaml":                 "{apiVersion: v2, name: v, version: 1.0.0}\n",
		"apis/templates/a.yaml":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 'x{{ .Capabilities.APIVersions.Has \"a/v1\" }}'}\n",
	})
}

func TestCache(t *testing.T) {
	facts := app.Facts{KubernetesVersion: "v1.35.0", APIVersions: []string{"v1"}, Scopes: map[string]bool{"Thing.example.com": true}}
	otherVersion, otherAPIs, otherScope, otherKind := facts, facts, facts, facts
	otherVersion.KubernetesVersion = "v1.36.0"
	otherAPIs.APIVersions = []string{"a/v1", "v1"}
	otherScope.Scopes = map[string]bool{"Thing.example.com": false}
	otherKind.Scopes = map[string]bool{"Thing.example.com": true, "Other.example.com": true}
	cases := []struct {
		name    string
		reason  string
		path    string
		changes map[string]string
		params  app.Render
		facts   *app.Facts
		hit     bool
	}{
		{name: "nothing", reason: "the same input is rendered once", path: "overlays/prod", hit: true},
		{name: "unrelated file", reason: "a commit costs what it touches", path: "overlays/prod", changes: map[string]string{"README.md": "new"}, hit: true},
		{name: "file beside", reason: "a file that is not read does not count, even in a directory that is", path: "overlays/prod", changes: map[string]string{"base/unused.yaml": "new"}, hit: true},
		{name: "file read", reason: "what was read counts", path: "overlays/prod", changes: map[string]string{"base/web.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n"}},
		{name: "file missed", reason: "Kustomize looked for this name, did not find it, and would now", path: "overlays/prod", changes: map[string]string{"overlays/prod/kustomization.yaml": "resources: [../../base]\n", "overlays/prod/kustomization.yml": "-"}},
		{name: "kind missed", reason: "a Chart.yaml makes it a chart", path: "plain", changes: map[string]string{"plain/Chart.yaml": "{apiVersion: v2, name: p, version: 1.0.0}"}},
		{name: "file removed", reason: "what was read is gone", path: "plain", changes: map[string]string{"plain/a.yaml": "-"}},
		{name: "file added", reason: "a listing that was read changed", path: "plain", changes: map[string]string{"plain/deep/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"}},
		{name: "file moved", reason: "the same content elsewhere is another input", path: "plain", changes: map[string]string{"plain/a.yaml": "-", "plain/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"}},
		{name: "parameters", reason: "they are part of the key", path: "overlays/prod", params: app.Render{Namespace: "other"}},
		{name: "unused variables", reason: "variables that are not substituted change nothing", path: "overlays/prod", params: app.Render{Variables: map[string]string{"A": "b"}}, hit: true},
		{name: "used variables", reason: "variables that are substituted may", path: "overlays/prod", params: app.Render{Substitute: true}},
		{name: "other cluster", reason: "a render that looks at no facts is every cluster's", path: "chart", facts: &otherVersion, hit: true},
		{name: "other version", reason: "the chart looks at the version", path: "version", facts: &otherVersion},
		{name: "other APIs, version looked at", reason: "the chart looks at the version only", path: "version", facts: &otherAPIs, hit: true},
		{name: "other APIs", reason: "the chart looks at the APIs", path: "apis", facts: &otherAPIs},
		{name: "other scope", reason: "the scope of a kind in use decides its namespace", path: "plain", facts: &otherScope},
		{name: "other kind", reason: "the scope of a kind that is not in use does not matter", path: "plain", facts: &otherKind, hit: true},
	}
	for _, hashed := range []bool{true, false} {
		for _, restarted := range []bool{false, true} {
			for _, c := range cases {
				t.Run(fmt.Sprintf("%s/hashed=%t/restarted=%t", c.name, hashed, restarted), func(t *testing.T) {
					dir := t.TempDir()
					r := New(Options{CacheDir: dir})
					before := sample()
					request := Request{Files: before, Path: c.path, Facts: facts}
					if !hashed {
						request.Files = unhashed{before}
					}
					first, err := r.Render(t.Context(), request)
					if err != nil {
						t.Fatal(err)
					}
					if first.FromCache {
						t.Fatal("the first render came from the cache")
					}
					if restarted {
						r = New(Options{CacheDir: dir})
					}
					after := before.with(c.changes)
					request.Files, request.Params = after, c.params
					if !hashed {
						request.Files = unhashed{after}
					}
					if c.facts != nil {
						request.Facts = *c.facts
					}
					second, err := r.Render(t.Context(), request)
					if err != nil {
						t.Fatal(err)
					}
					if second.FromCache != c.hit {
						t.Errorf("from cache: %t, want %t: %s", second.FromCache, c.hit, c.reason)
					}
					if c.hit && hashed && after.read.Load() > 0 {
						t.Errorf("%d files were read for a hit, want hashes to do", after.read.Load())
					}
					if c.hit && first.Bundle.Digest != second.Bundle.Digest {
						t.Errorf("digest %s, want %s", second.Bundle.Digest, first.Bundle.Digest)
					}
					fresh, err := New(Options{}).Render(t.Context(), request)
					if err != nil {
						t.Fatal(err)
					}
					if fresh.Bundle.Digest != second.Bundle.Digest {
						t.Errorf("the cache gave %s, a render without it gives %s", second.Bundle.Digest, fresh.Bundle.Digest)
					}
				})
			}
		}
	}
}

// What a chart makes up for one cluster is never another's: neither from memory, nor from the disk, nor by waiting for a
// render that is under way. For the same cluster it is remembered, and another restart does not make it up anew.
func TestRandomValuesAreNotShared(t *testing.T) {
	files := sample().with(map[string]string{
		"chart/templates/a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: {{ randAlphaNum 20 }}}\n",
	})
	dir := t.TempDir()
	r := New(Options{CacheDir: dir})
	password := func(r *Renderer, cluster string) string {
		result, err := r.Render(t.Context(), Request{Files: files, Path: "chart", Params: app.Render{
			CreateOnly: app.ObjectRules{{Kind: "Secret"}}, Cluster: cluster,
		}})
		if err != nil {
			t.Error(err)
			return ""
		}
		value, _, _ := unstructured.NestedString(result.Bundle.Objects[0].Object, "stringData", "password")
		return value
	}
	var mu sync.Mutex
	found := map[string]string{} // clusters by password
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			cluster := fmt.Sprint("c", i%12)
			value := password(r, cluster)
			mu.Lock()
			defer mu.Unlock()
			if other, ok := found[value]; ok && other != cluster {
				t.Errorf("%s and %s share %q", other, cluster, value)
			}
			found[value] = cluster
		})
	}
	group.Wait()
	if len(found) != 12 {
		t.Errorf("%d values for 12 clusters", len(found))
	}
	restarted := New(Options{CacheDir: dir})
	for value, cluster := range found {
		if again := password(restarted, cluster); again != value {
			t.Errorf("%s: %q after a restart, %q before", cluster, again, value)
		}
	}
}

// What a release is called makes another render of a chart, and of nothing else.
func TestReleaseNamesOfCharts(t *testing.T) {
	r := New(Options{})
	defer r.Close()
	for reason, c := range map[string]struct {
		path   string
		params app.Render
		shared bool
	}{
		"a kustomization":           {"overlays/prod", app.Render{}, true},
		"one that is said to be so": {"base", app.Render{Kind: app.Kustomize}, true},
		"plain files":               {"plain", app.Render{Directory: &app.Directory{}}, true},
		"a chart":                   {"chart", app.Render{}, false},
		"one of an Application":     {"chart", app.Render{Directory: &app.Directory{}}, false},
		"one that is said to be":    {"version", app.Render{Kind: app.Helm}, false},
	} {
		var last *Result
		for _, name := range []string{"one", "two"} {
			params := c.params
			params.Helm.ReleaseName = name
			result, err := r.Render(t.Context(), Request{Files: sample(), Path: c.path, Params: params})
			if err != nil {
				t.Fatalf("%s: %v", reason, err)
			}
			last = result
		}
		if last.FromCache != c.shared {
			t.Errorf("%s: rendered once for two names: %t", reason, last.FromCache)
		}
	}
}

// Of a cluster nothing counts for an object of Argo CD's that states its namespace.
func TestArgoCDsKindsHaveNamespaces(t *testing.T) {
	r := New(Options{})
	defer r.Close()
	for manifest, used := range map[string]bool{
		"{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a, namespace: argocd}}": false,
		"{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: a}}":                    true,
		"{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: a, namespace: argocd}}":     true,
	} {
		files := (&repository{MapFS: fstest.MapFS{}}).with(map[string]string{"app/a.yaml": manifest})
		result, err := r.Render(t.Context(), Request{Files: files, Path: "app"})
		if err != nil {
			t.Fatal(err)
		}
		if result.FactsUsed != used || len(result.Bundle.Objects) != 1 {
			t.Errorf("%s: depends on the cluster: %t, %q", manifest, result.FactsUsed, result.Warnings)
		}
	}
}

func TestCacheGoesBack(t *testing.T) {
	r := New(Options{})
	old := sample()
	changed := old.with(map[string]string{"base/web.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\n"})
	var results []*Result
	for _, files := range []*repository{old, changed, old, changed} {
		result, err := r.Render(t.Context(), Request{Files: files, Hashes: files, Path: "overlays/prod"})
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, result)
	}
	if !results[2].FromCache || !results[3].FromCache || results[0].Bundle != results[2].Bundle || results[1].Bundle != results[3].Bundle {
		t.Error("a commit that goes back, such as a rollback, was rendered again")
	}
}

func TestErrorsAreRemembered(t *testing.T) {
	r := New(Options{})
	bad := sample().with(map[string]string{"base/web.yaml": "kind: ConfigMap\n"})
	var first error
	for i := range 3 {
		_, err := r.Render(t.Context(), Request{Files: bad, Hashes: bad, Path: "overlays/prod"})
		var problems Problems
		if !errors.As(err, &problems) {
			t.Fatalf("error %v, want Problems", err)
		}
		if i == 0 {
			first = err
		} else if err.Error() != first.Error() {
			t.Errorf("error %v, at first %v", err, first)
		}
	}
	if stats := r.Stats(); stats.Renders != 1 || stats.Hits != 2 {
		t.Errorf("%+v, want one render: an error of the files is the same until they change", stats)
	}
	good := sample()
	if _, err := r.Render(t.Context(), Request{Files: good, Hashes: good, Path: "overlays/prod"}); err != nil {
		t.Errorf("after the files were mended: %v", err)
	}
}

func TestDamagedCacheIsAMiss(t *testing.T) {
	files := sample()
	request := Request{Files: files, Hashes: files, Path: "overlays/prod"}
	for name, damage := range map[string]func(data []byte) []byte{
		"truncated": func(data []byte) []byte { return data[:len(data)/2] },
		"empty":     func([]byte) []byte { return nil },
		"flipped":   func(data []byte) []byte { data[len(data)-3] ^= 1; return data },
	} {
		for _, kind := range []string{"keys", "results"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				dir := t.TempDir()
				first, err := New(Options{CacheDir: dir}).Render(t.Context(), request)
				if err != nil {
					t.Fatal(err)
				}
				saved, err := filepath.Glob(filepath.Join(dir, "*", kind, "*", "*"))
				if err != nil || len(saved) != 1 {
					t.Fatalf("%d files of %s, error %v", len(saved), kind, err)
				}
				data, err := os.ReadFile(saved[0])
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(saved[0], damage(data), 0o600); err != nil {
					t.Fatal(err)
				}
				r := New(Options{CacheDir: dir})
				second, err := r.Render(t.Context(), request)
				if err != nil {
					t.Fatal(err)
				}
				if second.FromCache || second.Bundle.Digest != first.Bundle.Digest {
					t.Errorf("from cache: %t, digest %s, want a new render of %s", second.FromCache, second.Bundle.Digest, first.Bundle.Digest)
				}
				third, err := New(Options{CacheDir: dir}).Render(t.Context(), request)
				if err != nil || !third.FromCache {
					t.Errorf("the damaged file was not replaced: %v", err)
				}
			})
		}
	}
}

func TestUnwritableCacheDoesNotStopRendering(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := New(Options{CacheDir: dir})
	files := sample()
	if _, err := r.Render(t.Context(), Request{Files: files, Path: "plain"}); err != nil {
		t.Fatal(err)
	}
	if r.Stats().CacheFailure == nil {
		t.Error("nothing says that the cache cannot be written")
	}
}

func TestEqualRendersRunOnce(t *testing.T) {
	r := New(Options{})
	files := sample()
	const callers = 20
	bundles := make([]*app.Bundle, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			result, err := r.Render(t.Context(), Request{Files: files, Hashes: files, Path: "overlays/prod"})
			if err != nil {
				t.Error(err)
				return
			}
			bundles[i] = result.Bundle
		})
	}
	all.Wait()
	if stats := r.Stats(); stats.Renders != 1 || stats.Hits != callers-1 {
		t.Errorf("%+v, want one render for %d callers", stats, callers)
	}
	for _, bundle := range bundles {
		if bundle != bundles[0] {
			t.Fatal("equal renders gave different bundles, want one that is shared")
		}
	}
}

func TestWaitingCallerCanLeave(t *testing.T) {
	var f flights
	landed, err := f.board(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := f.board(ctx, "key"); !errors.Is(err, gone) {
		t.Errorf("error %v, want %v", err, gone)
	}
	landed()
	if landed, err = f.board(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	landed()
	if len(f.waiting) != 0 {
		t.Errorf("%d keys are left behind", len(f.waiting))
	}
}

func TestPathsOutside(t *testing.T) {
	files := sample()
	for _, path := range []string{"..", "../x", "/plain", "plain/../.."} {
		if _, err := New(Options{}).Render(t.Context(), Request{Files: files, Path: path}); !errors.As(err, new(Problem)) {
			t.Errorf("path %q: error %v, want a Problem", path, err)
		}
	}
}
