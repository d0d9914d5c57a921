package submodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
)

// Checkout is a directory that Git has checked out, as it is: submodules are there with the files that they have, and
// one that was not checked out is an error where something of it is read, and not an empty directory.
type Checkout struct {
	files  fs.FS
	absent func() ([]absent, error)
}

var (
	_ fs.ReadDirFS  = (*Checkout)(nil)
	_ fs.ReadFileFS = (*Checkout)(nil)
	_ fs.StatFS     = (*Checkout)(nil)
)

// absent is a submodule that was not checked out.
type absent struct {
	path   string
	info   fs.FileInfo // of its empty directory; nil if it has none
	reason error
}

// NewCheckout returns the files of a directory.
func NewCheckout(files fs.FS) *Checkout {
	return &Checkout{files: files, absent: sync.OnceValues(func() ([]absent, error) { return look(files, ".", 0) })}
}

// look finds the submodules below a directory that were not checked out.
func look(files fs.FS, dir string, depth int) ([]absent, error) {
	data, err := fs.ReadFile(files, path.Join(dir, File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	modules, err := Parse(data)
	if err != nil {
		return nil, err
	}
	var all []absent
	var problems []error
	for _, m := range modules {
		at := path.Join(dir, m.Path)
		if listed, err := fs.ReadDir(files, at); err == nil && len(listed) > 0 {
			if depth < maxDepth {
				below, err := look(files, at, depth+1)
				all, problems = append(all, below...), append(problems, err)
			}
			continue
		}
		a := absent{path: at, reason: errors.New("it is not checked out\nhint: git submodule update --init --recursive")}
		if m.Update == "none" {
			a.reason = fmt.Errorf("%s says update = none, so that nothing is in it", File)
		}
		a.info, _ = fs.Stat(files, at) // or it is told by its path alone
		all = append(all, a)
	}
	return all, errors.Join(problems...)
}

// in returns an error if a path that is not there, or has nothing in it, is one of a submodule that was not checked out.
func (c *Checkout) in(name string) error {
	all, err := c.absent()
	for ; len(all) > 0; name = path.Dir(name) {
		info, _ := fs.Stat(c.files, name)
		i := slices.IndexFunc(all, func(a absent) bool {
			return a.path == name || info != nil && a.info != nil && os.SameFile(info, a.info)
		})
		if i >= 0 {
			return &Error{Path: all[i].path, Reason: all[i].reason}
		}
		if name == "." || strings.HasPrefix(name, "/") {
			break
		}
	}
	return err
}

// Hash knows none: the files may change.
func (c *Checkout) Hash(string) (string, bool) { return "", false }

// ReadFile returns the contents of a file.
func (c *Checkout) ReadFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(c.files, name)
	return data, c.missed("open", name, err)
}

// Stat describes what a path leads to.
func (c *Checkout) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(c.files, name)
	return info, c.missed("stat", name, err)
}

// Open opens a file or directory.
func (c *Checkout) Open(name string) (fs.File, error) {
	file, err := c.files.Open(name)
	return file, c.missed("open", name, err)
}

// missed is the error for a path, which may be missing only because a submodule was not checked out.
func (c *Checkout) missed(op, name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if refusal := (*Error)(nil); errors.As(c.in(name), &refusal) {
		return &fs.PathError{Op: op, Path: name, Err: refusal}
	}
	return err
}

// ReadDir lists a directory by name. Git has no empty ones, save those in which a submodule is to be.
func (c *Checkout) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(c.files, name)
	if err != nil {
		return entries, c.missed("readdir", name, err)
	}
	if len(entries) == 0 {
		if err := c.in(name); err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
		}
	}
	return entries, nil
}
