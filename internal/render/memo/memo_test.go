package memo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/atomicfile"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/tree"
)

// output is a render of one ConfigMap with a text of some size.
func output(name string, size int) *build.Output {
	return &build.Output{Objects: []json.RawMessage{fmt.Appendf(nil, `{"apiVersion":"v1","data":{"text":%q},"kind":"ConfigMap","metadata":{"name":%q}}`, strings.Repeat("x", size), name)}}
}

// source is a tree with one file, and reads of it.
func source(data string) (tree.Source, []tree.Read) {
	s := tree.Source{Files: fstest.MapFS{"a.yaml": {Data: []byte(data)}}}
	recorder := tree.Record(s)
	_, _ = recorder.ReadFile("a.yaml")
	return s, recorder.Reads()
}

func keep(t *testing.T, c *Cache, key, data string, size int) Value {
	t.Helper()
	s, reads := source(data)
	value, err := c.Keep(key, s, reads, nil, output(data, size))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func has(c *Cache, key, data string) bool {
	s, _ := source(data)
	found, ok := c.Find(key, s, app.Facts{})
	return ok && found.Err == nil && found.Bundle.Objects[0].GetName() == data
}

func TestEqualResultsAreShared(t *testing.T) {
	c := New(Options{Dir: t.TempDir()})
	if a, b := keep(t, c, "key-a", "same", 10), keep(t, c, "key-b", "same", 10); a.Bundle != b.Bundle {
		t.Error("two keys with equal results hold two bundles")
	}
	files, err := filepath.Glob(filepath.Join(c.options.Dir, "*", "results", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Errorf("%d results on disk, error %v, want 1", len(files), err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := New(Options{MaxMemory: 10_000})
	for i := range 20 {
		keep(t, c, fmt.Sprintf("key-%d", i), fmt.Sprintf("data-%d", i), 1000)
		has(c, "key-0", "data-0") // keeps the first in use
	}
	if c.results.used.cost > 10_000 {
		t.Errorf("results cost %d, the bound is 10,000", c.results.used.cost)
	}
	runtime.GC() // nobody holds the others
	if !has(c, "key-0", "data-0") || !has(c, "key-19", "data-19") || has(c, "key-1", "data-1") {
		t.Error("want what was used last to stay and the rest to go")
	}
}

func TestVariantsAreBounded(t *testing.T) {
	c := New(Options{})
	for i := range maxVariants + 3 {
		keep(t, c, "key", fmt.Sprintf("data-%d", i), 10)
	}
	if n := len(c.variants("key")); n != maxVariants {
		t.Errorf("%d variants, want %d", n, maxVariants)
	}
	if has(c, "key", "data-0") || !has(c, "key", fmt.Sprintf("data-%d", maxVariants+2)) {
		t.Error("want the oldest to go")
	}
}

// size returns how many bytes the files below a directory have.
func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		total += info.Size()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return total
}

func TestDiskIsBounded(t *testing.T) {
	dir := t.TempDir()
	c := New(Options{Dir: dir})
	past := time.Now().Add(-time.Hour)
	for i := range 40 {
		key, data := fmt.Sprintf("key-%02d", i), fmt.Sprintf("data-%02d", i)
		keep(t, c, key, data, 1000)
		used := past.Add(time.Duration(i) * time.Second)
		for _, file := range []string{c.disk.path(keyFiles, key), c.disk.path(resultFiles, c.variants(key)[0].result)} {
			if err := os.Chtimes(file, used, used); err != nil {
				t.Fatal(err)
			}
		}
	}
	bounded := New(Options{Dir: dir, MaxDisk: 20_000})
	keep(t, bounded, "key-40", "data-40", 1000) // the first write sweeps
	if total := size(t, dir); total > 20_000 || total < 10_000 {
		t.Errorf("%d bytes on disk, want most of 20,000", total)
	}
	again := New(Options{Dir: dir})
	if has(again, "key-00", "data-00") || !has(again, "key-39", "data-39") || !has(again, "key-40", "data-40") {
		t.Error("want the oldest to go and the newest to stay")
	}
	for i := range 40 {
		keep(t, bounded, fmt.Sprintf("more-%02d", i), fmt.Sprintf("more-%02d", i), 1000)
	}
	if total := size(t, dir); total > 20_000 {
		t.Errorf("%d bytes on disk after more was written, the bound is 20,000", total)
	}
}

func TestUseIsMarkedOnDisk(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	c := New(Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	keep(t, c, "key", "data", 10)
	file := c.disk.path(resultFiles, c.variants("key")[0].result)
	for range 2 {
		now = now.Add(touchEvery + time.Second)
		if !has(c, "key", "data") {
			t.Fatal("a miss")
		}
		info, err := os.Stat(file)
		if err != nil || !info.ModTime().Equal(now) {
			t.Errorf("the file was used at %v, error %v, want %v", info.ModTime(), err, now)
		}
	}
}

func TestAbandonedFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, format, "keys", "a", atomicfile.Prefix+"1")
	young := filepath.Join(dir, format, "keys", "a", atomicfile.Prefix+"2")
	if err := os.MkdirAll(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{old, young} {
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	keep(t, New(Options{Dir: dir}), "key", "data", 10) // the first write sweeps
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file that a process which died left behind is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Error("a file that another process is writing was removed")
	}
}

// Two caches stand for two processes: they share no lock and no memory.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	caches := []*Cache{New(Options{Dir: dir, MaxDisk: 30_000}), New(Options{Dir: dir, MaxDisk: 30_000})}
	var all sync.WaitGroup
	for _, c := range caches {
		for worker := range 4 {
			all.Go(func() {
				for i := range 50 {
					key, data := fmt.Sprintf("key-%02d", i%10), fmt.Sprintf("data-%d", (i+worker)%20)
					s, reads := source(data)
					found, ok := c.Find(key, s, app.Facts{})
					if ok && found.Bundle.Objects[0].GetName() != data {
						t.Errorf("found %s, want %s", found.Bundle.Objects[0].GetName(), data)
					}
					if !ok {
						if _, err := c.Keep(key, s, reads, nil, output(data, 500)); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	all.Wait()
	for _, c := range caches {
		if err := c.Failure(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsAreForgotten(t *testing.T) {
	now := time.Now()
	c := New(Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	s, reads := source("data")
	stopped := errors.New("stopped")
	c.KeepError("key", s, reads, nil, stopped, time.Minute)
	if found, ok := c.Find("key", s, app.Facts{}); !ok || !errors.Is(found.Err, stopped) {
		t.Errorf("found %v, want the error", found)
	}
	now = now.Add(time.Minute)
	if _, ok := c.Find("key", s, app.Facts{}); ok {
		t.Error("the error outlived its minute")
	}
	c.KeepError("key", s, reads, nil, stopped, 0)
	keep(t, c, "key", "other", 10)
	if again := New(Options{Dir: c.options.Dir}); len(again.variants("key")) != 1 {
		t.Errorf("%d variants on disk, want the result only: errors are not kept over a restart", len(again.variants("key")))
	}
}
