package kustomization

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/types"

	"nave.dev/internal/app"
	"nave.dev/internal/render/tree"
)

func TestParseImage(t *testing.T) {
	tests := []struct {
		text string
		want types.Image
	}{
		{"nginx:1.2", types.Image{Name: "nginx", NewTag: "1.2"}},
		{"nginx@sha256:ab", types.Image{Name: "nginx", Digest: "sha256:ab"}},
		{"nginx:1.2@sha256:ab", types.Image{Name: "nginx", NewTag: "1.2", Digest: "sha256:ab"}},
		{"example.com:5000/a/nginx:1", types.Image{Name: "example.com:5000/a/nginx", NewTag: "1"}},
		{"nginx=example.com/nginx", types.Image{Name: "nginx", NewName: "example.com/nginx"}},
		{"nginx=example.com:5000/nginx:1@sha256:ab", types.Image{Name: "nginx", NewName: "example.com:5000/nginx", NewTag: "1", Digest: "sha256:ab"}},
		{"nginx=*:2", types.Image{Name: "nginx", NewName: "*", NewTag: "2"}},
		{"=nginx:1", types.Image{Name: "nginx", NewTag: "1"}},
	}
	for _, test := range tests {
		have, ok := parseImage(test.text)
		if diff := cmp.Diff(test.want, have); !ok || diff != "" {
			t.Errorf("%q: %t (-want +have):\n%s", test.text, ok, diff)
		}
	}
	for _, text := range []string{"", "nginx", "a/b", "=", "nginx=", ":"} {
		if have, ok := parseImage(text); ok {
			t.Errorf("%q is read as %+v", text, have)
		}
	}
}

// FuzzEdited holds that options are added or refused, whatever the document and they are, and that what they refer to
// never leaves the tree.
func FuzzEdited(f *testing.F) {
	f.Add("resources: [a.yaml]\n", "nginx:1", "../b", "a")
	f.Add("x: &x {a: b}\ncommonLabels: *x\npatches:\n", "a=b@c", "https://example.com/x//y", "a")
	f.Add("<<: {a: b}\nComponents: [b]\n", "*", "c*", "")
	f.Add("components: {a: b}\nlabels: [{pairs: {a: b}}]\n", "=", "/etc", "\"a\"")
	f.Fuzz(func(t *testing.T, document, image, component, value string) {
		source, _ := files(map[string]string{"app/kustomization.yaml": document, "app/a.yaml": configMap, "b/kustomization.yaml": "kind: Component\n"}).(tree.Source)
		repository := tree.Record(source)
		objects, _, err := Edited(repository, "app", &app.KustomizeOptions{
			Images: []string{image}, Components: []string{component}, CommonLabels: map[string]string{"a": value},
			Patches: []app.KustomizePatch{{Path: component}, {Patch: value}},
		})
		if err != nil && objects != nil {
			t.Errorf("objects beside the error %v", err)
		}
		for _, read := range repository.Reads() {
			if read.Op != tree.OpRemote && !tree.Within("", read.Path) {
				t.Errorf("%s of %q", read.Op, read.Path)
			}
		}
	})
}
