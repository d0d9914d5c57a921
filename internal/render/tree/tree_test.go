package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"to-dir": "real", "to-nothing": "gone"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skipf("this file system has no symbolic links, which the test is about: %v", err)
		}
	}
	got, err := Source{Files: os.DirFS(dir)}.List(".")
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{{Name: "real", Dir: true}, {Name: "to-dir", Dir: true, Link: true}, {Name: "to-nothing", Link: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a link counts as what it leads to (-want +got):\n%s", diff)
	}
}

// refusing is a tree with a path that is there and must not be read, as a link that leads outside.
type refusing struct{ fstest.MapFS }

func (r refusing) Stat(name string) (fs.FileInfo, error) {
	if name == "link" {
		return nil, errors.New("leads outside")
	}
	return r.MapFS.Stat(name)
}

func (r refusing) ReadFile(name string) ([]byte, error) {
	if name == "link" {
		return nil, errors.New("leads outside")
	}
	return r.MapFS.ReadFile(name)
}

func TestRecorder(t *testing.T) {
	r := Record(Source{Files: refusing{fstest.MapFS{"a/b": {Data: []byte("b")}}}})
	for range 2 { // once is enough
		_, _ = r.ReadFile("a/./b")
		_, _ = r.ReadFile("a/c")
		_, _ = r.ReadFile("link")
		_, _ = r.List("a")
		_, _ = r.List("x")
		_, _ = r.Stat("a")
		_, _ = r.Stat("a/b")
		_, _ = r.Stat("../x")
	}
	want := []Read{
		{OpStat, "../x", "absent"},
		{OpList, "a", listDigest([]Entry{{Name: "b"}})},
		{OpStat, "a", "directory"},
		{OpRead, "a/b", contentDigest([]byte("b"))},
		{OpStat, "a/b", "file"},
		{OpRead, "a/c", "absent"},
		{OpRead, "link", refused(errors.New("leads outside"))},
		{OpList, "x", "absent"},
	}
	if diff := cmp.Diff(want, r.Reads()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// counted counts how often a path's hash is asked for, and knows those that it holds.
type counted struct {
	hashes map[string]string
	asked  int
}

func (c *counted) Hash(path string) (string, bool) {
	c.asked++
	hash, ok := c.hashes[path]
	return hash, ok
}

func TestManifestAsksDirectoriesFirst(t *testing.T) {
	files := fstest.MapFS{}
	hashes := map[string]string{".": "root", "a": "tree"}
	for _, name := range []string{"a/1", "a/2", "a/3", "a/4"} {
		files[name] = &fstest.MapFile{Data: []byte(name)}
		hashes[name] = "blob " + name
	}
	old := Source{Files: files, Hashes: &counted{hashes: hashes}}
	r := Record(old)
	for name := range files {
		if _, err := r.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	m := NewManifest(r.Reads(), old)
	unchanged := &counted{hashes: hashes}
	if _, ok := m.Holds(Source{Files: files, Hashes: unchanged}); !ok || unchanged.asked != 1 {
		t.Errorf("holds: %t, %d hashes asked for, want 1 for one directory", ok, unchanged.asked)
	}
	// Something else changed in the directory: each file is asked for, and the directory's new hash is learned.
	beside := map[string]string{}
	for name, hash := range hashes {
		beside[name] = hash
	}
	beside["a"] = "other tree"
	changed := &counted{hashes: beside}
	fresh, ok := m.Holds(Source{Files: files, Hashes: changed})
	if !ok || changed.asked != 5 {
		t.Errorf("holds: %t, %d hashes asked for, want 5", ok, changed.asked)
	}
	changed.asked = 0
	if _, ok := fresh.Holds(Source{Files: files, Hashes: changed}); !ok || changed.asked != 1 {
		t.Errorf("the next time %d hashes were asked for, want 1", changed.asked)
	}
	// A directory that has no hash, because links lead out of it, is no reason to trust it.
	delete(beside, "a")
	beside["a/3"] = "new"
	if _, ok := fresh.Holds(Source{Files: files, Hashes: changed}); ok {
		t.Error("a file changed in a directory without a hash, and nobody noticed")
	}
}
