package metamorphic

import (
	"fmt"
	"slices"
)

// commits are what is done to Git. Each ends with its assignment given to the
// spokes.
var commits = map[string]verb{
	"add": {16, committing(func(w *world, n [3]int) string {
		t, name := thing(n[1]%things), w.pick(n[0])
		if owners := w.git.owners(t); name == "" || len(owners) > 0 && owners[0] != name {
			return ""
		}
		c := content{value: n[2] % values, extra: n[2]%3 == 0, replicas: n[2] % 4}
		if n[2]%7 == 0 {
			c.wave = 1
		}
		w.git.trees[name].things[t] = c
		return fmt.Sprintf("%s has %s with %+v", name, w.identity(t, c), c)
	})},
	"change": {14, committing(func(w *world, n [3]int) string {
		name, t, ok := w.pickThing(n)
		if !ok {
			return ""
		}
		c := w.git.trees[name].things[t]
		switch n[2] % 4 {
		case 0:
			c.extra = !c.extra
		case 1:
			c.replicas = (c.replicas + 1 + n[2]/4) % 4
		default:
			c.value = (c.value + 1 + n[2]/4) % values
		}
		w.git.trees[name].things[t] = c
		return fmt.Sprintf("%s has %s with %+v", name, w.identity(t, c), c)
	})},
	"remove": {10, committing(func(w *world, n [3]int) string {
		name, t, ok := w.pickThing(n)
		if !ok {
			return ""
		}
		id := w.identity(t, w.git.trees[name].things[t])
		delete(w.git.trees[name].things, t)
		return fmt.Sprintf("%s has %s no more", name, id)
	})},
	"fill": {6, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		for t := range thing(ordinary) {
			if len(w.git.owners(t)) == 0 {
				w.git.trees[name].things[t] = content{value: n[2] % values}
			}
		}
		return name + " has all ConfigMaps that nobody has"
	})},
	"purge": {5, func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		if n[2]%2 == 0 && w.settleable() {
			w.settle()
		}
		fresh := w.fresh
		t := w.git.trees[name]
		gone := map[thing]content{}
		for thing, c := range t.things {
			if int(thing) < ordinary && thing > 0 {
				gone[thing] = c
				delete(t.things, thing)
			}
		}
		if len(gone) == 0 {
			return ""
		}
		held := fresh && len(gone) > 5 && !t.broken && !t.empty && t.options.Prune
		w.commitWith(func() {
			for thing, c := range gone {
				if id := w.identity(thing, c); held && len(w.git.owners(thing)) == 0 {
					w.law.held[id] = true
				}
			}
		})
		return fmt.Sprintf("%s loses %d ConfigMaps", name, len(gone))
	}},
	"move": {10, committing(func(w *world, n [3]int) string {
		from, t, ok := w.pickThing(n)
		to := w.pick(n[2])
		if !ok || from == to {
			return ""
		}
		c := w.git.trees[from].things[t]
		delete(w.git.trees[from].things, t)
		w.git.trees[to].things[t] = c
		return fmt.Sprintf("%s moves from %s to %s", w.identity(t, c), from, to)
	})},
	"duplicate": {3, committing(func(w *world, n [3]int) string {
		from, t, ok := w.pickThing(n)
		to := w.pick(n[2])
		if !ok || from == to {
			return ""
		}
		w.git.trees[to].things[t] = w.git.trees[from].things[t]
		return fmt.Sprintf("%s has what %s has: %s", to, from, w.identity(t, w.git.trees[from].things[t]))
	})},
	"keep": {3, committing(func(w *world, n [3]int) string {
		name, t, ok := w.pickThing(n)
		if !ok {
			return ""
		}
		c := w.git.trees[name].things[t]
		c.keep = !c.keep
		w.git.trees[name].things[t] = c
		return fmt.Sprintf("%s is kept: %v", w.identity(t, c), c.keep)
	})},
	"app": {5, committing(func(w *world, n [3]int) string {
		for i := range w.apps {
			if name := w.apps[(n[0]+i)%len(w.apps)]; w.git.trees[name] == nil {
				w.git.trees[name] = newTree()
				return "a new app " + name
			}
		}
		return ""
	})},
	"drop": {3, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		delete(w.git.trees, name)
		return "the app " + name + " is removed"
	})},
	"rename": {4, committing(func(w *world, n [3]int) string {
		name, other := w.pick(n[0]), w.apps[n[1]%len(w.apps)]
		if name == "" || w.git.trees[other] != nil {
			return ""
		}
		w.git.trees[other] = w.git.trees[name]
		delete(w.git.trees, name)
		for _, t := range w.git.trees {
			if i := slices.Index(t.options.DependsOn, name); i >= 0 {
				t.options.DependsOn = []string{other}
			}
		}
		w.git.trees[other].known = false
		w.git.trees[other].good = nil
		return fmt.Sprintf("the app %s is called %s", name, other)
	})},
	"break": {4, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" || w.git.trees[name].broken {
			return ""
		}
		w.git.trees[name].broken = true
		return name + " does not render"
	})},
	"mend": {5, committing(func(w *world, n [3]int) string {
		for _, name := range w.git.names() {
			if t := w.git.trees[name]; t.broken || t.empty {
				t.broken, t.empty = false, false
				return name + " renders again"
			}
		}
		return ""
	})},
	"empty": {4, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" || w.git.trees[name].empty {
			return ""
		}
		w.git.trees[name].empty = true
		return name + " renders to nothing"
	})},
	"part": {4, committing(func(w *world, n [3]int) string {
		if w.git.missing = w.pick(n[0]); w.git.missing == "" {
			return ""
		}
		return "the evaluation does not know of " + w.git.missing
	})},
	"whole": {5, committing(func(w *world, n [3]int) string {
		if w.git.missing == "" {
			return ""
		}
		w.git.missing = ""
		return "the evaluation is complete"
	})},
	"prune": {4, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		o := &w.git.trees[name].options
		o.Prune = !o.Prune
		return fmt.Sprintf("%s prunes: %v", name, o.Prune)
	})},
	"correct": {4, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		o := &w.git.trees[name].options
		o.CorrectDrift = !o.CorrectDrift
		return fmt.Sprintf("%s corrects drift: %v", name, o.CorrectDrift)
	})},
	"suspend": {3, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		o := &w.git.trees[name].options
		o.Suspend = !o.Suspend
		return fmt.Sprintf("%s is suspended: %v", name, o.Suspend)
	})},
	"replace": {3, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		o := &w.git.trees[name].options
		o.Replace = !o.Replace
		return fmt.Sprintf("%s replaces: %v", name, o.Replace)
	})},
	"depend": {3, committing(func(w *world, n [3]int) string {
		name, other := w.pick(n[0]), w.pick(n[1])
		if name <= other { // so that there are no circles
			return ""
		}
		o := &w.git.trees[name].options
		if o.DependsOn == nil {
			o.DependsOn = []string{other}
		} else {
			o.DependsOn = nil
		}
		return fmt.Sprintf("%s depends on %v", name, o.DependsOn)
	})},
	"make-namespace": {4, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		o := &w.git.trees[name].options
		o.CreateNamespace = !o.CreateNamespace
		return fmt.Sprintf("%s makes its namespaces: %v", name, o.CreateNamespace)
	})},
	"inhabit": {10, committing(func(w *world, n [3]int) string {
		name, other := w.pick(n[0]), w.pick(n[1])
		if name == "" {
			return ""
		}
		precious := []thing{space, inner, volume}
		for i := range precious {
			t := precious[(n[2]+i)%len(precious)]
			if owners := w.git.owners(t); len(owners) > 0 && (t != inner || n[2]%2 == 0) {
				delete(w.git.trees[owners[0]].things, t)
				return fmt.Sprintf("%s has %s no more", owners[0], w.identity(t, content{}))
			}
		}
		c := content{value: n[2] % values}
		w.git.trees[name].things[space], w.git.trees[name].things[volume] = c, c
		if len(w.git.owners(inner)) == 0 {
			w.git.trees[other].things[inner] = c
		}
		return fmt.Sprintf("%s has a claim and the namespace %s, and something is in it, such as of %s", name, w.more, other)
	})},
	"limit": {3, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		t := w.git.trees[name]
		if t.limit != unlimited {
			t.limit = unlimited
		} else {
			t.limit = 1 + limit(n[2])%(limits-1)
		}
		return fmt.Sprintf("%s has the limits %+v", name, w.in(t.limit))
	})},
	"impersonate": {4, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		o := &w.git.trees[name].options
		o.ServiceAccount = []string{"", w.mighty(), w.mighty(), w.namespace + "/powerless"}[n[2]%4]
		return fmt.Sprintf("%s is applied as %q", name, o.ServiceAccount)
	})},
	"once": {4, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		t := w.git.trees[name]
		t.once = !t.once
		return fmt.Sprintf("%s only creates c1, c2 and the Secret: %v", name, t.once)
	})},
	"budget": {4, committing(func(w *world, n [3]int) string {
		name := w.pick(n[0])
		if name == "" {
			return ""
		}
		if w.git.budget[name] {
			delete(w.git.budget, name)
		} else {
			w.git.budget[name] = true
		}
		return fmt.Sprintf("the fleet's budget holds deletions of %s: %v", name, w.git.budget[name])
	})},
	"again": {2, committing(func(w *world, n [3]int) string { return "nothing changes" })},
}

