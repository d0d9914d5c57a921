package gittree

import (
	"fmt"
	"sync"
)

// Bounds of reading ahead, in files and bytes. A round trip to git costs as much as some ten small files do, and
// most callers read a directory whole, or the tree in order.
const (
	minAhead      = 16
	maxAhead      = 512
	maxAheadFile  = 64 << 10
	maxAheadBytes = 1 << 20
)

// readAhead decides how many files are read with one that is asked for. Places are counted in the order of paths.
type readAhead struct {
	mu     sync.Mutex
	next   int // the place after the last window
	window int
}

// after returns the window for a read that begins at a place. It grows while reads follow each other.
func (r *readAhead) after(place int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if distance := place - r.next; r.window > 0 && distance >= -r.window && distance <= r.window {
		r.window = min(4*r.window, maxAhead)
	} else {
		r.window = minAhead
	}
	r.next = place + r.window
	return r.window
}

// content returns what is in the file at the end of a chain. If that must be read, some files that are likely to be
// next are read with it into the cache.
func (t *Tree) content(chain []*entry) (string, error) {
	s, e := t.store, chain[len(chain)-1]
	if e.size > s.opts.MaxBlob {
		return "", fmt.Errorf("the file has %d bytes, the limit is %d", e.size, s.opts.MaxBlob)
	}
	if data, ok := s.opts.Cache.get(cacheKey{s, e.id}); ok {
		return data, nil
	}
	ids := append([]string{e.id}, t.likely(chain)...)
	objects, err := s.readNow(ids)
	if err != nil && len(ids) > 1 {
		objects, err = s.readNow(ids[:1]) // what was not asked for is not to spoil what was
	}
	if err != nil {
		return "", s.damage(err)
	}
	for i := len(objects) - 1; i >= 0; i-- { // the one asked for last, so that it stays longest
		s.opts.Cache.put(cacheKey{s, ids[i]}, objects[i].data)
	}
	return objects[0].data, nil
}

// likely returns the hashes of small files near the one at the end of a chain that are not in the cache.
func (t *Tree) likely(chain []*entry) []string {
	e := chain[len(chain)-1]
	place := 0
	for _, above := range chain[1:] {
		place += int(above.before)
	}
	window := t.ahead.after(place)
	if before := int(e.before); before < window {
		place -= before // the others of the directory
	}
	var ids []string
	chosen := map[string]bool{e.id: true}
	bytes := int64(0)
	t.root.dir.from(place, func(near *entry) bool {
		window--
		if near.kind != link && near.size <= min(maxAheadFile, t.store.opts.MaxBlob) && !chosen[near.id] && !t.store.opts.Cache.has(cacheKey{t.store, near.id}) {
			if bytes += near.size; bytes > maxAheadBytes {
				return false
			}
			chosen[near.id] = true
			ids = append(ids, near.id)
		}
		return window > 0
	})
	return ids
}
