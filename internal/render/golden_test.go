package render

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
)

var rewrite = flag.Bool("rewrite", false, "write what was rendered into the golden files")

// A golden file is an archive of a repository, what is asked of it in request.yaml, and what comes of it in want.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	modes := map[string]*Renderer{"in-process": New(Options{}), "worker": New(Options{WorkerCommand: workerCommand(t)})}
	for _, r := range modes {
		t.Cleanup(r.Close)
	}
	for _, file := range files {
		for mode, r := range modes {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+mode, func(t *testing.T) {
				archive, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				request, want := unpack(t, archive)
				got := show(r.Render(t.Context(), request))
				if *rewrite {
					archive.Files[len(archive.Files)-1] = txtar.File{Name: "want", Data: []byte(got)}
					if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s(-want +got):\n%s", archive.Comment, diff)
				}
			})
		}
	}
}

// unpack reads a golden file.
func unpack(t *testing.T, archive *txtar.Archive) (Request, string) {
	t.Helper()
	repository := fstest.MapFS{}
	request := Request{Files: repository}
	want := ""
	for _, f := range archive.Files {
		switch f.Name {
		case "request.yaml":
			var stated struct {
				Path   string     `json:"path"`
				Params app.Render `json:"params"`
				Facts  app.Facts  `json:"facts"`
				// Remotes are other repositories by their references, and the directories of the archive that are these.
				Remotes map[string]string `json:"remotes"`
			}
			if err := yaml.UnmarshalStrict(f.Data, &stated); err != nil {
				t.Fatal(err)
			}
			request.Path, request.Params, request.Facts = stated.Path, stated.Params, stated.Facts
			if stated.Remotes != nil {
				request.Remotes = &archived{repository, stated.Remotes}
			}
		case "want":
			want = string(f.Data)
		default:
			repository[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	if last := archive.Files[len(archive.Files)-1].Name; last != "want" {
		t.Fatalf("the last file is %q, not want", last)
	}
	return request, want
}

// archived are repositories in directories of an archive.
type archived struct {
	files fs.FS
	dirs  map[string]string // by repository and ref
}

func (a *archived) Remote(repository, ref string) (string, error) {
	if ref != "" {
		repository += "?ref=" + ref
	}
	dir, ok := a.dirs[repository]
	if !ok {
		return "", fmt.Errorf("there is no %q\nhint: add it", repository)
	}
	return dir, nil
}

func (a *archived) Files(name string) (fs.FS, Hashes, error) {
	files, err := fs.Sub(a.files, name)
	return files, nil, err
}

// show prints a result for people to compare.
func show(result *Result, err error) string {
	var b bytes.Buffer
	if err != nil {
		fmt.Fprintf(&b, "error:\n%v\n", err)
		return b.String()
	}
	for _, warning := range result.Warnings {
		fmt.Fprintf(&b, "# warning: %s\n", warning)
	}
	if result.FactsUsed {
		fmt.Fprintf(&b, "# depends on facts of the cluster\n")
	}
	for _, file := range result.Bundle.Encrypted {
		fmt.Fprintf(&b, "# with the encrypted file %s, %d bytes\n", file.Path, len(file.Data))
	}
	for _, o := range result.Bundle.Objects {
		data, err := yaml.Marshal(o.Object)
		fmt.Fprintf(&b, "---\n%s%v", data, errText(err))
	}
	for _, o := range result.Bundle.Hooks {
		data, err := yaml.Marshal(o.Object)
		fmt.Fprintf(&b, "--- # hook\n%s%v", data, errText(err))
	}
	return b.String()
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
