// Package prune decides which objects of an app are deleted once Git no longer
// has them, which are held until a person confirms, and which stay. A [Plan] is
// a function of values: it reads no cluster and deletes nothing, so that every
// rule against deletion by surprise can be read, and tested, in one place.
package prune

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// Object is a marked object as far as pruning is concerned.
type Object struct {
	ID      object.ID
	UID     types.UID
	Adopted bool   // it existed, unmarked, before its app's first apply
	Kept    string // why it is never pruned; empty if it may be
	Confirm bool   // its author wants its deletion confirmed
	// Extraneous: its author does not mind if it is there without Git.
	Extraneous bool
	Removal    Removal // what its author says of its deletion with the whole app
}

// Read returns what pruning wants to know of an object from its metadata.
func Read(u *unstructured.Unstructured) Object {
	_, adopted, _ := object.OwnerOf(u)
	return Object{ID: object.Of(u), UID: u.GetUID(), Adopted: adopted, Kept: Kept(u), Confirm: Confirm(u), Extraneous: Extraneous(u), Removal: RemovalOf(u)}
}

// Request is what a plan depends on.
type Request struct {
	App string
	// Enabled is false where the app's options say that nothing is pruned.
	Enabled bool
	// Complete says that the evaluation told all objects of the app.
	Complete bool
	// Removed says that the app itself is to go, so that it has come out empty for
	// that reason.
	Removed bool
	// LeavesAlone reports whether an object stays though the app does not have it;
	// nil means none.
	LeavesAlone func(object.ID) bool
	Wanted      []object.ID // what the app has in Git now
	Tracked     []Object    // what carries the app's marks, wanted or not
	Size        int         // how many objects the app has on the cluster; at least those tracked
	// ClaimedBy names another app that claims an object; nil means none.
	ClaimedBy func(object.ID) (app string, ok bool)
	// Needs names another app whose objects would go with a Namespace or a
	// CustomResourceDefinition; nil means none.
	Needs func(object.ID) (app string, ok bool)
	// Confirmed are the digests of held lists whose deletion people confirmed.
	Confirmed []string
	// ClusterObjects counts the objects that Nave manages on the cluster, and
	// PrunedBefore those that other apps' prunes of the same round deleted.
	ClusterObjects int
	PrunedBefore   int
	// Hold says why nothing of the app is deleted unasked now, such as a budget of
	// the whole fleet that is used up; empty if that is not so.
	Hold string
	// HoldAll holds every deletion, new generations of an object included.
	HoldAll bool
	// AllowEmpty lets an app that wants nothing delete what it has.
	AllowEmpty bool
}

// Plan says what happens to the objects that Git no longer has.
type Plan struct {
	Delete []Object // in the order in which to delete them
	Held   []Object
	// Confirmed are those of Delete that were held but for a confirmation.
	Confirmed []Object
	// Digest names the list of held objects, and WhyHeld says which rule holds it.
	Digest  string
	WhyHeld string
	// Kept are the objects that stay, each with the reason.
	Kept change.Set
	// Counted is how many of Delete count against the budgets of the cluster.
	Counted int
	// Removals are the objects that count against budgets, deleted or held.
	Removals []object.ID
}

// Why says of one held object which rule holds it, where its name is said already.
func (p Plan) Why(o Object) string { return strings.TrimPrefix(p.WhyHeld, o.ID.String()+" ") }

// New makes the plan.
func New(r Request) Plan {
	var plan Plan
	var candidates []Object
	in := indexed(r.Wanted)
	for _, o := range r.Tracked {
		if in.has(o.ID) {
			continue
		}
		if reason, action := r.stays(o, in); reason != "" {
			plan.Kept = append(plan.Kept, change.Entry{Object: o.ID, Action: action, Reason: reason})
			continue
		}
		candidates = append(candidates, o)
	}
	r.split(&plan, candidates, in)
	slices.SortFunc(plan.Delete, deletionOrder)
	slices.SortFunc(plan.Held, func(a, b Object) int { return object.Compare(a.ID, b.ID) })
	if len(plan.Held) > 0 {
		ids := make([]object.ID, len(plan.Held))
		for i, o := range plan.Held {
			ids[i] = o.ID
		}
		plan.Digest = Digest(r.App, ids)
	}
	return plan
}

