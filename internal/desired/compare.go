package desired

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/desired/offline"
	"nave.dev/internal/object"
)

// comparison collects the differences for a plan, equal ones together.
type comparison struct {
	plan   *Plan
	key    []byte                // veils secrets; no other plan has it
	hold   string                // why the fleet's budget holds what goes, if it does
	groups map[string]*PlanGroup // by all but their clusters

	reported func(error) bool // whether what is wrong with an app is among the plan's problems

	releases *offline.Releases // what those come to that change; nil tells of none
	version  func(cluster string) string
}

// compare fills the plan. What cannot be told of the wanted state is no
// difference; incomplete says why there may be clusters that it does not name.
func (c *comparison) compare(old, wanted map[string]*Compiled, incomplete error) {
	clusters := map[string]bool{}
	for name := range old {
		clusters[name] = true
	}
	for name := range wanted {
		clusters[name] = true
	}
	c.plan.Clusters = len(clusters)
	c.hold = fleetHold(old, wanted)
	problems := map[string]bool{}
	for _, cluster := range slices.Sorted(maps.Keys(clusters)) {
		if wanted[cluster] != nil {
			c.compareCluster(cluster, old[cluster], wanted[cluster], problems)
		} else if incomplete == nil {
			c.add(cluster, PlanGroup{App: "*", Note: "the cluster leaves the fleet; its objects stay"})
		}
	}
	c.plan.Problems = append(c.plan.Problems, slices.Sorted(maps.Keys(problems))...)
	for _, group := range c.groups {
		c.plan.Groups = append(c.plan.Groups, *group)
	}
	slices.SortFunc(c.plan.Groups, func(a, b PlanGroup) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Clusters[0], b.Clusters[0]))
	})
}

// render finds out what the releases come to that change.
func (c *comparison) render(ctx context.Context, old, wanted map[string]*Compiled) error {
	for cluster, now := range wanted {
		before := apps(old[cluster])
		for _, desired := range now.Apps {
			if was := before[desired.Name]; desired.Err == nil && differ(was, desired) {
				c.releases.Want(was.Bundle, c.version(cluster))
				c.releases.Want(desired.Bundle, c.version(cluster))
			}
		}
	}
	return c.releases.Render(ctx)
}

// add adds a change of one cluster.
func (c *comparison) add(cluster string, group PlanGroup) {
	key, err := json.Marshal(group)
	if err != nil {
		panic(err) // plain data
	}
	if c.groups[string(key)] == nil {
		c.groups[string(key)] = &group
	}
	c.groups[string(key)].Clusters = append(c.groups[string(key)].Clusters, cluster)
}

// compareCluster adds the changes of a cluster that is or comes to be in the
// fleet, and what is wrong with its apps.
func (c *comparison) compareCluster(cluster string, old, wanted *Compiled, problems map[string]bool) {
	before, after := apps(old), apps(wanted)
	round := planned(old, wanted)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		now := after[name]
		if now.Err != nil {
			if c.reported(now.Err) {
				continue
			}
			problems[name+": "+now.Err.Error()] = true
			continue
		}
		stays := func(other string) bool { return before[other].Name != "" && after[other].Name != "" }
		if group := c.compareApps(before[name], now, c.version(cluster), round, notes(before[name], now, stays)); group != nil {
			c.add(cluster, *group)
		}
	}
	for _, problem := range wanted.Problems {
		problems[problem.Error()] = true
	}
	if wanted.Incomplete != nil {
		return
	}
	last := ledgerOf(old)
	for name, was := range before {
		of := was.Options.Lineage
		if _, stays := after[name]; stays || of.Delivery != "" && after[of.Delivery].Err != nil {
			continue
		}
		if was.Bundle != nil && ledger.Cascades(name, last, wanted.Trees) {
			group := PlanGroup{App: name, Note: "is no longer asked for; its objects go with it"}
			group.addPrunes(was, removal(name, was.Options), round, c.hold)
			group.Changes.Sort()
			c.add(cluster, group)
			continue
		}
		group := PlanGroup{App: name, Note: "leaves the cluster; its objects stay as orphans"}
		for _, u := range objectsOf(was) {
			group.Changes = append(group.Changes, change.Entry{Object: object.Of(u), Action: change.Orphaned})
		}
		c.add(cluster, group)
	}
}

