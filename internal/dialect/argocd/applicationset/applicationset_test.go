package applicationset

import (
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/dialect/argocd/templates"
)

// one is a single repository.
type one struct{ fstest.MapFS }

func (o one) Open(string, string) (fs.FS, error) { return o.MapFS, nil }

// TestGeneratorsAreBounded says that generators in a matrix take from the budget even
// if they find nothing, and so make nothing that would be counted.
func TestGeneratorsAreBounded(t *testing.T) {
	files := fstest.MapFS{"values.yaml": {Data: []byte("a: " + strings.Repeat("x", 3000))}}
	for range 100 {
		files["x"+strings.Repeat("y", len(files))] = &fstest.MapFile{}
	}
	elements := make([]any, 50)
	for i := range elements {
		elements[i] = map[string]any{"a": "b"}
	}
	for reason, second := range map[string]map[string]any{
		"directories": {"git": map[string]any{"repoURL": "x", "revision": "HEAD", "directories": []any{map[string]any{"path": "none"}}}},
		"files":       {"git": map[string]any{"repoURL": "x", "revision": "HEAD", "files": []any{map[string]any{"path": "none"}}}},
		"contents":    {"git": map[string]any{"repoURL": "x", "revision": "HEAD", "files": []any{map[string]any{"path": "values.yaml"}}}},
		"text":        {"list": map[string]any{"elementsYaml": "[] # " + strings.Repeat("x", 10_000)}},
		"nodes":       {"list": map[string]any{"elements": []any{}}, "none": make([]any, 1000)},
	} {
		matrix := func() (Generated, error) {
			budget := templates.NewBudget()
			for budget.Spend(10_000) == nil { // all but some
			}
			if err := budget.Spend(-30_000); err != nil {
				t.Fatal(err)
			}
			return Generate(map[string]any{"spec": map[string]any{
				"goTemplate": true, "template": map[string]any{"metadata": map[string]any{"name": "x"}},
				"generators": []any{map[string]any{"matrix": map[string]any{"generators": []any{map[string]any{"list": map[string]any{"elements": elements}}, second}}}},
			}}, Inputs{Files: one{files}, Budget: budget})
		}
		if out, err := matrix(); err == nil || !strings.Contains(err.Error(), "too much work") {
			t.Errorf("%s: %d Applications, %v", reason, len(out.Applications), err)
		}
	}
}

// TestCopiesTakeFromTheBudget: a large set of parameters that is made many times
// over is stopped long before it fills the memory, and so is one that is so deep
// that its paths do.
func TestCopiesTakeFromTheBudget(t *testing.T) {
	large := map[string]any{"key": "a"}
	for i := range 1000 {
		large[strings.Repeat("k", i+1)] = map[string]any{"x": "y"}
	}
	var many, others []any
	for i := range 20 {
		many = append(many, map[string]any{"n": strconv.Itoa(i), "key": "a"})
		others = append(others, map[string]any{"n": strconv.Itoa(i), "large": large})
	}
	deep := any("x")
	for range deepest {
		deep = map[string]any{"a": deep}
	}
	list := func(elements ...any) map[string]any {
		return map[string]any{"list": map[string]any{"elements": elements}}
	}
	flat := map[string]any{"key": "a"}
	for i := range 1000 {
		flat[strings.Repeat("k", i+1)] = "y"
	}
	for _, test := range []struct {
		reason     string
		goTemplate bool
		generator  map[string]any
		want       string
	}{
		{"a matrix", true, map[string]any{"matrix": map[string]any{"generators": []any{list(many...), list(large)}}}, "too much work"},
		{"a matrix of texts", false, map[string]any{"matrix": map[string]any{"generators": []any{list(many...), list(flat)}}}, "too much work"},
		{"a merge", true, map[string]any{"merge": map[string]any{"mergeKeys": []any{"n"}, "generators": []any{list(many...), list(others...)}}}, "too much work"},
		{"a matrix of little", true, map[string]any{"matrix": map[string]any{"generators": []any{list(many...), list(map[string]any{"key": "a"})}}}, ""},
		{"a selector of what is deep", true, map[string]any{"list": map[string]any{"elements": []any{map[string]any{"a": deep}}}, "selector": map[string]any{}}, "more than 32 times"},
		{"a selector of what is not too deep", true, map[string]any{"list": map[string]any{"elements": []any{deep}}, "selector": map[string]any{}}, ""},
	} {
		budget := templates.NewBudget()
		for budget.Spend(10_000) == nil { // all but some
		}
		if err := budget.Spend(-200_000); err != nil {
			t.Fatal(err)
		}
		_, err := Generate(map[string]any{"spec": map[string]any{
			"goTemplate": test.goTemplate, "template": map[string]any{"metadata": map[string]any{"name": "x"}}, "generators": []any{test.generator},
		}}, Inputs{Budget: budget})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.reason, err, test.want)
		}
	}
}
