package gittree

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Tree is one commit as a read-only file system. Besides fs.FS it is an fs.ReadDirFS, fs.ReadFileFS, fs.StatFS and
// fs.ReadLinkFS. Listings, sizes and hashes are in memory; contents are read when a file is opened. It is safe for
// concurrent use and stays valid while its Store is open, whatever happens to the branch that it came from.
//
// Symbolic links are followed inside the tree. One that is absolute, leads outside or leads to nothing, and a
// submodule, can be listed but not opened: the error is a LinkError or a SubmoduleError and is never fs.ErrNotExist,
// so that a refused path is not mistaken for an absent one. All times are zero.
type Tree struct {
	store  *Store
	commit string
	root   *entry
	ahead  readAhead
}

var (
	_ fs.ReadDirFS  = (*Tree)(nil)
	_ fs.ReadFileFS = (*Tree)(nil)
	_ fs.StatFS     = (*Tree)(nil)
	_ fs.ReadLinkFS = (*Tree)(nil)
)

// Commit returns the full hash of the commit that the tree shows.
func (t *Tree) Commit() string { return t.commit }

// Hash returns the Git object hash of what a path leads to, links followed: equal hashes mean equal contents. It is
// false for a path that cannot be opened, and for a directory with a link or a submodule below it, because these may
// lead to content that the directory's own hash does not cover.
func (t *Tree) Hash(path string) (string, bool) {
	e, err := t.find("hash", path, true)
	if err != nil || e.kind == directory && (e.dir.links > 0 || e.dir.modules > 0 || e.dir.invalid != nil) {
		return "", false
	}
	return hex.EncodeToString([]byte(e.id)), true
}

// LinkError says why a symbolic link was not followed.
type LinkError struct {
	Link   string // its path
	Target string // what it says
	Reason string
}

// Error names the link and its target.
func (e *LinkError) Error() string {
	return fmt.Sprintf("symbolic link %q to %q %s", e.Link, e.Target, e.Reason)
}

// SubmoduleError says that a path is, or leads into, a submodule, whose content the repository does not hold.
type SubmoduleError struct {
	Path   string // of the submodule, as it is without links
	Commit string // of the other repository
	Rest   string // the path in the other repository; "." for its root
}

// Error names the submodule.
func (e *SubmoduleError) Error() string {
	return fmt.Sprintf("%q is a submodule at commit %s, whose files are in another repository and do not count here", e.Path, e.Commit)
}

// maxHops is how many links one path may lead through, as on Linux.
const maxHops = 40

// walk follows a path through a tree.
type walk struct {
	hops int
}

// find returns the entry of a path. The last element is followed too, if it is a link, only where last says so.
func (t *Tree) find(op, path string, last bool) (*entry, error) {
	chain, err := t.chain(op, path, last)
	if err != nil {
		return nil, err
	}
	return chain[len(chain)-1], nil
}

// chain is find with the directories on the way to the entry, the root first, as they are without links.
func (t *Tree) chain(op, path string, last bool) ([]*entry, error) {
	if !fs.ValidPath(path) {
		return nil, &fs.PathError{Op: op, Path: path, Err: fs.ErrInvalid}
	}
	chain, err := new(walk).along([]*entry{t.root}, path, last)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: path, Err: err}
	}
	if e := chain[len(chain)-1]; e.kind == submodule && last {
		return nil, &fs.PathError{Op: op, Path: path, Err: into(chain, "")}
	}
	return chain, nil
}

var (
	errOutside = errors.New("leads outside of the repository")
	errUp      = errors.New("leads into a submodule and up in it")
)

// into says that a path leads into the submodule at the end of a chain, and on to rest there.
func into(chain []*entry, rest string) *SubmoduleError {
	commit := hex.EncodeToString([]byte(chain[len(chain)-1].id))
	return &SubmoduleError{Path: pathOf(chain), Commit: commit, Rest: path.Clean(rest)}
}

// on is the error for a path that goes on by rest, which a link led to the submodule.
func (e *SubmoduleError) on(rest string) error {
	if slices.Contains(strings.Split(rest, "/"), "..") {
		return errUp
	}
	return &SubmoduleError{Path: e.Path, Commit: e.Commit, Rest: path.Join(e.Rest, rest)}
}

// along follows path from the directory at the end of a chain of entries that begins with the root, and returns the
// chain to what it leads to. Only the targets of links have elements "..".
func (w *walk) along(chain []*entry, path string, last bool) ([]*entry, error) {
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		here := chain[len(chain)-1]
		switch {
		case here.kind != directory && here.kind != submodule:
			return nil, fs.ErrNotExist
		case name == "" || name == ".":
			continue
		case name == ".." && len(chain) == 1:
			return nil, errOutside
		case name == "..":
			chain = chain[:len(chain)-1]
			continue
		case here.kind == submodule && slices.Contains(strings.Split(path, "/"), ".."):
			return nil, errUp
		case here.kind == submodule:
			return nil, into(chain, name+"/"+path)
		}
		e := here.dir.find(name)
		if e == nil {
			return nil, fs.ErrNotExist
		}
		parent := chain
		chain = append(chain[:len(chain):len(chain)], e)
		if e.kind == link && (path != "" || last) {
			var err error
			chain, err = w.follow(parent, chain, e)
			if inside := (*SubmoduleError)(nil); errors.As(err, &inside) {
				return nil, inside.on(path)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return chain, nil
}

// follow returns the chain to what a link leads to; parent is the chain to its directory and itself that to the link.
func (w *walk) follow(parent, itself []*entry, e *entry) ([]*entry, error) {
	refuse := func(reason string) error {
		return &LinkError{Link: pathOf(itself), Target: e.target, Reason: reason}
	}
	w.hops++
	switch {
	case w.hops > maxHops:
		return nil, refuse("is one of too many in a row")
	case e.target == "":
		return nil, refuse("has no valid target")
	case strings.HasPrefix(e.target, "/"):
		return nil, refuse("is absolute")
	}
	chain, err := w.along(parent, e.target, true)
	switch {
	case err == errOutside || err == errUp:
		return nil, refuse(err.Error())
	case err == fs.ErrNotExist:
		return nil, refuse("leads to nothing")
	}
	return chain, err
}

// pathOf is the path of the last entry of a chain.
func pathOf(chain []*entry) string {
	path := "."
	for _, e := range chain[1:] {
		path = join(path, e.name)
	}
	return path
}
