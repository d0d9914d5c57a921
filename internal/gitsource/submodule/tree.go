// Package submodule shows the files of a repository with those of its submodules in their places. The main function is
// Show: what leads into a submodule is read from the other repository, at the commit that the tree records, and is
// opened by its caller, who decides whether that may be. What a .gitmodules file says is foreign: it is read strictly,
// and tells an address and nothing else. The package fetches nothing and writes nothing.
package submodule

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"nave.dev/internal/gitsource/gittree"
)

// maxDepth is how many submodules may lie in each other. None can lie in itself, since a commit's hash would have to
// hold itself, but a chain of commits can be as long as somebody has patience to make it.
const maxDepth = 8

// Opener opens the root of another repository at a commit. Its URLs are those by which it may be known, which are
// several if the URL that was stated is relative to one of several.
type Opener func(urls []string, commit string) (fs.FS, error)

// Tree is a commit with its submodules. It is an fs.FS, fs.ReadDirFS, fs.ReadFileFS and fs.StatFS, and safe for
// concurrent use if the files are. A submodule is opened when something in it is read, once.
type Tree struct {
	files fs.FS
	urls  []string
	open  Opener
	chain []string // paths of the submodules that it is in

	stated func() (map[string]Module, error)
	mu     sync.Mutex
	opened map[string]func() (*Tree, error) // by path
}

var (
	_ fs.ReadDirFS  = (*Tree)(nil)
	_ fs.ReadFileFS = (*Tree)(nil)
	_ fs.StatFS     = (*Tree)(nil)
)

// Show returns files with the submodules that they have, if they are a gittree.Tree, and as they are otherwise. The URLs
// are those of their repository, to which the URLs of submodules may be relative.
func Show(files fs.FS, urls []string, open Opener) *Tree {
	return show(files, urls, open, nil)
}

func show(files fs.FS, urls []string, open Opener, chain []string) *Tree {
	if len(urls) == 0 {
		urls = []string{""} // to which nothing is relative
	}
	t := &Tree{files: files, urls: urls, open: open, chain: chain, opened: map[string]func() (*Tree, error){}}
	t.stated = sync.OnceValues(t.parse)
	return t
}

// Error says why a submodule cannot be read. It wraps nothing, least of all fs.ErrNotExist: what is in the submodule is
// not known to be absent.
type Error struct {
	Path   string // of the submodule, from the root of all
	URL    string // of its repository; empty if that is not known
	Commit string // empty if that is not known
	Reason error
}

// Error names the submodule, its address and its commit.
func (e *Error) Error() string {
	of := ""
	if e.URL != "" {
		of += " of " + e.URL
	}
	if e.Commit != "" {
		of += " at commit " + e.Commit
	}
	return fmt.Sprintf("%q is a submodule%s: %v", e.Path, of, e.Reason)
}

// into returns the tree of the submodule that an operation's error says it leads into, and the path in it. It is nil if
// the error is another one.
func (t *Tree) into(err error) (*Tree, string, error) {
	var inside *gittree.SubmoduleError
	if !errors.As(err, &inside) {
		return nil, "", nil
	}
	t.mu.Lock()
	open := t.opened[inside.Path]
	if open == nil {
		open = sync.OnceValues(func() (*Tree, error) { return t.module(inside.Path, inside.Commit) })
		t.opened[inside.Path] = open
	}
	t.mu.Unlock()
	module, err := open()
	return module, inside.Rest, err
}

