package gittree

import (
	"fmt"
	"io/fs"
	"runtime"
	"testing"
)

// fleet writes a commit of 5,000 small files, each in a directory of its own as Kustomize overlays are.
func fleet(r *repo) string {
	commit := r.importAll(func(emit func(string, node)) {
		for i := range 5000 {
			emit(fmt.Sprintf("apps/team-%02d/app-%04d/deployment.yaml", i%50, i), text(fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: app-%[1]d, labels: {app: a%[1]d}}
spec: {replicas: %[1]d, template: {spec: {containers: [{name: c, image: "registry.example/app-%[1]d:v%[1]d"}]}}}
`, i)))
		}
	})
	r.git("", "repack", "-adq")
	return commit
}

// readAll walks a tree and reads every file, one after the other.
func readAll(b *testing.B, tree *Tree) {
	files := 0
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		_, err = fs.ReadFile(tree, path)
		return err
	})
	if err != nil || files != 5000 {
		b.Fatalf("read %d files: %v", files, err)
	}
}

// BenchmarkList measures the first listing of a commit, with nothing in memory.
func BenchmarkList(b *testing.B) {
	r := newRepo(b)
	commit := fleet(r)
	for b.Loop() {
		s := r.store()
		r.open(s, commit)
		s.Close()
	}
}

// BenchmarkListNext measures the listing of a commit that changes one file of another that is in use.
func BenchmarkListNext(b *testing.B) {
	r := newRepo(b)
	first := fleet(r)
	second := r.importOnto(first, func(emit func(string, node)) {
		emit("apps/team-07/app-0007/deployment.yaml", text("changed"))
	})
	s := r.store()
	before := r.open(s, first)
	for b.Loop() {
		if got := Changed(before, r.open(s, second)); len(got) != 1 {
			b.Fatalf("changed: %q", got)
		}
		runtime.GC() // forgets what only the second commit has
	}
}

// BenchmarkListAndRead measures the first listing of a commit and the reading of all its files.
func BenchmarkListAndRead(b *testing.B) {
	r := newRepo(b)
	commit := fleet(r)
	for b.Loop() {
		s := r.store()
		readAll(b, r.open(s, commit))
		s.Close()
	}
}

// BenchmarkReadAgain measures the reading of all files when they are in the cache.
func BenchmarkReadAgain(b *testing.B) {
	r := newRepo(b)
	tree := r.open(r.store(), fleet(r))
	readAll(b, tree)
	for b.Loop() {
		readAll(b, tree)
	}
}
