package health

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAggregate(t *testing.T) {
	part := func(name string, status Status) Part { return Part{Name: name, Status: status} }
	tests := []struct {
		reason  string
		parts   []Part
		reasons int
		want    Summary
	}{
		{"nothing is Healthy", nil, 0, Summary{Status: Healthy}},
		{"all well", []Part{part("a", Healthy), part("b", Healthy)}, 0, Summary{Status: Healthy, Counts: map[Status]int{Healthy: 2}}},
		{"Suspended is worse than Healthy", []Part{part("a", Healthy), part("b", Suspended)}, 0,
			Summary{Status: Suspended, Counts: map[Status]int{Healthy: 1, Suspended: 1}, Reasons: []Part{part("b", Suspended)}}},
		{"the whole order, the worst first", []Part{part("p", Progressing), part("u", Unknown), part("s", Suspended), part("d", Degraded), part("h", Healthy), part("m", Missing)}, 0,
			Summary{Status: Unknown, Counts: map[Status]int{Healthy: 1, Suspended: 1, Progressing: 1, Missing: 1, Degraded: 1, Unknown: 1},
				Reasons: []Part{part("u", Unknown), part("d", Degraded), part("m", Missing), part("p", Progressing), part("s", Suspended)}}},
		{"by name among equals, and no more than asked for", []Part{part("c", Degraded), part("x", Progressing), part("a", Degraded), part("b", Degraded)}, 2,
			Summary{Status: Degraded, Counts: map[Status]int{Degraded: 3, Progressing: 1}, Reasons: []Part{part("a", Degraded), part("b", Degraded)}, More: 2}},
		{"ignored parts do not count", []Part{{Name: "a", Status: Degraded, Ignored: true}, part("b", Healthy)}, 0,
			Summary{Status: Healthy, Counts: map[Status]int{Healthy: 1}, Ignored: 1}},
		{"a word that is none", []Part{part("a", "Fine")}, 0,
			Summary{Status: Unknown, Counts: map[Status]int{Unknown: 1}, Reasons: []Part{part("a", Unknown)}}},
	}
	for _, test := range tests {
		for range 2 {
			if diff := cmp.Diff(test.want, Aggregate(test.parts, test.reasons)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			slices.Reverse(test.parts) // The order of parts must not matter.
		}
	}
}

// TestLevels goes from objects to the fleet.
func TestLevels(t *testing.T) {
	app := Aggregate([]Part{
		Result{Status: Degraded, Message: "1 of 3 replicas are updated"}.Part("Deployment web/cart"),
		Result{Status: Degraded}.Part("Pod web/job"),
		Result{Status: Unknown, Ignored: true}.Part("Thing web/x"),
		Result{Status: Healthy}.Part("Service web/cart"),
	}, 0)
	if got, want := app.String(), "Degraded: 2 Degraded, 1 Healthy, 1 ignored"; got != want {
		t.Errorf("app is %q, want %q", got, want)
	}
	cluster := Aggregate([]Part{app.Part("cart"), Aggregate(nil, 0).Part("search")}, 0)
	fleet := Aggregate([]Part{cluster.Part("prod-us-1"), {Name: "prod-us-2", Status: Healthy}}, 0)
	want := []Part{{Name: "prod-us-1", Status: Degraded, Message: "cart: Deployment web/cart: 1 of 3 replicas are updated (and 1 more)"}}
	if diff := cmp.Diff(want, fleet.Reasons); diff != "" {
		t.Errorf("reasons of the fleet (-want +got):\n%s", diff)
	}
	if got, want := Aggregate(nil, 0).String(), "Healthy"; got != want {
		t.Errorf("nothing is %q, want %q", got, want)
	}
}

func TestDeadline(t *testing.T) {
	since := time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)
	waiting := Result{Status: Progressing, Message: "1 of 2 pods are ready", Source: SourceBuiltin}
	own := waiting
	own.OwnDeadline = 30 * time.Minute
	short := waiting
	short.OwnDeadline = 30 * time.Second
	late := func(r Result, message string) Result {
		r.Status, r.Message = Degraded, message
		return r
	}
	tests := []struct {
		reason   string
		deadline Deadline
		result   Result
		after    time.Duration
		want     Result
		expires  time.Duration
	}{
		{"in time", Deadline{10 * time.Minute, since}, waiting, 10*time.Minute - 1, waiting, 10 * time.Minute},
		{"late", Deadline{10 * time.Minute, since}, waiting, 10*time.Minute + 1400*time.Millisecond,
			late(waiting, "progressing for longer than 10m0s: 1 of 2 pods are ready"), 10 * time.Minute},
		{"late without a message", Deadline{time.Minute, since}, Result{Status: Progressing}, time.Minute,
			late(Result{}, "progressing for longer than 1m0s"), time.Minute},
		{"the object's own deadline is longer", Deadline{10 * time.Minute, since}, own, 31*time.Minute - 1, own, 31 * time.Minute},
		{"the controller kept silent", Deadline{10 * time.Minute, since}, own, 31 * time.Minute,
			late(own, "progressing for longer than 31m0s: 1 of 2 pods are ready"), 31 * time.Minute},
		{"the object's own deadline is shorter, and its controller's affair", Deadline{10 * time.Minute, since}, short, 9 * time.Minute, short, 10 * time.Minute},
		{"no limit", Deadline{0, since}, waiting, 1000 * time.Hour, waiting, -1},
		{"no beginning", Deadline{Limit: time.Minute}, waiting, 1000 * time.Hour, waiting, -1},
		{"a clock that went back", Deadline{time.Minute, since}, waiting, -time.Hour, waiting, time.Minute},
		{"only Progressing expires", Deadline{time.Minute, since}, Result{Status: Suspended}, time.Hour, Result{Status: Suspended}, -1},
	}
	for _, test := range tests {
		if got := test.deadline.Apply(test.result, since.Add(test.after)); got != test.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.reason, got, test.want)
		}
		at, ok := test.deadline.Expires(test.result)
		if ok != (test.expires >= 0) || ok && !at.Equal(since.Add(test.expires)) {
			t.Errorf("%s: expires at %s (%v), want %s after the beginning", test.reason, at, ok, test.expires)
		}
	}
}

// TestJudge holds several results against one deadline: the first that expires says when to look again.
func TestJudge(t *testing.T) {
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	deadline := Deadline{10 * time.Minute, since}
	waiting, slow := Result{Status: Progressing}, Result{Status: Progressing, OwnDeadline: 30 * time.Minute}
	for _, test := range []struct {
		reason  string
		results []Result
		after   time.Duration
		want    []Status
		next    time.Duration // after since; 0 for never
	}{
		{"nothing expires", []Result{{Status: Healthy}, {Status: Degraded}}, time.Hour, []Status{Healthy, Degraded}, 0},
		{"the shortest comes first", []Result{slow, {Status: Healthy}, waiting}, time.Minute, []Status{Progressing, Healthy, Progressing}, 10 * time.Minute},
		{"what is late stays so, and another is yet to be", []Result{waiting, slow}, 10 * time.Minute, []Status{Degraded, Progressing}, 31 * time.Minute},
		{"what is late stays so", []Result{waiting}, time.Hour, []Status{Degraded}, 0},
	} {
		next := deadline.Judge(test.results, since.Add(test.after))
		if test.next == 0 != next.IsZero() || test.next != 0 && !next.Equal(since.Add(test.next)) {
			t.Errorf("%s: next at %s", test.reason, next)
		}
		for i, want := range test.want {
			if got := test.results[i].Status; got != want {
				t.Errorf("%s: result %d is %s, want %s", test.reason, i, got, want)
			}
		}
	}
}
