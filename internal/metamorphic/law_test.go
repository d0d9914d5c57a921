package metamorphic

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// limit is what an app may touch: 0 is anything.
type limit int

// The limits that a story may have.
const (
	unlimited limit = iota
	configMaps
	namespaced
	home // the place's own namespace
	limits
)

// bars reports whether the limit forbids an object.
func (in limit) bars(id object.ID) bool {
	switch in {
	case configMaps:
		return id.Kind != "ConfigMap"
	case namespaced:
		return id.Namespace == ""
	case home:
		return id.Kind == "Namespace" || strings.HasSuffix(id.Namespace, suffixOfMore)
	}
	return false
}

// in says the limit as Git does.
func (w *world) in(in limit) app.Limits {
	return map[limit]app.Limits{
		configMaps: {Kinds: []string{"ConfigMap"}}, namespaced: {NamespacedOnly: true}, home: {Namespaces: []string{w.namespace}},
	}[in]
}

// once are the things of which an app may say that they are only to be created.
var once = app.ObjectRules{{Kind: "ConfigMap", Name: "c1"}, {Kind: "ConfigMap", Name: "c2"}, {Kind: "Secret", Name: "token"}}

// user is who an app's requests come from.
func user(serviceAccount string) string {
	namespace, name, named := strings.Cut(serviceAccount, "/")
	if !named {
		return ""
	}
	return "system:serviceaccount:" + namespace + ":" + name
}

// law says what may be done to the cluster, from all that was committed and done
// so far. Where the order of things leaves room, it allows either.
type law struct {
	ever      map[object.ID]map[string]bool // which apps ever had it
	wanted    map[object.ID]bool            // by a commit that may still be under way
	removable map[object.ID]bool            // because a commit has removed it
	replaced  map[object.ID]bool            // to be created anew
	kept      map[object.ID]bool            // by its annotation
	held      map[object.ID]bool            // since too many would go at once
	confirmed map[object.ID]bool
	person    map[types.UID]bool         // made by somebody else
	paused    map[string]bool            // apps; "" is all
	suspended map[string]bool            // apps, as far as the spoke is known to know
	inhabited map[object.ID]bool         // namespaces in which an app has had something all along
	once      map[object.ID]bool         // things that have been only to be created all along
	budgeted  map[string]bool            // apps of which the fleet's budget has held deletions all along
	users     map[string]map[string]bool // who an app's writes may come from
	limits    map[string][]limit         // that an app may be under
}

func newLaw() law {
	return law{
		ever: map[object.ID]map[string]bool{}, wanted: map[object.ID]bool{}, removable: map[object.ID]bool{},
		replaced: map[object.ID]bool{}, kept: map[object.ID]bool{}, held: map[object.ID]bool{},
		confirmed: map[object.ID]bool{}, person: map[types.UID]bool{}, paused: map[string]bool{},
		suspended: map[string]bool{}, inhabited: map[object.ID]bool{}, once: map[object.ID]bool{}, budgeted: map[string]bool{},
		users: map[string]map[string]bool{}, limits: map[string][]limit{},
	}
}

// deleting says why an object must not be deleted, or nothing.
func (l *law) deleting(id object.ID, uid types.UID) string {
	switch {
	case l.ever[id] == nil:
		return "no commit ever had it"
	case l.stands(id):
		return "its app is paused or suspended"
	case l.barred(id):
		return "the limits of its app forbid it"
	case l.replaced[id]:
	case l.inhabited[id]:
		return "what an app has in it would go too"
	case !l.removable[id]:
		return "no commit removed it"
	case l.kept[id]:
		return "its annotation keeps it"
	case l.person[uid] && !l.confirmed[id]:
		return "it is somebody else's, and nobody confirmed that it goes"
	case l.held[id] && !l.confirmed[id]:
		return "too many go at once, and nobody confirmed that"
	case (id.Kind == "Namespace" || id.Kind == "PersistentVolumeClaim") && !l.confirmed[id]:
		return "it takes others or data with it, and nobody confirmed that it goes"
	case l.overBudget(id) && !l.confirmed[id]:
		return "the fleet's budget holds it, and nobody confirmed that it goes"
	}
	return ""
}