// module opens a submodule.
func (t *Tree) module(at, commit string) (*Tree, error) {
	chain := append(t.chain[:len(t.chain):len(t.chain)], at)
	fail := &Error{Path: path.Join(chain...), Commit: commit}
	refuse := func(reason error) (*Tree, error) {
		fail.Reason = reason
		return nil, fail
	}
	if len(chain) > maxDepth {
		return refuse(fmt.Errorf("it is in more than %d others: %s", maxDepth, strings.Join(chain, " > ")))
	}
	stated, err := t.stated()
	if err != nil {
		return refuse(err)
	}
	m, ok := stated[at]
	if !ok {
		return refuse(fmt.Errorf("%s does not say where its repository is\nhint: git submodule add does", File))
	}
	if m.Update == "none" {
		return refuse(fmt.Errorf("%s says update = none, so that nothing is in it", File))
	}
	var urls []string
	for _, base := range t.urls {
		resolved, e := Resolve(base, m.URL)
		if e != nil {
			err = errors.Join(err, e)
		} else if len(urls) == 0 || resolved != urls[len(urls)-1] {
			urls = append(urls, resolved)
		}
	}
	if len(urls) == 0 {
		return refuse(err)
	}
	fail.URL = urls[0]
	files, err := t.open(urls, commit)
	if err != nil {
		return refuse(err)
	}
	return show(files, urls, t.open, chain), nil
}

// parse reads what the tree says of its submodules.
func (t *Tree) parse() (map[string]Module, error) {
	listed, err := fs.ReadDir(t.files, ".")
	if err != nil {
		return nil, err
	}
	for _, entry := range listed {
		switch {
		case entry.Name() != File:
		case !entry.Type().IsRegular(): // a link may be changed in what it leads to by others than those who review this
			return nil, fmt.Errorf("%s is no ordinary file", File)
		default:
			data, err := fs.ReadFile(t.files, File)
			if err != nil {
				return nil, err
			}
			return Parse(data)
		}
	}
	return nil, nil
}

// Hash returns what the hash of a path's content is, wherever it is; false for one that cannot be read and for a
// directory with a link or a submodule below it.
func (t *Tree) Hash(name string) (string, bool) {
	hashes, ok := t.files.(interface{ Hash(string) (string, bool) })
	if !ok {
		return "", false
	}
	if hash, ok := hashes.Hash(name); ok {
		return hash, true
	}
	_, err := fs.Stat(t.files, name)
	if module, rest, err := t.into(err); module != nil && err == nil {
		return module.Hash(rest)
	}
	return "", false
}

// ReadFile returns the contents of a file.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(t.files, name)
	if module, rest, failure := t.into(err); failure != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: failure}
	} else if module != nil {
		data, err = module.ReadFile(rest)
		return data, rename(err, name)
	}
	return data, err
}

// ReadDir lists a directory by name. A submodule is a directory in it, whether it can be read or not.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(t.files, name)
	if module, rest, failure := t.into(err); failure != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: failure}
	} else if module != nil {
		entries, err = module.ReadDir(rest)
		return entries, rename(err, name)
	}
	for i, entry := range entries {
		if entry.Type()&fs.ModeIrregular != 0 {
			entries[i] = fs.FileInfoToDirEntry(directory(entry.Name()))
		}
	}
	return entries, err
}

// Stat describes what a path leads to. Of a submodule itself it says that it is a directory, whether it can be read or
// not.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(t.files, name)
	if inside := (*gittree.SubmoduleError)(nil); errors.As(err, &inside) && inside.Rest == "." {
		return directory(path.Base(name)), nil
	}
	if module, rest, failure := t.into(err); failure != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: failure}
	} else if module != nil {
		info, err = module.Stat(rest)
		return info, rename(err, name)
	}
	return info, err
}

// Open opens a file or directory. The contents of a file are read before Open returns.
func (t *Tree) Open(name string) (fs.File, error) {
	info, err := t.Stat(name)
	if err != nil {
		return nil, rename(err, name)
	}
	if info.IsDir() {
		entries, err := t.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openDir{info: info, path: name, entries: entries}, nil
	}
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &openFile{Reader: strings.NewReader(string(data)), info: info}, nil
}

// rename has an error about a path in a submodule name the whole path.
func rename(err error, name string) error {
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		return &fs.PathError{Op: failed.Op, Path: name, Err: failed.Err}
	}
	return err
}
