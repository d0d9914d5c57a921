package tree

import (
	"cmp"
	"path"
	"slices"
	"sync"
)

// Op is a way to use a tree.
type Op string

// The ways to use a tree, as the methods of Tree.
const (
	OpRead Op = "read"
	OpList Op = "list"
	OpStat Op = "stat"
	// OpRemote has the repository and the ref, with a line break between them, in the place of a path.
	OpRemote Op = "remote"
)

// Read is one use of a tree: what was asked, and a digest of the answer. "absent" is an answer too.
type Read struct {
	Op     Op     `json:"op"`
	Path   string `json:"path"`
	Digest string `json:"digest"`
}

// Recorder is a Tree that notes what is asked of it. It is safe for concurrent use.
type Recorder struct {
	source Source
	mu     sync.Mutex
	reads  map[asked]string
}

type asked struct {
	op   Op
	path string
}

// Record returns a Recorder over a source.
func Record(source Source) *Recorder {
	return &Recorder{source: source, reads: map[asked]string{}}
}

// ReadFile implements Tree.
func (r *Recorder) ReadFile(name string) ([]byte, error) {
	name = path.Clean(name)
	data, err := r.source.ReadFile(name)
	r.note(OpRead, name, func() string {
		if err != nil {
			return failure(err)
		}
		if hash := r.source.hash(name); hash != "" {
			return hash
		}
		return contentDigest(data)
	})
	return data, err
}

// List implements Tree.
func (r *Recorder) List(name string) ([]Entry, error) {
	name = path.Clean(name)
	entries, err := r.source.List(name)
	r.note(OpList, name, func() string {
		if err != nil {
			return failure(err)
		}
		return listDigest(entries)
	})
	return entries, err
}

// Stat implements Tree.
func (r *Recorder) Stat(name string) (Kind, error) {
	name = path.Clean(name)
	kind, err := r.source.Stat(name)
	r.note(OpStat, name, func() string {
		if err != nil {
			return failure(err)
		}
		return string(kind)
	})
	return kind, err
}

// Remote implements Tree.
func (r *Recorder) Remote(repository, ref string) (string, error) {
	dir, err := r.source.Remote(repository, ref)
	r.note(OpRemote, reference(repository, ref), func() string { return remoteDigest(dir, err) })
	return dir, err
}

// note keeps the digest of an answer. The tree is one commit, so the first answer is the only one.
func (r *Recorder) note(op Op, name string, digest func() string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := asked{op, name}
	if _, ok := r.reads[key]; !ok {
		r.reads[key] = digest()
	}
}

// Reads returns what was asked so far, ordered by path and operation.
func (r *Recorder) Reads() []Read {
	r.mu.Lock()
	defer r.mu.Unlock()
	reads := make([]Read, 0, len(r.reads))
	for key, digest := range r.reads {
		reads = append(reads, Read{Op: key.op, Path: key.path, Digest: digest})
	}
	slices.SortFunc(reads, func(a, b Read) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Op, b.Op))
	})
	return reads
}

// Manifest is the reads of one render, arranged so that it is quick to tell whether another tree answers them alike:
// where a directory's own hash is the same, nothing that was read in it differs. It is immutable.
type Manifest struct {
	Reads []Read
	dirs  []dirReads
}

type dirReads struct {
	path  string
	hash  string // "" if not known
	reads []Read
}

// NewManifest arranges the reads that were made of a source. Without the source, which is then its zero value, the
// manifest knows no directory's hash until it is held against one.
func NewManifest(reads []Read, source Source) *Manifest {
	m := &Manifest{Reads: reads}
	place := map[string]int{}
	for _, read := range reads {
		dir := path.Dir(read.Path)
		if read.Op == OpList || read.Digest == string(Directory) {
			dir = read.Path // a directory's hash says that it is one, and what is in it
		}
		if read.Op == OpRemote {
			dir = "" // no directory's hash covers it
		}
		i, ok := place[dir]
		if !ok {
			i = len(m.dirs)
			place[dir] = i
			m.dirs = append(m.dirs, dirReads{path: dir, hash: source.hash(dir)})
		}
		m.dirs[i].reads = append(m.dirs[i].reads, read)
	}
	return m
}

// Holds reports whether a source answers every read as it was answered when they were made. If so it also returns the
// manifest to ask next time, which knows the hashes of this source's directories.
func (m *Manifest) Holds(source Source) (*Manifest, bool) {
	var fresh []dirReads
	for i, dir := range m.dirs {
		hash := source.hash(dir.path)
		if hash != "" && hash == dir.hash {
			continue
		}
		for _, read := range dir.reads {
			if source.Digest(read) != read.Digest {
				return nil, false
			}
		}
		if hash != dir.hash {
			if fresh == nil {
				fresh = slices.Clone(m.dirs)
			}
			fresh[i].hash = hash
		}
	}
	if fresh == nil {
		return m, true
	}
	return &Manifest{Reads: m.Reads, dirs: fresh}, true
}