// ledgerOf is what a cluster that has been given all of a state was given.
func ledgerOf(c *Compiled) map[string]ledger.App {
	last := map[string]ledger.App{}
	for name, desired := range apps(c) {
		last[name] = ledger.App{Options: &desired.Options}
	}
	return last
}

func apps(c *Compiled) map[string]app.Desired {
	found := map[string]app.Desired{}
	if c != nil {
		for _, desired := range c.Apps {
			found[desired.Name] = desired
		}
	}
	return found
}

func objectsOf(d app.Desired) []*unstructured.Unstructured {
	if d.Bundle == nil {
		return nil
	}
	return d.Bundle.Objects
}

// differ reports whether an app has other content than before.
func differ(was, now app.Desired) bool {
	return was.Bundle == nil || was.Bundle.Digest != now.Bundle.Digest
}

// compareApps returns what changes in an app of one cluster, of a version of
// Kubernetes, beside what the note says, or nil.
func (c *comparison) compareApps(was, now app.Desired, version string, round *round, note string) *PlanGroup {
	group := &PlanGroup{App: now.Name, Note: note}
	if differ(was, now) {
		became, elsewhere := offline.Became(was.Bundle, now.Bundle)
		group.Note = join(join(group.Note, became), hooksOf(now))
		if elsewhere {
			was.Bundle = nil
		}
		c.compareContent(group, was, now, version, round)
		group.Changes.Sort()
	}
	if len(group.Changes) == 0 && group.Note == "" {
		return nil
	}
	if now.Options.Suspend {
		group.Note = join(group.Note, "is suspended: nothing is written")
	}
	return group
}

// compareContent adds what changes in an app's objects. A release's are those that its
// chart renders to here, where that can be told.
func (c *comparison) compareContent(group *PlanGroup, was, now app.Desired, version string, round *round) {
	hold, released, release := c.hold, was.Bundle != nil && was.Bundle.Release != nil, now.Bundle.Release != nil
	if told := c.releases.Of(was.Bundle, version); told != nil {
		if was.Bundle = told.Bundle; told.Err != nil && release {
			group.Note = join(group.Note, "which objects change cannot be told: "+told.Err.Error())
			return
		}
	}
	if told := c.releases.Of(now.Bundle, version); told != nil {
		if told.Err != nil {
			group.Note = join(group.Note, "which objects change cannot be told: "+told.Err.Error())
			return
		}
		if len(told.Doubts) > 0 {
			group.Note = join(group.Note, "on the cluster it may come to something else: "+strings.Join(told.Doubts, ", "))
		}
		// The fleet's budget is for objects with the marks of apps, which a release's have not.
		now.Bundle, now.Options.AllowEmpty, hold = told.Bundle, true, ""
	}
	before := map[object.ID]*unstructured.Unstructured{}
	for _, u := range objectsOf(was) {
		before[object.Of(u)] = u
	}
	for _, u := range now.Bundle.Objects {
		entry, changed := c.compareObjects(before[object.Of(u)], u, now.Options, !release) // Helm writes all objects each time
		if entry.Action == change.Created && round.had[entry.Object] {
			entry.Action = change.Adopted // from the app that had it
		}
		if changed {
			group.Changes = append(group.Changes, entry)
		}
	}
	if released == release { // otherwise what the app has no more stays
		group.addPrunes(was, now, round, hold)
	}
	if release && len(group.Changes.With(change.Held, change.Failed)) > 0 {
		group.Note = join(group.Note, "nothing of the revision is written while anything of it is held, or refused")
	}
}

