package apply

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/apply/prune"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// configMaps returns manifests of ConfigMaps with these names.
func configMaps(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: NS}\ndata: {k: v}\n---\n", name)
	}
	return b.String()
}

func TestRule3AbsenceCountsOnlyInACompleteEvaluation(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a", "b"))
	g.sync(target)
	incomplete := g.with(target, configMaps("a"))
	incomplete.Complete = false
	g.want("skipped ConfigMap b; unchanged ConfigMap a", "the evaluation is incomplete", g.sync(incomplete).Changes)
	g.want("skipped ConfigMap a; skipped ConfigMap b", "the app came out empty", g.sync(g.with(target, "")).Changes)
	if g.live("ConfigMap", "a") == nil || g.live("ConfigMap", "b") == nil {
		t.Error("an object was deleted")
	}
	g.want("deleted ConfigMap b; unchanged ConfigMap a", "now the absence counts", g.sync(g.with(target, configMaps("a"))).Changes)
	if g.live("ConfigMap", "b") != nil {
		t.Error("b was not deleted")
	}
}

func TestRule4BudgetHoldsUntilConfirmed(t *testing.T) {
	g := on(t)
	var names []string
	for i := range 7 {
		names = append(names, fmt.Sprint("m", i))
	}
	target := g.target("web", configMaps(names...))
	g.sync(target)
	g.delete("ConfigMap", "m6")
	target = g.with(target, configMaps("m0"))
	if set := g.diff(target); set.Count(change.Deleted) != 5 {
		t.Errorf("five may go:\n%s", set)
	}
	g.create("somebody", configMaps("m6")) // another object, without marks
	result := g.sync(g.with(target, configMaps("m0", "m1")))
	if result.Changes.Count(change.Deleted) != 4 || result.Pruned != 4 {
		t.Errorf("four of six:\n%s", result.Changes)
	}
	target = g.target("big", configMaps("b0", "b1", "b2", "b3", "b4", "b5", "b6"))
	g.sync(target)
	target = g.with(target, configMaps("b6"))
	result = g.sync(target)
	if result.Held == nil || len(result.Held.Objects) != 6 || result.Changes.Count(change.Held) != 6 || g.live("ConfigMap", "b0") == nil {
		t.Fatalf("six of seven are held:\n%s", result.Changes)
	}
	shown := g.diff(target)
	if shown.Count(change.Held) != 6 {
		t.Errorf("the diff shows\n%s", shown)
	}
	digest := result.Held.Digest
	target.Options.ConfirmPrune = digest
	lapsed := g.with(target, configMaps("b5", "b6"))
	if result := g.sync(lapsed); result.Held != nil || result.Changes.Count(change.Deleted) != 5 {
		t.Errorf("the list changed and fits the budget now:\n%s", result.Changes)
	}
	target = g.target("more", configMaps("c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"))
	g.sync(target)
	held := g.sync(g.with(target, configMaps("c6", "c7")))
	target.Confirmed = []string{held.Held.Digest}
	if result := g.sync(g.with(target, configMaps("c7"))); result.Held == nil || result.Changes.Count(change.Deleted) != 0 {
		t.Errorf("a confirmation of another list counts:\n%s", result.Changes)
	}
	if result := g.sync(g.with(target, configMaps("c6", "c7"))); result.Held != nil || result.Changes.Count(change.Deleted) != 6 {
		t.Errorf("the confirmed list was not deleted:\n%s", result.Changes)
	}
}

func TestRule4AdoptedAndNamespacesAreAlwaysHeld(t *testing.T) {
	g := on(t)
	g.onEnd("Namespace", "PREFIX-extra")
	g.create("helm", configMaps("old"))
	target := g.target("web", configMaps("old", "new", "kept")+`
apiVersion: v1
kind: Namespace
metadata: {name: PREFIX-extra}
`)
	g.sync(target)
	target = g.with(target, configMaps("new"))
	result := g.sync(target)
	g.want("deleted ConfigMap kept; held ConfigMap old; held Namespace PREFIX-extra; unchanged ConfigMap new", "held whatever the budget", result.Changes)
	target.Confirmed = []string{result.Held.Digest}
	g.want("deleted ConfigMap old; deleted Namespace PREFIX-extra; unchanged ConfigMap new", "confirmed", g.sync(target).Changes)
}

func TestRule4HashSuffixesDoNotCount(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("conf-2222222222"))
	target.ClusterObjects, target.PrunedThisRound = 0, 10 // not one counted object may go
	g.sync(target)
	result := g.sync(g.with(target, configMaps("conf-4444444444")))
	g.want("created ConfigMap conf-4444444444; deleted ConfigMap conf-2222222222", "a new generation replaces the old one", result.Changes)
	if result.Pruned != 0 {
		t.Errorf("%d counted", result.Pruned)
	}
}

func TestRule4AuthorsAndSwitchesKeepObjects(t *testing.T) {
	g := on(t)
	kept := strings.Replace(configMaps("kept"), "metadata: {", `metadata: {annotations: {helm.sh/resource-policy: keep}, `, 1)
	target := g.target("web", configMaps("a", "b")+kept)
	g.sync(target)
	target.Options.Prune = false
	g.want("orphaned ConfigMap kept; skipped ConfigMap b; unchanged ConfigMap a", "pruning is off", g.sync(g.with(target, configMaps("a"))).Changes)
	target.Options.Prune = true
	g.want("deleted ConfigMap b; orphaned ConfigMap kept; unchanged ConfigMap a", "only the annotation keeps", g.sync(g.with(target, configMaps("a"))).Changes)
	if g.live("ConfigMap", "kept") == nil {
		t.Error("an object was deleted that its author keeps")
	}
}

