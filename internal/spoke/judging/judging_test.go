package judging

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/health"
)

var widget = schema.GroupKind{Group: "example.org", Kind: "Widget"}

func object(kind string, status map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.org/v1", "kind": kind, "metadata": map[string]any{"name": "a"}}}
	if kind == "ConfigMap" || kind == "Secret" {
		u.SetAPIVersion("v1")
	}
	if status != nil {
		u.Object["status"] = status
	}
	return u
}

func TestCheck(t *testing.T) {
	checker, err := health.New(health.Options{})
	if err != nil {
		t.Fatal(err)
	}
	expression := app.HealthCheck{Group: "example.org", Kind: "Widget", InProgress: "has(status.doing)", Failed: "status.phase == 'Bad'", Current: "status.phase == 'Good'"}
	rules := New(checker).Next(checker, map[string][]app.HealthCheck{
		"shop":  {expression, {Kind: "ConfigMap", Current: "data.ready == 'yes'"}, {Kind: "Secret", Current: "int(data.token) == 1"}},
		"wrong": {{Group: "example.org", Current: "("}},
	})
	phase := func(phase string) map[string]any { return map[string]any{"phase": phase} }
	secret := object("Secret", nil)
	secret.Object["data"] = map[string]any{"token": "swordfish"}
	full := object("ConfigMap", nil)
	full.Object["data"] = map[string]any{"ready": "yes"}
	deleted := object("Widget", phase("Good"))
	deleted.Object["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	ignored := object("Widget", phase("Bad"))
	ignored.SetAnnotations(map[string]string{health.IgnoreAnnotation: "true"})
	for _, test := range []struct {
		reason, app string
		object      *unstructured.Unstructured
		want        health.Status
		message     string
	}{
		{"as it should be", "shop", object("Widget", phase("Good")), health.Healthy, ""},
		{"failed", "shop", object("Widget", phase("Bad")), health.Degraded, "expression"},
		{"neither", "shop", object("Widget", phase("New")), health.Progressing, "expression"},
		{"in progress comes first", "shop", object("Widget", map[string]any{"phase": "Good", "doing": true}), health.Progressing, ""},
		{"there is no status yet", "shop", object("Widget", nil), health.Progressing, "first status"},
		{"what is not there cannot be told", "shop", object("Widget", map[string]any{"other": true}), health.Unknown, "no such key: phase"},
		{"one that is deleted is not well", "shop", deleted, health.Progressing, "being deleted"},
		{"one that is ignored", "shop", ignored, health.Degraded, ""},
		{"one that is not there", "shop", nil, health.Missing, ""},
		{"another app has no such expression", "other", object("Widget", phase("Bad")), health.Healthy, ""},
		{"another kind", "shop", object("Gadget", phase("Bad")), health.Healthy, ""},
		{"a kind that is well as it is there", "shop", full, health.Healthy, ""},
		{"an error repeats no value of a Secret", "shop", secret, health.Unknown, "withheld"},
		{"what cannot be read is not well", "wrong", object("Widget", phase("Good")), health.Unknown, "reading the health checks of wrong"},
	} {
		got := rules.Check(t.Context(), test.app, test.object)
		if got.Status != test.want || !strings.Contains(got.Message, test.message) || strings.Contains(got.Message, "swordfish") {
			t.Errorf("%s: %s %q, want %s %q", test.reason, got.Status, got.Message, test.want, test.message)
		}
		if got.Ignored != (test.object == ignored) {
			t.Errorf("%s: it is ignored: %t", test.reason, got.Ignored)
		}
	}
	if !rules.HasRule(schema.GroupKind{Kind: "ConfigMap"}) || New(checker).HasRule(schema.GroupKind{Kind: "ConfigMap"}) {
		t.Errorf("whether a kind has a rule is not told by the expressions")
	}
}

func TestVersion(t *testing.T) {
	checker, err := health.New(health.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stated := func(current string) map[string][]app.HealthCheck {
		return map[string][]app.HealthCheck{"shop": {{Group: widget.Group, Current: current}}}
	}
	none := New(checker)
	one := none.Next(checker, stated("true"))
	switch {
	case none.Next(checker, nil) != none || one.Next(checker, stated("true")) != one:
		t.Errorf("what is the same is made anew")
	case none.Version(widget) == one.Version(widget):
		t.Errorf("a new expression makes no other version")
	case one.Version(widget) == one.Next(checker, stated("false")).Version(widget):
		t.Errorf("another expression makes no other version")
	case none.Version(schema.GroupKind{Kind: "Pod"}) != one.Version(schema.GroupKind{Kind: "Pod"}):
		t.Errorf("an expression makes another version of what it is not about")
	}
}
