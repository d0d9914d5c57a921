package change

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func parse(tb testing.TB, text string) map[string]any {
	tb.Helper()
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
		tb.Fatal(err)
	}
	return parsed
}

func TestFields(t *testing.T) {
	tests := []struct{ reason, from, to, want string }{
		{"equal states", "{a: {b: [1, {c: d}]}}", "{a: {b: [1, {c: d}]}}", ""},
		{"a value, nested", "{spec: {template: {replicas: 1}}}", "{spec: {template: {replicas: 2}}}",
			"spec.template.replicas: 1 -> 2"},
		{"false is a value", "{a: false}", "{a: true}", "a: false -> true"},
		{"added", "{}", "{a: {b: c}}", `a: (none) -> {"b":"c"}`},
		{"removed", "{a: {b: c}, d: e}", "{d: e}", `a: {"b":"c"} -> (none)`},
		{"null is as good as absent", "{a: null, b: 1}", "{b: 1}", ""},
		{"an empty map is not", "{a: {}}", "{}", `a: {} -> (none)`},
		{"another type", "{a: '1'}", "{a: 1}", `a: "1" -> 1`},
		{"a map becomes a list", "{a: {b: c}}", "{a: [b]}", `a: {"b":"c"} -> ["b"]`},
		{"a list becomes a text", "{a: [b]}", "{a: b}", `a: ["b"] -> "b"`},
		{"several, by path", "{z: 1, a: 1, m: {k: 1, b: 1}}", "{z: 2, a: 2, m: {k: 2, b: 2}}",
			"a: 1 -> 2\nm.b: 1 -> 2\nm.k: 1 -> 2\nz: 1 -> 2"},
		{"keys that are no plain words", `{metadata: {annotations: {a.example.com/b: x, plain: x, "": x}}}`,
			`{metadata: {annotations: {a.example.com/b: z, plain: z, "": z}}}`,
			"metadata.annotations[\"\"]: \"x\" -> \"z\"\nmetadata.annotations[\"a.example.com/b\"]: \"x\" -> \"z\"\nmetadata.annotations.plain: \"x\" -> \"z\""},

		{"an item by its name, though it moved", "{c: [{name: a, image: 'a:1'}, {name: b, image: 'b:1'}]}", "{c: [{name: new}, {name: a, image: 'a:1'}, {name: b, image: 'b:2'}]}",
			"c[name=b].image: \"b:1\" -> \"b:2\"\nc[name=new]: (none) -> {\"name\":\"new\"}"},
		{"an item that is gone", "{c: [{name: a}, {name: b}]}", "{c: [{name: b}]}", `c[name=a]: {"name":"a"} -> (none)`},
		{"the first of a list", "{c: []}", "{c: [{name: a}]}", `c[name=a]: (none) -> {"name":"a"}`},
		{"the last of a list", "{c: [{name: a}]}", "{c: []}", `c[name=a]: {"name":"a"} -> (none)`},
		{"the same in another order", "{c: [{name: a}, {name: b}]}", "{c: [{name: b}, {name: a}]}", `c: ["a","b"] -> ["b","a"]`},
		{"named items that hold named items", "{c: [{name: a, env: [{name: X, value: '1'}]}]}", "{c: [{name: a, env: [{name: X, value: '2'}]}]}",
			`c[name=a].env[name=X].value: "1" -> "2"`},

		{"by position", "{args: [a, b, c]}", "{args: [a, x, c]}", `args[1]: "b" -> "x"`},
		{"longer", "{args: [a]}", "{args: [a, b]}", `args[1]: (none) -> "b"`},
		{"shorter", "{args: [a, b]}", "{args: [a]}", `args[1]: "b" -> (none)`},
		{"a name that two have", "{m: [{name: v, path: /a}, {name: v, path: /b}]}", "{m: [{name: v, path: /a}, {name: v, path: /c}]}",
			`m[1].path: "/b" -> "/c"`},
		{"an item without a name", "{ports: [{name: web, port: 1}, {port: 2}]}", "{ports: [{name: web, port: 1}, {port: 3}]}",
			"ports[1].port: 2 -> 3"},
		{"a name that is no text", "{c: [{name: 1, a: 1}]}", "{c: [{name: 1, a: 2}]}", "c[0].a: 1 -> 2"},
		{"lists in lists", "{c: [[1, 2], [3]]}", "{c: [[1, 2], [4]]}", "c[1][0]: 3 -> 4"},
	}
	for _, test := range tests {
		var lines []string
		for _, field := range Fields(parse(t, test.from), parse(t, test.to)) {
			lines = append(lines, field.String())
		}
		if diff := cmp.Diff(test.want, strings.Join(lines, "\n")); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
		if turned := Fields(parse(t, test.to), parse(t, test.from)); len(turned) != len(lines) {
			t.Errorf("%s: %d fields, and the other way round %d", test.reason, len(lines), len(turned))
		}
	}
}

func TestFieldString(t *testing.T) {
	tests := []struct {
		reason string
		field  Field
		want   string
	}{
		{"who did it", Field{Path: "a", From: int64(1), To: int64(2), Manager: "kubectl-edit"}, "a: 1 -> 2 (by kubectl-edit)"},
		{"signs are shown as they are", Field{Path: "a", From: "<&>", To: "é\n"}, `a: "<&>" -> "é\n"`},
		{"a long value is cut", Field{Path: "a", To: strings.Repeat("x", 200)}, `a: (none) -> "` + strings.Repeat("x", 119) + "…"},
		{"not within a letter", Field{Path: "a", To: strings.Repeat("é", 200)}, `a: (none) -> "` + strings.Repeat("é", 59) + "…"},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, test.field.String()); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
	}
}
