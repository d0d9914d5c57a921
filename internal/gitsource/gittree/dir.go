package gittree

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// kind is what an entry of a directory is.
type kind uint8

const (
	file kind = iota
	executable
	link
	submodule
	directory
)

// entry is one name in a directory.
type entry struct {
	name   string
	id     string // hash, as bytes
	kind   kind
	before int32  // files and links that precede it in its directory, those in subdirectories included
	size   int64  // of a file or link, in bytes
	target string // of a link; empty if it is too long to be one
	dir    *dir   // of a directory
}

// dir is a directory with all below it. It is immutable once loaded, and shared by the commits that contain it.
type dir struct {
	id      string
	entries []entry // by name
	invalid error   // the directory holds a name that cannot be shown, so that its listing would not be complete

	total   int // files, links, submodules and directories below
	leaves  int // files and links below
	links   int // links below
	modules int // submodules below
}

// maxTotal is where the counts of a dir stop, far above any limit: nested repetition can make them astronomical.
const maxTotal = 1 << 30

// find returns the entry of a name, or nil.
func (d *dir) find(name string) *entry {
	i, ok := slices.BinarySearchFunc(d.entries, name, func(e entry, name string) int { return strings.Compare(e.name, name) })
	if !ok {
		return nil
	}
	return &d.entries[i]
}

// parseDir reads a tree object: entries of "MODE NAME\0HASH", where MODE is octal and HASH as long as the object's own.
// What it does not understand makes the directory invalid and leaves the rest of it readable.
func parseDir(id, data string) *dir {
	d := &dir{id: id}
	for rest := data; rest != ""; {
		mode, after, ok := strings.Cut(rest, " ")
		name, after, ok2 := strings.Cut(after, "\x00")
		if !ok || !ok2 || len(after) < len(id) {
			d.invalid = fmt.Errorf("directory %x is malformed", id)
			break
		}
		rest = after[len(id):]
		e := entry{name: name, id: after[:len(id)]}
		if e.kind, ok = parseMode(mode); !ok {
			d.invalid = fmt.Errorf("entry %q has the unknown mode %q", name, mode)
			continue
		}
		if name == "." || strings.Contains(name, "/") || !fs.ValidPath(name) {
			d.invalid = fmt.Errorf("the name of entry %q is not valid", name)
			continue
		}
		d.entries = append(d.entries, e)
	}
	// Git sorts directories as if their names ended in a slash.
	slices.SortStableFunc(d.entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(d.entries); i++ {
		if d.entries[i].name == d.entries[i-1].name {
			d.invalid = fmt.Errorf("entry %q is there twice", d.entries[i].name)
		}
	}
	d.entries = slices.Clip(d.entries)
	return d
}

// parseMode tells the kind of an entry from its mode, of which old versions of Git wrote more than they do now.
func parseMode(mode string) (kind, bool) {
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return 0, false
	}
	switch bits & 0o170000 {
	case 0o040000:
		return directory, true
	case 0o100000:
		if bits&0o100 != 0 {
			return executable, true
		}
		return file, true
	case 0o120000:
		return link, true
	case 0o160000:
		return submodule, true
	}
	return 0, false
}

// finish fills in what a parsed directory says about all below it; its subdirectories are finished.
func (d *dir) finish() {
	for i := range d.entries {
		e := &d.entries[i]
		e.before = int32(d.leaves)
		d.total++
		switch e.kind {
		case directory:
			d.total += e.dir.total
			d.leaves += e.dir.leaves
			d.links += e.dir.links
			d.modules += e.dir.modules
		case submodule:
			d.modules++
		case link:
			d.links++
			d.leaves++
		case file, executable:
			d.leaves++
		}
		d.total, d.leaves = min(d.total, maxTotal), min(d.leaves, maxTotal)
		d.links, d.modules = min(d.links, maxTotal), min(d.modules, maxTotal)
	}
}

// from calls yield with the files and links below d in the order of their paths, beginning with the one that n others
// precede, until yield returns false; it reports whether that happened.
func (d *dir) from(n int, yield func(*entry) bool) (stopped bool) {
	first, _ := slices.BinarySearchFunc(d.entries, n, func(e entry, n int) int { return int(e.before) - n - 1 })
	for i := max(0, first-1); i < len(d.entries); i++ {
		switch e := &d.entries[i]; {
		case e.kind == directory && int(e.before)+e.dir.leaves > n:
			if e.dir.from(max(0, n-int(e.before)), yield) {
				return true
			}
		case e.kind != directory && e.kind != submodule && int(e.before) >= n:
			if !yield(e) {
				return true
			}
		}
	}
	return false
}

// eachLink calls visit with the path of every link below d.
func (d *dir) eachLink(at string, visit func(path string)) {
	if d.links == 0 {
		return
	}
	for i := range d.entries {
		switch e := &d.entries[i]; e.kind {
		case link:
			visit(join(at, e.name))
		case directory:
			e.dir.eachLink(join(at, e.name), visit)
		}
	}
}

// join is path.Join for names that are clean, where the root has the path ".".
func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
