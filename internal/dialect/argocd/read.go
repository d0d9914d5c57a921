package argocd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/argocd/templates"
	"nave.dev/internal/object"
)

// maxGenerations is how deep apps may ask for apps.
const maxGenerations = 16

// question is one call of Read.
type question struct {
	asking.Request
	result     asking.Result
	project    map[string]*project
	defined    map[string]bool // names of projects that some object defines, whether it may or not
	incomplete []error
	warned     map[asking.Warning]bool
	budget     *templates.Budget
}

// Read tells which apps the objects of a Delivery ask for. The same request has
// the same result, whatever order its objects are in.
func (d Dialect) Read(request asking.Request) asking.Result {
	q := &question{Request: request, result: asking.Result{Gates: map[string][]app.Gate{}}, project: map[string]*project{}, defined: map[string]bool{}, warned: map[asking.Warning]bool{}, budget: templates.NewBudget()}
	if q.Namespace == "" {
		q.Namespace = Namespace
	}
	q.Objects = slices.DeleteFunc(slices.Clone(q.Objects), func(o asking.Object) bool { return !d.Interprets(object.Of(o.Manifest)) })
	slices.SortStableFunc(q.Objects, func(a, b asking.Object) int {
		return cmp.Or(cmp.Compare(a.App, b.App), object.Compare(object.Of(a.Manifest), object.Of(b.Manifest)), cmp.Compare(a.Place, b.Place))
	})
	wanted := q.wanted()
	q.projects(wanted)
	found := q.generations(wanted)
	q.tell(found)
	q.result.Incomplete = errors.Join(q.incomplete...)
	return q.result
}

// warn adds a warning, once.
func (q *question) warn(of, place, text string) {
	w := asking.Warning{App: of, Place: place, Text: text}
	if !q.warned[w] {
		q.warned[w] = true
		q.result.Warnings = append(q.result.Warnings, w)
	}
}

// wanted returns the Applications that each app asks for.
func (q *question) wanted() map[string][]*wanted {
	all := map[string][]*wanted{}
	for _, o := range q.Objects {
		switch o.Manifest.GetKind() {
		case "Application":
			all[o.App] = append(all[o.App], newWanted(o.Manifest.Object, o.App, o.Place, q.Namespace))
		case "ApplicationSet":
			generated, err := q.generated(o)
			all[o.App] = append(all[o.App], generated...)
			if err != nil {
				q.incomplete = append(q.incomplete, err)
			}
		}
	}
	return all
}

// generations puts the Applications in the order in which they are found from the
// Delivery's app on. One that is found again with the same content is one app, of
// who asked for it first; with other content see contested.
func (q *question) generations(of map[string][]*wanted) []*wanted {
	var found []*wanted
	byName := map[string]*wanted{}
	parents := append([]string{q.Delivery}, slices.Sorted(maps.Keys(q.Others))...)
	var refused []*wanted
	for generation := 1; len(parents) > 0; generation++ {
		var children []string
		for _, parent := range parents {
			for _, w := range of[parent] {
				reason, _ := q.mayHave(byName[parent], w.id)
				reason = cmp.Or(reason, q.otherDenies(parent, w.id))
				if p := q.projectOf(byName[parent]); reason == "" && p != nil {
					if reason = p.deniesLook(w); reason != "" {
						reason = fmt.Sprintf("app %q may not have it: project %q does not allow it: spec.sourceRepos: %s", parent, byName[parent].project(), reason)
					}
				}
				if reason != "" {
					w.malformed = errors.Join(w.malformed, errors.New(reason))
					refused = append(refused, w)
					continue
				}
				if w.name == q.Delivery && q.isDelivery(w) {
					q.warn(parent, w.place, "metadata.name: it has the name and the path of its Delivery, which stands for it")
					continue
				}
				other := byName[w.name]
				if other != nil && !q.contested(byName, other, w) {
					continue
				}
				byName[w.name] = w
				if found = append(found, w); other == nil {
					children = append(children, w.name)
				} else {
					found = slices.DeleteFunc(found, func(f *wanted) bool { return f == other })
				}
			}
		}
		slices.Sort(children)
		if parents = children; generation == maxGenerations && len(children) > 0 && slices.ContainsFunc(children, func(name string) bool { return len(of[name]) > 0 }) {
			q.incomplete = append(q.incomplete, fmt.Errorf("an Application asks for an Application more than %d times in a row: %s\nhint: is one among its own children under another name?",
				maxGenerations, q.chain(byName, children[0])))
			break
		}
	}
	// They fail, where no other app has the name: what was accepted of them stays.
	for _, w := range refused {
		if byName[w.name] == nil {
			byName[w.name] = w
			found = append(found, w)
		}
	}
	return found
}

// otherDenies says why an app of another dialect may not have an object, or nothing.
func (q *question) otherDenies(name string, id object.ID) string {
	options := q.Others[name]
	if reason, may := options.Permits(id, true, true); !may {
		return fmt.Sprintf("app %q may not have it: %s", name, reason)
	}
	return ""
}

