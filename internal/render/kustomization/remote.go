package kustomization

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"nave.dev/internal/render/tree"
)

const (
	// maxRemotes is how many repositories, at how many refs, one build may refer to.
	maxRemotes = 50

	hintCommit = "commit the file, or refer to the directory of its repository that has it: https://HOST/OWNER/NAME//PATH?ref=TAG"
)

// remotes is what a walk finds out about other repositories. Kustomize is not told of them: it sees kustomization files
// that refer to the directories in which the tree shows them.
type remotes struct {
	roots map[*yaml.Node]string            // documents, and the files that they are from
	paths map[string]map[*yaml.Node]string // by file: references, and what they become
	dirs  map[string]bool                  // of other repositories
	// approved are the files of the tree's own repository that references lead to. What another repository brings must
	// not read any other of them, by whatever way Kustomize knows.
	approved map[string]bool
	edited   string // the file to which options were added, or ""
}

func newRemotes() remotes {
	return remotes{roots: map[*yaml.Node]string{}, paths: map[string]map[*yaml.Node]string{}, dirs: map[string]bool{}, approved: map[string]bool{}}
}

func (r *remotes) visit(file string, root *yaml.Node) {
	r.roots[root] = file
	r.approve(file)
}

func (r *remotes) approve(file string) { r.approved[file] = true }

// repository checks a reference to a directory of a Git repository, and walks that.
func (w *walker) repository(s scope, ref *yaml.Node) {
	to, err := parseReference(ref.Value)
	if err != nil {
		hint := hintRemote
		if errors.Is(err, errFileURL) {
			hint = hintCommit
		}
		w.fail(s.file, ref, hint, "refers to %q: %v", shown(ref.Value), err)
		return
	}
	dir, err := w.tree.Remote(to.repository, to.ref)
	if err != nil {
		message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
		w.fail(s.file, ref, hint, "refers to %q: %s", shown(ref.Value), message)
		return
	}
	if w.remotes.dirs[dir] = true; len(w.remotes.dirs) > maxRemotes {
		w.fail(s.file, ref, "make some of them sources of apps of their own", "the build refers to more than %d repositories", maxRemotes)
		return
	}
	name := path.Join(dir, to.path)
	kind, err := w.tree.Stat(name)
	switch {
	case err != nil:
		w.fail(s.file, ref, "", "refers to %q: %v", shown(ref.Value), err)
		return
	case kind == tree.Absent:
		w.fail(s.file, ref, "", "refers to %q, and the repository has no %q", shown(ref.Value), to.path)
		return
	case kind == tree.File:
		w.fail(s.file, ref, "", "refers to %q, which is a file: want a directory with a kustomization", shown(ref.Value))
		return
	}
	there, err := filepath.Rel("/"+s.dir, "/"+name)
	if err != nil {
		w.fail(s.file, ref, "", "refers to %q: %v", shown(ref.Value), err)
		return
	}
	if w.remotes.paths[s.file] == nil {
		w.remotes.paths[s.file] = map[*yaml.Node]string{}
	}
	w.remotes.paths[s.file][ref] = filepath.ToSlash(there)
	w.directory(name, false, s.file, ref)
}

// resolved is the tree as Kustomize is to see it.
func (r *remotes) resolved(t tree.Tree) (tree.Tree, error) {
	if len(r.dirs) == 0 && r.edited == "" {
		return t, nil
	}
	shown := overlay{Tree: t, files: map[string][]byte{}}
	if len(r.dirs) > 0 {
		shown.approved = r.approved
	}
	for root, file := range r.roots {
		paths := r.paths[file]
		if len(paths) == 0 && file != r.edited {
			continue
		}
		for ref, there := range paths {
			ref.Value, ref.Tag, ref.Style = there, "!!str", yaml.DoubleQuotedStyle
		}
		data, err := yaml.Marshal(root)
		if err != nil {
			return nil, fmt.Errorf("encoding %q: %w", file, err)
		}
		shown.files[file] = data
	}
	return shown, nil
}

// overlay is a tree in which some files read differently, and only approved ones of its own repository can be read; all
// of them, if approved is nil.
type overlay struct {
	tree.Tree
	files    map[string][]byte
	approved map[string]bool
}

// Stat implements tree.Tree.
func (o overlay) Stat(name string) (tree.Kind, error) {
	if _, ok := o.files[name]; ok {
		return tree.File, nil
	}
	return o.Tree.Stat(name)
}

// ReadFile implements tree.Tree.
func (o overlay) ReadFile(name string) ([]byte, error) {
	if data, ok := o.files[name]; ok {
		return data, nil
	}
	if o.approved != nil && tree.RemoteRoot(name) == "" && !o.approved[name] {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("no reference that was checked leads to it")}
	}
	return o.Tree.ReadFile(name)
}
