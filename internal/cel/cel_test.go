package cel

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTrue(t *testing.T) {
	values := map[string]any{
		"self": map[string]any{"metadata": map[string]any{"labels": map[string]any{"version": "v2"}}},
		"dep": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"version": "v2"}, "generation": int64(3)},
			"status":   map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
		},
	}
	for _, test := range []struct{ reason, expression, want string }{
		{"as Flux documents it", `dep.metadata.labels['version'] == self.metadata.labels['version'] && dep.status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')`, "true"},
		{"false is an answer", `has(dep.metadata.annotations)`, "false"},
		{"numbers of any kind", `dep.metadata.generation > 2.5`, "true"},
		{"optional fields", `dep.?metadata.?annotations.hasValue()`, "false"},
		{"what is not there", `dep.status.revision == 'x'`, "no such key"},
		{"what is no truth", `dep.metadata.labels`, "true or false"},
		{"what is known to be none", `'yes'`, "it comes to string"},
		{"an unknown variable", `other.status`, "undeclared reference"},
		{"no expression", `dep.`, "Syntax error"},
		{"too long", strings.Repeat(" ", maxLength) + "true", "longer than"},
	} {
		got := ""
		expression, err := Compile(test.expression, "self", "dep")
		if err == nil {
			var truth bool
			if truth, err = expression.True(values); err == nil {
				got = map[bool]string{true: "true", false: "false"}[truth]
			}
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.reason, got, test.want)
		}
	}
}

func TestCostIsBounded(t *testing.T) {
	var list []any
	for i := range 200 {
		list = append(list, int64(i))
	}
	expression, err := Compile(`self.list.all(a, self.list.all(b, self.list.all(c, a + b + c >= 0)))`, "self")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := expression.True(map[string]any{"self": map[string]any{"list": list}}); err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("eight million steps are taken: %v", err)
	}
}

// What an expression makes of little is bounded as well, in time and in memory.
func TestWorkIsBounded(t *testing.T) {
	double := func(start, step string) string { return start + strings.Repeat(step, 40) }
	var list []any
	for i := range 3000 {
		list = append(list, int64(i))
	}
	values := map[string]any{"text": strings.Repeat("a", 1<<20), "list": list}
	for _, test := range []struct{ reason, expression string }{
		{"text that doubles", double("['aaaaaaaaaa']", ".map(a, a+a)") + ".size() == 1"},
		{"lists that double", double("[[1]]", ".map(a, a+a)") + ".size() == 1"},
		{"lists in lists", "[1].map(x, " + double("[[1]]", ".map(a, [a,a])") + ").all(x, x == x)"},
		{"text in place of text", "text.replace('a', text) == ''"},
		{"text joined", "list.map(x, text).join() == ''"},
		{"text joined by text", "list.map(x, 'a').join(text) == ''"},
		{"text formatted", "'" + strings.Repeat("%s", 1000) + "'.format(" + "[" + strings.Repeat("text,", 400) + "text]) == ''"},
		{"sets", "sets.contains(list, list)"},
		{"equal lists, again and again", "list.all(a, list == list)"},
		{"members, again and again", "list.all(a, 2999 in list)"},
	} {
		expression, err := Parse(test.expression)
		if err != nil {
			t.Fatalf("%s: %v", test.reason, err)
		}
		if _, err := expression.True(values); err == nil || !strings.Contains(err.Error(), "cost limit") && !strings.Contains(err.Error(), "too much") {
			t.Errorf("%s: %v", test.reason, err)
		}
	}
	for _, expression := range []string{"text.replace('a', 'b') != text", "list.map(x, x + 1).size() == 3000", "list == list && 7 in list", "sets.contains(['a'], ['a'])"} {
		compiled, err := Parse(expression)
		if err != nil {
			t.Fatal(err)
		}
		if truth, err := compiled.True(values); err != nil || !truth {
			t.Errorf("%s: %t, %v", expression, truth, err)
		}
	}
}

func TestParse(t *testing.T) {
	values := map[string]any{"status": map[string]any{"phase": "Ready", "list": []any{}}}
	for _, test := range []struct{ reason, expression, want string }{
		{"any name is one of the object", "status.phase == 'Ready'", "true"},
		{"what is not there", "spec.phase == 'Ready'", "no such attribute"},
		{"what is not there, further in", "status.reason == 'Ready'", "no such key"},
		{"a type is wrong", "status.list", "true or false"},
		{"no expression", "status.", "Syntax error"},
	} {
		got := ""
		expression, err := Parse(test.expression)
		if err == nil {
			var truth bool
			if truth, err = expression.True(values); err == nil {
				got = map[bool]string{true: "true", false: "false"}[truth]
			}
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.reason, got, test.want)
		}
	}
}

func TestFields(t *testing.T) {
	expression, err := Compile(`dep.status.a == 1 && dep['status']['b'] == 1 && dep.?status.?c.hasValue() && has(dep.status.d) && dep.status[self.x] == 1 && self.status.e == 1`, "self", "dep")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"*", "a", "b", "c", "d"}, expression.Fields("dep", "status")); diff != "" {
		t.Error(diff)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("dep.status.a == 1")
	f.Fuzz(func(t *testing.T, text string) {
		if expression, err := Compile(text, "dep"); err == nil {
			expression.Fields("dep", "status")
			_, _ = expression.True(map[string]any{"dep": map[string]any{}})
		}
		if expression, err := Parse(text); err == nil {
			_, _ = expression.True(map[string]any{"dep": map[string]any{}})
		}
	})
}