// projectOf returns the project that narrows an app, nil if none does. A nil app is
// the Delivery's own.
func (q *question) projectOf(w *wanted) *project {
	if w == nil || w.name == q.Delivery {
		return nil
	}
	return q.project[w.project()]
}

// contested decides between two Applications of a name, and reports whether the
// later one counts. Those of one app are its own error. Otherwise the one of an app
// that the other came of counts, as it has that in its hands, or else the one that
// there was before: nobody takes over, or stops, what is another's by asking for it
// from a place that comes first. Of two that are new at once neither counts.
func (q *question) contested(byName map[string]*wanted, first, later *wanted) bool {
	if sameContent(first.definition(), later.definition()) {
		return false
	}
	before := ""
	if q.Parent != nil && first.parent != later.parent {
		before = q.Parent(first.name)
	}
	switch {
	case first.parent == later.parent:
	case slices.Contains(q.ancestry(byName, later.parent), first.parent), before == first.parent:
		q.warn(later.parent, later.place, fmt.Sprintf("metadata.name: it counts for nobody: app %q asks for one of this name", first.parent))
		return false
	case before == later.parent:
		q.warn(first.parent, first.place, fmt.Sprintf("metadata.name: it counts for nobody: app %q asks for one of this name", later.parent))
		return true
	}
	first.malformed = errors.Join(first.malformed, fmt.Errorf("it is there twice, and not the same: %s, of app %q", later.place, later.parent))
	return false
}

// isDelivery reports whether an Application of the Delivery's name is what the
// Delivery already is.
func (q *question) isDelivery(w *wanted) bool {
	return w.malformed == nil && w.Spec.Source != nil && cleanPath(w.Spec.Source.Path) == cleanPath(q.Path)
}

func cleanPath(path string) string { return strings.Trim(strings.TrimPrefix(path, "./"), "/.") }

// definition is what of an Application says what its app is.
func (w *wanted) definition() any {
	return []any{w.Spec, w.Metadata.Finalizers, w.Metadata.Annotations, w.Operation}
}

// sameContent reports whether two values are the same in JSON.
func sameContent(a, b any) bool {
	one, errOne := json.Marshal(a)
	other, errOther := json.Marshal(b)
	return errOne == nil && errOther == nil && bytes.Equal(one, other)
}

// chain names an app and those that it came of, from the first on.
func (q *question) chain(byName map[string]*wanted, name string) string {
	names := q.ancestry(byName, name)
	slices.Reverse(names)
	return strings.Join(names, " > ")
}

// ancestry returns an app and those that it came of, up to the Delivery's own.
func (q *question) ancestry(byName map[string]*wanted, name string) []string {
	names := []string{name}
	for w := byName[name]; w != nil && w.name != q.Delivery; w = byName[w.parent] {
		names = append(names, w.parent)
	}
	return names
}

// tell enters what comes of the Applications.
func (q *question) tell(found []*wanted) {
	tree := newTree(q, found)
	for _, w := range found {
		cluster, child, err := q.read(w, tree)
		for _, text := range w.warnings {
			q.warn(w.name, w.place, text)
		}
		if err != nil {
			q.result.Failed = append(q.result.Failed, asking.Failure{Name: w.name, Cluster: cluster, Parent: w.parent, Err: fmt.Errorf("%s: %w", w.place, err)})
			continue
		}
		q.result.Children = append(q.result.Children, child)
	}
	if err := tree.excess; err != nil {
		q.incomplete = append(q.incomplete, err)
	}
	for _, cluster := range tree.clusters {
		if gates := tree.gates(q.Delivery, cluster); len(gates) > 0 {
			q.result.Gates[cluster] = gates
		}
	}
	slices.SortFunc(q.result.Children, func(a, b app.Child) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(q.result.Failed, func(a, b asking.Failure) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(q.result.Warnings, func(a, b asking.Warning) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Text, b.Text))
	})
}

// read returns the app of one Application, and the cluster that it is for as soon
// as that is known.
func (q *question) read(w *wanted, tree *tree) (cluster string, child app.Child, err error) {
	cluster = q.Cluster
	if w.malformed == nil || w.Spec.Destination != (destination{}) {
		m, err := q.target(w.Spec.Destination)
		if err != nil {
			return cluster, app.Child{}, errors.Join(err, w.malformed)
		}
		cluster = m.Name
	}
	if w.name == q.Delivery {
		return cluster, app.Child{}, fmt.Errorf("metadata.name: Delivery %q has the same\nhint: give one of them another name, or let both have one path", q.Delivery)
	}
	if child, err = w.child(q.Narrowed(w.parent)); err != nil {
		return cluster, app.Child{}, err
	}
	child.Cluster = cluster
	if err := q.admit(w, q.member(cluster), &child); err != nil {
		return cluster, app.Child{}, err
	}
	return cluster, child, tree.place(w, cluster, &child)
}
