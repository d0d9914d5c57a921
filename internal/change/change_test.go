package change

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/object"
)

// all has an entry for each action, in no order.
func all() Set {
	entry := func(name string, action Action, reason string, fields ...Field) Entry {
		return Entry{Object: object.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: name}, Action: action, Reason: reason, Fields: fields}
	}
	return Set{
		entry("same", Unchanged, ""),
		entry("waits", Skipped, "waits for wave 0"),
		entry("left", Orphaned, ""),
		entry("differs", Drifted, "", Field{Path: "spec.replicas", From: int64(3), To: int64(5), Manager: "kubectl-edit"}),
		entry("web", Updated, "", Field{Path: "spec.replicas", From: int64(3), To: int64(5)}, Field{Path: "spec.paused", From: true}),
		entry("api", Updated, "", Field{Path: "spec.replicas", To: int64(1)}),
		entry("repaired", Corrected, "", Field{Path: "spec.replicas", From: int64(5), To: int64(3), Manager: "kubectl-edit"}),
		entry("found", Adopted, ""),
		entry("fresh", Created, ""),
		entry("again", Replaced, "spec.selector cannot be changed"),
		entry("gone", Deleted, ""),
		entry("disputed", Conflict, `the app "cart" has it`),
		entry("much", Held, "waits for confirmation"),
		entry("bad", Failed, "forbidden"),
	}
}

func TestSetString(t *testing.T) {
	set := all()
	set.Sort()
	const want = `failed    apps/Deployment shop/bad: forbidden
held      apps/Deployment shop/much: waits for confirmation
conflict  apps/Deployment shop/disputed: the app "cart" has it
deleted   apps/Deployment shop/gone
replaced  apps/Deployment shop/again: spec.selector cannot be changed
created   apps/Deployment shop/fresh
adopted   apps/Deployment shop/found
corrected apps/Deployment shop/repaired
            spec.replicas: 5 -> 3 (by kubectl-edit)
updated   apps/Deployment shop/api
            spec.replicas: (none) -> 1
updated   apps/Deployment shop/web
            spec.replicas: 3 -> 5
            spec.paused: true -> (none)
drifted   apps/Deployment shop/differs
            spec.replicas: 3 -> 5 (by kubectl-edit)
orphaned  apps/Deployment shop/left
skipped   apps/Deployment shop/waits: waits for wave 0
`
	if diff := cmp.Diff(want, set.String()); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	if text := (Set{}).String(); text != "" {
		t.Errorf("an empty set prints %q", text)
	}
}

func TestSummary(t *testing.T) {
	tests := []struct {
		reason string
		set    Set
		want   string
	}{
		{"every action once, the two updates together", all(), "1 failed, 1 held, 1 conflict, 1 deleted, 1 replaced, 1 created, 1 adopted, 1 corrected, 2 updated, 1 drifted, 1 orphaned, 1 skipped, 1 unchanged"},
		{"only some", all().With(Unchanged, Updated), "2 updated, 1 unchanged"},
		{"none", nil, "nothing"},
	}
	for _, test := range tests {
		if have := test.set.Summary(); have != test.want {
			t.Errorf("%s: %q, want %q", test.reason, have, test.want)
		}
	}
}

func TestCount(t *testing.T) {
	tests := []struct {
		reason  string
		actions []Action
		want    int
	}{
		{"one action", []Action{Updated}, 2},
		{"several", []Action{Updated, Created, Held}, 4},
		{"an action named twice counts once", []Action{Held, Held}, 1},
		{"no action", nil, 0},
	}
	for _, test := range tests {
		if have := all().Count(test.actions...); have != test.want {
			t.Errorf("%s: %d, want %d", test.reason, have, test.want)
		}
		if have := len(all().With(test.actions...)); have != test.want {
			t.Errorf("%s: %d entries, want %d", test.reason, have, test.want)
		}
	}
}
