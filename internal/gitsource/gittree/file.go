package gittree

import (
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// Open opens a file or directory. The contents of a file are read before Open returns.
func (t *Tree) Open(name string) (fs.File, error) {
	chain, err := t.chain("open", name, true)
	if err != nil {
		return nil, err
	}
	info := info{name: path.Base(name), entry: chain[len(chain)-1]}
	if info.IsDir() {
		return &openDir{info: info, path: name}, nil
	}
	data, err := t.content(chain)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{Reader: strings.NewReader(data), info: info}, nil
}

// ReadFile returns the contents of a file. The caller may change them.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	chain, err := t.chain("open", name, true)
	if err != nil {
		return nil, err
	}
	if chain[len(chain)-1].kind == directory {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDirectory}
	}
	data, err := t.content(chain)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return []byte(data), nil
}

// ReadDir lists a directory by name. Links are listed as links. A directory with a name that fs.ValidPath refuses
// cannot be listed, since a listing that leaves something out would pass for a complete one.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := t.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if e.kind != directory {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDirectory}
	}
	if e.dir.invalid != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: e.dir.invalid}
	}
	return e.dir.list(), nil
}

// Stat describes what a path leads to, links followed.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	e, err := t.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return info{name: path.Base(name), entry: e}, nil
}

// Lstat is Stat, except that it describes a link or submodule itself where the path ends in one.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) {
	e, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return info{name: path.Base(name), entry: e}, nil
}

// ReadLink returns the target of a link as the repository states it.
func (t *Tree) ReadLink(name string) (string, error) {
	e, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if e.kind != link {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return e.target, nil
}

type constError string

func (e constError) Error() string { return string(e) }

const (
	errIsDirectory  = constError("is a directory")
	errNotDirectory = constError("not a directory")
)

// info describes an entry, under the name by which it was asked for.
type info struct {
	name  string
	entry *entry
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.entry.size }
func (i info) Mode() fs.FileMode          { return i.entry.mode() }
func (i info) Type() fs.FileMode          { return i.entry.mode().Type() }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) IsDir() bool                { return i.entry.kind == directory }
func (i info) Sys() any                   { return nil }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) String() string             { return fs.FormatFileInfo(i) }

func (e *entry) mode() fs.FileMode {
	switch e.kind {
	case executable:
		return 0o555
	case link:
		return fs.ModeSymlink | 0o777
	case submodule:
		return fs.ModeIrregular
	case directory:
		return fs.ModeDir | 0o555
	}
	return 0o444
}

func (d *dir) list() []fs.DirEntry {
	entries := make([]fs.DirEntry, len(d.entries))
	for i := range d.entries {
		entries[i] = info{name: d.entries[i].name, entry: &d.entries[i]}
	}
	return entries
}

// openFile is a file of a Tree that was opened. It can also seek.
type openFile struct {
	*strings.Reader
	info info
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// openDir is a directory of a Tree that was opened.
type openDir struct {
	info info
	path string
	read int // entries that ReadDir has returned
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errIsDirectory}
}

// ReadDir lists the next n entries, or all that are left if n is not positive.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	own := d.info.entry.dir
	if own.invalid != nil {
		return nil, &fs.PathError{Op: "readdir", Path: d.path, Err: own.invalid}
	}
	rest := own.list()[d.read:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	d.read += len(rest)
	return rest, nil
}