// committing ends a change of Git with its assignment.
func committing(change func(w *world, n [3]int) string) func(*world, [3]int) string {
	return func(w *world, n [3]int) string {
		said := change(w, n)
		if said == "" {
			return ""
		}
		if w.git.trees[w.git.missing] == nil {
			w.git.missing = ""
		}
		for _, t := range w.git.trees { // what is depended on is there
			if len(t.options.DependsOn) > 0 && w.git.trees[t.options.DependsOn[0]] == nil {
				t.options.DependsOn = nil
			}
		}
		w.commitWith(func() {})
		return said
	}
}

// mighty is the service account that may do anything.
func (w *world) mighty() string { return w.namespace + "/" + mighty }

// pick returns one of Git's apps, or nothing.
func (w *world) pick(n int) string {
	names := w.git.names()
	if len(names) == 0 {
		return ""
	}
	return names[n%len(names)]
}

// pickThing returns a thing of one of Git's apps.
func (w *world) pickThing(n [3]int) (name string, t thing, ok bool) {
	if name = w.pick(n[0]); name == "" {
		return "", 0, false
	}
	var all []thing
	for t := range w.git.trees[name].things {
		all = append(all, t)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "", 0, false
	}
	next, _ := slices.BinarySearch(all, thing(n[1]%things))
	return name, all[next%len(all)], true
}
