package ownership

import (
	"encoding/json"
	"testing"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

func TestPattern(t *testing.T) {
	element := fieldpath.KeyElementByFields("name", "web")
	containers := func(rest ...any) fieldpath.Path {
		return fieldpath.MakePathOrDie(append([]any{"spec", "containers", element.Key}, rest...)...)
	}
	for _, test := range []struct {
		pattern string
		path    fieldpath.Path
		matches bool
		from    string
		removed string
	}{
		{"spec.replicas", fieldPath("spec", "replicas"), true, `{"spec":{"replicas":2,"x":1}}`, `{"spec":{"x":1}}`},
		{"spec.replicas", fieldPath("spec"), false, `{"spec":1}`, `{"spec":1}`},
		{"spec", fieldPath("spec", "replicas"), true, `{"spec":{"replicas":2}}`, `{}`},
		{"/spec/replicas", fieldPath("spec", "replicas"), true, `{"spec":{"replicas":2}}`, `{"spec":{}}`},
		{"/data/a~1b", fieldPath("data", "a/b"), true, `{"data":{"a/b":2}}`, `{"data":{}}`},
		{`metadata.annotations["a/b.c"]`, fieldPath("metadata", "annotations", "a/b.c"), true,
			`{"metadata":{"annotations":{"a/b.c":"1","d":"2"}}}`, `{"metadata":{"annotations":{"d":"2"}}}`},
		{"spec.containers[name=web].image", containers("image"), true,
			`{"spec":{"containers":[{"name":"web","image":"a"},{"name":"b","image":"c"}]}}`,
			`{"spec":{"containers":[{"name":"web"},{"name":"b","image":"c"}]}}`},
		{"spec.containers[name=db].image", containers("image"), false,
			`{"spec":{"containers":[{"name":"web","image":"a"}]}}`, `{"spec":{"containers":[{"name":"web","image":"a"}]}}`},
		{"spec.containers[*].image", containers("image"), true,
			`{"spec":{"containers":[{"name":"web","image":"a"},{"name":"b","image":"c"}]}}`,
			`{"spec":{"containers":[{"name":"web"},{"name":"b"}]}}`},
		{"spec.containers[0]", containers(), true,
			`{"spec":{"containers":[{"name":"web"},{"name":"b"}]}}`, `{"spec":{"containers":[{"name":"b"}]}}`},
		{"/spec/containers/0/image", containers("image"), true,
			`{"spec":{"containers":[{"name":"web","image":"a"}]}}`, `{"spec":{"containers":[{"name":"web"}]}}`},
	} {
		t.Run(test.pattern, func(t *testing.T) {
			pattern, err := ParsePattern(test.pattern)
			if err != nil {
				t.Fatal(err)
			}
			if got := pattern.Matches(test.path); got != test.matches {
				t.Errorf("matches %s: %v, want %v", test.path, got, test.matches)
			}
			var from any
			if err := json.Unmarshal([]byte(test.from), &from); err != nil {
				t.Fatal(err)
			}
			removed, err := json.Marshal(pattern.Remove(from))
			if err != nil || string(removed) != canonical(t, test.removed) {
				t.Errorf("left %s, want %s", removed, test.removed)
			}
		})
	}
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestParsePatternRefuses(t *testing.T) {
	for _, text := range []string{"", ".spec", "spec..x", "spec.", "a[", "a[]", `a["b`, `a["b"`, "a[-1]", "a[=b]", "/", "//a", "a b]"} {
		if pattern, err := ParsePattern(text); err == nil {
			t.Errorf("%q was read as %v", text, pattern)
		}
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, seed := range []string{"spec.replicas", "/spec/0/a~1b", `a["b"][*][name=web][3].c`, "[", `["\u00`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pattern, err := ParsePattern(text)
		if err != nil {
			return
		}
		if len(pattern) == 0 {
			t.Fatalf("%q was read as nothing", text)
		}
		pattern.Matches(fieldPath("spec", "replicas"))
		var from any = map[string]any{"spec": map[string]any{"replicas": int64(1)}, "a": []any{map[string]any{"name": "web"}, "x"}}
		if pattern.Remove(from) == nil {
			t.Fatalf("%q removed everything", text)
		}
	})
}
