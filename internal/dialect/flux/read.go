package flux

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/manifest"
	"nave.dev/internal/object"
)

// maxGenerations is how deep apps may ask for apps.
const maxGenerations = 16

// question is one call of Read.
type question struct {
	asking.Request
	result     asking.Result
	sources    map[object.ID][]source
	artifacts  map[object.ID][]artifact
	charts     map[object.ID][]chartsOf
	wanted     map[string]*wanted // by the name of the app
	children   map[string][]*wanted
	selves     map[string]bool // names of Kustomizations that are the Delivery itself
	incomplete []error
	warned     map[asking.Warning]bool
}

// wanted is an object that asks for an app.
type wanted struct {
	asking.Object
	id        object.ID
	name      string // of the app
	place     string // for errors: object, and file if known
	spec      kustomizationSpec
	release   *helmReleaseSpec // of a HelmRelease
	options   app.Options      // what it is given by those above it, and says itself
	malformed error
	denied    bool // its app may not have it
	warnings  []string
	cluster   string
	child     app.Child
	ready     []app.Readiness // of others, by expressions
}

// Read tells which apps the objects of a Delivery ask for. The same request has the
// same result, whatever order its objects are in.
func (d Dialect) Read(request asking.Request) asking.Result {
	q := &question{
		Request: request, sources: map[object.ID][]source{}, artifacts: map[object.ID][]artifact{}, charts: map[object.ID][]chartsOf{},
		result: asking.Result{Selves: map[string][]string{}}, wanted: map[string]*wanted{}, children: map[string][]*wanted{}, selves: map[string]bool{}, warned: map[asking.Warning]bool{},
	}
	of := map[string][]asking.Object{}
	for _, o := range request.Objects {
		if d.Interprets(object.Of(o.Manifest)) && !o.Foreign {
			of[o.App] = append(of[o.App], o)
		}
	}
	for _, objects := range of {
		slices.SortStableFunc(objects, func(a, b asking.Object) int {
			return cmp.Or(object.Compare(object.Of(a.Manifest), object.Of(b.Manifest)), cmp.Compare(a.Place, b.Place))
		})
	}
	q.generations(of)
	q.tell()
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

// generations finds what apps ask for, from the Delivery's own on. The sources of a
// generation are known before what is made of them.
func (q *question) generations(of map[string][]asking.Object) {
	parents := append([]string{q.Delivery}, slices.Sorted(maps.Keys(q.Others))...)
	var found []*wanted
	for generation := 1; len(parents) > 0; generation++ {
		var next []string
		for _, parent := range parents {
			for _, o := range of[parent] {
				if w := q.take(parent, o); w != nil {
					found, next = append(found, w), append(next, q.key(w.name))
				}
			}
		}
		slices.Sort(next)
		parents = next
		if generation == maxGenerations && slices.ContainsFunc(next, func(name string) bool { return len(of[name]) > 0 }) {
			q.incomplete = append(q.incomplete, fmt.Errorf("a Kustomization asks for a Kustomization more than %d times in a row: %s\nhint: is one among its own children under another name?",
				maxGenerations, q.chain(next[0])))
			break
		}
	}
	for _, w := range found {
		if q.wanted[q.key(w.name)] == w {
			q.children[w.App] = append(q.children[w.App], w)
		}
	}
}

// take takes in an object of an app, and returns the app that it asks for, if that is
// a new one.
func (q *question) take(parent string, o asking.Object) *wanted {
	id := idOf(o.Manifest)
	place := describe(id, o.Place)
	reason := cmp.Or(misnamed(id), q.denies(parent, id))
	switch id.Group {
	case sourceGroup, extensionsGroup:
		if reason != "" {
			q.warn(parent, place, "it counts for nobody: "+reason)
			return nil
		}
		q.takeSource(id, o, place)
		return nil
	case notificationGroup, imageGroup:
		q.warn(parent, place, elsewhere(id))
		return nil
	}
	w := newWanted(o, id, place)
	if reason != "" {
		w.malformed = errors.Join(w.malformed, errors.New(reason))
	} else {
		w.options = q.allowed(parent)
		w.malformed = errors.Join(w.malformed, w.impersonate())
	}
	key := q.key(w.name)
	// Who may not have an object is in nobody's way.
	if w.denied = reason != ""; q.wanted[key] == nil || !w.denied && (q.wanted[key].denied || q.contested(q.wanted[key], w)) {
		q.wanted[key] = w
		return w
	}
	return nil
}

// misnamed says why an object can be on no cluster by its name, or nothing. Such a name
// could make its app be called as another object's is.
func misnamed(id object.ID) string {
	if bad := validation.IsDNS1123Subdomain(id.Name); len(bad) > 0 {
		return fmt.Sprintf("metadata.name: %q is no name of an object: %s", id.Name, bad[0])
	}
	if bad := validation.IsDNS1123Label(id.Namespace); len(bad) > 0 {
		return fmt.Sprintf("metadata.namespace: %q is no name of a namespace: %s", id.Namespace, bad[0])
	}
	return ""
}

// key is what an app is found by: none that the Delivery itself is, or that another
// dialect asks for, stands for the parent of others.
func (q *question) key(name string) string {
	if _, taken := q.Others[name]; taken || name == q.Delivery {
		return name + namesake
	}
	return name
}

// namesake is no part of a name.
const namesake = " (namesake)"

// elsewhere says how what an object is for is done in Nave.
func elsewhere(id object.ID) string {
	switch id.Kind {
	case "Receiver":
		return "it is left out: the hub takes the calls of Git servers itself, see nave hub --webhook-secret-file"
	case "Alert", "Provider":
		return "it is left out: notifications are sent for the whole fleet, from the metrics of the hub"
	}
	return "it is left out: Nave writes to no repository; a change of an image is a commit"
}

// describe names an object and where it is.
func describe(id object.ID, place string) string {
	text := fmt.Sprintf("%s %s/%s", id.Kind, id.Namespace, id.Name)
	if place != "" {
		text += " in " + place
	}
	return text
}

// newWanted reads a manifest. A malformed one is told by its name all the same.
func newWanted(o asking.Object, id object.ID, place string) *wanted {
	w := &wanted{Object: o, id: id, place: place, name: appName(id.Kind, id.Namespace, id.Name)}
	if id.Kind == "HelmRelease" {
		w.takeRelease()
		return w
	}
	var k kustomization
	unknown, err := manifest.Decode(o.Manifest.Object, &k)
	w.spec, w.malformed = k.Spec, err
	for _, field := range unknown {
		w.warnings = append(w.warnings, field+": Flux has no such field, and leaves it out")
	}
	return w
}

// allowed are the options that what an app asks for may only narrow.
func (q *question) allowed(parent string) app.Options {
	if w := q.wanted[parent]; w != nil {
		return w.options
	}
	return q.Narrowed(parent)
}

// denies says why an app may not have an object, or nothing. Who writes as a service
// account has objects in its namespace alone: on a cluster that account would need the
// right to write them elsewhere, which is not asked here.
func (q *question) denies(parent string, id object.ID) string {
	options := q.allowed(parent)
	if parent == q.Delivery {
		return ""
	}
	if reason, may := options.Permits(id, true, true); !may {
		return fmt.Sprintf("app %q may not have it: %s", parent, reason)
	}
	namespace, _, impersonates := strings.Cut(options.ServiceAccount, "/")
	if impersonates && id.Namespace != namespace {
		return fmt.Sprintf("app %q may not have it: it writes as the service account %s, and has objects of Flux in that namespace alone", parent, options.ServiceAccount)
	}
	return ""
}

// contested decides between two objects that ask for one app, and reports whether the
// later one counts: the one that an ancestor of the other has does, or else the one
// that there was before. Of two that are new at once neither counts.
func (q *question) contested(first, later *wanted) bool {
	if first.App != later.App && reflect.DeepEqual(first.Manifest.Object["spec"], later.Manifest.Object["spec"]) {
		return false
	}
	before := ""
	if q.Parent != nil && first.App != later.App {
		before = q.Parent(first.name)
	}
	switch {
	case first.App == later.App:
	case slices.Contains(q.ancestry(later.App), first.App), before == first.App:
		q.warn(later.App, later.place, fmt.Sprintf("it counts for nobody: app %q has one of this name", first.App))
		return false
	case before == later.App:
		q.warn(first.App, first.place, fmt.Sprintf("it counts for nobody: app %q has one of this name", later.App))
		return true
	}
	first.malformed = errors.Join(first.malformed, fmt.Errorf("it is there twice, and not the same: also as an object of app %q", later.App))
	return false
}

// ancestry returns an app and those that it came of.
func (q *question) ancestry(name string) []string {
	names := []string{name}
	for w := q.wanted[name]; w != nil && len(names) <= maxGenerations; w = q.wanted[w.App] {
		names = append(names, w.App)
	}
	return names
}

// chain names an app and those that it came of, from the first on.
func (q *question) chain(name string) string {
	names := q.ancestry(name)
	slices.Reverse(names)
	return strings.Join(names, " > ")
}

// tell enters what comes of what was found.
func (q *question) tell() {
	names := slices.Sorted(maps.Keys(q.wanted))
	for _, w := range q.wanted {
		w.cluster = q.Cluster // until more is known
	}
	// What those above say holds for those below.
	var read func(parents []string)
	read = func(parents []string) {
		for _, parent := range parents {
			var below []string
			for _, w := range q.children[parent] {
				if w.malformed == nil {
					w.malformed = q.read(w)
				}
				below = append(below, q.key(w.name))
			}
			read(below)
		}
	}
	read(append([]string{q.Delivery}, slices.Sorted(maps.Keys(q.Others))...))
	q.order()
	for _, selves := range q.result.Selves {
		slices.Sort(selves)
	}
	for _, name := range names {
		w := q.wanted[name]
		if q.selves[name] && w.malformed == nil {
			continue
		}
		for _, text := range w.warnings {
			q.warn(w.name, w.place, text)
		}
		if w.malformed != nil {
			q.result.Failed = append(q.result.Failed, asking.Failure{Name: w.name, Cluster: w.cluster, Parent: w.App, Err: fmt.Errorf("%s: %w", w.place, w.malformed)})
			continue
		}
		q.result.Children = append(q.result.Children, w.child)
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
