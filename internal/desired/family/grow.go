package family

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/desired/lookup"
	"nave.dev/internal/desired/parts"
	"nave.dev/internal/object"
	"nave.dev/internal/render"
)

// Fleet is what a family is asked about.
type Fleet interface {
	// Render returns the objects of an app. Many are asked for at once.
	Render(ctx context.Context, spec app.Spec, facts app.Facts) (*render.Result, error)
	// Parts returns the sources of a child as sources of the fleet, at commits.
	Parts(ctx context.Context, t *Tree, child *app.Child) ([]app.Part, error)
	// Book answers what a dialect asks while it reads objects of a tree.
	Book(ctx context.Context, t *Tree) *lookup.Book
}

// Dialect reads objects of some kinds as apps.
type Dialect interface {
	// Interprets reports whether an object is of its kinds.
	Interprets(id object.ID) bool
	// Common reports whether an object counts for the apps of other Deliveries as well,
	// and what it is in full.
	Common(u *unstructured.Unstructured) (object.ID, bool)
	// MayAsk reports whether objects of an app with such options could be among those
	// that Read takes into account; the given ones are Common.
	MayAsk(options app.Options, objects []asking.Object) bool
	// Read tells which apps objects ask for. The same request has the same result.
	Read(asking.Request) asking.Result
}

// Teller is told of leaves while trees grow.
type Teller interface {
	// Settle is told before leaves are rendered, which are known then.
	Settle(trees []*Tree)
	// Leaf is told of one that was rendered, many at once.
	Leaf(*Leaf)
}

// Grower finds the apps of trees whose own apps are rendered.
type Grower struct {
	Fleet    Fleet
	Dialects []Dialect
	Cutter   *parts.Cutter
	Memory   *Memory // of what dialects read
	Facts    func(cluster string) app.Facts
	Teller   Teller // nil tells nobody

	found *finder // of the generation
}

// Grow finds the apps of trees. Objects that are Common count for all of them.
func (g *Grower) Grow(ctx context.Context, trees []*Tree) {
	for generation := 0; ; generation++ {
		g.found = &finder{trees: trees}
		common := g.common(trees)
		var fresh []*Leaf
		fewer := false
		for _, t := range trees {
			before := len(t.Leaves)
			more := g.look(ctx, t, common)
			fewer = fewer || len(t.Leaves)-len(more) < before
			if generation == MaxGenerations && len(more) > 0 {
				t.deep = fmt.Errorf("apps ask for apps more than %d times in a row: %s\nhint: is one among its own children under another name?",
					MaxGenerations, t.chain(more[0].Spec.Name))
				for _, l := range more {
					l.Err = t.deep
				}
				continue
			}
			fresh = append(fresh, more...)
		}
		// What is gone may have asked another dialect for apps.
		if len(fresh) == 0 && (!fewer || generation >= MaxGenerations) {
			break
		}
		g.render(ctx, trees, fresh)
	}
	for _, t := range trees {
		t.grown()
	}
}

// render renders leaves, and takes apart what came of them.
func (g *Grower) render(ctx context.Context, trees []*Tree, fresh []*Leaf) {
	if g.Teller != nil && len(fresh) > 0 {
		g.Teller.Settle(trees)
	}
	var group sync.WaitGroup
	for _, l := range fresh {
		if l.Err != nil {
			continue
		}
		group.Go(func() {
			l.Result, l.Err = g.Fleet.Render(ctx, l.Spec, g.Facts(l.Child.Cluster))
			if l.Err == nil {
				l.Err = l.lacks()
			}
			if l.Err == nil {
				l.Asks, l.Err = g.Cutter.Split(l.Result.Bundle)
			}
			if g.Teller != nil {
				g.Teller.Leaf(l)
			}
		})
	}
	group.Wait()
}

// lacks says which object that a leaf is to have it has not.
func (l *Leaf) lacks() error {
	for _, id := range l.Child.Expects {
		if !slices.ContainsFunc(l.Result.Bundle.Objects, func(u *unstructured.Unstructured) bool { return object.Of(u) == id }) {
			return fmt.Errorf("spec.healthChecks: %s is not among its objects, and what others have is not looked at\nhint: depend on the app that has it", id)
		}
	}
	return nil
}

// look asks which apps the tree's objects ask for now, and returns those that are
// to be rendered. The others stay as they are, save for their options.
func (g *Grower) look(ctx context.Context, t *Tree, common []shared) (fresh []*Leaf) {
	askers := t.Askers()
	if len(askers) == 0 {
		t.Found, t.Leaves = asking.Result{}, nil
		return nil
	}
	read := g.read(ctx, t, askers, common)
	t.Found = read.Result
	before := t.Leaves
	t.Leaves = make(map[Stand]*Leaf, len(t.Found.Children))
	for i := range t.Found.Children {
		child := &t.Found.Children[i]
		at := Stand{child.Cluster, child.Name}
		options := child.Options
		options.Lineage.Fleet = t.Root.Dialect.Fleet
		if known := before[at]; known != nil && known.dialect == read.dialects[i] && known.Child.SameContent(child) {
			known.Child, known.Spec.Options = child, options
			t.Leaves[at] = known
			continue
		}
		l := &Leaf{Child: child, Spec: app.Spec{Name: child.Name, Delivery: t.Root.Delivery, Options: options}, dialect: read.dialects[i]}
		l.Spec.Parts, l.Err = g.Fleet.Parts(ctx, t, child)
		t.Leaves[at] = l
		fresh = append(fresh, l)
	}
	return fresh
}
