package healthcheck

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
)

// The cases are what Flux's documentation of healthCheckExprs, its RFC 0009 and the
// tests of fluxcd/pkg/runtime/cel say of them.
func TestVerdict(t *testing.T) {
	ready := app.HealthCheck{
		Failed:  "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'False')",
		Current: "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')",
	}
	data := app.HealthCheck{InProgress: "data.inProgress", Failed: "data.failed", Current: "data.current"}
	fields := func(inProgress, failed, current bool) map[string]any {
		return map[string]any{"data": map[string]any{"inProgress": inProgress, "failed": failed, "current": current}}
	}
	condition := func(status string) map[string]any {
		return map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Synced", "status": status}}}}
	}
	for _, test := range []struct {
		reason string
		check  app.HealthCheck
		object map[string]any
		want   string
	}{
		{"a generation that is not observed yet comes first", app.HealthCheck{Current: "true"},
			map[string]any{"metadata": map[string]any{"generation": int64(2)}, "status": map[string]any{"observedGeneration": int64(1)}}, "in progress"},
		{"one that is observed says nothing", app.HealthCheck{Current: "true"},
			map[string]any{"metadata": map[string]any{"generation": int64(2)}, "status": map[string]any{"observedGeneration": int64(2)}}, "current"},
		{"a generation that is text is for the expressions", app.HealthCheck{Current: "status.observedGeneration == '2'"},
			map[string]any{"metadata": map[string]any{"generation": int64(2)}, "status": map[string]any{"observedGeneration": "2"}}, "current"},
		{"all are true", data, fields(true, true, true), "in progress"},
		{"failed comes before current", data, fields(false, true, true), "failed"},
		{"the last one", data, fields(false, false, true), "current"},
		{"none is true", data, fields(false, false, false), "in progress"},
		{"an error of the first ends it", data, map[string]any{"data": map[string]any{"current": true}}, `evaluating the expression "data.inProgress": no such key`},
		{"the condition is true", ready, condition("True"), "current"},
		{"the condition is false", ready, condition("False"), "failed"},
		{"the condition is unknown", ready, condition("Unknown"), "in progress"},
		{"there is no condition, of which all are as they should be", ready, map[string]any{"status": map[string]any{"conditions": []any{}}}, "failed"},
		{"there is no status", ready, map[string]any{}, "no such attribute"},
		{"it is no truth", app.HealthCheck{Current: "data"}, fields(true, true, true), "true or false"},
	} {
		checks, err := Read([]app.HealthCheck{test.check})
		if err != nil {
			t.Fatalf("%s: %v", test.reason, err)
		}
		verdict, err := checks.Of(schema.GroupKind{}).Verdict(&unstructured.Unstructured{Object: test.object})
		got := string(verdict)
		if err != nil {
			got = err.Error()
		}
		if got != test.want && (err == nil || !strings.Contains(got, test.want)) {
			t.Errorf("%s: %q, want %q", test.reason, got, test.want)
		}
	}
}

func TestOf(t *testing.T) {
	checks, err := Read([]app.HealthCheck{{Group: "example.org", Current: "true"}, {Group: "example.org", Kind: "A", Current: "false"}})
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[schema.GroupKind]Verdict{
		{Group: "example.org", Kind: "A"}: InProgress, {Group: "example.org", Kind: "B"}: Current, {Group: "example.com", Kind: "A"}: "",
	} {
		got := Verdict("")
		if check := checks.Of(kind); check != nil {
			got, _ = check.Verdict(&unstructured.Unstructured{Object: map[string]any{}})
		}
		if got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	if none, err := Read(nil); err != nil || none.Of(schema.GroupKind{Kind: "Pod"}) != nil {
		t.Errorf("no checks judge something: %v", err)
	}
}

func TestReadTellsAll(t *testing.T) {
	_, err := Read([]app.HealthCheck{{Group: "a", Kind: "A", InProgress: "status.", Current: "("}, {Group: "b"}, {Group: "a", Kind: "A", Current: "true"}})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("it is no list: %v", err)
	}
	var got []string
	for _, one := range joined.Unwrap() {
		var problem *Problem
		if !errors.As(one, &problem) {
			t.Fatalf("%v is no problem of a check", one)
		}
		got = append(got, string(rune('0'+problem.Check))+problem.Field)
	}
	if diff := cmp.Diff([]string{"0inProgress", "0current", "1current", "2"}, got); diff != "" {
		t.Error(diff)
	}
}
