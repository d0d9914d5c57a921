package desired

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/definitions"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/desired/parts"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/fleet"
	"nave.dev/internal/render"
)

// maxGenerations is how many times apps are looked for among the objects of those
// that were found before.
const maxGenerations = 16

// Tree are the apps of a Delivery whose objects are read for further ones.
type Tree = ledger.Tree

// family is a Delivery and the apps that come of it, while these are being found.
type family struct {
	root    app.Spec
	cluster string // whose it is, empty in the context of the fleet
	own     rendered
	asks    *parts.Split // of the Delivery's own app; nil if that is in error
	leaves  map[stand]*leaf
	found   argocd.Result
	deep    error // why there may be more apps than were looked for

	// When it has grown: its leaves by cluster, in the order of their names, and what
	// every cluster is told of it.
	on   map[string][]*leaf
	tree Tree
	open error // why there may be more apps than are known
}

// stand is an app on a cluster.
type stand struct{ cluster, name string }

// leaf is one app that a tree's objects ask for.
type leaf struct {
	child *app.Child
	spec  app.Spec
	rendered
	asks *parts.Split
}

// grow finds the apps of trees whose own apps are rendered. AppProjects count for
// all of them. What can be told early is.
func (c *compilation) grow(ctx context.Context, trees []*family, facts func(cluster string) app.Facts, tell *brood) {
	for generation := 0; ; generation++ {
		var projects []argocd.Object
		var digests []string
		for _, t := range trees {
			for _, a := range t.asking() {
				if found := projectsOf(a.asks, a.name, a.options); len(found) > 0 {
					projects, digests = append(projects, found...), append(digests, t.root.Name, a.name, a.asks.Digest)
				}
			}
		}
		var fresh []*leaf
		for _, t := range trees {
			more := c.look(ctx, t, projects, digests)
			if generation == maxGenerations && len(more) > 0 {
				t.deep = fmt.Errorf("kind Application: each asks for another, more than %d times in a row: %s\nhint: is one among its own children under another name?",
					maxGenerations, t.chain(more[0].spec.Name))
				for _, l := range more {
					l.err = t.deep
				}
				continue
			}
			fresh = append(fresh, more...)
		}
		if len(fresh) == 0 {
			break
		}
		tell.settle(trees, fresh)
		var group sync.WaitGroup
		for _, l := range fresh {
			if l.err != nil {
				continue
			}
			group.Go(func() {
				c.turn <- struct{}{}
				defer func() { <-c.turn }()
				l.result, l.err = c.renderApp(ctx, l.spec, facts(l.child.Cluster))
				if l.err == nil {
					l.asks, l.err = c.cutter.Split(l.result.Bundle)
				}
				tell.leaf(l)
			})
		}
		group.Wait()
	}
	for _, t := range trees {
		t.grown()
	}
}

// grown notes what clusters are told of the tree.
func (t *family) grown() {
	t.on, t.tree, t.open = map[string][]*leaf{}, t.summary(), t.incomplete()
	for at, l := range t.leaves {
		t.on[at.cluster] = append(t.on[at.cluster], l)
	}
	for _, leaves := range t.on {
		slices.SortFunc(leaves, func(a, b *leaf) int { return cmp.Compare(a.child.Name, b.child.Name) })
	}
}

// specOn returns the app of a leaf on its cluster, where the Delivery has options.
func (l *leaf) specOn(delivery app.Options) app.Spec {
	spec := l.spec
	spec.Options.Suspend = spec.Options.Suspend || delivery.Suspend
	return spec
}

// asking is an app that has objects that ask for apps.
type asking struct {
	name    string
	place   string
	options app.Options
	asks    *parts.Split
}

// asking returns the apps of the tree with such objects, in order. One that is on
// several clusters has been asked for once, and counts once.
func (t *family) asking() []asking {
	var all []asking
	if t.asks != nil && len(t.asks.Asks) > 0 {
		all = append(all, asking{t.root.Name, t.root.Parts[0].Source.Path, t.root.Options, t.asks})
	}
	for at, l := range t.leaves {
		if l.asks != nil && len(l.asks.Asks) > 0 {
			all = append(all, asking{at.name, l.spec.Parts[0].Source.Path, l.spec.Options, l.asks})
		}
	}
	slices.SortFunc(all, func(a, b asking) int { return cmp.Compare(a.name, b.name) })
	return all
}

// chain names an app and those that it came of.
func (t *family) chain(name string) string {
	parents := map[string]string{}
	for at, l := range t.leaves {
		parents[at.name] = l.child.Options.Lineage.Parent
	}
	names := []string{name}
	for parent := parents[name]; parent != "" && len(names) <= maxGenerations; parent = parents[parent] {
		names = append(names, parent)
	}
	slices.Reverse(names)
	return strings.Join(names, " > ")
}

