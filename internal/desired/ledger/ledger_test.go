package ledger

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/atomicfile"
	"nave.dev/internal/object"
)

func bundle(t testing.TB, value any) *app.Bundle {
	t.Helper()
	b, err := app.NewBundle([]*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "db", "namespace": "shop"},
		"stringData": map[string]any{"password": value}, "count": int64(1) << 60,
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// given is an entry with one app.
func given(b *app.Bundle) Entry {
	return Entry{Fleet: "acme", Apps: map[string]App{"web": {
		Bundle: b.Digest, Hold: "why", Unknown: true, Left: []object.ID{{Kind: "ConfigMap", Namespace: "shop", Name: "x"}},
		Options: &app.Options{Prune: true, Deadline: time.Minute, Limits: app.Limits{Namespaces: []string{"shop"}}},
	}}}
}

func open(t testing.TB, dir string) (*Ledger, []error) {
	t.Helper()
	l, problems, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l, problems
}

func keep(t testing.TB, l *Ledger, cluster string, b *app.Bundle) {
	t.Helper()
	if err := l.Keep(cluster, given(b), []*app.Bundle{b}); err != nil {
		t.Fatal(err)
	}
}

// files lists what is in a directory, and says of what others may see.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 && path != dir {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	one, two := bundle(t, "hunter2"), bundle(t, "sesame")
	keep(t, l, "a", one)
	keep(t, l, "b", one)
	l, problems := open(t, dir)
	if len(problems) > 0 {
		t.Error(problems)
	}
	have, ok := l.Entry("b")
	if diff := cmp.Diff(given(one), have); !ok || diff != "" {
		t.Errorf("after a restart (-want +have):\n%s", diff)
	}
	read, err := l.Bundle(one.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, read); diff != "" {
		t.Errorf("the bundle (-want +have):\n%s", diff)
	}
	if diff := cmp.Diff(sorted("a.json", "b.json", one.Digest+".gz"), files(t, dir)); diff != "" {
		t.Errorf("the clusters do not share the bundle (-want +have):\n%s", diff)
	}
	keep(t, l, "a", two)
	if _, err := l.Bundle(one.Digest); err != nil {
		t.Errorf("the other cluster's bundle was removed: %v", err)
	}
	keep(t, l, "b", two)
	if err := l.Forget("a"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sorted("b.json", two.Digest+".gz"), files(t, dir)); diff != "" {
		t.Errorf("what nobody uses stays (-want +have):\n%s", diff)
	}
	if err := l.Forget("b"); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.Entry("b"); ok || len(files(t, dir)) != 0 {
		t.Errorf("after all have left: %v", files(t, dir))
	}
}

// sorted returns names as files does.
func sorted(names ...string) []string { slices.Sort(names); return names }

func TestKeepWritesNothingTwice(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	one := bundle(t, "a")
	keep(t, l, "a", one)
	var before [2]os.FileInfo
	paths := [2]string{l.clusterPath("a"), l.bundlePath(one.Digest)}
	for i, path := range paths {
		before[i] = stat(t, path)
	}
	keep(t, l, "a", one)
	keep(t, l, "b", one)
	for i, path := range paths {
		if !os.SameFile(before[i], stat(t, path)) {
			t.Errorf("%s was written again", path)
		}
	}
}

