package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"
)

// Tree is the content of an archive as a file system. It is never changed and safe for concurrent use. It implements
// fs.FS, fs.ReadDirFS, fs.ReadFileFS and fs.StatFS.
type Tree struct {
	nodes map[string]*node
	size  int64
}

// node is a file or a directory.
type node struct {
	name    string
	dir     bool
	content []byte
	hash    string
	entries []fs.DirEntry // of a directory, by name
}

// New returns a file system of files by their slash-separated paths, all of which are valid. They must not be changed.
func New(files map[string][]byte) (*Tree, error) {
	t := &Tree{nodes: map[string]*node{".": {name: ".", dir: true}}}
	children := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		if t.nodes[name] != nil {
			return nil, fmt.Errorf("%q is a file and a directory", name)
		}
		t.nodes[name] = &node{name: path.Base(name), content: files[name], hash: hex.EncodeToString(sum[:])}
		t.size += int64(len(files[name]))
		for child := name; child != "."; child = path.Dir(child) {
			parent := path.Dir(child)
			known := t.nodes[parent]
			if known != nil && !known.dir {
				return nil, fmt.Errorf("%q is a file and a directory", parent)
			}
			children[parent] = append(children[parent], child)
			if known != nil {
				break
			}
			t.nodes[parent] = &node{name: path.Base(parent), dir: true}
		}
	}
	t.settle(".", children)
	return t, nil
}

// settle lists a directory and names it by what is in it.
func (t *Tree) settle(dir string, children map[string][]string) {
	n := t.nodes[dir]
	sum := sha256.New()
	slices.Sort(children[dir])
	for _, name := range children[dir] {
		child := t.nodes[name]
		if child.dir {
			t.settle(name, children)
		}
		n.entries = append(n.entries, fs.FileInfoToDirEntry(child))
		fmt.Fprintf(sum, "%q %t %s\n", child.name, child.dir, child.hash)
	}
	n.hash = hex.EncodeToString(sum.Sum(nil))
}

// Size is how many bytes the files have together.
func (t *Tree) Size() int64 { return t.size }

// Hash names the content of a file or directory, and reports whether there is one at the path.
func (t *Tree) Hash(name string) (string, bool) {
	n, ok := t.nodes[name]
	if !ok {
		return "", false
	}
	return n.hash, true
}

func (t *Tree) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n, ok := t.nodes[name]
	if !ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

var (
	errIsDirectory  = errors.New("is a directory")
	errNotDirectory = errors.New("not a directory")
)

// Open opens a file or directory.
func (t *Tree) Open(name string) (fs.File, error) {
	n, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.dir {
		return &openDir{node: n, left: n.entries}, nil
	}
	return &openFile{Reader: bytes.NewReader(n.content), node: n}, nil
}

// ReadFile returns the content of a file. The caller may change it.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	n, err := t.find("open", name)
	if err == nil && n.dir {
		err = &fs.PathError{Op: "read", Path: name, Err: errIsDirectory}
	}
	if err != nil {
		return nil, err
	}
	return bytes.Clone(n.content), nil
}

// ReadDir lists a directory by name.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name)
	if err == nil && !n.dir {
		err = &fs.PathError{Op: "readdir", Path: name, Err: errNotDirectory}
	}
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.entries), nil
}

// Stat describes a file or directory.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// A node is its own fs.FileInfo. Times and modes of archives do not count.

func (n *node) Name() string     { return n.name }
func (n *node) Size() int64      { return int64(len(n.content)) }
func (*node) ModTime() time.Time { return time.Time{} }
func (n *node) IsDir() bool      { return n.dir }
func (*node) Sys() any           { return nil }

func (n *node) Mode() fs.FileMode {
	if n.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	*bytes.Reader
	node *node
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.node, nil }
func (*openFile) Close() error                 { return nil }

type openDir struct {
	node *node
	left []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.node, nil }
func (*openDir) Close() error                 { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.node.name, Err: errIsDirectory}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.left) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.left) {
		n = len(d.left)
	}
	listed := slices.Clone(d.left[:n])
	d.left = d.left[n:]
	return listed, nil
}
