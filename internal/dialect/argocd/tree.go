package argocd

import (
	"cmp"
	"fmt"
	"slices"

	"nave.dev/internal/app"
)

// maxWaits is how many waits of app for app a tree may have: many apps in many
// waves wait for one another.
const maxWaits = 2_000_000

// tree is the order of the apps of a Delivery: each has one parent, and in it a
// wave.
type tree struct {
	*question
	byName   map[string]*wanted
	children map[string][]*wanted // by wave and name
	on       map[*wanted]string   // the cluster, empty if that is not known: then it counts on all
	clusters []string
	after    map[before]*waits
	before   map[before][]string
	excess   error
	waits    int
}

// waits is what an app waits for.
type waits struct {
	apps  []string // by name
	parts []app.Precedence
}

// before is a wave of a parent's children on a cluster.
type before struct {
	parent, cluster string
	wave            int
}

func newTree(q *question, found []*wanted) *tree {
	t := &tree{question: q, byName: map[string]*wanted{}, children: map[string][]*wanted{}, on: map[*wanted]string{},
		after: map[before]*waits{}, before: map[before][]string{}}
	for _, w := range found {
		if w.name == q.Delivery {
			continue // it is refused, and stands for no parent of the others
		}
		t.byName[w.name] = w
		t.children[w.parent] = append(t.children[w.parent], w)
		if m, err := q.target(w.Spec.Destination); err == nil {
			t.on[w] = m.Name
			t.clusters = append(t.clusters, m.Name)
		}
	}
	t.clusters = sortedStrings(t.clusters)
	for _, siblings := range t.children {
		slices.SortFunc(siblings, func(a, b *wanted) int { return cmp.Or(cmp.Compare(a.wave, b.wave), cmp.Compare(a.name, b.name)) })
	}
	return t
}

// isOn reports whether an app is, or may be, on a cluster.
func (t *tree) isOn(w *wanted, cluster string) bool { return t.on[w] == cluster || t.on[w] == "" }

// descend returns the names of apps and of all that came of them on a cluster.
func (t *tree) descend(names []string, of []*wanted, cluster string) []string {
	for _, w := range of {
		if t.isOn(w, cluster) {
			names = append(names, w.name)
		}
		names = t.descend(names, t.children[w.name], cluster)
	}
	return names
}

// lower returns the siblings of lower waves on a cluster, and all that came of
// them, by name. What fails is among them: who waits for it goes on waiting.
func (t *tree) lower(w *wanted, cluster string) []string {
	siblings := t.children[w.parent]
	end := slices.IndexFunc(siblings, func(s *wanted) bool { return s.wave >= w.wave })
	if end == 0 {
		return nil
	}
	key := before{w.parent, cluster, w.wave}
	if names, ok := t.before[key]; ok {
		return names
	}
	last := siblings[end-1]
	begin := slices.IndexFunc(siblings, func(s *wanted) bool { return s.wave == last.wave })
	names := merged(t.lower(last, cluster), sortedStrings(t.descend(nil, siblings[begin:end], cluster)))
	t.before[key] = names
	return names
}

// merged returns what is in any of two lists in order, once each and in order.
func merged(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b)
	}
	out := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch order := cmp.Compare(a[0], b[0]); {
		case order < 0:
			out, a = append(out, a[0]), a[1:]
		case order > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// waitsOf returns what an app waits for: its siblings of lower waves, the parent's
// own objects of lower waves, and what the parent waits for. Siblings of one wave
// share it.
func (t *tree) waitsOf(w *wanted, cluster string) *waits {
	key := before{w.parent, cluster, w.wave}
	if known := t.after[key]; known != nil {
		return known
	}
	above := t.Narrowed(w.parent)
	inherited := &waits{apps: sortedStrings(above.DependsOn), parts: above.After}
	parent := t.byName[w.parent]
	if parent != nil {
		inherited = t.waitsOf(parent, cluster)
	}
	own := &waits{apps: merged(inherited.apps, t.lower(w, cluster)), parts: inherited.parts}
	// Of a parent on another cluster this one has no objects to wait for.
	if parent == nil || t.on[parent] == cluster {
		own.parts = append(slices.Clip(own.parts), app.Precedence{App: w.parent, Wave: w.wave})
	}
	t.after[key] = own
	return own
}

// place enters where a child stands among the others.
func (t *tree) place(w *wanted, cluster string, child *app.Child) error {
	if slices.Contains(t.Options.DependsOn, w.name) {
		return fmt.Errorf("metadata.name: %s waits for itself: %s > %s\nhint: Delivery %q cannot depend on what comes of it", w.name, w.name, t.chain(t.byName, w.name), t.Delivery)
	}
	if t.excess != nil {
		return t.excess
	}
	waits := t.waitsOf(w, cluster)
	if t.waits += len(waits.apps); t.waits > maxWaits {
		t.excess = fmt.Errorf("the apps of Delivery %q wait for each other more than %d times\nhint: use fewer waves", t.Delivery, maxWaits)
		return t.excess
	}
	child.Options.DependsOn = waits.apps
	child.Options.After = waits.parts
	child.Options.Gates = t.gates(w.name, cluster)
	child.Options.Lineage.Delivery, child.Options.Lineage.Parent = t.Delivery, w.parent
	return nil
}

// gates returns what the waves of an app wait for on a cluster: the wave after
// each in which it has children.
func (t *tree) gates(name, cluster string) []app.Gate {
	var gates []app.Gate
	for _, w := range t.children[name] {
		if !t.isOn(w, cluster) {
			continue
		}
		if n := len(gates); n == 0 || gates[n-1].Wave != w.wave+1 {
			gates = append(gates, app.Gate{Wave: w.wave + 1})
		}
		last := &gates[len(gates)-1]
		last.Apps = append(last.Apps, w.name)
	}
	return gates
}
