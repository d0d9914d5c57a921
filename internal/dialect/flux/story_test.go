package flux_test

import (
	"fmt"
	"io"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/dialecttest"
	"nave.dev/internal/dialect/flux"
	"nave.dev/internal/object"
)

// TestStories plays the stories, in which objects.yaml is what the cluster is given besides.
func TestStories(t *testing.T) {
	dialecttest.Stories{
		Request: asking.Request{
			Delivery: "prod", Path: "clusters/prod", Cluster: "prod-eu", Members: []asking.Member{{Name: "prod-eu", Selected: true}},
			Own: func(repository, revision string) bool {
				return repository+"@"+revision == "ssh://git@example.com/acme/fleet@refs/heads/main"
			},
			Find: func(string, object.ID) *unstructured.Unstructured { return nil },
		},
		Take: func(t *testing.T, request *asking.Request, name []string, data []byte) {
			if name[0] != "objects.yaml" {
				t.Fatalf("a story has no file %q", name)
			}
			found := map[object.ID]*unstructured.Unstructured{}
			for _, u := range dialecttest.Manifests(t, data) {
				found[object.Of(u)] = u
			}
			request.Find = func(_ string, id object.ID) *unstructured.Unstructured { return found[id] }
		},
		Read:  flux.Dialect{}.Read,
		Child: printChild,
	}.Play(t)
}

func printChild(to io.Writer, child app.Child) {
	for _, origin := range child.Origins {
		_, _ = fmt.Fprintf(to, "  from %s\n", from(origin))
		for _, layer := range origin.Layers {
			_, _ = fmt.Fprintf(to, "    %s: %s to %q %s\n", from(app.Origin{Repository: layer.Repository, Revision: layer.Revision, Artifact: layer.Artifact, Own: layer.Own, Signed: layer.Signed}),
				layer.From, layer.To, dialecttest.JSON([]any{layer.Exclude, layer.Ignore}))
		}
		_, _ = fmt.Fprintf(to, "    %s\n", dialecttest.JSON(origin.Render))
	}
	for _, id := range child.Expects {
		_, _ = fmt.Fprintf(to, "  expects %s\n", id)
	}
}

// from names where files are.
func from(origin app.Origin) string {
	text := fmt.Sprintf("%s at %q: %q", origin.Repository, origin.Revision, origin.Path)
	switch {
	case origin.Own:
		text = fmt.Sprintf("the Delivery's source: %q", origin.Path)
	case len(origin.Layers) > 0:
		text = fmt.Sprintf("layers: %q", origin.Path)
	}
	if origin.Artifact != nil {
		text = fmt.Sprintf("%s, %s: %q", origin.Repository, origin.Artifact, origin.Path)
	}
	if origin.Signed {
		text += ", signed"
	}
	return text
}