// writing says why an object must not be written, or nothing.
func (l *law) writing(id object.ID) string {
	switch {
	case l.ever[id] == nil:
		return "no commit ever had it"
	case l.stands(id):
		return "its app is paused or suspended"
	case l.barred(id):
		return "the limits of its app forbid it"
	case !l.wanted[id]:
		return "no commit has it"
	}
	return ""
}

// signing says why a user must not write an object, or nothing. The empty user
// is the spoke itself.
func (l *law) signing(id object.ID, user string) string {
	for name := range l.ever[id] {
		if l.users[name][user] {
			return ""
		}
	}
	return "none of its apps writes as " + user
}

// barred reports whether limits forbid every app that ever had the object to
// touch it, whichever of its limits the spoke goes by.
func (l *law) barred(id object.ID) bool {
	for name := range l.ever[id] {
		if !slices.ContainsFunc(l.limits[name], func(in limit) bool { return in.bars(id) }) || slices.ContainsFunc(l.limits[name], func(in limit) bool { return !in.bars(id) }) {
			return false
		}
	}
	return true
}

// overBudget reports whether the fleet's budget holds the object's deletion.
func (l *law) overBudget(id object.ID) bool {
	if strings.HasPrefix(id.Name, generator) {
		return false // another generation takes its place
	}
	for name := range l.ever[id] {
		if !l.budgeted[name] {
			return false
		}
	}
	return true
}

// stands reports whether nobody may write the object.
func (l *law) stands(id object.ID) bool {
	if l.paused[""] {
		return true
	}
	for name := range l.ever[id] {
		if !l.paused[name] && !l.suspended[name] {
			return false
		}
	}
	return true
}

// enact takes a commit in. If it is fresh, nothing from before is under way.
func (w *world) enact(fresh bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &w.law
	if fresh {
		clear(l.wanted)
		clear(l.removable)
		clear(l.replaced)
		clear(l.users)
		clear(l.limits)
		l.budgeted = maps.Clone(w.git.budget)
	}
	maps.DeleteFunc(l.budgeted, func(name string, _ bool) bool { return !w.git.budget[name] })
	complete := w.git.missing == ""
	claimed := map[object.ID]bool{}
	have := func(id object.ID, name string, does bool) {
		if !does {
			return
		}
		if l.ever[id] == nil {
			l.ever[id] = map[string]bool{}
		}
		l.ever[id][name] = true
		l.wanted[id], claimed[id] = true, true
	}
	for _, name := range w.git.names() {
		t := w.git.trees[name]
		complete = complete && (!t.broken || t.known)
		if l.users[name] == nil {
			l.users[name] = map[string]bool{}
		}
		l.users[name][user(t.options.ServiceAccount)] = true
		l.limits[name] = append(l.limits[name], t.limit)
		for thing, c := range t.claimed() {
			id := w.identity(thing, c)
			have(id, name, true)
			if thing == immutable && t.options.Replace {
				l.replaced[id] = true
			}
			if !c.keep {
				delete(l.kept, id)
			}
			if only := t.once && once.Match(id); fresh && only {
				l.once[id] = true
			} else if !only {
				delete(l.once, id)
			}
			if thing == inner {
				have(w.identity(space, content{}), name, t.options.CreateNamespace)
			}
		}
	}
	maps.DeleteFunc(l.once, func(id object.ID, _ bool) bool { return !claimed[id] })
	lived := w.identity(space, content{})
	l.inhabited[lived] = claimed[w.identity(inner, content{})] && (fresh || l.inhabited[lived])
	for id, apps := range l.ever {
		for name := range apps {
			t := w.git.trees[name]
			if complete && !claimed[id] && t != nil && !t.broken && len(t.claimed()) > 0 && t.options.Prune {
				l.removable[id] = true
			}
		}
	}
}
