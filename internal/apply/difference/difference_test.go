package difference

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

func TestOf(t *testing.T) {
	content := map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"a/b": "1", "c~d": "2"}},
		"spec":     map[string]any{"ports": []any{map[string]any{"port": int64(80)}, map[string]any{"port": int64(81)}}},
	}
	service := object.ID{Kind: "Service", Namespace: "shop", Name: "web"}
	tests := []struct {
		reason     string
		difference app.Difference
		want       [][]any
	}{
		{"a slash and a tilde are written with a tilde", app.Difference{Kind: "*", Pointers: []string{"/metadata/annotations/a~1b", "/metadata/annotations/c~0d"}},
			[][]any{{"metadata", "annotations", "a/b"}, {"metadata", "annotations", "c~d"}}},
		{"a number is a place in a list", app.Difference{Kind: "Service", Pointers: []string{"/spec/ports/1/port"}}, [][]any{{"spec", "ports", 1, "port"}}},
		{"what is not there has no place", app.Difference{Kind: "*", Pointers: []string{"/spec/none", "/spec/ports/2", "/spec/ports/-1", "/spec/ports/x", "/spec/ports/0/port/more"}}, nil},
		{"an expression means the same", app.Difference{Kind: "*", JQ: []string{".spec.ports[0].port"}}, [][]any{{"spec", "ports", 0, "port"}}},
		{"it is about another kind", app.Difference{Kind: "Secret", Pointers: []string{"/spec"}}, nil},
	}
	for _, test := range tests {
		read, err := Read([]app.Difference{test.difference})
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		var got [][]any
		if ignored := read.Of(t.Context(), service); ignored.Places != nil {
			if got, err = ignored.Places(content); err != nil {
				t.Errorf("%s: %v", test.reason, err)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.reason, diff)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for want, difference := range map[string]app.Difference{
		`"spec/replicas" is no JSON pointer`: {Pointers: []string{"spec/replicas"}},
		`"" is no JSON pointer`:              {Pointers: []string{""}},
		"range is not allowed":               {JQ: []string{"range(9)"}},
	} {
		if _, err := Read([]app.Difference{difference}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
