// Package family finds the apps that come of a Delivery: its own app may have objects
// that ask for apps, whose objects ask for others, until nothing new appears. The
// main type is Grower. Which apps objects ask for is for dialects to say, all of which
// see the objects of all apps; how apps render, and what sources stand for, is its
// caller's to know. It decides nothing of what a cluster is given.
package family

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/desired/parts"
	"nave.dev/internal/render"
)

// MaxGenerations is how many times apps are looked for among the objects of those
// that were found before.
const MaxGenerations = 16

// Rendered is what came of rendering one app.
type Rendered struct {
	Result *render.Result
	Err    error
}

// Tree is a Delivery and the apps that come of it.
type Tree struct {
	Root    app.Spec
	Cluster string // whose it is, empty in the context of the fleet
	Members []asking.Member
	Own     Rendered
	Asks    *parts.Split // of the Delivery's own app; nil if that is in error

	// What was found when its objects were looked at last.
	Leaves map[Stand]*Leaf
	Found  asking.Result

	// When it has grown: its leaves by cluster, in the order of their names, and what
	// every cluster is told of it.
	On      map[string][]*Leaf
	Summary ledger.Tree
	Open    error // why there may be more apps than are known

	deep error // why there may be more apps than were looked for
}

// Stand is an app on a cluster.
type Stand struct{ Cluster, Name string }

// Leaf is one app that a tree's objects ask for.
type Leaf struct {
	Child *app.Child
	Spec  app.Spec
	Rendered
	Asks *parts.Split

	dialect int // that asks for it
}

// SpecOn returns the app of a leaf on its cluster, where the Delivery has options.
func (l *Leaf) SpecOn(delivery app.Options) app.Spec {
	spec := l.Spec
	spec.Options.Suspend = spec.Options.Suspend || delivery.Suspend
	return spec
}

// Problem says why not all apps of the tree are known, for people to mend, or nothing.
func (t *Tree) Problem() error {
	if t.Found.Incomplete != nil && t.deep != nil {
		return fmt.Errorf("%w\n%w", t.Found.Incomplete, t.deep)
	}
	return cmp.Or(t.Found.Incomplete, t.deep)
}

// Asker is an app that has objects that ask for apps.
type Asker struct {
	Name    string
	Place   string // where its files are
	Options app.Options
	Asks    *parts.Split

	dialect int // that asks for the app; none for a Delivery's own
}

// none is no dialect.
const none = -1

// Askers returns the apps of the tree with such objects, in order. One that is on
// several clusters has been asked for once, and counts once.
func (t *Tree) Askers() []Asker {
	var all []Asker
	if t.Asks != nil && len(t.Asks.Asks) > 0 {
		all = append(all, Asker{t.Root.Name, t.Root.Parts[0].Source.Path, t.Root.Options, t.Asks, none})
	}
	for at, l := range t.Leaves {
		if l.Asks != nil && len(l.Asks.Asks) > 0 {
			all = append(all, Asker{at.Name, l.Spec.Parts[0].Source.Path, l.Spec.Options, l.Asks, l.dialect})
		}
	}
	slices.SortFunc(all, func(a, b Asker) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// chain names an app and those that it came of.
func (t *Tree) chain(name string) string {
	parents := map[string]string{}
	for at, l := range t.Leaves {
		parents[at.Name] = l.Child.Options.Lineage.Parent
	}
	names := []string{name}
	for parent := parents[name]; parent != "" && len(names) <= MaxGenerations; parent = parents[parent] {
		names = append(names, parent)
	}
	slices.Reverse(names)
	return strings.Join(names, " > ")
}

// grown notes what clusters are told of the tree.
func (t *Tree) grown() {
	t.On, t.Summary, t.Open = map[string][]*Leaf{}, t.summary(), t.incomplete()
	for at, l := range t.Leaves {
		t.On[at.Cluster] = append(t.On[at.Cluster], l)
	}
	for _, leaves := range t.On {
		slices.SortFunc(leaves, func(a, b *Leaf) int { return cmp.Compare(a.Child.Name, b.Child.Name) })
	}
}

// incomplete says why the tree may have more apps than are known, if so: whoever
// is in error may ask for some.
func (t *Tree) incomplete() error {
	if t.Own.Err != nil {
		return nil // what it asked for before is known to whoever gave it
	}
	if t.Found.Incomplete != nil {
		return fmt.Errorf("which apps %q asks for cannot be told: %w", t.Root.Name, t.Found.Incomplete)
	}
	if t.deep != nil {
		return t.deep
	}
	if len(t.Found.Failed) > 0 {
		failure := t.Found.Failed[0]
		return fmt.Errorf("app %q, which %q asks for, is in error, and may ask for others", failure.Name, failure.Parent)
	}
	for _, at := range slices.SortedFunc(maps.Keys(t.Leaves), func(a, b Stand) int { return cmp.Compare(a.Name, b.Name) }) {
		if t.Leaves[at].Err != nil {
			return fmt.Errorf("app %q of %q is in error, and may ask for others", at.Name, t.Root.Name)
		}
	}
	return nil
}

// summary is what of the tree counts later.
func (t *Tree) summary() ledger.Tree {
	s := ledger.Tree{Fleet: t.Root.Dialect.Fleet, Prunes: map[string]bool{t.Root.Name: t.Root.Options.Prune}}
	for at, l := range t.Leaves {
		prunes, twice := s.Prunes[at.Name]
		s.Prunes[at.Name] = l.Spec.Options.Prune && (prunes || !twice)
	}
	return s
}
