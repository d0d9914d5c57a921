package memo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nave.dev/internal/atomicfile"
	"nave.dev/internal/object"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/tree"
)

// disk keeps files under two directories, keys and results. Every file is written beside its place and renamed, and
// carries a digest of its content, so that a file that a crash or another process left half written is as good as none.
type disk struct {
	dir string
	max int64
	now func() time.Time

	mu    sync.Mutex
	total int64 // bytes, as far as known; -1 before the first sweep
	swept bool
}

const (
	// format changes with the form of the files; others are not read.
	format = "render-2"
	// touchEvery is how often a file in use is marked as such.
	touchEvery = 6 * time.Hour
	// abandoned is how old an unfinished file must be to be somebody's who died.
	abandoned   = time.Hour
	keyFiles    = "keys"
	resultFiles = "results"
)

// path spreads files over sixteen directories: a new cache makes them all, and
// many directories cost more than many files in one.
func (d *disk) path(kind, name string) string {
	return filepath.Join(d.dir, format, kind, name[:1], name)
}

// savedVariant is a variant in a file.
type savedVariant struct {
	Reads  []tree.Read  `json:"reads"`
	Facts  []build.Fact `json:"facts,omitempty"`
	Result string       `json:"result"`
}

// read returns the content of a file whose digest is right.
func (d *disk) read(kind, name string) ([]byte, bool) {
	file := d.path(kind, name)
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, false
	}
	digest, content, ok := bytes.Cut(data, []byte("\n"))
	if !ok || string(digest) != object.Digest(content) {
		return nil, false
	}
	return content, true
}

func (d *disk) result(digest string) ([]byte, bool) {
	content, ok := d.read(resultFiles, digest)
	if ok {
		d.touch(digest)
	}
	return content, ok && object.Digest(content) == digest
}

// touch marks a result as used. That it cannot be done only makes it seem older.
func (d *disk) touch(digest string) {
	now := d.now()
	_ = os.Chtimes(d.path(resultFiles, digest), now, now)
}

func (d *disk) variants(key string) []*variant {
	content, ok := d.read(keyFiles, key)
	if !ok {
		return nil
	}
	var saved []savedVariant
	if err := json.Unmarshal(content, &saved); err != nil {
		return nil
	}
	now := d.now()
	_ = os.Chtimes(d.path(keyFiles, key), now, now)
	variants := make([]*variant, len(saved))
	for i, s := range saved {
		variants[i] = &variant{manifest: tree.NewManifest(s.Reads, tree.Source{}), facts: s.Facts, result: s.Result}
	}
	return variants
}

func (d *disk) keepVariants(key string, variants []*variant) error {
	saved := []savedVariant{}
	for _, v := range variants {
		if v.err == nil {
			saved = append(saved, savedVariant{Reads: v.manifest.Reads, Facts: v.facts, Result: v.result})
		}
	}
	content, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("encoding render cache entry: %w", err)
	}
	return d.write(keyFiles, key, content)
}

func (d *disk) keepResult(digest string, content []byte) error {
	return d.write(resultFiles, digest, content)
}

// write puts a file into its place in one step, and makes room if there is too much.
func (d *disk) write(kind, name string, content []byte) error {
	file := d.path(kind, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("writing render cache: %w", err)
	}
	data := append([]byte(object.Digest(content)+"\n"), content...)
	if err := atomicfile.Write(file, data); err != nil {
		return fmt.Errorf("writing render cache: %w", err)
	}
	return d.grew(int64(len(data)))
}

// grew counts what was written, and sweeps when that is too much. Files that replaced others count twice until then.
func (d *disk) grew(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total += size
	if d.swept && d.total <= d.max {
		return nil
	}
	return d.sweep()
}

// sweep measures the directory and removes what was not used for longest, down to four fifths of the bound.
func (d *disk) sweep() error {
	type found struct {
		path string
		size int64
		used time.Time
	}
	var files []found
	var total int64
	err := filepath.WalkDir(filepath.Join(d.dir, format), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreAbsent(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreAbsent(err)
		}
		if strings.HasPrefix(entry.Name(), atomicfile.Prefix) {
			if d.now().Sub(info.ModTime()) > abandoned {
				return ignoreAbsent(os.Remove(path))
			}
			return nil
		}
		files = append(files, found{path, info.Size(), info.ModTime()})
		total += info.Size()
		return nil
	})
	if err != nil {
		return fmt.Errorf("sweeping render cache: %w", err)
	}
	if total > d.max {
		slices.SortFunc(files, func(a, b found) int { return a.used.Compare(b.used) })
		for _, file := range files {
			if total <= d.max/5*4 {
				break
			}
			if err := ignoreAbsent(os.Remove(file.path)); err != nil {
				return fmt.Errorf("sweeping render cache: %w", err)
			}
			total -= file.size
		}
	}
	d.total, d.swept = total, true
	return nil
}

// ignoreAbsent leaves out that another process was faster.
func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
