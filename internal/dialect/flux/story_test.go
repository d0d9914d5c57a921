package flux_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kyaml "sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/flux"
	"nave.dev/internal/object"
)

var rewrite = flag.Bool("rewrite", false, "write what was read into the stories")

// A story is what is asked in request.yaml, the objects of apps as apps/APP/FILE, what
// the cluster is given besides in objects.yaml, and what comes of it in want.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			request, want := parseStory(t, archive)
			got := print((flux.Dialect{}).Read(request))
			slices.Reverse(request.Objects)
			if diff := cmp.Diff(got, print((flux.Dialect{}).Read(request))); diff != "" {
				t.Errorf("the order of objects counts:\n%s", diff)
			}
			if *rewrite {
				archive.Files[want].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[want].Data), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// parseStory reads a story and returns the place of what it wants.
func parseStory(t *testing.T, archive *txtar.Archive) (asking.Request, int) {
	t.Helper()
	request, want := asking.Request{Delivery: "prod", Path: "clusters/prod", Cluster: "prod-eu", Members: []asking.Member{{Name: "prod-eu", Selected: true}}}, -1
	request.Own = func(repository, revision string) bool {
		return repository+"@"+revision == "ssh://git@example.com/acme/fleet@refs/heads/main"
	}
	found := map[object.ID]*unstructured.Unstructured{}
	for i, file := range archive.Files {
		parts := strings.SplitN(file.Name, "/", 3)
		switch parts[0] {
		case "request.yaml":
			if err := kyaml.UnmarshalStrict(file.Data, &request); err != nil {
				t.Fatal(err)
			}
		case "want":
			want = i
		case "objects.yaml":
			for _, u := range manifests(t, file.Data) {
				found[object.Of(u)] = u
			}
		case "apps":
			for _, manifest := range manifests(t, file.Data) {
				request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: parts[1], Place: parts[2]})
			}
		}
	}
	request.Find = func(_ string, id object.ID) *unstructured.Unstructured { return found[id] }
	return request, want
}

// manifests reads documents as an API server does: whole numbers are such.
func manifests(t testing.TB, data []byte) (out []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	for {
		var document map[string]any
		if err := decoder.Decode(&document); err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return out
		}
		encoded, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if len(document) > 0 {
			if err := u.UnmarshalJSON(encoded); err != nil {
				t.Fatal(err)
			}
			out = append(out, u)
		}
	}
}

// print shows a result.
func print(result asking.Result) string {
	var b strings.Builder
	for _, child := range result.Children {
		fmt.Fprintf(&b, "%s on %s\n", child.Name, child.Cluster)
		for _, origin := range child.Origins {
			fmt.Fprintf(&b, "  from %s\n", from(origin))
			for _, layer := range origin.Layers {
				fmt.Fprintf(&b, "    %s: %s to %q %s\n", from(app.Origin{Repository: layer.Repository, Revision: layer.Revision, Own: layer.Own, Signed: layer.Signed}),
					layer.From, layer.To, compact([]any{layer.Exclude, layer.Ignore}))
			}
			fmt.Fprintf(&b, "    %s\n", compact(origin.Render))
		}
		for _, id := range child.Expects {
			fmt.Fprintf(&b, "  expects %s\n", id)
		}
		fmt.Fprintf(&b, "  kept %s\n", compact(child.Options))
	}
	for _, cluster := range slices.Sorted(maps.Keys(result.Gates)) {
		fmt.Fprintf(&b, "gates on %s %s\n", cluster, compact(result.Gates[cluster]))
	}
	for _, failure := range result.Failed {
		fmt.Fprintf(&b, "failed %s on %q, of %s\n%s", failure.Name, failure.Cluster, failure.Parent, indent(failure.Err.Error()))
	}
	if result.Incomplete != nil {
		fmt.Fprintf(&b, "incomplete\n%s", indent(result.Incomplete.Error()))
	}
	for _, warning := range result.Warnings {
		fmt.Fprintf(&b, "warning for %s: %s\n%s", warning.App, warning.Place, indent(warning.Text))
	}
	return b.String()
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
	if origin.Signed {
		text += ", signed"
	}
	return text
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

func compact(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
