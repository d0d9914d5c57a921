package argocd_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/dialect/dialecttest"
)

// examples are repositories that Argo CD's examples name.
type examples struct{ own fs.FS }

func (e examples) Open(repository, _ string) (fs.FS, error) {
	switch strings.TrimSuffix(repository[strings.LastIndex(repository, "/")+1:], ".git") {
	case "argo-cd", "applicationset":
		return e.own, nil
	}
	return fstest.MapFS{"guestbook/x.yaml": {}, "helm-guestbook/Chart.yaml": {}}, nil
}

// TestExamples walks the Applications, projects and sets among the examples and
// documents of Argo CD's own module, against what is recorded of each: how many
// apps it yields, what fails and why.
func TestExamples(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	top := strings.TrimSpace(string(out))
	own := os.DirFS(top)
	var got bytes.Buffer
	count := 0
	for _, root := range []string{"applicationset/examples", "docs/operator-manual", "examples"} {
		err := fs.WalkDir(own, root, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".yaml" {
				return err
			}
			data, err := fs.ReadFile(own, name)
			if err != nil || !bytes.Contains(data, []byte("argoproj.io/v1alpha1")) {
				return err
			}
			request := asking.Request{Delivery: "root", Files: examples{own}, Members: []asking.Member{
				{Name: "engineering-dev", Aliases: []string{"in-cluster", "https://kubernetes.default.svc", "https://1.2.3.4"}, Labels: map[string]string{"environment": "staging", "use-kustomize": "true"}, Selected: true},
				{Name: "engineering-prod", Aliases: []string{"https://2.4.6.8", "https://9.8.7.6"}, Labels: map[string]string{"environment": "production"}, Selected: true},
			}}
			if bytes.Contains(data, []byte("{{- if")) && !bytes.Contains(data, []byte("templatePatch")) {
				return nil // a template of a chart
			}
			for _, manifest := range dialecttest.Manifests(t, data) {
				request.Objects = append(request.Objects, asking.Object{Manifest: manifest, App: "root"})
			}
			for _, name := range []string{"dev", "preprod", "prod", "staging", "production", "project", "project2", "my-project"} {
				request.Objects = append(request.Objects, asking.Object{App: "root", Manifest: dialecttest.Manifests(t, fmt.Appendf(nil,
					"{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {name: %s}, spec: {sourceRepos: ['*'], destinations: [{server: '*', namespace: '*'}, {name: '*', namespace: '*'}]}}", name))[0]})
			}
			count++
			result := (argocd.Dialect{}).Read(request)
			fmt.Fprintf(&got, "%s: %d apps, %d failed, %d warnings\n", name, len(result.Children), len(result.Failed), len(result.Warnings))
			for _, failure := range result.Failed {
				got.WriteString(dialecttest.Indent("failed " + failure.Err.Error()))
			}
			if result.Incomplete != nil {
				got.WriteString(dialecttest.Indent("incomplete " + result.Incomplete.Error()))
			}
			for _, warning := range result.Warnings {
				got.WriteString(dialecttest.Indent("warning " + warning.Text))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if count < 40 {
		t.Errorf("only %d files were found", count)
	}
	const recorded = "testdata/examples.golden"
	if *dialecttest.Rewrite {
		if err := os.WriteFile(recorded, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