func stat(t testing.TB, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestDamage(t *testing.T) {
	one := bundle(t, "a")
	tests := []struct {
		reason string
		damage func(l *Ledger) error
		entry  bool // is still there
		bundle bool
	}{
		{"nothing", func(*Ledger) error { return nil }, true, true},
		{"half an entry", func(l *Ledger) error { return os.Truncate(l.clusterPath("a"), 100) }, false, false},
		{"an empty one", func(l *Ledger) error { return os.Truncate(l.clusterPath("a"), 0) }, false, false},
		{"another cluster's", func(l *Ledger) error { return os.Rename(l.clusterPath("a"), l.clusterPath("b")) }, false, false},
		{"half a bundle", func(l *Ledger) error { return os.Truncate(l.bundlePath(one.Digest), 50) }, true, false},
		{"no bundle", func(l *Ledger) error { return os.Remove(l.bundlePath(one.Digest)) }, true, false},
		{"another bundle", func(l *Ledger) error {
			data, err := bundle(t, "b").Encode()
			if err != nil {
				return err
			}
			return writeCompressed(l.bundlePath(one.Digest), data)
		}, true, false},
		{"what a crash left", func(l *Ledger) error {
			return os.WriteFile(filepath.Join(l.dir, bundleFiles, atomicfile.Prefix+"1"), []byte("x"), 0o600)
		}, true, true},
	}
	for _, test := range tests {
		dir := t.TempDir()
		l, _ := open(t, dir)
		keep(t, l, "a", one)
		if err := test.damage(l); err != nil {
			t.Fatal(err)
		}
		l, problems := open(t, dir)
		if _, ok := l.Entry("a"); ok != test.entry || (len(problems) > 0) != !test.entry {
			t.Errorf("%s: entry %v, problems %v", test.reason, ok, problems)
		}
		if _, ok := l.Entry("b"); ok {
			t.Errorf("%s: a cluster without an entry has one", test.reason)
		}
		if _, err := l.Bundle(one.Digest); (err == nil) != test.bundle {
			t.Errorf("%s: bundle %v", test.reason, err)
		}
		for _, name := range files(t, dir) {
			if strings.HasPrefix(name, atomicfile.Prefix) {
				t.Errorf("%s: %s stays", test.reason, name)
			}
		}
		// What is given next mends it.
		entry := given(one)
		entry.Fleet = "mended"
		if err := l.Keep("a", entry, []*app.Bundle{one}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Bundle(one.Digest); err != nil {
			t.Errorf("%s: after it was given again: %v", test.reason, err)
		}
	}
}

func TestDiskThatTakesNothing(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	one, two := bundle(t, "a"), bundle(t, "b")
	keep(t, l, "a", one)
	clusters := filepath.Join(l.dir, clusterFiles)
	if err := os.Rename(clusters, clusters+".away"); err != nil {
		t.Fatal(err)
	}
	if err := l.Keep("a", given(two), []*app.Bundle{two}); err == nil || !strings.Contains(err.Error(), `what the cluster "a" is given`) {
		t.Errorf("the error is %v", err)
	}
	if have, _ := l.Entry("a"); have.Apps["web"].Bundle != one.Digest {
		t.Errorf("what was kept is %+v", have)
	}
	if _, err := l.Bundle(one.Digest); err != nil {
		t.Error(err)
	}
	if err := os.Rename(clusters+".away", clusters); err != nil {
		t.Fatal(err)
	}
	keep(t, l, "a", two)
	if diff := cmp.Diff(sorted("a.json", two.Digest+".gz"), files(t, dir)); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
}

func BenchmarkKeepOneOfAThousandApps(b *testing.B) {
	l, _ := open(b, b.TempDir())
	entry := Entry{Fleet: "acme", Apps: map[string]App{}}
	for i := range 1000 {
		entry.Apps[fmt.Sprint("app-", i)] = App{Options: &app.Options{Prune: true}, Bundle: bundle(b, fmt.Sprint(i)).Digest}
	}
	bundles := []*app.Bundle{bundle(b, "x"), bundle(b, "y")}
	for i := 0; b.Loop(); i++ {
		next := Entry{Fleet: "acme", Apps: map[string]App{}}
		for name, given := range entry.Apps {
			next.Apps[name] = given
		}
		next.Apps["app-0"] = App{Bundle: bundles[i%2].Digest}
		if err := l.Keep("a", next, bundles[i%2:i%2+1]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeepAThousandNewBundles(b *testing.B) {
	entry, bundles := Entry{Fleet: "acme", Apps: map[string]App{}}, []*app.Bundle{}
	for i := range 1000 {
		bundles = append(bundles, bundle(b, fmt.Sprint(i)))
		entry.Apps[fmt.Sprint("app-", i)] = App{Bundle: bundles[i].Digest}
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		l, _ := open(b, b.TempDir())
		b.StartTimer()
		if err := l.Keep("a", entry, bundles); err != nil {
			b.Fatal(err)
		}
	}
}
