package gittree

import "slices"

// Changed returns, in order, the paths of the files, links and submodules that are not the same in a and b: added,
// removed, or different in content or mode. Only directories whose hashes differ are compared; one that cannot be
// listed is named itself. A link is listed also
// if what it leads to changed; one to a directory then stands for all that can be reached through it.
func Changed(a, b *Tree) []string {
	var paths []string
	compare(a.root, b.root, ".", func(path string) { paths = append(paths, path) })
	if a.root.id != b.root.id {
		b.root.dir.eachLink(".", func(path string) {
			if !sameTarget(a, b, path) {
				paths = append(paths, path)
			}
		})
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// compare calls changed with the paths at and below one place that differ. Either entry may be nil.
func compare(a, b *entry, path string, changed func(path string)) {
	switch {
	case a != nil && b != nil && a.kind == b.kind && a.id == b.id:
		return
	case a != nil && a.kind != directory || b != nil && b.kind != directory:
		// A file that became a directory, or the reverse, is gone under its old path.
		changed(path)
	case a != nil && a.dir.invalid != nil || b != nil && b.dir.invalid != nil:
		changed(path) // the difference may be in what is not listed
	}
	old, now := a.entries(), b.entries()
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(now) == 0 || len(old) > 0 && old[0].name < now[0].name:
			compare(&old[0], nil, join(path, old[0].name), changed)
			old = old[1:]
		case len(old) == 0 || now[0].name < old[0].name:
			compare(nil, &now[0], join(path, now[0].name), changed)
			now = now[1:]
		default:
			compare(&old[0], &now[0], join(path, now[0].name), changed)
			old, now = old[1:], now[1:]
		}
	}
}

// entries lists what is in e if it is a directory.
func (e *entry) entries() []entry {
	if e == nil || e.kind != directory {
		return nil
	}
	return e.dir.entries
}

// sameTarget reports whether a link leads to the same content in both trees. A directory that has links itself
// counts as different, as nothing says cheaply that it is not.
func sameTarget(a, b *Tree, link string) bool {
	old, errOld := a.find("compare", link, true)
	now, errNow := b.find("compare", link, true)
	if errOld != nil || errNow != nil {
		return errOld != nil && errNow != nil && errOld.Error() == errNow.Error()
	}
	return old.kind == now.kind && old.id == now.id && (now.kind != directory || now.dir.links == 0)
}
