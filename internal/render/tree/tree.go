// Package tree is what a render sees of a source: a read-only Tree of one commit. The main type is Recorder, a Tree
// that notes every file, listing and look-up that a render made, misses included, each with a digest of the answer,
// so that somebody can tell later, from digests alone, whether the render would come out the same. It reads no disk
// and knows nothing of manifests.
package tree

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Tree is a read-only directory tree. Paths are slash-separated and relative to its root, which is ".". A path that
// is not there is an error that wraps fs.ErrNotExist.
type Tree interface {
	// ReadFile returns a file's content, which the caller must not change.
	ReadFile(path string) ([]byte, error)
	// List returns what is in a directory, in the order of names.
	List(path string) ([]Entry, error)
	// Stat says what is at a path. Absent is an answer and no error.
	Stat(path string) (Kind, error)
	// Remote returns the directory of the tree that shows another repository at a ref, "" being the default one. The
	// error says why there is none; a line "hint: …" in it says what to do.
	Remote(repository, ref string) (dir string, err error)
}

// Entry is a name in a directory. A symbolic link has Dir if it leads to a directory.
type Entry struct {
	Name string `json:"name"`
	Dir  bool   `json:"dir,omitempty"`
	Link bool   `json:"link,omitempty"`
}

// Kind is what can be at a path.
type Kind string

// The kinds of a path.
const (
	Absent    Kind = "absent"
	File      Kind = "file"
	Directory Kind = "directory"
)

// Hashes names content without reading it. Hash returns the Git object id, or anything else that changes with the
// content, of a file or directory; false means that it cannot tell.
type Hashes interface {
	Hash(path string) (string, bool)
}

// Source is a tree as it comes from a repository. Hashes may be nil; then content is read to be digested. Remotes may be
// nil; then there is no other repository.
type Source struct {
	Files   fs.FS
	Hashes  Hashes
	Remotes Remotes
}

// ReadFile implements Tree.
func (s Source) ReadFile(name string) ([]byte, error) {
	s, name, err := s.at(name)
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(s.Files, name)
}

// Stat implements Tree.
func (s Source) Stat(name string) (Kind, error) {
	s, name, err := s.at(name)
	if err != nil {
		return "", err
	}
	info, err := fs.Stat(s.Files, name)
	switch {
	case missing(err):
		return Absent, nil
	case err != nil:
		return "", err
	case info.IsDir():
		return Directory, nil
	}
	return File, nil
}

// missing reports whether an error means that nothing is at a path. What lies below a file is as absent as what lies
// below nothing, and so is a name that no tree can have.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || err != nil && strings.HasSuffix(err.Error(), "not a directory")
}

// List implements Tree.
func (s Source) List(name string) ([]Entry, error) {
	s, name, err := s.at(name)
	if err != nil {
		return nil, err
	}
	listed, err := fs.ReadDir(s.Files, name)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(listed))
	for _, e := range listed {
		entry := Entry{Name: e.Name(), Dir: e.IsDir()}
		if e.Type()&fs.ModeSymlink != 0 {
			kind, err := s.Stat(path.Join(name, e.Name()))
			entry.Link, entry.Dir = true, err == nil && kind == Directory
		}
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries, nil
}

// Digest answers a read by a digest of what it would return. Content is read only where Hashes cannot tell.
func (s Source) Digest(read Read) string {
	switch read.Op {
	case OpRead:
		if hash := s.hash(read.Path); hash != "" {
			return hash
		}
		if kind, err := s.Stat(read.Path); err == nil && kind == Absent {
			return string(Absent)
		}
		data, err := s.ReadFile(read.Path)
		if err != nil {
			return failure(err)
		}
		return contentDigest(data)
	case OpList:
		entries, err := s.List(read.Path)
		if err != nil {
			return failure(err)
		}
		return listDigest(entries)
	case OpRemote:
		return remoteDigest(s.Remote(splitReference(read.Path)))
	default:
		kind, err := s.Stat(read.Path)
		if err != nil {
			return failure(err)
		}
		return string(kind)
	}
}

// hash is the digest of a path's content without reading it, or "" if that is not known.
func (s Source) hash(name string) string {
	s, name, err := s.at(name)
	if err != nil || s.Hashes == nil {
		return ""
	}
	hash, ok := s.Hashes.Hash(name)
	if !ok {
		return ""
	}
	return "git:" + hash
}

// failure is the digest of an answer that is an error. A refusal for another reason is another answer.
func failure(err error) string {
	if missing(err) {
		return string(Absent)
	}
	return refused(err)
}

func refused(err error) string { return "refused " + contentDigest([]byte(err.Error())) }

func contentDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:16])
}

func listDigest(entries []Entry) string {
	hash := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(hash, "%q %t %t\n", e.Name, e.Dir, e.Link)
	}
	return "names:" + hex.EncodeToString(hash.Sum(nil)[:16])
}
