// Package overlay shows files of several trees as one. The main function is New. What
// is laid out is which file is where: content stays where it is, and is named by the
// hashes that it has there. It fetches and renders nothing.
package overlay

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/glob"
)

// maxFiles is how many files a tree may be made of.
const maxFiles = 200_000

// Files are those of one tree, with the hash of each where it is known.
type Files interface {
	fs.FS
	Hash(path string) (string, bool)
}

// Tree is made of the files of others. It is immutable.
type Tree struct {
	files map[string]file
	dirs  map[string]map[string]bool // names, and whether they are directories
}

// file is one of another tree.
type file struct {
	tree Files
	at   string
}

// New lays files out. Links are left out.
func New(layers []app.Layer, open func(app.Source) (Files, error)) (*Tree, error) {
	t := &Tree{files: map[string]file{}, dirs: map[string]map[string]bool{".": {}}}
	for _, layer := range layers {
		files, err := open(layer.Source)
		if err != nil {
			return nil, err
		}
		l := &laying{Tree: t, Layer: layer, from: files}
		l.ignore.Add(".", layer.Ignore)
		if err := l.lay(); err != nil {
			return nil, fmt.Errorf("copying %q: %w", layer.From, err)
		}
	}
	for name := range t.files {
		t.list(name)
	}
	return t, nil
}

// laying is one layer that is being laid.
type laying struct {
	*Tree
	app.Layer
	from   Files
	ignore glob.Ignore
}

// lay lays what the layer takes.
func (l *laying) lay() error {
	if !strings.ContainsAny(l.From, "*?[]") {
		from := path.Clean(l.From)
		info, err := fs.Stat(l.from, from)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			return l.take(from, path.Join(l.To, path.Base(from)), from)
		case strings.HasSuffix(l.To, "/") || l.To == "" || l.has(l.To):
			return l.take(from, path.Join(l.To, path.Base(from)), ".")
		}
		return l.take(from, path.Clean(l.To), ".")
	}
	found, err := fs.Glob(l.from, l.From)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("no file matches it")
	}
	base := literal(l.From)
	inside, contents := strings.CutSuffix(l.From, "/**")
	for _, name := range found {
		below := name
		if rest, ok := strings.CutPrefix(name, inside+"/"); contents && ok {
			below = rest
		}
		if err := l.take(name, path.Join(l.To, below), base); err != nil {
			return err
		}
	}
	return nil
}

// literal is what of a pattern comes before its first wildcard, in whole names.
func literal(pattern string) string {
	var names []string
	for name := range strings.SplitSeq(pattern, "/") {
		if strings.ContainsAny(name, "*?[]") {
			break
		}
		names = append(names, name)
	}
	return cmp.Or(path.Join(names...), ".")
}

// has reports whether a path is a directory by what was laid before.
func (l *laying) has(dir string) bool {
	for name := range l.files {
		if strings.HasPrefix(name, path.Clean(dir)+"/") {
			return true
		}
	}
	return false
}

// take takes a file, or a directory with all that is in it, to its place. Excluded
// paths count from a base as well.
func (l *laying) take(from, to, base string) error {
	if link, err := isLink(l.from, from); link || err != nil {
		return err
	}
	return fs.WalkDir(l.from, from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && (l.ignore.Match(name, entry.IsDir()) || l.excluded(name, base)) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		at := path.Join(to, strings.TrimPrefix(strings.TrimPrefix(name, from), "/"))
		if !fs.ValidPath(at) {
			return fmt.Errorf("%q is no place in the tree", at)
		}
		if l.files[at] = (file{l.from, name}); len(l.files) > maxFiles {
			return fmt.Errorf("it comes to more than %d files", maxFiles)
		}
		return nil
	})
}

// isLink reports whether a path is a link.
func isLink(files fs.FS, name string) (bool, error) {
	entries, err := fs.ReadDir(files, path.Dir(name))
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return e.Name() == path.Base(name) })
	return i >= 0 && entries[i].Type()&fs.ModeSymlink != 0, err
}

// excluded reports whether a pattern excludes a path.
func (l *laying) excluded(name, base string) bool {
	below := strings.TrimPrefix(name, base+"/")
	return slices.ContainsFunc(l.Exclude, func(pattern string) bool {
		if !strings.Contains(pattern, "/") && glob.Match(pattern, path.Base(name), glob.ByName) {
			return true
		}
		return glob.Match(pattern, name, glob.ByName) || glob.Match(pattern, below, glob.ByName)
	})
}

// list enters a file into the directories that it is in.
func (t *Tree) list(name string) {
	for isDir := false; name != "."; isDir = true {
		dir := path.Dir(name)
		if t.dirs[dir] == nil {
			t.dirs[dir] = map[string]bool{}
		}
		if known, there := t.dirs[dir][path.Base(name)]; there && known == isDir {
			return
		}
		t.dirs[dir][path.Base(name)] = isDir || t.dirs[dir][path.Base(name)]
		name = dir
	}
}

// Hash returns what names the content of a file, where its own tree knows.
func (t *Tree) Hash(name string) (string, bool) {
	of, ok := t.files[name]
	if !ok {
		return "", false
	}
	return of.tree.Hash(of.at)
}

// Open implements fs.FS.
func (t *Tree) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if names, ok := t.dirs[name]; ok {
		return &directory{tree: t, info: info{path.Base(name), true}, at: name, left: sorted(names)}, nil
	}
	of, ok := t.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return of.tree.Open(of.at)
}

func sorted(names map[string]bool) []string {
	all := make([]string, 0, len(names))
	for name := range names {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// directory is an open one.
type directory struct {
	info
	tree *Tree
	at   string
	left []string
}

func (d *directory) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *directory) Close() error               { return nil }

// Read implements fs.File.
func (d *directory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.at, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	count := len(d.left)
	if n > 0 {
		if count == 0 {
			return nil, io.EOF
		}
		count = min(n, count)
	}
	entries := make([]fs.DirEntry, 0, count)
	for _, name := range d.left[:count] {
		entries = append(entries, fs.FileInfoToDirEntry(info{name, d.tree.dirs[d.at][name]}))
	}
	d.left = d.left[count:]
	return entries, nil
}

// info describes a path.
type info struct {
	name string
	dir  bool
}

func (i info) Name() string     { return i.name }
func (info) Size() int64        { return 0 }
func (info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool      { return i.dir }
func (info) Sys() any           { return nil }

// Mode implements fs.FileInfo.
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