func TestRule4PruningComesLastAndWaitsForHealth(t *testing.T) {
	g := on(t)
	target := g.target("web", web+"---\n"+configMaps("old"))
	g.sync(target)
	healthy := false
	target = g.with(target, strings.Replace(web, "web:1", "web:2", 1))
	target.Health = func(u *unstructured.Unstructured) (bool, bool, string) { return healthy, false, "1 of 2 replicas" }
	result := g.sync(target)
	g.want("skipped ConfigMap old; unchanged ConfigMap settings; unchanged Service web; updated Deployment web", "what is new is not healthy", result.Changes)
	if !strings.Contains(result.WaitsFor, "pruning 1 objects waits") || !strings.Contains(result.WaitsFor, "1 of 2 replicas") {
		t.Errorf("waits for %q", result.WaitsFor)
	}
	first := target
	first.Options.PruneFirst = true
	healthy = true
	if g.sync(target).Changes.Count(change.Deleted) != 1 {
		t.Error("healthy, and still not pruned")
	}
	g.sync(g.with(target, web+"---\n"+configMaps("old")))
	healthy = false
	g.want("deleted ConfigMap old; unchanged ConfigMap settings; unchanged Service web; updated Deployment web", "prune-first does not wait",
		g.sync(g.with(first, strings.Replace(web, "web:1", "web:2", 1))).Changes)
}

func TestRule5DeletionFollowsAFreshRead(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(g *ground)
		reason string
	}{
		{"marks removed", func(g *ground) {
			g.patch("kubectl-edit", "ConfigMap", "old", `{"metadata":{"labels":null}}`)
		}, "does not carry the app's marks"},
		{"another object", func(g *ground) {
			g.delete("ConfigMap", "old")
			other := g.target("web", configMaps("old"))
			if _, err := g.another().Sync(g.Context(), other); err != nil {
				g.Fatal(err)
			}
		}, "another object of the same name"},
		{"another owner", func(g *ground) {
			other := g.target("other", configMaps("old"))
			other.Keeps = func(string, object.ID) bool { return false }
			if _, err := g.another().Sync(g.Context(), other); err != nil {
				g.Fatal(err)
			}
		}, `the app "other"'s`},
		{"kept meanwhile", func(g *ground) {
			g.patch("helm", "ConfigMap", "old", `{"metadata":{"annotations":{"helm.sh/resource-policy":"keep"}}}`)
		}, "helm.sh/resource-policy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := on(t)
			target := g.target("web", configMaps("a", "old"))
			g.sync(target)
			tracked, err := g.client.Inventory(t.Context(), Kinds(target))
			if err != nil {
				t.Fatal(err)
			}
			test.change(g)
			target = g.with(target, configMaps("a"))
			target.Tracked = tracked["web"] // what a watch said before the change
			result := g.sync(target)
			entry := entryOf(result.Changes, "ConfigMap", "old")
			if g.live("ConfigMap", "old") == nil || entry.Action != change.Skipped || !strings.Contains(entry.Reason, test.reason) {
				t.Errorf("%s: %q, want %q", entry.Action, entry.Reason, test.reason)
			}
		})
	}
}

func TestRule5DeletionIsOfWhatWasReadAndNothingElse(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("old"))
	g.sync(target)
	live := g.live("ConfigMap", "old")
	r, err := g.client.begin(t.Context(), g.with(target, configMaps("a")), syncing)
	if err != nil {
		t.Fatal(err)
	}
	changed := false
	g.client.options.Listener.Writing = func(w Write) {
		if w.Verb == "delete" && !changed { // the object changes after it was read
			changed = true
			g.patch("kubectl-edit", "ConfigMap", "old", `{"metadata":{"labels":null}}`)
		}
	}
	planned := prune.Read(live)
	entry, _ := r.delete(t.Context(), planned)
	if entry.Action != change.Skipped || g.live("ConfigMap", "old") == nil {
		t.Errorf("an object that lost its marks between read and delete: %s %s", entry.Action, entry.Reason)
	}
}

func TestRule5ClaimedObjectsMoveBetweenAppsWithoutDeletion(t *testing.T) {
	g := on(t)
	from, to := g.target("from", configMaps("stay", "moves")), g.target("to", configMaps("moves"))
	g.sync(from)
	uid := g.live("ConfigMap", "moves").GetUID()
	from = g.with(from, configMaps("stay"))
	from.ClaimedBy = func(id object.ID) (string, bool) { return "to", id.Name == "moves" }
	g.want("orphaned ConfigMap moves; unchanged ConfigMap stay", "the other app claims it", g.sync(from).Changes)
	to.Keeps = func(string, object.ID) bool { return false }
	g.want("adopted ConfigMap moves", "the first gave it up", g.sync(to).Changes)
	live := g.live("ConfigMap", "moves")
	if owner, adopted, _ := object.OwnerOf(live); owner.App != "to" || adopted || live.GetUID() != uid {
		t.Errorf("moved to %v, adopted %v, UID %s for %s", owner, adopted, live.GetUID(), uid)
	}
	from.ClaimedBy = nil
	g.want("unchanged ConfigMap stay", "it is not the first's any more", g.sync(from).Changes)
}

func TestOrphansAreListedAndStay(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("a"))
	g.sync(target)
	g.sync(g.target("api", configMaps("b")))
	orphans, err := g.client.Orphans(t.Context(), Kinds(target), func(app string) bool { return app == "api" })
	if err != nil || len(orphans) != 1 || len(orphans["web"]) != 1 || orphans["web"][0].ID.Name != "a" {
		t.Errorf("orphans %v, %v", orphans, err)
	}
}