// look asks which apps the tree's objects ask for now, and returns those that are
// to be rendered. The others stay as they are, save for their options.
func (c *compilation) look(ctx context.Context, t *family, projects []argocd.Object, digests []string) (fresh []*leaf) {
	all := t.asking()
	if len(all) == 0 {
		t.found, t.leaves = argocd.Result{}, nil
		return nil
	}
	t.found = c.read(ctx, t, all, projects, digests)
	before := t.leaves
	t.leaves = make(map[stand]*leaf, len(t.found.Children))
	for i := range t.found.Children {
		child := &t.found.Children[i]
		at := stand{child.Cluster, child.Name}
		options := child.Options
		options.Lineage.Fleet = t.root.Dialect.Fleet
		if known := before[at]; known != nil && reflect.DeepEqual(known.child.Origins, child.Origins) && reflect.DeepEqual(known.child.Refs, child.Refs) {
			known.child, known.spec.Options = child, options
			t.leaves[at] = known
			continue
		}
		l := &leaf{child: child, spec: app.Spec{Name: child.Name, Delivery: t.root.Delivery, Options: options}}
		l.spec.Parts, l.err = c.parts(ctx, t.root.Delivery, child)
		t.leaves[at] = l
		fresh = append(fresh, l)
	}
	return fresh
}

