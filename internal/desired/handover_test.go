package desired

import (
	stdcmp "cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/prune"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/object"
)

// giver hands a fleet over again and again, as a hub does.
type giver struct {
	*testing.T
	wanted  map[string]*app.Assignment
	entries map[string]ledger.Entry
	bundles map[string]*app.Bundle
	given   map[string]Given
	applied map[string]bool // "cluster/app" that had been applied before; nil if that is not known
	away    int             // clusters that are given nothing
	hands   int             // so far
	of      string          // the snapshot, if one takes several handovers
}

// newGiver returns a fleet of n clusters that hold apps.
func newGiver(t *testing.T, n int, apps ...app.Desired) *giver {
	g := &giver{
		T: t, wanted: map[string]*app.Assignment{}, entries: map[string]ledger.Entry{},
		bundles: map[string]*app.Bundle{}, given: map[string]Given{}, applied: map[string]bool{},
	}
	for i := range n {
		g.wanted[fmt.Sprintf("c%d", i)] = &app.Assignment{Fleet: "acme"}
	}
	g.want(apps...)
	g.hand()
	g.settle()
	return g
}

// bundled is an app with ConfigMaps, or other objects by kind and name.
func bundled(t *testing.T, name string, objects ...string) app.Desired {
	t.Helper()
	var list []*unstructured.Unstructured
	for _, text := range objects {
		text, kept := strings.CutSuffix(text, " kept")
		kind, of, other := strings.Cut(text, " ")
		if !other {
			kind, of = "ConfigMap", text
		}
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": of, "namespace": "shop"}}}
		if kept {
			u.SetAnnotations(map[string]string{"nave.dev/prune": "disabled"})
		}
		list = append(list, u)
	}
	bundle, err := app.NewBundle(list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return app.Desired{Name: name, Bundle: bundle, Options: app.Options{Prune: true}}
}

// want makes apps those of the named clusters, by default all.
func (g *giver) want(apps ...app.Desired) {
	for _, a := range g.wanted {
		a.Apps = slices.Clone(apps)
	}
}

// compiled is what a cluster should hold, as a compilation brings it: a handover
// may change it.
func (g *giver) compiled(cluster string) *app.Assignment {
	compiled := *g.wanted[cluster]
	compiled.Apps = slices.Clone(compiled.Apps)
	return &compiled
}

// hand gives the clusters what they should hold. Only the entries and the bundles
// outlive it, as if the hub were started again each time.
func (g *giver) hand(clusters ...string) {
	g.Helper()
	receivers := map[string]Receiver{}
	for name := range g.wanted {
		if clusters != nil && !slices.Contains(clusters, name) {
			continue
		}
		receivers[name] = Receiver{
			Assignment: g.compiled(name), Last: g.entries[name],
			Found: func(app string) (bool, bool) {
				return g.applied[name+"/"+app], g.applied != nil
			},
			Bundle: func(digest string) *app.Bundle { return g.bundles[digest] },
		}
	}
	g.hands++
	g.keep(Handover(g.snapshot(), receivers, g.away))
}

// snapshot names the one that is given now: another one with each handover.
func (g *giver) snapshot() string { return stdcmp.Or(g.of, fmt.Sprint(g.hands)) }

func (g *giver) keep(given map[string]Given) {
	for name, one := range given {
		g.given[name], g.entries[name] = one, one.Entry
		for _, desired := range one.Apps {
			if desired.Bundle != nil {
				g.bundles[desired.Bundle.Digest] = desired.Bundle
			}
		}
	}
}

// settle has clusters, by default all, report that their apps are as given with
// nothing left to delete.
func (g *giver) settle(clusters ...string) {
	g.Helper()
	receivers := map[string]Receiver{}
	for name := range g.wanted {
		if clusters != nil && !slices.Contains(clusters, name) {
			continue
		}
		settled := map[string]string{}
		for app, last := range g.entries[name].Apps {
			settled[app] = last.Bundle
		}
		receivers[name] = Receiver{
			Assignment: g.compiled(name), Last: g.entries[name], Settled: settled,
			Found:  func(string) (bool, bool) { return true, true },
			Bundle: func(digest string) *app.Bundle { return g.bundles[digest] },
		}
	}
	g.keep(Handover(g.snapshot(), receivers, len(g.wanted)-len(receivers)))
}

// held lists, for each cluster, the apps on hold with what they hold.
func (g *giver) held() (lines []string) {
	for name, given := range g.given {
		for app := range given.Holds {
			line := name + " " + app + ":"
			for _, id := range given.Entry.Apps[app].Left {
				line += " " + id.Name
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

func (g *giver) holds(reason string, want ...string) {
	g.Helper()
	if diff := cmp.Diff(want, g.held()); diff != "" {
		g.Errorf("%s: held (-want +have):\n%s", reason, diff)
	}
}

// all says the same of all clusters of a fleet of four.
func all(text string) []string {
	return []string{"c0 " + text, "c1 " + text, "c2 " + text, "c3 " + text}
}

func TestHandoverHoldsOverTheFleet(t *testing.T) {
	g := newGiver(t, 4, bundled(t, "base", "a", "b", "x"), bundled(t, "web", "w"))
	g.holds("in the beginning nothing is")

	g.want(bundled(t, "base", "a", "b"), bundled(t, "web", "w"))
	g.hand()
	g.holds("one object of all clusters", all("base: x")...)
	if why := g.given["c0"].Holds["base"]; why != "ConfigMap shop/x would go on 4 of the fleet's 4 clusters at once, more than half" {
		t.Errorf("the reason is %q", why)
	}
	g.hand()
	g.holds("a restart does not lift it", all("base: x")...)

	g.settle("c0", "c1", "c2")
	g.holds("three were confirmed: the fourth stays on hold", "c3 base: x")
	g.hand()
	g.holds("also when it is alone", "c3 base: x")

	g.want(bundled(t, "base", "a"), bundled(t, "web", "w"))
	g.hand("c3")
	g.holds("what a later commit drops joins the list", "c3 base: b x")
	g.want(bundled(t, "base", "a", "b", "x"), bundled(t, "web", "w"))
	g.hand()
	g.holds("wanted again: nothing is held")
	if left := g.entries["c3"].Apps["base"].Left; left != nil {
		t.Errorf("left behind %v", left)
	}
}

func TestHandoverTwoCommits(t *testing.T) {
	g := newGiver(t, 4, bundled(t, "base", "a", "b", "c"))
	g.want(bundled(t, "base", "a", "b"))
	g.hand()
	g.want(bundled(t, "base", "a"))
	g.hand()
	g.holds("the second one, while the first is held", all("base: b c")...)
	g.want(bundled(t, "base", "a", "c"))
	g.hand()
	g.holds("half of it comes back", all("base: b")...)
	g.settle()
	g.holds("confirmed and done")
	g.want(bundled(t, "base", "a"))
	g.hand()
	g.holds("another one, later", all("base: c")...)
}

func TestHandoverGoesByItself(t *testing.T) {
	tests := []struct {
		reason        string
		before, after []app.Desired
	}{
		{"an object that another app takes", []app.Desired{bundled(t, "base", "a", "x"), bundled(t, "web", "w")}, []app.Desired{bundled(t, "base", "a"), bundled(t, "web", "w", "x")}},
		{"a new hash suffix", []app.Desired{bundled(t, "base", "a", "s-2222222222")}, []app.Desired{bundled(t, "base", "a", "s-4444444444")}},
		{"what its author keeps", []app.Desired{bundled(t, "base", "a", "x kept")}, []app.Desired{bundled(t, "base", "a")}},
		{"an app that leaves", []app.Desired{bundled(t, "base", "a"), bundled(t, "web", "w")}, []app.Desired{bundled(t, "base", "a")}},
		{"what the spoke holds in any case", []app.Desired{bundled(t, "base", "a", "PersistentVolumeClaim x")}, []app.Desired{bundled(t, "base", "a")}},
		{"an app that comes out empty", []app.Desired{bundled(t, "base", "a", "b")}, []app.Desired{bundled(t, "base")}},
		{"an app in error", []app.Desired{bundled(t, "base", "a", "b")}, []app.Desired{{Name: "base", Err: errors.New("broken")}}},
		{"an app that does not prune", []app.Desired{bundled(t, "base", "a", "b")}, []app.Desired{{Name: "base", Bundle: bundled(t, "", "a").Bundle}}},
	}
	for _, test := range tests {
		g := newGiver(t, 4, test.before...)
		g.want(test.after...)
		g.hand()
		g.holds(test.reason)
	}
}

// What is not deleted for now may be at a later commit, and counts then.
func TestHandoverRemembersWhatStays(t *testing.T) {
	off := bundled(t, "base", "a")
	off.Options.Prune = false
	tests := []struct {
		reason       string
		between, end []app.Desired
		want         string
	}{
		{"pruning was off", []app.Desired{off}, []app.Desired{bundled(t, "base", "a")}, "base: x"},
		{"the app was empty", []app.Desired{bundled(t, "base")}, []app.Desired{bundled(t, "base", "a")}, "base: x"},
		{"the app was away", nil, []app.Desired{bundled(t, "base", "a")}, "base: x"},
		{"the app was in error", []app.Desired{{Name: "base", Err: errors.New("broken")}}, []app.Desired{bundled(t, "base", "a")}, "base: x"},
		{"it was away, and all comes back", nil, []app.Desired{bundled(t, "base", "a", "x")}, ""},
	}
	for _, test := range tests {
		g := newGiver(t, 4, bundled(t, "base", "a", "x"))
		g.want(test.between...)
		g.hand()
		g.holds(test.reason + ", in between")
		g.want(test.end...)
		g.hand()
		var want []string
		if test.want != "" {
			want = all(test.want)
		}
		g.holds(test.reason, want...)
	}
}

func TestHandoverWithHoldOutlivesAnError(t *testing.T) {
	g := newGiver(t, 4, bundled(t, "base", "a", "x"))
	g.want(bundled(t, "base", "a"))
	g.hand()
	g.settle("c0", "c1", "c2")
	g.want(app.Desired{Name: "base", Err: errors.New("broken"), Options: app.Options{Suspend: true, ServiceAccount: "shop/deployer", Limits: app.Limits{NamespacedOnly: true}}})
	g.hand()
	g.holds("while the app is in error", "c3 base: x")
	now := g.given["c3"].Apps[0]
	if now.Bundle == nil || now.Bundle.Digest != bundled(t, "", "a").Bundle.Digest || now.Err == nil || !now.Options.Prune || !now.Options.Suspend {
		t.Errorf("what was last given does not stay in force: %+v", now)
	}
	if !now.Options.Limits.NamespacedOnly || now.Options.ServiceAccount != "shop/deployer" {
		t.Errorf("rights that were taken back stay: %+v", now.Options)
	}
	g.want(bundled(t, "base", "a"))
	g.hand()
	g.holds("and after it", "c3 base: x")
}

func TestHandoverOfAnAppInErrorBlocksNoOther(t *testing.T) {
	g := newGiver(t, 1, bundled(t, "base", "a"), bundled(t, "web", "w", "x"))
	broken := app.Desired{Name: "base", Err: errors.New("broken")}
	g.want(broken, bundled(t, "web", "w", "x"))
	g.hand()
	g.want(broken, bundled(t, "web", "w"))
	g.hand()
	if left := g.entries["c0"].Apps["web"].Left; left != nil {
		t.Errorf("with the other app's objects known, %v is not let go", left)
	}
	// Nobody knows what the broken one had.
	g.bundles = map[string]*app.Bundle{bundled(t, "", "w").Bundle.Digest: bundled(t, "", "w").Bundle}
	g.want(broken, bundled(t, "web", "z"))
	g.hand()
	if left := g.entries["c0"].Apps["web"].Left; len(left) != 1 || g.given["c0"].Apps[0].Bundle != nil {
		t.Errorf("with the other app's objects lost, %v is to stay", left)
	}
}

func TestHandoverOfTheUnknown(t *testing.T) {
	g := newGiver(t, 4, bundled(t, "base", "a"))
	g.entries, g.applied = map[string]ledger.Entry{}, nil // the directory is lost, and the clusters are not reached yet
	g.hand()
	g.holds("nobody knows what there was", all("base:")...)
	g.applied = map[string]bool{"c0/base": true, "c1/base": true}
	g.hand()
	g.holds("two clusters say that they had nothing", "c0 base:", "c1 base:")
	if why := g.given["c0"].Holds["base"]; why != whyUnknown {
		t.Errorf("the reason is %q", why)
	}
	g.settle("c0")
	g.holds("one was seen in order", "c1 base:")
	g.want(bundled(t, "base", "a"), bundled(t, "web", "w"))
	g.hand()
	g.holds("a new app", "c1 base:")

	delete(g.bundles, bundled(t, "", "w").Bundle.Digest)
	g.applied = map[string]bool{"c0/base": true, "c0/web": true}
	g.want(bundled(t, "base", "a"), bundled(t, "web", "v"))
	g.hand("c0")
	g.holds("a bundle that is lost", "c0 web:", "c1 base:")

	g = newGiver(t, 1, bundled(t, "base", "a", "x"))
	g.wanted["c0"].Fleet = "other"
	g.applied["c0/base"] = true
	g.hand()
	g.holds("what another fleet gave", "c0 base:")
}

func TestHandoverToOneThatComesLate(t *testing.T) {
	g := newGiver(t, 4, bundled(t, "base", "a", "x"), bundled(t, "web", "w", "y"))
	g.want(bundled(t, "base", "a"), bundled(t, "web", "w", "y"))
	g.away = 1
	g.hand("c0", "c1", "c2")
	g.holds("three of four clusters", "c0 base: x", "c1 base: x", "c2 base: x")
	g.away = 0
	g.hand()
	g.holds("the fourth joins them", all("base: x")...)

	g.settle("c0", "c1", "c2")
	g.wanted["c1"].Apps[1] = bundled(t, "web", "w")
	g.hand()
	g.holds("a small removal elsewhere is not held with it", "c3 base: x")
	if left := g.entries["c1"].Apps["web"].Left; left != nil {
		t.Errorf("%v is not let go", left)
	}
}

// Clusters that are reached one by one after a restart, or whose facts come late,
// do not each have the budget of the fleet.
func TestHandoverOneByOne(t *testing.T) {
	g := newGiver(t, 4, bundled(t, "base", "a", "x"))
	g.want(bundled(t, "base", "a"))
	g.of = "snapshot"
	g.away = 2
	g.hand("c0", "c1")
	g.holds("half of the clusters")
	g.settle("c0", "c1")
	g.away = 1
	g.hand("c0", "c1", "c2")
	g.holds("the third comes to the same snapshot", "c2 base: x")
	g.away = 0
	g.hand()
	g.holds("and the fourth", "c2 base: x", "c3 base: x")

	g = newGiver(t, 4, bundled(t, "base", "a", "x"))
	g.wanted["c0"].Apps = []app.Desired{bundled(t, "base", "a")}
	g.wanted["c1"].Apps = []app.Desired{bundled(t, "base", "a")}
	g.hand()
	if entry := g.entries["c0"]; len(entry.Gone) != 1 || entry.Snapshot == "" {
		t.Errorf("what has passed is not kept: %+v", entry)
	}
	g.want(bundled(t, "base", "a"))
	g.hand()
	g.holds("a later snapshot has a budget of its own")
	g.hand()
	if entry := g.entries["c3"]; entry.Gone != nil || entry.Snapshot != "" {
		t.Errorf("what passed for a snapshot before is kept: %+v", entry)
	}
}

func TestHandoverCountsTheFleet(t *testing.T) {
	many := func(from, to int) (names []string) {
		for i := from; i < to; i++ {
			names = append(names, fmt.Sprint("m", i))
		}
		return names
	}
	g := newGiver(t, 10, bundled(t, "base", "a"), bundled(t, "web", many(0, 30)...))
	for _, name := range []string{"c0", "c1", "c2", "c3"} { // 20 of 310
		g.wanted[name].Apps = []app.Desired{bundled(t, "base", "a"), bundled(t, "web", many(5, 30)...)}
	}
	g.hand()
	g.holds("twenty may always go")
	g.wanted["c4"].Apps = []app.Desired{bundled(t, "base", "a"), bundled(t, "web", many(1, 30)...)}
	g.hand()
	g.holds("those before have gone, and do not count again")
	g.wanted["c5"].Apps = []app.Desired{bundled(t, "base", "a"), bundled(t, "web", many(21, 30)...)}
	g.hand()
	g.holds("twenty-one at once", "c5 web: m0 m1 m10 m11 m12 m13 m14 m15 m16 m17 m18 m19 m2 m20 m3 m4 m5 m6 m7 m8 m9")
	if why := g.given["c5"].Holds["web"]; why != "21 of the fleet's 289 objects would go at once, more than 20" {
		t.Errorf("the reason is %q", why)
	}
}

func TestHandoverWhileIncomplete(t *testing.T) {
	g := newGiver(t, 4, bundled(t, "base", "a", "x"), bundled(t, "web", "w"))
	g.want(bundled(t, "base", "a"))
	for _, wanted := range g.wanted {
		wanted.Incomplete = errors.New("a file cannot be read")
	}
	g.hand()
	g.holds("nothing is deleted anyway")
	for _, wanted := range g.wanted {
		wanted.Incomplete = nil
	}
	g.want(bundled(t, "base", "a"), bundled(t, "web", "v"))
	g.hand()
	g.holds("then all of it counts", slices.Sorted(slices.Values(slices.Concat(all("base: x"), all("web: w"))))...)
}

// The digest that a person confirms is the one that the plan of the commit shows.
func TestHandoverAgreesWithThePlan(t *testing.T) {
	g := newGiver(t, 4, bundled(t, "base", "a", "x"), bundled(t, "web", "w"))
	old, wanted := map[string]*Compiled{}, map[string]*Compiled{}
	for name, a := range g.wanted {
		before := *a
		old[name] = &Compiled{Assignment: &before}
	}
	g.want(bundled(t, "base", "a"), bundled(t, "web", "w"))
	for name, a := range g.wanted {
		wanted[name] = &Compiled{Assignment: a}
	}
	plan := &Plan{}
	version := func(string) string { return "" }
	(&comparison{plan: plan, key: []byte("k"), groups: map[string]*PlanGroup{}, version: version}).compare(old, wanted, nil)
	g.hand()
	if len(plan.Groups) != 1 || len(plan.Groups[0].Clusters) != 4 {
		t.Fatalf("the plan is\n%s", plan)
	}
	group := plan.Groups[0]
	gone := group.Changes[0]
	if why := g.given["c2"].Holds["base"]; why != gone.Object.String()+" "+gone.Reason {
		t.Errorf("the plan says %q, the handover %q", gone.Reason, why)
	}
	if left := g.entries["c2"].Apps["base"].Left; group.Confirm != prune.Digest("base", left) || !slices.Equal(left, []object.ID{gone.Object}) {
		t.Errorf("the plan holds %v, the handover %v", group.Changes, left)
	}
}

func TestHandoverKeepsTheProjectWhileIncomplete(t *testing.T) {
	narrowed := bundled(t, "base", "a")
	narrowed.Options.Project = app.Limits{By: `project "default"`, NamespacedOnly: true}
	g := newGiver(t, 1, narrowed)
	g.want(bundled(t, "base", "a", "b"))
	for _, incomplete := range []error{errors.New("who brings the project is in error"), nil} {
		g.wanted["c0"].Incomplete = incomplete
		g.hand()
		if project := g.given["c0"].Apps[0].Options.Project; project.NamespacedOnly != (incomplete != nil) {
			t.Errorf("incomplete: %v: the app is given with project %+v", incomplete, project)
		}
	}
}
