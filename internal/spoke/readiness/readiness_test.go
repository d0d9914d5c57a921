package readiness

import (
	"strings"
	"testing"

	"nave.dev/internal/app"
)

func TestObstacle(t *testing.T) {
	const isReady = "dep.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
	object := func(version string) map[string]any {
		return map[string]any{"metadata": map[string]any{"labels": map[string]any{"version": version}}}
	}
	for _, test := range []struct {
		reason, expression string
		settled            bool
		want               string
	}{
		{"it is settled", isReady, true, ""},
		{"it is not", isReady, false, "base to be ready by the expression"},
		{"it is not, and that is asked for", "dep.status.conditions[0].status == 'False'", false, ""},
		{"a generation as Git has it", "dep.status.observedGeneration == 1", false, ""},
		{"both are compared", "dep.metadata.labels.version == self.metadata.labels.version", false, "to be ready by"},
		{"what is not there", "dep.metadata.annotations.x == 'y'", true, "an expression that fails: no such key: annotations"},
		{"no expression", "dep.", true, "Syntax error"},
	} {
		got := Obstacle(app.Readiness{App: "base", Expression: test.expression, Self: object("v2"), Dependency: object("v1")}, test.settled)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.reason, got, test.want)
		}
	}
	if got := Obstacle(app.Readiness{App: "base", Expression: isReady}, true); got != "" {
		t.Errorf("of an object that nobody knows: %s", got)
	}
}
