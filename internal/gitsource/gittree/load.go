package gittree

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"weak"
)

// maxTarget is the length of the longest link, as on Linux.
const maxTarget = 4095

// Tree returns a commit as a file system. All directories that no Tree in use has in common with the commit are read
// at once, files only when they are opened; so a Tree costs what is new in its commit, and its listings and hashes
// need no further reading. The commit is a full hash. The error wraps ErrMissing if the repository does not have it.
func (s *Store) Tree(ctx context.Context, commit string) (*Tree, error) {
	data, err := s.Commit(ctx, commit)
	if err != nil {
		return nil, err
	}
	header, _, _ := strings.Cut(string(data), "\n")
	id, ok := parseID(strings.TrimPrefix(header, "tree "))
	if !ok {
		return nil, fmt.Errorf("reading commit %s: its first line %q names no tree", commit, header)
	}
	root, err := s.load(ctx, id)
	if err != nil {
		return nil, s.damage(fmt.Errorf("listing commit %s: %w", commit, err))
	}
	if root.total > s.opts.MaxFiles {
		return nil, fmt.Errorf("listing commit %s: it has more than %d files and directories", commit, s.opts.MaxFiles)
	}
	return &Tree{store: s, commit: commit, root: &entry{name: ".", id: root.id, kind: directory, dir: root}}, nil
}

// load returns the directory of a hash with all below it.
func (s *Store) load(ctx context.Context, id string) (*dir, error) {
	known := map[string]*dir{} // all that are needed, which also keeps them from being collected
	var fresh []*dir           // those of them that were read, parents before their children
	count := 0
	// One level at a time, so that each is one exchange with git.
	for level := []string{id}; len(level) > 0; {
		var ask []string
		for _, id := range level {
			if d := s.shared(id); d != nil {
				known[id] = d
			} else {
				ask = append(ask, id)
			}
		}
		objects, err := s.read(ctx, ask)
		if err != nil {
			return nil, err
		}
		level = nil
		for i, o := range objects {
			if o.kind != "tree" {
				return nil, fmt.Errorf("object %x is a %s in the place of a directory", ask[i], o.kind)
			}
			d := parseDir(ask[i], o.data)
			known[d.id], fresh = d, append(fresh, d)
			if count += len(d.entries); count > s.opts.MaxFiles {
				return nil, fmt.Errorf("there are more than %d files and directories", s.opts.MaxFiles)
			}
		}
		for _, d := range fresh[len(fresh)-len(objects):] {
			for _, e := range d.entries {
				if _, ok := known[e.id]; e.kind == directory && !ok {
					known[e.id] = nil // asked for
					level = append(level, e.id)
				}
			}
		}
	}
	if err := s.measure(ctx, fresh); err != nil {
		return nil, err
	}
	// The same directory may stand at several depths, so the order of reading does not say which to finish first.
	finished := make(map[*dir]bool, len(fresh))
	for _, d := range fresh {
		finished[d] = false
	}
	var finish func(d *dir)
	finish = func(d *dir) {
		if done, isFresh := finished[d]; done || !isFresh {
			return
		}
		for i := range d.entries {
			if e := &d.entries[i]; e.kind == directory {
				e.dir = known[e.id]
				finish(e.dir)
			}
		}
		d.finish()
		finished[d] = true
	}
	for _, d := range fresh {
		finish(d)
	}
	s.share(fresh)
	return known[id], nil
}

// measure finds the sizes of the files and the targets of the links in some directories.
func (s *Store) measure(ctx context.Context, dirs []*dir) error {
	var files, links []*entry
	var ids []string
	for _, d := range dirs {
		for i := range d.entries {
			if e := &d.entries[i]; e.kind == file || e.kind == executable || e.kind == link {
				files, ids = append(files, e), append(ids, e.id)
			}
		}
	}
	sizes, err := s.sizes(ctx, ids)
	if err != nil {
		return err
	}
	ids = nil
	for i, e := range files {
		e.size = sizes[i]
		if e.kind == link && e.size <= maxTarget {
			links, ids = append(links, e), append(ids, e.id)
		}
	}
	targets, err := s.read(ctx, ids)
	if err != nil {
		return err
	}
	for i, e := range links {
		e.target = targets[i].data
	}
	return nil
}

// shared returns the directory of a hash if some Tree in use holds it.
func (s *Store) shared(id string) *dir {
	s.sharing.Lock()
	defer s.sharing.Unlock()
	return s.dirs[id].Value()
}

// share lets later loads find some directories, for as long as they are in use by a Tree.
func (s *Store) share(dirs []*dir) {
	s.sharing.Lock()
	defer s.sharing.Unlock()
	for _, d := range dirs {
		if s.dirs[d.id].Value() != nil {
			continue // another load was first
		}
		pointer := weak.Make(d)
		s.dirs[d.id] = pointer
		runtime.AddCleanup(d, s.forget, forgotten{d.id, pointer})
	}
}

// forgotten is the place in Store.dirs of a directory that nobody uses any more.
type forgotten struct {
	id      string
	pointer weak.Pointer[dir]
}

func (s *Store) forget(f forgotten) {
	s.sharing.Lock()
	defer s.sharing.Unlock()
	if s.dirs[f.id] == f.pointer {
		delete(s.dirs, f.id)
	}
}
