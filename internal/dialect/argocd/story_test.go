package argocd_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kyaml "sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/argocd"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories print into their files")

// TestStories plays the files of testdata: request.yaml asks, the manifests of an
// app are in apps/NAME/, repositories in repos/NAME/ (with the URL NAME), and want is
// what comes of it, whatever order the objects are in.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			request, want := parseStory(t, archive)
			got := print((argocd.Dialect{}).Read(request))
			for range 3 {
				rand.Shuffle(len(request.Objects), func(i, j int) {
					request.Objects[i], request.Objects[j] = request.Objects[j], request.Objects[i]
				})
				if diff := cmp.Diff(got, print((argocd.Dialect{}).Read(request))); diff != "" {
					t.Fatalf("in another order another result:\n%s", diff)
				}
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

// repositories are those of a story.
type repositories map[string]fstest.MapFS

func (r repositories) Open(repository, _ string) (fs.FS, error) {
	if files, ok := r[repository]; ok {
		return files, nil
	}
	return nil, errors.New("it is not there yet")
}

// parseStory reads a story and returns the place of what it wants.
func parseStory(t *testing.T, archive *txtar.Archive) (asking.Request, int) {
	t.Helper()
	request, want := asking.Request{Delivery: "root", Path: "argocd"}, -1
	repos := repositories{}
	for i, file := range archive.Files {
		parts := strings.SplitN(file.Name, "/", 3)
		switch parts[0] {
		case "request.yaml":
			if err := kyaml.UnmarshalStrict(file.Data, &request); err != nil {
				t.Fatal(err)
			}
		case "want":
			want = i
		case "apps":
			for _, manifest := range manifests(t, file.Data) {
				request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: parts[1], Place: parts[2]})
			}
		case "repos":
			if repos[parts[1]] == nil {
				repos[parts[1]] = fstest.MapFS{}
			}
			repos[parts[1]][parts[2]] = &fstest.MapFile{Data: file.Data}
		}
	}
	request.Files = repos
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
			printOrigin(&b, "from", origin)
		}
		for _, name := range slices.Sorted(maps.Keys(child.Refs)) {
			printOrigin(&b, "with $"+name, child.Refs[name])
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

func printOrigin(b *strings.Builder, word string, origin app.Origin) {
	at := origin.Path
	if origin.Chart != "" {
		at = "chart " + origin.Chart
	}
	fmt.Fprintf(b, "  %s %s at %q: %s\n", word, origin.Repository, origin.TagPrefix+origin.Revision, at)
	if rendered := compact(origin.Render); rendered != "{}" {
		fmt.Fprintf(b, "    %s\n", rendered)
	}
	if origin.Environment != nil {
		fmt.Fprintf(b, "    environment %s\n", compact(origin.Environment))
		fmt.Fprintf(b, "    filled %s\n", compact(argocd.Fill(origin, "0123456789abcdef")))
	}
}

func compact(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n" }
