package desired

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/desired/definitions"
	"nave.dev/internal/desired/family"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/desired/parts"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/dialect/flux"
	"nave.dev/internal/fleet"
	"nave.dev/internal/render"
)

// Tree are the apps of a Delivery whose objects are read for further ones.
type Tree = ledger.Tree

// dialects read objects that ask for apps.
var dialects = []family.Dialect{argocd.Dialect{}, flux.Dialect{}}

// grower finds the apps of trees, whose renders depend on facts.
func (c *compilation) grower(facts func(cluster string) app.Facts) *family.Grower {
	return &family.Grower{Fleet: c, Dialects: dialects, Cutter: &c.cutter, Memory: &c.readings, Facts: facts}
}

// sharedTrees are those of the Deliveries that are read in the context of the
// fleet, once for all clusters.
type sharedTrees struct {
	once  sync.Once
	trees map[string]*family.Tree // by Delivery
}

// fleetTrees returns them.
func (c *compilation) fleetTrees(ctx context.Context) map[string]*family.Tree {
	c.shared.once.Do(func() {
		c.shared.trees = map[string]*family.Tree{}
		var trees []*family.Tree
		for _, name := range c.pinned.Fleet.Deliveries() {
			readers := c.pinned.Fleet.Readers(name)
			if len(readers) == 0 {
				continue
			}
			t := &family.Tree{Members: c.memberNames(name, "")}
			t.Root, t.Own.Err = c.sharedRoot(name, readers)
			if t.Own.Err == nil && t.Root.Name == "" {
				continue // in error on every cluster, which each of them says
			}
			c.shared.trees[name] = t
			trees = append(trees, t)
		}
		var group sync.WaitGroup
		for _, t := range trees {
			if t.Own.Err != nil {
				continue
			}
			group.Go(func() {
				t.Own.Result, t.Own.Err = c.Render(ctx, t.Root, c.facts(t.Root.Dialect.InCluster))
				if t.Own.Err == nil {
					t.Asks, t.Own.Err = c.cutter.Split(t.Own.Result.Bundle)
				}
			})
		}
		group.Wait()
		c.grower(c.facts).Grow(ctx, trees)
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
	rendered []family.Rendered
	index    map[string]int // of specs, by name
	warnings map[string][]string
	trees    map[string]Tree
	problems []error
	open     []error                 // why there may be more apps
	before   func(app string) string // as Member.Parent
}

func newClusterApps(before func(app string) string) *clusterApps {
	return &clusterApps{before: before, index: map[string]int{}, warnings: map[string][]string{}, trees: map[string]Tree{}}
}

// appsOf finds and renders the apps of a cluster.
func (c *compilation) appsOf(ctx context.Context, cluster string, placement fleet.Placement, facts app.Facts, tell *early) *clusterApps {
	all := newClusterApps(c.members[cluster].Parent)
	shared := c.fleetTrees(ctx)
	var specs []app.Spec
	for _, spec := range placement.Apps {
		if spec.Dialect.Fleet {
			all.addShared(cluster, spec, shared[spec.Name])
		} else {
			specs = append(specs, spec)
		}
	}
	members := sync.OnceValue(func() []asking.Member { return c.memberNames("", cluster) })
	var trees []*family.Tree
	for i, r := range c.renderApps(ctx, specs, facts, tell) {
		if specs[i].Dialect.Applied {
			all.add(specs[i], r)
			continue
		}
		t := &family.Tree{Root: specs[i], Cluster: cluster, Members: members(), Own: r}
		if r.Err == nil {
			t.Asks, t.Own.Err = c.cutter.Split(r.Result.Bundle)
		}
		trees = append(trees, t)
	}
	grower := c.grower(func(string) app.Facts { return facts })
	if tell != nil {
		grower.Teller = newBrood(tell, grower, placement, all, shared)
	}
	grower.Grow(ctx, trees)
	for _, t := range trees {
		all.addRoot(t.Root, t, cluster)
	}
	for _, t := range trees { // after all Deliveries, whose names come first
		all.addTree(c, ctx, cluster, t, t.Root.Options, facts)
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
func (a *clusterApps) add(spec app.Spec, r family.Rendered) {
	a.index[spec.Name] = len(a.specs)
	a.specs, a.rendered = append(a.specs, spec), append(a.rendered, r)
}

// addShared enters the own app of a Delivery that is read in the context of the
// fleet: what is not read goes to the cluster that is called in-cluster.
func (a *clusterApps) addShared(cluster string, spec app.Spec, t *family.Tree) {
	home := spec.Dialect.InCluster
	if t == nil || t.Own.Err != nil || cluster == home {
		if t == nil {
			a.add(spec, family.Rendered{Err: errors.New("it cannot be told on the other clusters that it is for")})
			return
		}
		a.addRoot(spec, t, cluster)
		return
	}
	rest := t.Asks.Rest(len(t.Asks.Asks) > 0)
	if n := len(rest.Objects) + len(rest.Hooks); n > 0 && home == "" {
		a.add(spec, family.Rendered{Err: fmt.Errorf("it has %d objects of its own, and in the context of the fleet no cluster to put them on\nhint: let one of its clusters have the alias in-cluster", n)})
		return
	}
	spec.Options.Gates = t.Found.Gates[cluster]
	spec.Options.Lineage.Delivery = spec.Name
	a.add(spec, family.Rendered{Result: &render.Result{Bundle: parts.Nothing}})
}

// addRoot enters the own app of a Delivery, without what is read of it.
func (a *clusterApps) addRoot(spec app.Spec, t *family.Tree, cluster string) {
	r := t.Own
	if r.Err == nil {
		asks := len(t.Asks.Asks) > 0
		r.Result = t.Asks.Without(r.Result, asks)
		spec.Options.Gates, spec.Options.Selves = t.Found.Gates[cluster], t.Found.Selves[cluster]
		if asks {
			spec.Options.Lineage.Delivery = spec.Name
			a.leave(&spec, t.Asks)
		}
	}
	a.add(spec, r)
}

// leave notes what of an installation of a dialect's program is left out of an app.
func (a *clusterApps) leave(spec *app.Spec, s *parts.Split) {
	if len(s.Leaves) > 0 {
		spec.Options.Leaves = s.Leaves
	}
	if s.Installed > 0 {
		a.warnings[spec.Name] = append(a.warnings[spec.Name], fmt.Sprintf("%d objects of it are %s itself, and are left out: its kinds are read here, and applied by Nave", s.Installed, s.Program))
	}
}

// addTree enters what of a tree is on the cluster. The options are those of its
// Delivery there.
func (a *clusterApps) addTree(c *compilation, ctx context.Context, cluster string, t *family.Tree, options app.Options, facts app.Facts) {
	if t.Own.Err != nil {
		return
	}
	a.trees[t.Root.Name] = t.Summary
	if t.Open != nil {
		a.open = append(a.open, t.Open)
	}
	if err := t.Problem(); err != nil {
		a.problems = append(a.problems, fmt.Errorf("%s: %w", t.Root.Name, err))
	}
	for _, warning := range t.Found.Warnings {
		a.warnings[warning.App] = append(a.warnings[warning.App], strings.TrimPrefix(warning.Place+": ", ": ")+warning.Text)
	}
	for _, failure := range t.Found.Failed {
		if failure.Cluster == "" || failure.Cluster == cluster {
			lineage := app.Lineage{Delivery: t.Root.Name, Parent: failure.Parent, Fleet: t.Root.Dialect.Fleet}
			a.addChild(app.Spec{Name: failure.Name, Delivery: t.Root.Name, Options: app.Options{Lineage: lineage, Suspend: options.Suspend}}, family.Rendered{Err: failure.Err})
		}
	}
	a.specs, a.rendered = slices.Grow(a.specs, len(t.On[cluster])), slices.Grow(a.rendered, len(t.On[cluster]))
	for _, l := range t.On[cluster] {
		spec, r := l.SpecOn(options), l.Rendered
		if r.Err == nil && r.Result.FactsUsed && t.Cluster == "" { // with what is known of the cluster by now
			r.Result, r.Err = c.renderApp(ctx, spec, facts)
		}
		if r.Err == nil {
			s := l.Asks
			if r.Result.Bundle.Digest != s.Digest {
				s, r.Err = c.cutter.Split(r.Result.Bundle)
			}
			if r.Err == nil {
				r.Result = s.Without(r.Result, true)
				a.leave(&spec, s)
			}
		}
		a.addChild(spec, r)
	}
}

// addChild enters an app of a tree, unless its name is taken. Of two trees that have
// it the one goes on whose it was: nobody takes over, or stops, what is another's.
func (a *clusterApps) addChild(spec app.Spec, r family.Rendered) {
	i, taken := a.index[spec.Name]
	if !taken {
		a.add(spec, r)
		return
	}
	other := a.specs[i]
	err := fmt.Errorf("app %q, which %q of Delivery %q asks for, has the name of another app, of Delivery %q\nhint: give one of them another name",
		spec.Name, spec.Options.Lineage.Parent, spec.Delivery, other.Delivery)
	a.problems, a.open = append(a.problems, err), append(a.open, err)
	switch own := other.Options.Lineage.Parent; {
	case own == "", a.before != nil && a.before(spec.Name) == own:
	case a.before != nil && a.before(spec.Name) == spec.Options.Lineage.Parent:
		a.specs[i], a.rendered[i] = spec, r
	default: // neither comes first
		a.rendered[i] = family.Rendered{Err: err}
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
	var apps []app.Desired
	depends := false
	for i, r := range a.rendered {
		if r.Err != nil {
			depends = true // on what is not known
			continue
		}
		depends = depends || r.Result.FactsUsed
		apps = append(apps, app.Desired{Options: a.specs[i].Options, Bundle: r.Result.Bundle})
	}
	if !depends {
		return facts, false
	}
	return definitions.Add(facts, apps)
}

// fill enters what was found of a cluster's apps.
func (c *Compiled) fill(apps *clusterApps, placement fleet.Placement) {
	c.Apps = make([]app.Desired, 0, len(placement.Failed)+len(apps.specs)) // of which a fleet has many
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
