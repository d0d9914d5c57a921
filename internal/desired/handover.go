package desired

import (
	"cmp"
	"slices"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/prune"
	"nave.dev/internal/change"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/object"
)

// Receiver is one cluster that is to be given what a snapshot says.
type Receiver struct {
	// Assignment becomes what is given: a handover changes it.
	*app.Assignment
	// Trees are the Deliveries whose objects were read for apps, as Compiled has them.
	Trees map[string]Tree
	// Last is what the cluster was last given; zero if that is not known.
	Last ledger.Entry
	// Settled has the apps, with the digest of their bundle, that are on the
	// cluster as they were last given, with nothing left to delete.
	Settled map[string]string
	// Found reports whether an app had been applied before this process reached
	// the cluster, and whether that is known.
	Found func(name string) (applied, known bool)
	// Bundle returns a bundle that Last names, or nil if it is lost.
	Bundle func(digest string) *app.Bundle
}

// Given is what a cluster is given.
type Given struct {
	// Assignment has, beside the error of an app, what stays in force.
	*app.Assignment
	// Holds says of apps why nothing of theirs is deleted unasked.
	Holds map[string]string
	// Entry is to be kept before the cluster is given anything.
	Entry ledger.Entry
}

// whyUnknown holds the prunes of an app whose objects on the cluster are not known.
const whyUnknown = "it is not known what the cluster was given before"

// Handover decides what clusters are given of a snapshot, under the budget of the
// fleet: what takes too much from all of them together is held on each. A hold is
// the cluster's own from then on. It ends when what it holds is wanted again, or
// is gone; not when there is less of it elsewhere. An app whose objects on a
// cluster are not known is on hold there until it was seen with nothing to
// delete. A snapshot has one budget, however many handovers it takes until all
// clusters have it. Others is the number of the fleet's further clusters, which are
// given nothing now.
func Handover(snapshot string, receivers map[string]Receiver, others int) map[string]Given {
	handing := map[string]*handing{}
	clusters := make([]prune.Cluster, others)
	for name, r := range receivers {
		h := newHanding(r)
		if r.Last.Snapshot == snapshot && r.Last.Fleet == r.Fleet {
			h.gone = r.Last.Gone
		}
		handing[name] = h
		clusters = append(clusters, h.weigh())
	}
	hold := prune.Fleet(clusters)
	given := map[string]Given{}
	for name, h := range handing {
		one := h.give(hold)
		if hold == "" {
			h.gone = slices.Concat(h.gone, h.going)
			slices.SortFunc(h.gone, object.Compare)
			h.gone = slices.Compact(h.gone)
		}
		if len(h.gone) > 0 {
			one.Entry.Gone, one.Entry.Snapshot = h.gone, snapshot
		}
		given[name] = one
	}
	return given
}

// handing is the handover to one cluster.
type handing struct {
	wanted  *app.Assignment
	last    map[string]ledger.App
	had     map[string][]prune.Object // of apps whose objects are not the same now
	plans   map[string]prune.Plan     // of those of them that stay
	round   *round
	objects int         // that the cluster has
	going   []object.ID // that it would lose now, unless the fleet holds them
	gone    []object.ID // that it lost to the same snapshot before
}

// newHanding finds out what the cluster has, what stays in force there, and what
// it would lose.
func newHanding(r Receiver) *handing {
	wanted := r.Assignment
	h := &handing{wanted: wanted, last: r.known(), had: map[string][]prune.Object{}, plans: map[string]prune.Plan{}}
	stays := map[string]bool{}
	for _, now := range wanted.Apps {
		stays[now.Name] = true
	}
	h.remove(r, stays)
	doubt := wanted.Incomplete != nil || slices.ContainsFunc(wanted.Apps, func(d app.Desired) bool { return d.Err != nil })
	for i := range wanted.Apps {
		now := &wanted.Apps[i]
		stays[now.Name] = true
		h.keepInForce(now, r.Bundle)
		h.keepProject(now, doubt)
		h.leaveAlone(now, r.Bundle)
		h.compare(now, r)
	}
	for name, last := range h.last {
		if stays[name] || wanted.Incomplete != nil {
			continue
		}
		if last.Removed && len(last.Left) == 0 && r.settled(name, last) {
			delete(h.last, name) // nothing is left of it
			continue
		}
		if last.Bundle != "" {
			h.had[name] = marked(r.Bundle(last.Bundle))
			h.objects += len(h.had[name])
		}
		h.had[name] = append(h.had[name], left(last)...)
	}
	if len(h.had) == 0 {
		return h
	}
	h.round = newRound(h.had, wanted)
	for _, now := range wanted.Apps {
		if had, changed := h.had[now.Name]; changed {
			h.plans[now.Name] = h.round.prune(had, now, "")
		}
	}
	return h
}

// settled reports whether an app is on the cluster as it was last given.
func (r Receiver) settled(name string, last ledger.App) bool {
	digest, settled := r.Settled[name]
	return settled && digest == last.Bundle
}

// known returns what is known of the cluster's apps now.
func (r Receiver) known() map[string]ledger.App {
	known := map[string]ledger.App{}
	if r.Last.Fleet != r.Fleet {
		return known
	}
	for name, last := range r.Last.Apps {
		if r.settled(name, last) {
			last.Left, last.Hold, last.Unknown = nil, "", false
		}
		last.Unknown = last.Unknown && r.mayHave(name)
		known[name] = last
	}
	return known
}

// mayHave reports whether the cluster may have objects of an app from before.
func (r Receiver) mayHave(name string) bool {
	applied, known := r.Found(name)
	return applied || !known
}