// wanted indexes what the app has in Git.
type wanted struct {
	namespaces map[object.ID][]string // by identity without the namespace
	inside     map[string]bool        // namespaces in which the app has objects
	bases      map[object.ID]bool     // generations, by identity without the suffix
}

func indexed(ids []object.ID) wanted {
	w := wanted{map[object.ID][]string{}, map[string]bool{}, map[object.ID]bool{}}
	for _, id := range ids {
		bare := id
		bare.Namespace = ""
		w.namespaces[bare] = append(w.namespaces[bare], id.Namespace)
		w.inside[id.Namespace] = true
		if base, ok := generationOf(id); ok {
			w.bases[base] = true
		}
	}
	return w
}

// has reports whether the app has the object. An object whose identity could be
// resolved differently now, with a namespace or without, counts as wanted.
func (w wanted) has(id object.ID) bool {
	bare := id
	bare.Namespace = ""
	return slices.ContainsFunc(w.namespaces[bare], func(namespace string) bool {
		return namespace == id.Namespace || namespace == "" || id.Namespace == ""
	})
}

// inNamespace reports whether the app has objects in the namespace that id is.
func (w wanted) inNamespace(id object.ID) bool {
	return id.Group == "" && id.Kind == "Namespace" && w.inside[id.Name]
}

// stays returns why an object stays although Git no longer has it, or nothing.
func (r Request) stays(o Object, in wanted) (reason string, action change.Action) {
	claimant := func(f func(object.ID) (string, bool)) string {
		if f == nil {
			return ""
		}
		app, _ := f(o.ID)
		return app
	}
	switch {
	case claimant(r.ClaimedBy) != "":
		return fmt.Sprintf("left to the app %q, which claims it", claimant(r.ClaimedBy)), change.Orphaned
	case o.Kept != "":
		return o.Kept, change.Orphaned
	case r.Removed && o.Removal == Stays:
		return fmt.Sprintf("kept though its app goes, as its annotation %s: %s asks", syncOptions, Stays), change.Orphaned
	case !r.Complete:
		return "no longer seen, but the evaluation is not complete, so its absence means nothing", change.Skipped
	case r.LeavesAlone != nil && r.LeavesAlone(o.ID):
		return "left alone: it is read in place of being applied, or was only made for the app's objects", change.Orphaned
	case len(r.Wanted) == 0 && !r.Removed && !r.AllowEmpty:
		return "the app has come out empty, which deletes nothing; to remove the app, remove its Delivery", change.Skipped
	case !r.Enabled && o.Extraneous:
		return "no longer in Git, which its annotation " + compareOptions + " takes for granted", change.Orphaned
	case !r.Enabled:
		return "no longer in Git; pruning is off for this app", change.Skipped
	case claimant(r.Needs) != "":
		return fmt.Sprintf("objects of the app %q would be deleted with it", claimant(r.Needs)), change.Orphaned
	case in.inNamespace(o.ID):
		return "objects that the app still has would be deleted with it", change.Orphaned
	}
	return "", ""
}

