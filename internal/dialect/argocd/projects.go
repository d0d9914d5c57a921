package argocd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/manifest"
)

// projects reads the AppProjects. One that the project of its own app does not let
// it have counts for nobody.
func (q *question) projects(asked map[string][]*wanted) {
	apps := q.definitions(asked)
	var open []asking.Object
	for _, o := range q.Objects {
		if o.Manifest.GetKind() == "AppProject" {
			q.defined[o.Manifest.GetName()] = true
			open = append(open, o)
		}
	}
	depth := q.depths(asked)
	slices.SortStableFunc(open, func(a, b asking.Object) int { return cmp.Compare(depth[a.App], depth[b.App]) })
	for len(open) > 0 {
		var later []asking.Object
		for _, o := range open {
			reason, decided := q.otherDenies(o.App, idIn(o.Manifest, q.Namespace)), !o.Foreign || !q.ownIn(open, o)
			for _, w := range apps[o.App] {
				why, known := q.mayHave(w, idIn(o.Manifest, q.Namespace))
				reason, decided = cmp.Or(reason, why), decided && known
			}
			switch {
			case reason != "":
				q.warn(o.App, describePlace("AppProject", o.Manifest.GetName(), o.Place), reason)
			case !decided:
				later = append(later, o)
			default:
				q.define(o)
			}
		}
		if own := q.own(later); len(later) == len(open) {
			for _, o := range own {
				q.warn(o.App, describePlace("AppProject", o.Manifest.GetName(), o.Place), "it counts for nobody: whether its app may have it depends on a project that is not there, or on itself")
			}
			later = slices.DeleteFunc(later, func(o asking.Object) bool { return !o.Foreign })
		}
		open = later
	}
}

// definitions returns the Applications of each name: all of them, unless it is known
// which app asked for it before and that still does.
func (q *question) definitions(asked map[string][]*wanted) map[string][]*wanted {
	apps := map[string][]*wanted{}
	for _, parent := range sortedKeys(asked) {
		for _, w := range asked[parent] {
			apps[w.name] = append(apps[w.name], w)
		}
	}
	for name, list := range apps {
		if q.Parent == nil || !slices.ContainsFunc(list, func(w *wanted) bool { return w.parent != list[0].parent }) {
			continue
		}
		before := q.Parent(name)
		if slices.ContainsFunc(list, func(w *wanted) bool { return w.parent == before }) {
			apps[name] = slices.DeleteFunc(list, func(w *wanted) bool { return w.parent != before })
		}
	}
	return apps
}

// depths returns how far apps are from the Delivery's own. Those of other Deliveries
// come after all.
func (q *question) depths(asked map[string][]*wanted) map[string]int {
	depth := map[string]int{q.Delivery: 0}
	parents := []string{q.Delivery}
	for i := 1; len(parents) > 0; i++ {
		var children []string
		for _, parent := range parents {
			for _, w := range asked[parent] {
				if _, known := depth[w.name]; !known {
					depth[w.name] = i
					children = append(children, w.name)
				}
			}
		}
		parents = children
	}
	for _, o := range q.Objects {
		if _, known := depth[o.App]; !known {
			depth[o.App] = len(depth) + 1
		}
	}
	return depth
}

// own returns the objects that are of the Delivery itself.
func (q *question) own(objects []asking.Object) []asking.Object {
	return slices.DeleteFunc(slices.Clone(objects), func(o asking.Object) bool { return o.Foreign })
}

// ownIn reports whether objects of the Delivery itself have the name of one.
func (q *question) ownIn(objects []asking.Object, one asking.Object) bool {
	return slices.ContainsFunc(objects, func(o asking.Object) bool { return !o.Foreign && o.Manifest.GetName() == one.Manifest.GetName() })
}

// define enters an AppProject. Of several of a name the first counts, which is the
// Delivery's own, and of these the one of the app nearest to it: who may have an
// AppProject at all could have one of any name. Of several of other Deliveries it
// cannot be told which is meant.
func (q *question) define(o asking.Object) {
	p := &project{app: o.App, foreign: o.Foreign, place: describePlace("AppProject", o.Manifest.GetName(), o.Place)}
	unknown, err := manifest.Decode(o.Manifest.Object, &p.appProject)
	for _, field := range unknown {
		q.warn(o.App, p.place, field+": Argo CD has no such field, and leaves it out")
	}
	p.err = err
	if err == nil {
		p.err = p.check()
		p.warn(func(text string) { q.warn(o.App, p.place, text) })
		q.warnOfDenials(o.App, p)
	}
	name := o.Manifest.GetName()
	if namespace := o.Manifest.GetNamespace(); namespace != "" && namespace != q.Namespace {
		q.warn(o.App, p.place, fmt.Sprintf("metadata.namespace: projects are in %s, the namespace of Argo CD, and this one counts for nobody", q.Namespace))
		return
	}
	switch other := q.project[name]; {
	case other == nil:
		q.project[name] = p
	case sameContent(other.manifestOf(), p.manifestOf()):
	case other.app == p.app || other.foreign:
		other.err = errors.Join(other.err, fmt.Errorf("there is another one of this name and another content, %s", p.place))
	case !p.foreign:
		q.warn(o.App, p.place, fmt.Sprintf("metadata.name: it counts for nobody: app %q has one of this name", other.app))
	}
}

// warnOfDenials says which denials of a project name no cluster of the fleet, and so
// deny nothing.
func (q *question) warnOfDenials(of string, p *project) {
	for i, d := range p.Spec.Destinations {
		if !strings.HasPrefix(d.Name, "!") {
			continue
		}
		denies := func(m asking.Member) bool {
			_, denied := destinationMatch(d.Name, append(slices.Clone(m.Aliases), m.Name, inCluster))
			return denied
		}
		if !slices.ContainsFunc(q.Members, denies) {
			q.warn(of, p.place, fmt.Sprintf("spec.destinations[%d].name: %q denies nothing: no Cluster has that name, or it among its aliases", i, d.Name))
		}
	}
}
