package family

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/desired/lookup"
	"nave.dev/internal/desired/parts"
	"nave.dev/internal/object"
)

// Changing is the commit of files that may be others each time.
const Changing = "worktree"

// Memory is what dialects read before. Its zero value is ready.
type Memory struct{ memo parts.Memo[reading] }

// Turn says that all that is in use was asked for since the last call.
func (m *Memory) Turn() { m.memo.Turn() }

// Len counts what is kept.
func (m *Memory) Len() int { return m.memo.Len() }

// reading is what a dialect read, and what it asked meanwhile.
type reading struct {
	answers lookup.Answers
	result  asking.Result
}

// shared are the objects of one dialect that count for all trees, and by what they
// are told from others.
type shared struct {
	objects []asking.Object
	digests []string
}

// common returns the shared objects of each dialect. An app that may not have one has
// none.
func (g *Grower) common(trees []*Tree) []shared {
	all := make([]shared, len(g.Dialects))
	for _, t := range trees {
		for _, a := range t.Askers() {
			for i, d := range g.Dialects {
				found := common(d, a, a.Options)
				if len(found) == 0 {
					continue
				}
				all[i].objects, all[i].digests = append(all[i].objects, found...), append(all[i].digests, t.Root.Name, a.Name, a.Asks.Digest)
				for _, o := range found { // an app may have had only some of its objects
					all[i].digests = append(all[i].digests, object.Of(o.Manifest).String())
				}
			}
		}
	}
	return all
}

// common returns the objects of an app with such options that count for other
// Deliveries as well.
func common(d Dialect, a Asker, options app.Options) (found []asking.Object) {
	for _, u := range a.Asks.Asks {
		if id, is := d.Common(u); is {
			if _, may := options.Permits(id, true, true); may {
				found = append(found, asking.Object{Manifest: u, App: a.Name})
			}
		}
	}
	return found
}

// concerns reports whether an app has objects of a dialect.
func (a Asker) concerns(d Dialect) bool {
	return slices.ContainsFunc(a.Asks.Asks, func(u *unstructured.Unstructured) bool { return d.Interprets(object.Of(u)) })
}

// Closed reports whether nothing that leaves render to, or that is learnt of the
// cluster meanwhile, can ask for further apps or say what apps may do. Who is in
// error now may render once more is known.
func (g *Grower) Closed(trees []*Tree) bool {
	var unread []*Leaf
	for _, t := range trees {
		depends := t.Own.Err != nil || t.Found.Incomplete != nil || len(t.Asks.Asks) > 0 && t.Own.Result.FactsUsed
		for _, l := range t.Leaves {
			if depends = depends || l.Asks != nil && len(l.Asks.Asks) > 0 && l.Result.FactsUsed; l.Asks == nil {
				unread = append(unread, l)
			}
		}
		if depends {
			return false
		}
	}
	for _, d := range g.Dialects {
		var objects []asking.Object
		concerned := false
		for _, t := range trees {
			for _, a := range t.Askers() {
				concerned = concerned || a.concerns(d)
				objects = append(objects, common(d, a, app.Options{})...)
			}
		}
		if concerned && slices.ContainsFunc(unread, func(l *Leaf) bool { return d.MayAsk(l.Child.Options, objects) }) {
			return false
		}
	}
	return true
}

// readings are what all dialects read of a tree.
type readings struct {
	asking.Result
	dialects []int // by child
}

// read asks the dialects which apps the objects of a tree ask for.
func (g *Grower) read(ctx context.Context, t *Tree, askers []Asker, common []shared) *readings {
	all := &readings{Result: asking.Result{Selves: map[string][]string{}, Gates: map[string][]app.Gate{}}}
	found := make([]asking.Result, len(g.Dialects))
	times := map[Stand]int{}
	var incomplete []error
	for i := range g.Dialects {
		found[i] = g.readIn(ctx, t, i, askers, common[i])
		for _, child := range found[i].Children {
			times[Stand{child.Cluster, child.Name}]++
		}
		all.Failed, all.Warnings = append(all.Failed, found[i].Failed...), append(all.Warnings, found[i].Warnings...)
		for cluster, gates := range found[i].Gates {
			all.Gates[cluster] = slices.Concat(all.Gates[cluster], gates)
		}
		for cluster, names := range found[i].Selves {
			all.Selves[cluster] = slices.Concat(all.Selves[cluster], names)
		}
		if found[i].Incomplete != nil {
			incomplete = append(incomplete, found[i].Incomplete)
		}
	}
	for i := range found {
		for _, child := range found[i].Children {
			if times[Stand{child.Cluster, child.Name}] == 1 {
				all.Children, all.dialects = append(all.Children, child), append(all.dialects, i)
			} else if i > 0 { // which of them is meant nobody knows: what was accepted of the name stays
				all.Failed = append(all.Failed, asking.Failure{Name: child.Name, Cluster: child.Cluster, Parent: child.Options.Lineage.Parent,
					Err: errors.New("objects of two dialects ask for an app of this name\nhint: give one of them another name")})
			}
		}
	}
	all.Incomplete = errors.Join(incomplete...)
	return all
}

