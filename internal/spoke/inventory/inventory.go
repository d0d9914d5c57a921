// Package inventory holds the marked objects of a cluster as its watches show
// them.
package inventory

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
)

// Inventory is the marked objects of a cluster as the watches show them. What a
// sync asks of them costs as much as its app has, not as the cluster has.
type Inventory struct {
	objects map[object.ID]apply.Tracked
	byApp   map[string]map[object.ID]bool // by whose marks they carry, if these count
	marked  int                           // how many carry marks that count
}

// New returns an inventory of nothing.
func New() *Inventory {
	return &Inventory{objects: map[object.ID]apply.Tracked{}, byApp: map[string]map[object.ID]bool{}}
}

// Put takes in an object as it is now.
func (t *Inventory) Put(o apply.Tracked) {
	t.Drop(o.ID)
	t.objects[o.ID] = o
	if app := o.Owner.App; app != "" {
		if t.byApp[app] == nil {
			t.byApp[app] = map[object.ID]bool{}
		}
		t.byApp[app][o.ID] = true
		t.marked++
	}
}

// Drop takes in that an object is gone.
func (t *Inventory) Drop(id object.ID) {
	o, there := t.objects[id]
	if !there {
		return
	}
	delete(t.objects, id)
	if app := o.Owner.App; app != "" {
		t.marked--
		if delete(t.byApp[app], id); len(t.byApp[app]) == 0 {
			delete(t.byApp, app)
		}
	}
}

// DropKind takes in that nothing is known of a kind any more.
func (t *Inventory) DropKind(kind schema.GroupKind) {
	for id := range t.objects {
		if id.GroupKind() == kind {
			t.Drop(id)
		}
	}
}

// Get returns an object, if it is there.
func (t *Inventory) Get(id object.ID) (apply.Tracked, bool) {
	o, there := t.objects[id]
	return o, there
}

// Of returns the objects that carry an app's marks.
func (t *Inventory) Of(app string) []apply.Tracked {
	objects := make([]apply.Tracked, 0, len(t.byApp[app]))
	for id := range t.byApp[app] {
		objects = append(objects, t.objects[id])
	}
	return objects
}

// Has reports whether any object carries an app's marks.
func (t *Inventory) Has(app string) bool { return len(t.byApp[app]) > 0 }

// Marked counts the objects that carry marks which count.
func (t *Inventory) Marked() int { return t.marked }
