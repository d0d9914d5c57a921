// Package dialecttest plays stories about dialects: text files that say what is asked
// and what comes of it. What a dialect is asked besides the objects of apps, and how
// its answer is shown, is for each dialect's tests to say.
package dialecttest

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
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
)

// Rewrite is the flag that has tests write what they print into the files that they
// would hold it against.
var Rewrite = flag.Bool("rewrite", false, "write what the stories print into their files")

// Stories say how the stories of one dialect are played.
type Stories struct {
	// Request is what is asked, but for what the file says.
	Request asking.Request
	// Take takes in a file that is none of those that all stories have; its name is cut
	// at "/", at most twice. Nil if there are none.
	Take func(t *testing.T, request *asking.Request, name []string, data []byte)
	// Read is the dialect.
	Read func(asking.Request) asking.Result
	// Child shows an app, save for its name and how it is kept.
	Child func(to io.Writer, child app.Child)
}

// Play plays the files testdata/*.txt: request.yaml asks, the manifests of an app are
// in apps/NAME/, and want is what comes of it, whatever order the objects are in.
func (s Stories) Play(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { s.play(t, file) })
	}
}

func (s Stories) play(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	request, want := s.parse(t, archive)
	got := s.print(s.Read(request))
	for range 3 {
		rand.Shuffle(len(request.Objects), func(i, j int) {
			request.Objects[i], request.Objects[j] = request.Objects[j], request.Objects[i]
		})
		if diff := cmp.Diff(got, s.print(s.Read(request))); diff != "" {
			t.Fatalf("in another order another result:\n%s", diff)
		}
	}
	if *Rewrite {
		want.Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want.Data), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// parse reads a story and returns the file of what it wants.
func (s Stories) parse(t *testing.T, archive *txtar.Archive) (request asking.Request, want *txtar.File) {
	t.Helper()
	request = s.Request
	for i, file := range archive.Files {
		name := strings.SplitN(file.Name, "/", 3)
		switch {
		case name[0] == "request.yaml":
			if err := kyaml.UnmarshalStrict(file.Data, &request); err != nil {
				t.Fatal(err)
			}
		case name[0] == "want":
			want = &archive.Files[i]
		case name[0] == "apps" && len(name) == 3:
			for _, manifest := range Manifests(t, file.Data) {
				request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: name[1], Place: name[2]})
			}
		case s.Take != nil:
			s.Take(t, &request, name, file.Data)
		default:
			t.Fatalf("a story has no file %q", file.Name)
		}
	}
	if want == nil {
		t.Fatal("the story has no file \"want\"")
	}
	return request, want
}

// Manifests reads documents as an API server does: whole numbers are such.
func Manifests(t testing.TB, data []byte) (all []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	for {
		var document map[string]any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		if len(document) == 0 {
			continue
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(encoded); err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
}

// print shows a result.
func (s Stories) print(result asking.Result) string {
	var b strings.Builder
	for _, child := range result.Children {
		fmt.Fprintf(&b, "%s on %s\n", child.Name, child.Cluster)
		s.Child(&b, child)
		fmt.Fprintf(&b, "  kept %s\n", JSON(child.Options))
	}
	for _, cluster := range slices.Sorted(maps.Keys(result.Gates)) {
		fmt.Fprintf(&b, "gates on %s %s\n", cluster, JSON(result.Gates[cluster]))
	}
	for _, cluster := range slices.Sorted(maps.Keys(result.Selves)) {
		fmt.Fprintf(&b, "itself on %s: %s\n", cluster, strings.Join(result.Selves[cluster], ", "))
	}
	for _, failure := range result.Failed {
		fmt.Fprintf(&b, "failed %s on %q, of %s\n%s", failure.Name, failure.Cluster, failure.Parent, Indent(failure.Err.Error()))
	}
	if result.Incomplete != nil {
		fmt.Fprintf(&b, "incomplete\n%s", Indent(result.Incomplete.Error()))
	}
	for _, warning := range result.Warnings {
		fmt.Fprintf(&b, "warning for %s: %s\n%s", warning.App, warning.Place, Indent(warning.Text))
	}
	return b.String()
}

// JSON is a value in JSON, or why it is none.
func JSON(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Indent puts two spaces before each line of a text.
func Indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}
