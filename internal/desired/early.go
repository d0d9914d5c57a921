package desired

import (
	"maps"
	"slices"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/family"
	"nave.dev/internal/fleet"
	"nave.dev/internal/render"
)

// firstEarly is how many apps are told early at first, and after that whenever
// there are twice as many: each time costs as much as the cluster has apps.
const firstEarly = 32

// early tells what is rendered of one cluster before all is. A nil one does not.
type early struct {
	tell func(*Compiled)

	mu      sync.Mutex
	total   int
	ready   *Compiled
	next    int // how many are to be ready for the next call
	telling bool
}

// newEarly returns nil for a member that waits, and for one of which not all apps
// can be told: its assignment is incomplete for that reason.
func newEarly(to Member, whole *app.Assignment, placed fleet.Placement) *early {
	if to.Early == nil || placed.Incomplete != nil {
		return nil
	}
	return &early{tell: to.Early, total: len(placed.Apps), next: firstEarly, ready: newCompiled(whole.Cluster, whole.Fleet, app.ErrRendering)}
}

// rendered takes in what came of an app. It waits for the rest if that may yet
// change it: the app is in error, its render depends on the kinds that the
// cluster has, which other apps may define, it makes the namespaces that no other
// app has, has variables that another app may have yet, or its objects ask for apps.
func (e *early) rendered(spec app.Spec, r family.Rendered) {
	if e == nil || r.Err != nil || r.Result.FactsUsed || spec.Options.CreateNamespace || spec.Options.Variables != nil || spec.Dialect.Fleet || asksForApps(spec, r) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready.add(spec, r)
	n := len(e.ready.Apps)
	if e.telling || n < e.next || n == e.total {
		return
	}
	now := *e.ready
	now.Assignment = &app.Assignment{Cluster: now.Cluster, Fleet: now.Fleet, Incomplete: now.Incomplete, Apps: slices.Clone(now.Apps)}
	now.Warnings, now.Sources = maps.Clone(now.Warnings), maps.Clone(now.Sources)
	now.Sort()
	e.telling = true
	e.mu.Unlock()
	e.tell(&now)
	e.mu.Lock()
	e.telling, e.next = false, 2*n
}

// brood tells early what the trees of a cluster bring, once it is known which apps
// all of them are.
type brood struct {
	*early
	grower *family.Grower
	placed fleet.Placement
	others *clusterApps // of the cluster, beside those of the trees
	names  []string     // of the apps of trees of the fleet that are, or may be, on the cluster

	specs map[string]app.Spec // as they stay, by name; nil until all apps are known
}

func newBrood(tell *early, grower *family.Grower, placed fleet.Placement, others *clusterApps, shared map[string]*family.Tree) *brood {
	b := &brood{early: tell, grower: grower, placed: placed, others: others}
	for _, t := range shared {
		for _, l := range t.On[tell.ready.Cluster] {
			b.names = append(b.names, l.Child.Name)
		}
		for _, failure := range t.Found.Failed { // on any cluster, if it is not known on which
			b.names = append(b.names, failure.Name)
		}
	}
	return b
}

// Settle is told before leaves are rendered. If these are the last ones, whatever
// they render to, it tells of all apps that are rendered, and from then on of each
// leaf.
func (b *brood) Settle(trees []*family.Tree) {
	if b.specs != nil || !b.grower.Closed(trees) {
		return
	}
	all := newClusterApps(nil)
	for i, spec := range b.others.specs {
		all.add(spec, b.others.rendered[i])
	}
	for _, t := range trees {
		all.addRoot(t.Root, t, b.ready.Cluster)
	}
	taken := slices.Clone(b.names)
	for _, t := range trees {
		for _, failure := range t.Found.Failed {
			taken = append(taken, failure.Name)
		}
		for _, l := range t.Leaves {
			all.addChild(l.SpecOn(t.Root.Options), l.Rendered)
		}
	}
	isTaken := func(name string) bool { _, known := all.index[name]; return known || b.placed.Failed[name] != nil }
	if len(all.problems) > 0 || slices.ContainsFunc(taken, isTaken) {
		return // who of them has the name is for the whole to say
	}
	all.expand()
	b.specs = map[string]app.Spec{}
	for _, spec := range all.specs {
		b.specs[spec.Name] = spec
	}
	b.mu.Lock()
	b.total = len(all.specs) + len(taken)
	b.mu.Unlock()
	for _, t := range trees {
		waiting := func(s app.Spec) bool { return slices.Contains(s.Options.DependsOn, t.Root.Name) }
		if t.Asks == nil || len(t.Asks.Asks) == 0 || slices.ContainsFunc(b.placed.Apps, waiting) {
			continue // whoever waits for all of the tree may know of its root alone
		}
		b.rendered(b.specs[t.Root.Name], all.rendered[all.index[t.Root.Name]])
		for _, l := range t.Leaves {
			if l.Asks != nil { // what it asks for is known
				b.give(l, l.Asks.Without(l.Result, true))
			}
		}
	}
}

// Leaf takes in what came of a leaf. One that asks for apps all the same is one in
// error.
func (b *brood) Leaf(l *family.Leaf) {
	if b.specs != nil && l.Err == nil && len(l.Asks.Asks) == 0 {
		b.give(l, l.Result)
	}
}

// give tells of a leaf. One that waits for others of a tree waits for the whole, and
// so does one with objects of Argo CD itself.
func (b *brood) give(l *family.Leaf, result *render.Result) {
	spec := b.specs[l.Spec.Name]
	waits := func(name string) bool { return b.specs[name].Options.Lineage.Parent != "" }
	if len(l.Asks.Leaves) == 0 && !slices.ContainsFunc(spec.Options.DependsOn, waits) {
		b.rendered(spec, family.Rendered{Result: result})
	}
}
