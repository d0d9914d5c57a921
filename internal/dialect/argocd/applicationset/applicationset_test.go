package applicationset

import (
	"io/fs"
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
