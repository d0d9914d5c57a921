package render

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
)

// recorded is what Argo CD makes of a directory of its own test data, and what is made of it here.
type recorded struct {
	Path string `json:"path"`
	// Options are those of the Application in Argo CD's own test, or none.
	Options app.Render `json:"options"`
	// Remotes are other repositories by their references, and the directories of the test data that are these.
	Remotes map[string]string `json:"remotes"`
	// Objects are the kinds and names of what is rendered, if Refused is empty; that is part of the refusal otherwise.
	Objects []string `json:"objects"`
	Refused string   `json:"refused"`
	// Contains are parts of the objects as YAML, where Argo CD's test looks into them.
	Contains []string `json:"contains"`
	// Verdict is "same", "different" or "unsupported"; Why says what Argo CD does where it is not the same.
	Verdict string `json:"verdict"`
	Why     string `json:"why"`
	// Source of what Argo CD does: a test of it, its documentation, or a reading or a run of its code.
	Source string `json:"source"`
}

// tables are the directories of Argo CD's module that are held against a table, each with what the module archive lacks.
var tables = []struct {
	dir, table string
	more       map[string]string
}{
	{"test/e2e/testdata", "testdata/argocd/e2e.yaml", nil},
	{"reposerver/repository/testdata", "testdata/argocd/reposerver.yaml", map[string]string{
		"jsonnet/vendor/nested/service.libsonnet":   library,
		"jsonnet-1/vendor/nested/service.libsonnet": library,
	}},
}

// library is one that a test of Argo CD writes.
const library = "{ new(params):: { apiVersion: 'v1', kind: 'Service', metadata: { name: params.name } } }"

// filesOfArgoCD reads a directory of Argo CD's module.
func filesOfArgoCD(t *testing.T, below string) fstest.MapFS {
	t.Helper()
	listed, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3").Output()
	dir := filepath.Join(strings.TrimSpace(string(listed)), below)
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		t.Skipf("Argo CD's module is not in the module cache; run go mod download github.com/argoproj/argo-cd/v3: %v", err)
	}
	files := fstest.MapFS{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// readTable reads what is recorded. A directory without options is read as that of an Application without any.
func readTable(t *testing.T, file string) []recorded {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var table []recorded
	if err := yaml.UnmarshalStrict(data, &table); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for i := range table {
		if table[i].Options.Directory == nil {
			table[i].Options.Directory = &app.Directory{}
		}
	}
	return table
}

// TestRepositoriesOfArgoCD renders all test data of Argo CD's own tests, and holds the counts of the documentation.
func TestRepositoriesOfArgoCD(t *testing.T) {
	const page = "../../docs/coming-from-argocd.md"
	documentation, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, corpus := range tables {
		t.Run(corpus.dir, func(t *testing.T) {
			files := filesOfArgoCD(t, corpus.dir)
			for name, data := range corpus.more {
				files[name] = &fstest.MapFile{Data: []byte(data)}
			}
			r := New(Options{})
			t.Cleanup(r.Close)
			counts, paths := map[string]int{}, map[string]bool{}
			for _, want := range readTable(t, corpus.table) {
				counts[want.Verdict]++
				paths[want.Path] = true
				want.hold(t, r, files)
			}
			for name := range files {
				covered := false
				for dir := path.Dir(name); dir != "." && !covered; dir = path.Dir(dir) {
					covered = paths[dir]
				}
				if !covered && path.Dir(name) != "." {
					t.Errorf("nothing is expected of %s", name)
				}
			}
			all := counts["same"] + counts["different"] + counts["unsupported"]
			row := fmt.Sprintf("| `%s` | %d | %d | %d | %d |\n", corpus.dir, all, counts["same"], counts["different"], counts["unsupported"])
			if !strings.Contains(string(documentation), row) {
				t.Errorf("%s lacks the row %s", page, row)
			}
		})
	}
}

// hold renders what is recorded.
func (want recorded) hold(t *testing.T, r *Renderer, files fstest.MapFS) {
	t.Helper()
	if known := want.Verdict == "same" || want.Verdict == "different" || want.Verdict == "unsupported"; !known ||
		(want.Verdict == "same") != (want.Why == "") || want.Source == "" {
		t.Errorf("%s: the verdict %q with the reason %q and the source %q", want.Path, want.Verdict, want.Why, want.Source)
	}
	request := Request{Files: files, Path: want.Path, Params: want.Options}
	if want.Remotes != nil {
		request.Remotes = &archived{files, want.Remotes}
	}
	result, err := r.Render(t.Context(), request)
	if want.Refused != "" || err != nil {
		if want.Refused == "" || err == nil || !strings.Contains(err.Error(), want.Refused) {
			t.Errorf("%s (%s): %v, want %q", want.Path, want.Source, err, want.Refused)
		}
		return
	}
	objects := []string{}
	for _, o := range result.Bundle.Objects {
		objects = append(objects, o.GetKind()+" "+o.GetName())
	}
	for _, o := range result.Bundle.Hooks {
		objects = append(objects, "hook "+o.GetKind()+" "+o.GetName())
	}
	if diff := cmp.Diff(append([]string{}, want.Objects...), objects); diff != "" {
		t.Errorf("%s (%s): objects (-want +have):\n%s", want.Path, want.Source, diff)
	}
	for text := show(result, nil); len(want.Contains) > 0; want.Contains = want.Contains[1:] {
		if !strings.Contains(text, want.Contains[0]) {
			t.Errorf("%s (%s): %q is not in\n%s", want.Path, want.Source, want.Contains[0], text)
		}
	}
}
