package jq

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var deployment = map[string]any{
	"kind":     "Deployment",
	"metadata": map[string]any{"annotations": map[string]any{"a/b": "c"}},
	"spec": map[string]any{"replicas": int64(3), "containers": []any{
		map[string]any{"name": "web", "image": "a"}, map[string]any{"name": "proxy", "image": "b", "env": []any{"x"}},
	}},
}

func TestPaths(t *testing.T) {
	for _, test := range []struct {
		expression string
		want       [][]any
		reason     string
	}{
		{".spec.replicas", [][]any{{"spec", "replicas"}}, "a field"},
		{`.metadata.annotations["a/b"]`, [][]any{{"metadata", "annotations", "a/b"}}, "a key that is no name"},
		{`.spec.containers[] | select(.name == "proxy") | .image`, [][]any{{"spec", "containers", 1, "image"}}, "elements that are chosen"},
		{`.spec.containers[]?.env[0]`, [][]any{{"spec", "containers", 0, "env", 0}, {"spec", "containers", 1, "env", 0}}, "a place in a list"},
		{`.spec.containers[] | select(.name | test("^pro"))`, [][]any{{"spec", "containers", 1}}, "a pattern"},
		{".. | .image? # all", [][]any{{"image"}, {"metadata", "image"}, {"metadata", "annotations", "image"}, {"spec", "image"}, {"spec", "containers", 0, "image"}, {"spec", "containers", 1, "image"}}, "wherever it is, and a comment"},
		{".spec.replicas[]", nil, "an object that it does not fit"},
		{".status.conditions[].x", nil, "nor one without the field"},
		{".spec | select(.replicas > 2) | .replicas", [][]any{{"spec", "replicas"}}, "numbers are compared"},
	} {
		t.Run(test.expression, func(t *testing.T) {
			e, err := Parse(test.expression)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Paths(t.Context(), deployment)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", test.reason, diff)
			}
		})
	}
}

func TestWhatIsNotAllowed(t *testing.T) {
	for _, text := range []string{
		".a[", "def f: f; f", "range(1000000000)", "[range(9)]", "reduce .[] as $x (0; .)", "foreach .[] as $x (0; .)",
		`"x" * 100000000`, `(. + .) | (. + .)`, `"\(.)\(.)"`, ".a[2:4]", "input", "env", "$ENV", ". as $x | .a", "{a: .}", "@base64", "recurse(.a)",
		"until(false; .)", "repeat(.)", "limit(1; .)", ".a |= 1", "del(.a)", "import \"a\" as a; .", ") | (.a", "try .a catch .b", `.["\(.a)"]`,
		strings.Repeat("(", 60) + "." + strings.Repeat(")", 60), strings.Repeat(".", 3000), "debug", "now",
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is allowed", text)
		}
	}
}

// What goes on for ever, or means too much, ends.
func TestBounds(t *testing.T) {
	list := make([]any, 3000)
	for i := range list {
		list[i] = map[string]any{"a": "b"}
	}
	for _, text := range []string{".list[]", strings.Repeat(".. | ", 16) + "select(.none?)"} {
		e, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if paths, err := e.Paths(context.WithoutCancel(t.Context()), map[string]any{"list": list, "more": list}); err == nil {
			t.Errorf("%q: %d paths in %s", text, len(paths), time.Since(began))
		}
		if took := time.Since(began); took > 10*duration {
			t.Errorf("%q took %s", text, took)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{".spec.replicas", `.a[] | select(.b == "c").d`, "..", "if .a then .b else .c end", ".a // .b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		paths, err := e.Paths(ctx, deployment)
		if err == nil && len(paths) > most {
			t.Errorf("%q means %d paths", text, len(paths))
		}
	})
}