// keepInForce gives an app in error what the cluster was last given of it, with the
// rights that it has now: who breaks their app keeps none that were taken back.
func (h *handing) keepInForce(now *app.Desired, load func(string) *app.Bundle) {
	last := h.last[now.Name]
	if now.Err == nil || last.Bundle == "" {
		return
	}
	if now.Bundle = load(last.Bundle); now.Bundle != nil {
		newer := now.Options
		now.Options = last.Given()
		now.Options.Restrain(newer)
	}
}

// keepProject keeps what an app's project allows while there is doubt: without the
// project, which may be among what is in error, the app would be free of it.
func (h *handing) keepProject(now *app.Desired, doubt bool) {
	last := h.last[now.Name].Given()
	if doubt && last.Project.By != "" && now.Options.Project.By == "" {
		now.Options.Project = last.Project
		now.Options.ServiceAccount = cmp.Or(now.Options.ServiceAccount, last.ServiceAccount)
	}
}

// leaveAlone has an app go on leaving alone what it did not apply, or had made.
func (h *handing) leaveAlone(now *app.Desired, load func(string) *app.Bundle) {
	last, known := h.last[now.Name]
	if !known || now.Bundle == nil {
		return
	}
	var had *app.Bundle
	if last.Given().CreateNamespace && last.Bundle != "" && last.Bundle != now.Bundle.Digest {
		had = load(last.Bundle)
	}
	now.Options.Leaves = last.LeftAlone(had, *now)
}

// compare enters what an app had, unless it is to have all of it.
func (h *handing) compare(now *app.Desired, r Receiver) {
	last, known := h.last[now.Name]
	switch {
	case now.Bundle == nil:
		return // what it was given stays as it is
	case !known:
		h.last[now.Name] = ledger.App{Unknown: r.mayHave(now.Name)}
		return
	case last.Bundle == now.Bundle.Digest:
		h.objects += len(now.Bundle.Objects)
		if len(last.Left) > 0 {
			h.had[now.Name] = append(marked(now.Bundle), left(last)...)
		}
		return
	case last.Bundle != "":
		bundle := r.Bundle(last.Bundle)
		if bundle == nil {
			last.Unknown = true
			h.last[now.Name] = last
		}
		h.had[now.Name] = marked(bundle)
		h.objects += len(h.had[now.Name])
	}
	h.had[now.Name] = append(h.had[now.Name], left(last)...)
}

// left returns the objects that an app may still have though it does not want them.
func left(last ledger.App) []prune.Object {
	objects := make([]prune.Object, len(last.Left))
	for i, id := range last.Left {
		objects[i].ID = id
	}
	return objects
}

// weigh returns what the cluster's removals mean to the fleet.
func (h *handing) weigh() prune.Cluster {
	cluster := prune.Cluster{Objects: h.objects + len(h.gone), Gone: h.gone}
	for name, plan := range h.plans {
		if last := h.last[name]; last.Hold != "" || last.Unknown {
			cluster.Held = append(cluster.Held, plan.Removals...)
		} else {
			h.going = append(h.going, plan.Removals...)
		}
	}
	cluster.Going = h.going
	return cluster
}

// give makes up what the cluster is given. The hold is that of what goes now.
func (h *handing) give(hold string) Given {
	given := Given{
		Assignment: h.wanted, Holds: map[string]string{},
		Entry: ledger.Entry{Fleet: h.wanted.Fleet, Apps: map[string]ledger.App{}},
	}
	for i := range h.wanted.Apps {
		now := &h.wanted.Apps[i]
		next, known := h.last[now.Name]
		if now.Bundle != nil {
			next = h.next(now, hold)
		}
		if now.Bundle != nil || known {
			given.Entry.Apps[now.Name] = next
		}
		if next.Unknown {
			given.Holds[now.Name] = whyUnknown
		}
		if next.Hold != "" {
			given.Holds[now.Name] = next.Hold
		}
	}
	for name, last := range h.last {
		if _, stays := given.Entry.Apps[name]; stays {
			continue
		}
		if h.wanted.Incomplete == nil {
			last = h.leave(name, last)
		}
		if last.Bundle != "" || len(last.Left) > 0 {
			given.Entry.Apps[name] = last
		}
	}
	return given
}

// next is what is to be remembered of an app: what it is given, and what of the
// rest is neither deleted nor let go of.
func (h *handing) next(now *app.Desired, hold string) ledger.App {
	last, plan := h.last[now.Name], h.plans[now.Name]
	next := ledger.App{Options: &now.Options, Bundle: now.Bundle.Digest, Removed: now.Removed, Unknown: last.Unknown, Hold: last.Hold}
	if len(plan.Removals) > 0 && hold != "" && next.Hold == "" && !next.Unknown {
		next.Hold = hold
	}
	for _, entry := range plan.Kept {
		if entry.Action == change.Skipped { // for now
			next.Left = append(next.Left, entry.Object)
		}
	}
	if next.Hold != "" || next.Unknown {
		next.Left = append(next.Left, plan.Removals...)
	}
	if len(next.Left) == 0 {
		next.Hold = ""
	}
	slices.SortFunc(next.Left, object.Compare)
	return next
}

// leave is what is to be remembered of an app that is not given any more: its
// objects stay as orphans, and are its own again should it come back.
func (h *handing) leave(name string, last ledger.App) ledger.App {
	next := ledger.App{Hold: last.Hold, Unknown: last.Unknown}
	for _, o := range h.had[name] {
		if _, claimed := h.round.claimedBy(o.ID, name); o.Kept == "" && !claimed {
			next.Left = append(next.Left, o.ID)
		}
	}
	slices.SortFunc(next.Left, object.Compare)
	return next
}