// incomplete says why the tree may have more apps than are known, if so: whoever
// is in error may ask for some.
func (t *family) incomplete() error {
	if t.own.err != nil {
		return nil // what it asked for before is known to whoever gave it
	}
	if t.found.Incomplete != nil {
		return fmt.Errorf("which apps %q asks for cannot be told: %w", t.root.Name, t.found.Incomplete)
	}
	if t.deep != nil {
		return t.deep
	}
	if len(t.found.Failed) > 0 {
		failure := t.found.Failed[0]
		return fmt.Errorf("app %q, which %q asks for, is in error, and may ask for others", failure.Name, failure.Parent)
	}
	var names []string
	for at, l := range t.leaves {
		if l.err != nil {
			names = append(names, at.name)
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("app %q of %q is in error, and may ask for others", slices.Min(names), t.root.Name)
	}
	return nil
}

// summary is what of the tree counts later.
func (t *family) summary() Tree {
	s := Tree{Fleet: t.root.Dialect.Fleet, Prunes: map[string]bool{t.root.Name: t.root.Options.Prune}}
	for at, l := range t.leaves {
		prunes, twice := s.Prunes[at.name]
		s.Prunes[at.name] = l.spec.Options.Prune && (prunes || !twice)
	}
	return s
}

// sharedTrees are those of the Deliveries that are read in the context of the
// fleet, once for all clusters.
type sharedTrees struct {
	once  sync.Once
	trees map[string]*family // by Delivery
}

// fleetTrees returns them.
func (c *compilation) fleetTrees(ctx context.Context) map[string]*family {
	c.shared.once.Do(func() {
		c.shared.trees = map[string]*family{}
		var trees []*family
		for _, name := range c.pinned.Fleet.Deliveries() {
			readers := c.pinned.Fleet.Readers(name)
			if len(readers) == 0 {
				continue
			}
			t := &family{}
			t.root, t.own.err = c.sharedRoot(name, readers)
			if t.own.err == nil && t.root.Name == "" {
				continue // in error on every cluster, which each of them says
			}
			c.shared.trees[name] = t
			trees = append(trees, t)
		}
		var group sync.WaitGroup
		for _, t := range trees {
			if t.own.err != nil {
				continue
			}
			group.Go(func() {
				c.turn <- struct{}{}
				defer func() { <-c.turn }()
				t.own.result, t.own.err = c.renderApp(ctx, t.root, c.facts(t.root.Dialect.InCluster))
				if t.own.err == nil {
					t.asks, t.own.err = c.cutter.Split(t.own.result.Bundle)
				}
			})
		}
		group.Wait()
		c.grow(ctx, trees, c.facts, nil)
	})
	return c.shared.trees
}

// sharedRoot returns the app of a Delivery that is rendered once for all clusters:
// as the one that it calls in-cluster has it, or else as all of them have it. The
// result has no name if none has.
func (c *compilation) sharedRoot(delivery string, readers []string) (app.Spec, error) {
	var first app.Spec
	for _, cluster := range readers {
		placement, err := c.pinned.Fleet.Apps(cluster, c.pinned.resolve)
		if err != nil {
			continue
		}
		i := slices.IndexFunc(placement.Apps, func(s app.Spec) bool { return s.Name == delivery })
		switch {
		case i < 0:
		case placement.Apps[i].Dialect.InCluster == cluster:
			return placement.Apps[i], nil
		case placement.Apps[i].Dialect.InCluster != "":
		case first.Name == "":
			first = placement.Apps[i]
		case !reflect.DeepEqual(first.Parts, placement.Apps[i].Parts):
			return app.Spec{Name: delivery, Delivery: delivery, Options: first.Options, Dialect: first.Dialect}, fmt.Errorf(
				"it is read once for all clusters, and %q has other files or variables than the first one\nhint: let one of the clusters have the alias in-cluster, whose files then count", cluster)
		}
	}
	return first, nil
}

// clusterApps are the apps of one cluster.
type clusterApps struct {
	specs    []app.Spec
	rendered []rendered
	index    map[string]int // of specs, by name
	warnings map[string][]string
	trees    map[string]Tree
	problems []error
	open     []error // why there may be more apps
}

func newClusterApps() *clusterApps {
	return &clusterApps{index: map[string]int{}, warnings: map[string][]string{}, trees: map[string]Tree{}}
}

// appsOf finds and renders the apps of a cluster.
func (c *compilation) appsOf(ctx context.Context, cluster string, facts app.Facts, tell *early) *clusterApps {
	placement := c.placed[cluster]
	all := newClusterApps()
	shared := c.fleetTrees(ctx)
	var specs []app.Spec
	for _, spec := range placement.Apps {
		if spec.Dialect.Fleet {
			all.addShared(cluster, spec, shared[spec.Name])
		} else {
			specs = append(specs, spec)
		}
	}
	var trees []*family
	for i, r := range c.renderApps(ctx, specs, facts, tell) {
		if specs[i].Dialect.Applied {
			all.add(specs[i], r)
			continue
		}
		t := &family{root: specs[i], cluster: cluster, own: r}
		if r.err == nil {
			t.asks, t.own.err = c.cutter.Split(r.result.Bundle)
		}
		trees = append(trees, t)
	}
	c.grow(ctx, trees, func(string) app.Facts { return facts }, newBrood(tell, placement, all, shared))
	for _, t := range trees {
		all.addRoot(t.root, t, cluster)
	}
	for _, t := range trees { // after all Deliveries, whose names come first
		all.addTree(c, ctx, cluster, t, t.root.Options, facts)
	}
	for _, spec := range placement.Apps {
		if t := shared[spec.Name]; spec.Dialect.Fleet && t != nil {
			all.addTree(c, ctx, cluster, t, spec.Options, facts)
		}
	}
	all.expand()
	return all
}

// add enters what came of an app.
func (a *clusterApps) add(spec app.Spec, r rendered) {
	a.index[spec.Name] = len(a.specs)
	a.specs, a.rendered = append(a.specs, spec), append(a.rendered, r)
}

// addShared enters the own app of a Delivery that is read in the context of the
// fleet: what is not read goes to the cluster that is called in-cluster.
func (a *clusterApps) addShared(cluster string, spec app.Spec, t *family) {
	home := spec.Dialect.InCluster
	if t == nil || t.own.err != nil || cluster == home {
		if t == nil {
			a.add(spec, rendered{err: errors.New("it cannot be told on the other clusters that it is for")})
			return
		}
		a.addRoot(spec, t, cluster)
		return
	}
	rest := t.asks.Rest(len(t.asks.Asks) > 0)
	if n := len(rest.Objects) + len(rest.Hooks); n > 0 && home == "" {
		a.add(spec, rendered{err: fmt.Errorf("it has %d objects of its own, and in the context of the fleet no cluster to put them on\nhint: let one of its clusters have the alias in-cluster", n)})
		return
	}
	spec.Options.Gates = t.found.Gates[cluster]
	a.add(spec, rendered{result: &render.Result{Bundle: parts.Nothing}})
}

// addRoot enters the own app of a Delivery, without what is read of it.
func (a *clusterApps) addRoot(spec app.Spec, t *family, cluster string) {
	r := t.own
	if r.err == nil {
		asks := len(t.asks.Asks) > 0
		r.result = t.asks.Without(r.result, asks)
		spec.Options.Gates = t.found.Gates[cluster]
		if asks {
			a.leave(&spec, t.asks)
		}
	}
	a.add(spec, r)
}

// leave notes what of an installation of Argo CD is left out of an app.
func (a *clusterApps) leave(spec *app.Spec, s *parts.Split) {
	if len(s.Leaves) > 0 {
		spec.Options.Leaves = s.Leaves
		a.warnings[spec.Name] = append(a.warnings[spec.Name], fmt.Sprintf("%d objects of it are Argo CD itself, and are left out: its kinds are read here, and applied by Nave", len(s.Leaves)))
	}
}

// addTree enters what of a tree is on the cluster. The options are those of its
// Delivery there.
func (a *clusterApps) addTree(c *compilation, ctx context.Context, cluster string, t *family, options app.Options, facts app.Facts) {
	if t.own.err != nil {
		return
	}
	a.trees[t.root.Name] = t.tree
	if t.open != nil {
		a.open = append(a.open, t.open)
	}
	if err := errors.Join(t.found.Incomplete, t.deep); err != nil {
		a.problems = append(a.problems, fmt.Errorf("%s: %w", t.root.Name, err))
	}
	for _, warning := range t.found.Warnings {
		a.warnings[warning.App] = append(a.warnings[warning.App], strings.TrimPrefix(warning.Place+": ", ": ")+warning.Text)
	}
	for _, failure := range t.found.Failed {
		if failure.Cluster == "" || failure.Cluster == cluster {
			lineage := app.Lineage{Delivery: t.root.Name, Parent: failure.Parent, Fleet: t.root.Dialect.Fleet}
			a.addChild(app.Spec{Name: failure.Name, Delivery: t.root.Name, Options: app.Options{Lineage: lineage, Suspend: options.Suspend}}, rendered{err: failure.Err})
		}
	}
	a.specs, a.rendered = slices.Grow(a.specs, len(t.on[cluster])), slices.Grow(a.rendered, len(t.on[cluster]))
	for _, l := range t.on[cluster] {
		spec, r := l.specOn(options), l.rendered
		if r.err == nil && r.result.FactsUsed && t.cluster == "" { // with what is known of the cluster by now
			r.result, r.err = c.renderApp(ctx, spec, facts)
		}
		if r.err == nil {
			s := l.asks
			if r.result.Bundle.Digest != s.Digest {
				s, r.err = c.cutter.Split(r.result.Bundle)
			}
			if r.err == nil {
				r.result = s.Without(r.result, true)
				a.leave(&spec, s)
			}
		}
		a.addChild(spec, r)
	}
}

// addChild enters an app of a tree, unless its name is taken.
func (a *clusterApps) addChild(spec app.Spec, r rendered) {
	i, taken := a.index[spec.Name]
	if !taken {
		a.add(spec, r)
		return
	}
	other := a.specs[i]
	err := fmt.Errorf("app %q, which %q of Delivery %q asks for, has the name of another app, of Delivery %q\nhint: give one of them another name",
		spec.Name, spec.Options.Lineage.Parent, spec.Delivery, other.Delivery)
	a.problems, a.open = append(a.problems, err), append(a.open, err)
	if other.Options.Lineage.Parent != "" { // neither comes first
		a.rendered[i] = rendered{err: err}
	}
}

// expand has who waits for a Delivery wait for all apps of its tree on the cluster.
func (a *clusterApps) expand() {
	of := map[string][]string{}
	for _, spec := range a.specs {
		if spec.Options.Lineage.Parent != "" {
			of[spec.Delivery] = append(of[spec.Delivery], spec.Name)
		}
	}
	if len(of) == 0 {
		return
	}
	for i := range a.specs {
		o := &a.specs[i].Options
		all := o.DependsOn
		for _, name := range o.DependsOn {
			if name != a.specs[i].Delivery {
				all = append(slices.Clip(all), of[name]...)
			}
		}
		if len(all) > len(o.DependsOn) {
			all = slices.Sorted(slices.Values(all))
			o.DependsOn = slices.Compact(all)
		}
	}
}

// define returns facts with the kinds that the apps define, and whether a render may
// come out otherwise with them: some render depends on facts, and these say more, or
// other things.
func (a *clusterApps) define(facts app.Facts) (app.Facts, bool) {
	var bundles []*app.Bundle
	depends := false
	for _, r := range a.rendered {
		if r.err != nil {
			depends = true // on what is not known
			continue
		}
		depends = depends || r.result.FactsUsed
		bundles = append(bundles, r.result.Bundle)
	}
	if !depends {
		return facts, false
	}
	return definitions.Add(facts, bundles)
}

// fill enters what was found of a cluster's apps.
func (c *Compiled) fill(apps *clusterApps, placement fleet.Placement) {
	for name, err := range placement.Failed {
		c.Apps = append(c.Apps, app.Desired{Name: name, Err: err})
	}
	maps.Copy(c.Warnings, apps.warnings)
	for i, spec := range apps.specs {
		c.add(spec, apps.rendered[i])
	}
	c.Trees, c.Problems = apps.trees, apps.problems
	c.Incomplete = errors.Join(slices.Concat([]error{c.Incomplete}, apps.open)...)
	c.Sort()
}
