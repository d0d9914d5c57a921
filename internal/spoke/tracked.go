package spoke

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
)

// tracked are the marked objects of a cluster as the watches show them. What a
// sync asks of them costs as much as its app has, not as the cluster has.
type tracked struct {
	objects map[object.ID]apply.Tracked
	byApp   map[string]map[object.ID]bool // by whose marks they carry, if these count
	marked  int                           // how many carry marks that count
}

func newTracked() *tracked {
	return &tracked{objects: map[object.ID]apply.Tracked{}, byApp: map[string]map[object.ID]bool{}}
}

// put takes in an object as it is now.
func (t *tracked) put(o apply.Tracked) {
	t.drop(o.ID)
	t.objects[o.ID] = o
	if app := o.Owner.App; app != "" {
		if t.byApp[app] == nil {
			t.byApp[app] = map[object.ID]bool{}
		}
		t.byApp[app][o.ID] = true
		t.marked++
	}
}

// drop takes in that an object is gone.
func (t *tracked) drop(id object.ID) {
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

// dropKind takes in that nothing is known of a kind any more.
func (t *tracked) dropKind(kind schema.GroupKind) {
	for id := range t.objects {
		if id.GroupKind() == kind {
			t.drop(id)
		}
	}
}

// get returns an object, if it is there.
func (t *tracked) get(id object.ID) (apply.Tracked, bool) {
	o, there := t.objects[id]
	return o, there
}

// of returns the objects that carry an app's marks.
func (t *tracked) of(app string) []apply.Tracked {
	objects := make([]apply.Tracked, 0, len(t.byApp[app]))
	for id := range t.byApp[app] {
		objects = append(objects, t.objects[id])
	}
	return objects
}
