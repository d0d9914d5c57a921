package kustomization

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"nave.dev/internal/render/tree"
)

// filesystem shows a tree to Kustomize as a disk whose root directory is the tree's. It cannot be written to.
type filesystem struct{ tree tree.Tree }

var (
	_ filesys.FileSystem = filesystem{}

	errReadOnly = errors.New("the tree is read-only")
)

// inTree turns a path of Kustomize's into one of the tree.
func inTree(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(name)), "/")
	if name == "" {
		return "."
	}
	return name
}

// onDisk turns a path of the tree into one of Kustomize's.
func onDisk(name string) string { return path.Join("/", name) }

func (f filesystem) stat(name string) tree.Kind {
	kind, err := f.tree.Stat(inTree(name))
	if err != nil {
		return tree.Absent
	}
	return kind
}

func (filesystem) Create(string) (filesys.File, error) { return nil, errReadOnly }
func (filesystem) Mkdir(string) error                  { return errReadOnly }
func (filesystem) MkdirAll(string) error               { return errReadOnly }
func (filesystem) RemoveAll(string) error              { return errReadOnly }
func (filesystem) WriteFile(string, []byte) error      { return errReadOnly }

func (f filesystem) Exists(name string) bool { return f.stat(name) != tree.Absent }
func (f filesystem) IsDir(name string) bool  { return f.stat(name) == tree.Directory }

func (f filesystem) ReadFile(name string) ([]byte, error) {
	if f.stat(name) == tree.Directory {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	return f.tree.ReadFile(inTree(name))
}

func (f filesystem) ReadDir(name string) ([]string, error) {
	entries, err := f.tree.List(inTree(name))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return names, nil
}

func (f filesystem) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	at := onDisk(inTree(name))
	switch f.stat(name) {
	case tree.Directory:
		return filesys.ConfirmedDir(at), "", nil
	case tree.File:
		return filesys.ConfirmedDir(path.Dir(at)), path.Base(at), nil
	}
	return "", "", &fs.PathError{Op: "stat", Path: strings.TrimPrefix(at, "/"), Err: fs.ErrNotExist}
}

// Glob matches the pattern name by name from the root, listing only directories that may hold a match.
func (f filesystem) Glob(pattern string) ([]string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, err
	}
	found := []string{"/"}
	for element := range strings.SplitSeq(inTree(pattern), "/") {
		var next []string
		for _, dir := range found {
			if !f.IsDir(dir) {
				continue
			}
			if !strings.ContainsAny(element, `*?[\`) { // what else is there does not matter
				if name := path.Join(dir, element); f.Exists(name) {
					next = append(next, name)
				}
				continue
			}
			names, err := f.ReadDir(dir)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				if ok, err := path.Match(element, name); err == nil && ok {
					next = append(next, path.Join(dir, name))
				}
			}
		}
		found = next
	}
	slices.Sort(found)
	return found, nil
}

func (f filesystem) Walk(root string, walk filepath.WalkFunc) error {
	kind := f.stat(root)
	if kind == tree.Absent {
		return walk(root, nil, &fs.PathError{Op: "stat", Path: root, Err: fs.ErrNotExist})
	}
	err := walk(root, info{path.Base(root), kind, 0}, nil)
	if err != nil || kind != tree.Directory {
		if errors.Is(err, filepath.SkipDir) {
			return nil
		}
		return err
	}
	names, err := f.ReadDir(root)
	if err != nil {
		return walk(root, info{path.Base(root), kind, 0}, err)
	}
	for _, name := range names {
		if err := f.Walk(path.Join(root, name), walk); err != nil {
			return err
		}
	}
	return nil
}

func (f filesystem) Open(name string) (filesys.File, error) {
	data, err := f.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &file{Reader: strings.NewReader(string(data)), info: info{path.Base(name), tree.File, int64(len(data))}}, nil
}

// file is an open file.
type file struct {
	*strings.Reader
	info info
}

func (*file) Write([]byte) (int, error)    { return 0, errReadOnly }
func (*file) Close() error                 { return nil }
func (f *file) Stat() (os.FileInfo, error) { return f.info, nil }

// info describes a path of the tree.
type info struct {
	name string
	kind tree.Kind
	size int64
}

func (i info) Name() string     { return i.name }
func (i info) Size() int64      { return i.size }
func (info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool      { return i.kind == tree.Directory }
func (info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
