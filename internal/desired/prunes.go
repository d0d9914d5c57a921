package desired

import (
	"maps"
	"slices"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/prune"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/object"
)

// round is what the prunes of one cluster have in common: for a plan, and for the
// budget of the fleet, which so agree.
type round struct {
	claims   map[object.ID][]string // apps that have an object now
	complete bool                   // the objects of all apps are known
	had      map[object.ID]bool     // objects that any app had before
	objects  int                    // of all apps, before
	pruned   int                    // that count, by the apps so far
}

// newRound returns that of a cluster whose apps had objects and are to have
// others. An app in error is to have what stays in force.
func newRound(had map[string][]prune.Object, wanted *app.Assignment) *round {
	r := &round{claims: map[object.ID][]string{}, complete: wanted.Incomplete == nil, had: map[object.ID]bool{}}
	for _, now := range wanted.Apps {
		r.complete = r.complete && now.Bundle != nil
		for _, u := range objectsOf(now) {
			r.claims[object.Of(u)] = append(r.claims[object.Of(u)], now.Name)
		}
	}
	for _, objects := range had {
		r.objects += len(objects)
		for _, o := range objects {
			r.had[o.ID] = true
		}
	}
	return r
}

// marked returns the objects of a bundle as they carry an app's marks once they
// were applied.
func marked(bundle *app.Bundle) (objects []prune.Object) {
	if bundle == nil {
		return nil
	}
	for _, u := range bundle.Objects {
		objects = append(objects, prune.Object{ID: object.Of(u), Kept: prune.Kept(u), Removal: prune.RemovalOf(u)})
	}
	return objects
}

// prune returns what happens to objects with the marks of an app, as far as that
// can be told without asking the cluster.
func (r *round) prune(tracked []prune.Object, now app.Desired, hold string) prune.Plan {
	request := prune.Request{
		App: now.Name, Enabled: now.Options.Prune, Complete: r.complete && now.Err == nil, Removed: now.Removed,
		LeavesAlone: now.Options.LeavesAlone, Size: len(tracked), Hold: hold,
		AllowEmpty: now.Options.AllowEmpty, HoldAll: now.Options.HoldPrunes,
		Confirmed: []string{now.Options.ConfirmPrune}, ClusterObjects: r.objects, PrunedBefore: r.pruned,
		Tracked: tracked, ClaimedBy: func(id object.ID) (string, bool) { return r.claimedBy(id, now.Name) },
	}
	for _, u := range objectsOf(now) {
		request.Wanted = append(request.Wanted, object.Of(u))
	}
	plan := prune.New(request)
	r.pruned += plan.Counted
	return plan
}

// claimedBy names another app that has an object now.
func (r *round) claimedBy(id object.ID, name string) (string, bool) {
	for _, other := range r.claims[id] {
		if other != name {
			return other, true
		}
	}
	return "", false
}

// planned returns the round of a cluster that goes from one state to another.
func planned(old, wanted *Compiled) *round {
	before := apps(old)
	had := map[string][]prune.Object{}
	for name, was := range before {
		had[name] = marked(was.Bundle)
	}
	stays := *wanted.Assignment
	stays.Apps = slices.Clone(stays.Apps)
	for i, now := range stays.Apps {
		if now.Err != nil {
			stays.Apps[i].Bundle = before[now.Name].Bundle
		}
	}
	return newRound(had, &stays)
}

// fleetHold returns why the fleet's budget holds what the clusters lose on their
// way from one state to another, or nothing.
func fleetHold(old, wanted map[string]*Compiled) string {
	var clusters []prune.Cluster
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		before, round := apps(old[name]), planned(old[name], wanted[name])
		cluster := prune.Cluster{Objects: round.objects}
		for _, now := range wanted[name].Apps {
			if was := before[now.Name]; now.Err == nil && was.Bundle != nil && was.Bundle.Digest != now.Bundle.Digest {
				cluster.Going = append(cluster.Going, round.prune(marked(was.Bundle), now, "").Removals...)
			}
		}
		last := ledgerOf(old[name])
		after := apps(wanted[name])
		for gone, was := range before {
			if _, stays := after[gone]; !stays && wanted[name].Incomplete == nil && was.Bundle != nil && ledger.Cascades(gone, last, wanted[name].Trees) {
				cluster.Going = append(cluster.Going, round.prune(marked(was.Bundle), removal(gone, was.Options), "").Removals...)
			}
		}
		clusters = append(clusters, cluster)
	}
	return prune.Fleet(clusters)
}