// readIn asks one dialect. What was asked before is not read again while all that it
// was read from is the same.
func (g *Grower) readIn(ctx context.Context, t *Tree, dialect int, askers []Asker, common shared) asking.Result {
	d := g.Dialects[dialect]
	if !slices.ContainsFunc(askers, func(a Asker) bool { return a.concerns(d) }) {
		return asking.Result{}
	}
	request := asking.Request{
		Delivery: t.Root.Name, Path: t.Root.Parts[0].Source.Path, Cluster: t.Cluster,
		Members: t.Members, Options: t.Root.Options, Others: map[string]app.Options{},
	}
	own := map[string]bool{}
	for _, a := range askers {
		own[a.Name] = true
		if a.dialect != none && a.dialect != dialect {
			request.Others[a.Name] = a.Options
		}
	}
	about, err := json.Marshal(request)
	if err != nil {
		return asking.Result{Incomplete: fmt.Errorf("encoding what is asked of %q: %w", t.Root.Name, err)}
	}
	inputs := [][]byte{{byte(dialect)}, about}
	for _, text := range common.digests {
		inputs = append(inputs, []byte(text))
	}
	inputs = append(inputs, nil)
	for _, a := range askers {
		inputs = append(inputs, []byte(a.Name), []byte(a.Place), []byte(a.Asks.Digest))
	}
	key := object.Digest(inputs...)
	book := g.Fleet.Book(ctx, t)
	book.Look = g.found.find
	if known, ok := g.Memory.memo.Find(key); ok && book.Same(known.answers, Changing) {
		return known.result
	}
	for _, a := range askers {
		for _, u := range a.Asks.Asks {
			request.Objects = append(request.Objects, asking.Object{Manifest: u, App: a.Name, Place: a.Place})
		}
	}
	for _, o := range common.objects {
		if o.Foreign = !own[o.App]; o.Foreign {
			request.Objects = append(request.Objects, o)
		}
	}
	request.Files, request.Parent, request.Find, request.Own = book, book.Parent, book.Find, book.Own
	result := d.Read(request)
	if answers, whole := book.Answers(); whole && result.Incomplete == nil { // or the next time may tell more
		g.Memory.memo.Keep(key, reading{answers, result})
	}
	return result
}

// finder finds objects among what the apps of trees rendered to so far.
type finder struct {
	trees []*Tree
	index map[lookup.Place]*unstructured.Unstructured // nil until something is asked
}

// kept are the kinds that are found.
var kept = map[string]bool{"ConfigMap": true, "Secret": true}

// find returns a ConfigMap or Secret that an app has, or nil. Of several the one of the
// first app counts.
func (f *finder) find(at lookup.Place) *unstructured.Unstructured {
	if f.index == nil {
		f.index = map[lookup.Place]*unstructured.Unstructured{}
		for _, t := range f.trees {
			f.add(cmp.Or(t.Cluster, t.Root.Dialect.InCluster), t.Own)
			for _, stand := range slices.SortedFunc(maps.Keys(t.Leaves), func(a, b Stand) int { return cmp.Compare(a.Name, b.Name) }) {
				f.add(stand.Cluster, t.Leaves[stand].Rendered)
			}
		}
	}
	return f.index[at]
}

func (f *finder) add(cluster string, r Rendered) {
	if r.Err != nil || r.Result == nil {
		return
	}
	for _, u := range r.Result.Bundle.Objects {
		if id := object.Of(u); id.Group == "" && kept[id.Kind] {
			if at := (lookup.Place{Cluster: cluster, ID: id}); f.index[at] == nil {
				f.index[at] = u
			}
		}
	}
}