// compareObjects returns what changes in an object, which may not have been. Where once
// is set, some objects are created and then left as they are.
func (c *comparison) compareObjects(was, now *unstructured.Unstructured, options app.Options, once bool) (entry change.Entry, changed bool) {
	entry = change.Entry{Object: object.Of(now), Action: change.Created}
	if was != nil {
		if once && (options.CreateOnly.Match(entry.Object) || object.OnceAsked(now)) {
			return entry, false // however it comes out
		}
		entry.Action = change.Updated
		entry.Fields = change.Fields(object.Redact(was, c.key).Object, object.Redact(now, c.key).Object)
		if len(entry.Fields) == 0 {
			return entry, false
		}
	}
	// Of other kinds than Kubernetes' own, an object that states no namespace may
	// get one on the cluster.
	namespaced := entry.Object.Namespace != ""
	if known := namespaced || object.Builtin(entry.Object.Group); known {
		if reason, ok := options.Permits(entry.Object, namespaced, known); !ok {
			entry.Action, entry.Reason, entry.Fields = change.Failed, reason, nil
		}
	}
	return entry, true
}

// addPrunes adds what happens to the objects that an app no longer has, as far
// as that can be told without asking the cluster.
func (group *PlanGroup) addPrunes(was, now app.Desired, round *round, hold string) {
	plan := round.prune(marked(was.Bundle), now, hold)
	for _, o := range plan.Delete {
		entry := change.Entry{Object: o.ID, Action: change.Deleted}
		if slices.Contains(plan.Confirmed, o) {
			entry.Reason = "confirmed by confirmPrune"
		}
		group.Changes = append(group.Changes, entry)
	}
	for _, o := range plan.Held {
		group.Changes = append(group.Changes, change.Entry{Object: o.ID, Action: change.Held, Reason: plan.Why(o)})
	}
	group.Changes = append(group.Changes, plan.Kept...)
	group.Confirm = plan.Digest
}

// hooksOf names the hooks that a sync of an app runs.
func hooksOf(now app.Desired) string {
	hooks, err := app.HooksOf(now.Bundle.Hooks)
	if err != nil {
		return "its hooks cannot be read: " + err.Error()
	}
	var texts []string
	for _, phase := range []app.Phase{app.PreSync, app.InSync, app.PostSync} {
		for _, hook := range hooks {
			if hook.Phase == phase {
				id := object.Of(hook.Object)
				id.Name = cmp.Or(id.Name, hook.Object.GetGenerateName()+"…")
				texts = append(texts, string(phase)+" "+id.String())
			}
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return "hooks run: " + strings.Join(texts, ", ")
}

// notes says what changes in an app beside its objects. Apps that come or go are
// shown themselves, as are those that move to another wave: that others wait for
// them, by name or at a gate, is no change of those.
func notes(was, now app.Desired, stays func(name string) bool) string {
	if was.Name == "" {
		return ""
	}
	if was.Err != nil {
		return "what it was before cannot be told, so that all of it counts as new"
	}
	gone := lacking(was.Options.DependsOn, now.Options.DependsOn, stays)
	more := lacking(now.Options.DependsOn, was.Options.DependsOn, stays)
	was.Options.DependsOn, now.Options.DependsOn = nil, nil
	was.Options.Gates, now.Options.Gates = nil, nil
	var note string
	if fields := change.Fields(plain(was.Options), plain(now.Options)); len(fields) > 0 {
		var texts []string
		for _, field := range fields {
			texts = append(texts, field.String())
		}
		note = "its options change: " + strings.Join(texts, ", ")
	}
	if len(more) > 0 {
		note = join(note, "also waits for "+strings.Join(more, ", "))
	}
	if len(gone) > 0 {
		note = join(note, "no longer waits for "+strings.Join(gone, ", "))
	}
	return note
}

// lacking returns the names of a list that another one lacks, if they count.
func lacking(names, others []string, counts func(string) bool) (found []string) {
	there := map[string]bool{}
	for _, name := range others {
		there[name] = true
	}
	for _, name := range names {
		if !there[name] && counts(name) {
			found = append(found, name)
		}
	}
	return found
}

// join joins two remarks, of which one may be empty.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// plain returns options as their document has them.
func plain(options app.Options) (fields map[string]any) {
	data, err := json.Marshal(options)
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	if err != nil {
		panic(err) // plain data
	}
	if options.Deadline != 0 {
		fields["deadline"] = options.Deadline.String()
	}
	return fields
}
