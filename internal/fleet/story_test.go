package fleet

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"nave.dev/internal/strictyaml"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories give into them")

// want begins the names of the files of a story that say what is expected. The others are the repository.
const want = "want/"

// TestStories loads the repositories under testdata and compares all that comes of them: problems, warnings and the
// apps of each cluster.
func TestStories(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("finding stories: %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			repository := fstest.MapFS{}
			expected := map[string]string{}
			kept := archive.Files[:0:0]
			for _, file := range archive.Files {
				if strings.HasPrefix(file.Name, want) {
					expected[file.Name] = string(file.Data)
					continue
				}
				kept = append(kept, file)
				repository[file.Name] = &fstest.MapFile{Data: file.Data}
			}
			have := told(t, repository)
			if *rewrite {
				archive.Files = kept
				for _, name := range slices.Sorted(maps.Keys(have)) {
					archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(have[name])})
				}
				if err := os.WriteFile(name, txtar.Format(archive), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(expected, have); diff != "" {
				t.Errorf("%s(-want +have)\n%s", archive.Comment, diff)
			}
		})
	}
}

// told returns what a repository gives, as text. Empty parts are left out.
func told(t *testing.T, repository fs.FS) map[string]string {
	f, problems := Load(repository)
	parts := map[string]string{}
	for name, list := range map[string]strictyaml.Problems{"problems": problems, "warnings": f.Warnings} {
		if len(list) > 0 {
			parts[want+name] = list.Error() + "\n"
		}
	}
	var apps strings.Builder
	for _, m := range f.Members {
		placement, err := f.Apps(m.Name, commits)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&apps, "%s:\n", m.Name)
		for _, a := range placement.Apps {
			fmt.Fprintf(&apps, "  %s: %s of %s\n", a.Name, a.Parts[0].Source.Path, a.Parts[0].Source.Commit)
		}
		for _, name := range slices.Sorted(maps.Keys(placement.Failed)) {
			fmt.Fprintf(&apps, "  %s failed: %s\n", name, indented(placement.Failed[name]))
		}
		if placement.Incomplete != nil {
			fmt.Fprintf(&apps, "  incomplete: %s\n", indented(placement.Incomplete))
		}
	}
	if apps.Len() > 0 {
		parts[want+"apps"] = apps.String()
	}
	return parts
}

func indented(err error) string { return strings.ReplaceAll(err.Error(), "\n", "\n    ") }

// commits resolves any revision to a name for it.
func commits(source, revision string) (string, error) { return describe(source, revision), nil }
