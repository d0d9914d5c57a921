package gittree

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"testing"
)

// TestFromCountsInTheOrderOfPaths holds the way that reading ahead finds its place against a plain walk.
func TestFromCountsInTheOrderOfPaths(t *testing.T) {
	r := newRepo(t)
	rng := rand.New(rand.NewPCG(3, 4))
	nodes := map[string]node{"sub": module(someCommit), "a/sub": module(someCommit), "link": linkTo("z")}
	for i := range 60 {
		path := ""
		for range rng.IntN(4) {
			path += fmt.Sprintf("%c/", 'b'+rng.IntN(3))
		}
		nodes[path+fmt.Sprintf("file%d", i)] = text(fmt.Sprint(i))
	}
	tree := r.tree(nodes)
	var walked []*entry
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if d.Type().IsRegular() || d.Type() == fs.ModeSymlink {
			walked = append(walked, d.(info).entry)
		}
		return err
	})
	if err != nil || len(walked) != tree.root.dir.leaves {
		t.Fatalf("walked %d of %d: %v", len(walked), tree.root.dir.leaves, err)
	}
	for n := range len(walked) + 2 {
		i := n
		tree.root.dir.from(n, func(e *entry) bool {
			if e != walked[i] {
				t.Fatalf("from %d: place %d is %q, want %q", n, i, e.name, walked[i].name)
			}
			i++
			return true
		})
		if i != max(n, len(walked)) {
			t.Errorf("from %d: stopped at %d of %d", n, i, len(walked))
		}
	}
}

// TestReadingAheadSavesExchanges reads a tree in order and counts how often git was asked.
func TestReadingAheadSavesExchanges(t *testing.T) {
	r := newRepo(t)
	nodes := map[string]node{}
	for i := range 1000 {
		nodes[fmt.Sprintf("app-%03d/file", i)] = text(fmt.Sprint(i))
	}
	tree := r.tree(nodes)
	misses := 0
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !tree.store.opts.Cache.has(cacheKey{tree.store, d.(info).entry.id}) {
			misses++
		}
		data, err := tree.ReadFile(path)
		if string(data) != nodes[path].data {
			t.Errorf("%s holds %q", path, data)
		}
		return err
	})
	if err != nil || misses > 10 {
		t.Errorf("1,000 files in order took %d exchanges, want at most 10: %v", misses, err)
	}
}

// TestLargeRepository is about 100,000 files: what a listing holds in memory, and that the next commit costs what
// changed in it.
func TestLargeRepository(t *testing.T) {
	if testing.Short() {
		t.Skip("lists 100,000 files: run without -short")
	}
	r := newRepo(t)
	commits := []string{r.importAll(func(emit func(string, node)) {
		for i := range 100_000 {
			emit(fmt.Sprintf("team-%02d/app-%04d/file-%02d.yaml", i/2000, i/20, i%20), text(fmt.Sprintf("number: %d\n", i)))
		}
	})}
	const changed = "team-07/app-0700/file-00.yaml"
	commits = append(commits, r.importOnto(commits[0], func(emit func(string, node)) { emit(changed, text("two")) }))

	asked := 0
	s := r.storeWith(Options{Git: func(args ...string) *exec.Cmd { asked++; return r.command(args...) }})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	empty := heap()
	first := r.open(s, commits[0])
	if used := heap() - empty; used > 32<<20 {
		t.Errorf("the listing takes %d MiB, want at most 32", used>>20)
	}
	second := r.open(s, commits[1])
	if used := heap() - empty; used > 33<<20 {
		t.Errorf("two listings take %d MiB, want hardly more than one", used>>20)
	}
	if got := Changed(first, second); len(got) != 1 || got[0] != changed {
		t.Errorf("changed: %q", got)
	}
	if asked != 3 {
		t.Errorf("%d processes were started, want one for objects and one per commit for sizes", asked)
	}
	if data, err := second.ReadFile(changed); err != nil || string(data) != "two" {
		t.Errorf("got %q, %v", data, err)
	}
}