// split sorts the candidates into deleted and held.
func (r Request) split(plan *Plan, candidates []Object, in wanted) {
	var always, counted, free []Object
	for _, o := range candidates {
		base, generated := generationOf(o.ID)
		switch {
		case AlwaysHeld(o.ID) || o.Adopted || o.Confirm || r.asks(o) || r.HoldAll:
			always = append(always, o)
		case generated && in.bases[base]:
			free = append(free, o)
		default:
			counted = append(counted, o)
		}
	}
	plan.Delete = free
	for _, o := range counted {
		plan.Removals = append(plan.Removals, o.ID)
	}
	ofApp, ofCluster := budget(5, 20, max(r.Size, len(r.Tracked))), budget(10, 5, r.ClusterObjects)
	var reasons []string
	if len(counted) > 0 && r.Hold != "" {
		reasons = append(reasons, r.Hold)
	}
	if len(counted) > ofApp {
		reasons = append(reasons, fmt.Sprintf("%d of the app's %d objects would go, more than %d", len(counted), max(r.Size, len(r.Tracked)), ofApp))
	}
	if total := len(counted) + r.PrunedBefore; len(counted) > 0 && total > ofCluster {
		reasons = append(reasons, fmt.Sprintf("%d of the cluster's %d objects would go at once, more than %d", total, r.ClusterObjects, ofCluster))
	}
	held := always
	if len(reasons) > 0 {
		held = slices.Concat(always, counted)
	} else {
		plan.Delete = append(plan.Delete, counted...)
		plan.Counted = len(counted)
	}
	if len(always) > 0 {
		reasons = append(reasons, r.whyAlways(always))
	}
	if len(held) > 0 && slices.Contains(r.Confirmed, digestOf(r.App, held)) {
		plan.Delete, plan.Confirmed = append(plan.Delete, held...), held
		plan.Counted = len(counted)
		return
	}
	plan.Held, plan.WhyHeld = held, strings.Join(reasons, "; ")
}

// asks reports whether an object's author wants its deletion with the app confirmed.
func (r Request) asks(o Object) bool { return r.Removed && o.Removal == Asks }

// whyAlways says which rule holds objects whatever their number.
func (r Request) whyAlways(held []Object) string {
	switch {
	case r.HoldAll:
		return "deletions of this app wait for confirmation"
	case slices.ContainsFunc(held, func(o Object) bool { return o.Confirm || r.asks(o) }):
		return "namespaces, definitions, volumes, adopted objects and those whose annotation " + syncOptions + " says Prune=confirm or Delete=confirm are deleted only after confirmation"
	}
	return "namespaces, definitions, volumes and adopted objects are deleted only after confirmation"
}

// budget returns how many of total objects may go unasked: a number in any
// case, or a share in percent if that is more.
func budget(least, percent, total int) int { return max(least, total*percent/100) }

// Digest names a list of held objects of an app, in any order. It is what people
// confirm, and another list has another.
func Digest(app string, ids []object.ID) string {
	sorted := slices.SortedFunc(slices.Values(ids), object.Compare)
	parts := [][]byte{[]byte(app)}
	for _, id := range sorted {
		parts = append(parts, []byte(id.String()))
	}
	return object.Digest(parts...)
}

func digestOf(app string, held []Object) string {
	ids := make([]object.ID, len(held))
	for i, o := range held {
		ids[i] = o.ID
	}
	return Digest(app, ids)
}

// generation is the suffix by which Kustomize names generations of a ConfigMap
// or Secret: ten characters of hexadecimal digits written without vowels.
var generation = regexp.MustCompile(`^(.+)-[bcdfghkmt2456789]{10}$`)

// generationOf returns the identity that all generations of a ConfigMap or
// Secret share.
func generationOf(id object.ID) (base object.ID, ok bool) {
	match := generation.FindStringSubmatch(id.Name)
	if match == nil || id.Group != "" || id.Kind != "ConfigMap" && id.Kind != "Secret" {
		return id, false
	}
	id.Name = match[1]
	return id, true
}

// AlwaysHeld reports whether objects of this kind take others, or data, with
// them when they are deleted.
func AlwaysHeld(id object.ID) bool {
	switch id.GroupKind().String() {
	case "Namespace", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition.apiextensions.k8s.io":
		return true
	}
	return false
}

// deletionOrder is the order of application backwards: what uses others goes
// before what it uses.
func deletionOrder(a, b Object) int {
	if byRank := object.Rank(b.ID) - object.Rank(a.ID); byRank != 0 {
		return byRank
	}
	return object.Compare(a.ID, b.ID)
}
