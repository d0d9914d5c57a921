// Package presence remembers for a while which objects of a kind a cluster has,
// marked or not, so that what is new need not be looked for one by one. It only saves
// reads: an object that has appeared since is noticed by the answer to its apply.
package presence

import (
	"context"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/turns"
	"nave.dev/internal/object"
)

// Cluster is what is asked for the names of a kind's objects; a [cluster.Connection]
// is one.
type Cluster interface {
	// Names calls each for the objects of a kind.
	Names(ctx context.Context, r cluster.Resource, each func(namespace, name string)) error
}

// maxAge is for how long the names of a kind's objects serve: as long as it may take to
// bring up a cluster that shares its processors with many.
const maxAge = 5 * time.Minute

// Memory is what is remembered of one cluster. It is safe for concurrent use.
type Memory struct {
	cluster Cluster
	now     func() time.Time
	turns   turns.Turns // so that one lists a kind, and the others wait for it

	mu      sync.Mutex
	present map[schema.GroupKind]*names
	listing map[schema.GroupKind]map[object.ID]bool // what is created meanwhile
}

// names are those of a kind's objects at some time.
type names struct {
	at  time.Time
	ids map[object.ID]bool
}

// New returns what is remembered of a cluster, by a clock: nothing yet.
func New(c Cluster, now func() time.Time) *Memory {
	return &Memory{cluster: c, now: now, present: map[schema.GroupKind]*names{}, listing: map[schema.GroupKind]map[object.ID]bool{}}
}

// Absent reports whether the object was not there when its kind was last listed.
func (m *Memory) Absent(id object.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.present[id.GroupKind()]
	return n != nil && m.now().Sub(n.at) < maxAge && !n.ids[id]
}

// Appeared notes that an object was created.
func (m *Memory) Appeared(id object.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.present[id.GroupKind()]; n != nil {
		n.ids[id] = true
	}
	if m.listing[id.GroupKind()] != nil {
		m.listing[id.GroupKind()][id] = true
	}
}

// Look lists the names of a kind's objects, unless that was done lately. Of a kind
// that cannot be listed nothing is known: its objects are looked at one at a time.
func (m *Memory) Look(ctx context.Context, r cluster.Resource) {
	kind := schema.GroupKind{Group: r.Group, Kind: r.Kind}
	done, err := m.turns.Take(ctx, kind)
	if err != nil {
		return
	}
	defer done()
	began := m.now()
	m.mu.Lock()
	n := m.present[kind]
	if n != nil && began.Sub(n.at) < maxAge && !began.Before(n.at) {
		m.mu.Unlock()
		return
	}
	m.listing[kind] = map[object.ID]bool{} // what is created before the list is read
	m.mu.Unlock()
	ids := map[object.ID]bool{}
	err = m.cluster.Names(ctx, r, func(namespace, name string) {
		ids[object.ID{Group: r.Group, Kind: r.Kind, Namespace: namespace, Name: name}] = true
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(ids, m.listing[kind])
	delete(m.listing, kind)
	delete(m.present, kind)
	if err == nil {
		m.present[kind] = &names{began, ids}
	}
}
