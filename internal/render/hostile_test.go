package render

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nave.dev/internal/app"
)

// secret is what a hostile source is after: it stands in files beside the repository, and may be shown nowhere.
const secret = "hunter2"

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"

// repositoryFiles are what hostile sources are built upon, beside files that are no part of the repository.
var repositoryFiles = map[string]string{
	"outside.yaml":       fmt.Sprintf(configMap, "outside") + "data: {password: " + secret + "}\n",
	"kustomization.yaml": "kind: Component\nconfigMapGenerator: [{name: outside, literals: [password=" + secret + "]}]\n",
	"Chart.yaml":         "{apiVersion: v2, name: outside, version: 1.0.0, description: " + secret + "}",

	"repository/cm.yaml":               fmt.Sprintf(configMap, "in"),
	"repository/app/.keep":             "",
	"repository/values.yaml":           "a: b",
	"repository/chart/Chart.yaml":      "{apiVersion: v2, name: chart, version: 1.0.0}",
	"repository/chart/templates/a.txt": "",
	"repository/chart/templates/a.yaml": fmt.Sprintf(configMap, "chart") +
		"data: {values: {{ toJson .Values | quote }}, file: {{ .Files.Get \"f.txt\" | quote }}}\n",
	"repository/program/a.jsonnet":          "import 'l.libsonnet'",
	"repository/text/a.jsonnet":             "{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'text'}, data: {a: importstr 'f.txt'}}",
	"repository/overlay/kustomization.yaml": "resources: [a.yaml]\n",
	"repository/overlay/a.yaml":             fmt.Sprintf(configMap, "overlay"),
	"repository/linked/kustomization.yaml":  "resources: [l.yaml]\n",
	"repository/above/kustomization.yaml":   "resources: [d]\n",
	"repository/files/kustomization.yaml":   "configMapGenerator: [{name: files, files: [f.txt]}]\n",
	"repository/out/kustomization.yaml":     "resources: [../../outside.yaml]\n",
	"repository/parent/Chart.yaml":          "{apiVersion: v2, name: parent, version: 1.0.0, dependencies: [{name: outside, version: 1.0.0, repository: 'file://../..'}]}",
	"repository/child/Chart.yaml":           "{apiVersion: v2, name: child, version: 1.0.0, dependencies: [{name: outside, version: 1.0.0, repository: 'file://../d'}]}",
}

// TestHostileSources renders repositories whose links, paths and archives lead elsewhere, some of them those of Argo CD's
// test data, of which a module archive holds no links. What leads out of the repository is refused, what leads nowhere is
// refused or passed over, and nothing from outside is shown in objects, warnings or errors.
func TestHostileSources(t *testing.T) {
	kustomize := func(options app.KustomizeOptions) app.Render {
		return app.Render{Kind: app.Kustomize, Directory: &app.Directory{}, Kustomize: &options}
	}
	directory := app.Render{Directory: &app.Directory{}}
	recurse := app.Render{Directory: &app.Directory{Recurse: true}}
	helm := func(options app.HelmOptions) app.Render {
		return app.Render{Kind: app.Helm, Directory: &app.Directory{}, Helm: options}
	}
	valueFile := func(name string) app.Render { return helm(app.HelmOptions{ValueFiles: []string{name}}) }
	parameter := func(name string) app.Render {
		return helm(app.HelmOptions{FileParameters: []app.FileParameter{{Name: "a", Path: name}}})
	}
	library := func(name string) app.Render {
		return app.Render{Directory: &app.Directory{Jsonnet: app.Jsonnet{Libraries: []string{name}}}}
	}
	// The targets of links that are tried in every place.
	const out, above, absolute, device = "../../outside.yaml", "../..", "/etc/passwd", "/dev/zero"
	type links map[string]string
	for _, test := range []struct {
		reason string
		links  links
		path   string
		params app.Render
		// objects are the names of what is rendered; refused is part of the refusal.
		objects, refused string
	}{
		{"circular-link", links{"app/a.json": "b.json", "app/b.json": "a.json"}, "app", directory, "", "cannot be read"},
		{"out-of-bounds-link", links{"app/out.yaml": out}, "app", directory, "", "cannot be read"},
		{"an absolute link", links{"app/out.yaml": absolute}, "app", directory, "", "cannot be read"},
		{"a device", links{"app/out.yaml": device}, "app", directory, "", "cannot be read"},
		{"in-bounds-link", links{"app/in.yaml": "../cm.yaml"}, "app", directory, "in", ""},
		{"a link out and in again", links{"app/in.yaml": "../../repository/cm.yaml"}, "app", directory, "", "cannot be read"},
		{"a link by way of another", links{"app/d": above, "app/out.yaml": "d/outside.yaml"}, "app", directory, "", "cannot be read"},
		{"link-to-nowhere", links{"app/gone.yaml": "gone"}, "app", directory, "", ""},
		{"a link to the directory itself", links{"app/again": "."}, "app", recurse, "", ""},
		{"a directory above", links{"app/out": above}, "app", recurse, "", ""},
		{"an absolute directory", links{"app/out": "/etc"}, "app", recurse, "", ""},
		{"the app itself, above", links{"other": ".."}, "other", recurse, "", "escapes"},
		{"the app itself, absolute", links{"other": "/etc"}, "other", recurse, "", "escapes"},
		{"the app itself, in a circle", links{"other": "other"}, "other", recurse, "", "too many"},

		{"in-bounds-values-file-link", links{"chart/v.yaml": "../values.yaml"}, "chart", valueFile("v.yaml"), "chart", ""},
		{"out-of-bounds-values-file-link", links{"chart/v.yaml": out}, "chart", valueFile("v.yaml"), "", "reading"},
		{"a value file, absolute", links{"chart/v.yaml": absolute}, "chart", valueFile("v.yaml"), "", "reading"},
		{"a value file, in a circle", links{"chart/v.yaml": "v.yaml"}, "chart", valueFile("v.yaml"), "", "reading"},
		{"a value file in a directory above", links{"chart/d": above}, "chart", valueFile("d/outside.yaml"), "", "reading"},
		{"a value file by a pattern", links{"chart/v.yaml": out}, "chart", valueFile("v*.yaml"), "", "reading"},
		{"value files by a pattern in a directory above", links{"chart/d": above}, "chart", valueFile("d/*.yaml"), "", "listing"},
		{"value files by a deep pattern", links{"chart/d": above}, "chart", valueFile("**/outside.yaml"), "", "no file matches"},
		{"the path of a value file", nil, "chart", valueFile("../../outside.yaml"), "", "outside of the repository"},
		{"the path of a value file from the top", nil, "chart", valueFile("/../outside.yaml"), "", "outside of the repository"},

		{"a file as a value", links{"chart/f.txt": out}, "chart", parameter("f.txt"), "", "reading"},
		{"a file as a value, absolute", links{"chart/v.txt": absolute}, "chart", parameter("v.txt"), "", "reading"},
		{"a file as a value, in a circle", links{"chart/v.txt": "v.txt"}, "chart", parameter("v.txt"), "", "reading"},
		{"the path of a file as a value", nil, "chart", parameter("../../outside.yaml"), "", "outside of the repository"},

		{"a file of a chart", links{"chart/f.txt": out}, "chart", helm(app.HelmOptions{}), "", "reading"},
		{"a template", links{"chart/templates/b.yaml": "../" + out}, "chart", helm(app.HelmOptions{}), "", "reading"},
		{"a template, absolute", links{"chart/templates/b.yaml": absolute}, "chart", helm(app.HelmOptions{}), "", "reading"},
		{"templates of a directory above", links{"chart/templates/d": "../" + above}, "chart", helm(app.HelmOptions{}), "", "escapes"},
		{"a definition of a kind", links{"chart/crds": above}, "chart", helm(app.HelmOptions{}), "", "escapes"},
		{"a subchart", links{"chart/charts": above}, "chart", helm(app.HelmOptions{}), "", "escapes"},
		{"a chart that has itself", links{"chart/templates/d": ".."}, "chart", helm(app.HelmOptions{}), "", "in a circle"},
		{"a dependency above", nil, "parent", helm(app.HelmOptions{}), "", "outside of the repository"},
		{"a dependency by a link", links{"d": ".."}, "child", helm(app.HelmOptions{}), "", "escapes"},

		{"an import of Jsonnet", links{"program/l.libsonnet": out}, "program", directory, "", "escapes"},
		{"an import of Jsonnet, absolute", links{"program/l.libsonnet": absolute}, "program", directory, "", "escapes"},
		{"an import of Jsonnet, in a circle", links{"program/l.libsonnet": "l.libsonnet"}, "program", directory, "", "l.libsonnet"},
		{"a text of Jsonnet", links{"text/f.txt": out}, "text", directory, "", "escapes"},
		{"a library of Jsonnet, above", links{"lib": ".."}, "program", library("lib"), "", "l.libsonnet"},
		{"a library of Jsonnet by its path", nil, "program", library("../.."), "", "outside of the repository"},

		{"a resource of Kustomize", links{"linked/l.yaml": out}, "linked", directory, "", "l.yaml"},
		{"a resource of Kustomize, absolute", links{"linked/l.yaml": absolute}, "linked", directory, "", "l.yaml"},
		{"a resource of Kustomize, in a circle", links{"linked/l.yaml": "l.yaml"}, "linked", directory, "", "l.yaml"},
		{"a base above", links{"above/d": above}, "above", directory, "", "d"},
		{"a base that is itself", links{"above/d": "."}, "above", directory, "", "d"},
		{"a resource by its path", nil, "out", directory, "", "outside.yaml"},
		{"a file of a generator", links{"files/f.txt": out}, "files", directory, "", "f.txt"},
		{"a patch of Kustomize", links{"overlay/p.yaml": out}, "overlay", kustomize(app.KustomizeOptions{Patches: []app.KustomizePatch{{Path: "p.yaml"}}}), "", "escapes"},
		{"a component of Kustomize", links{"overlay/c": above}, "overlay", kustomize(app.KustomizeOptions{Components: []string{"c"}}), "", "escapes"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			top := writeFiles(t, repositoryFiles)
			for link, target := range test.links {
				if err := os.Symlink(target, filepath.Join(top, "repository", link)); err != nil {
					t.Skipf("this file system has no symbolic links, which the test is about: %v", err)
				}
			}
			harmless(t, top, Request{Path: test.path, Params: test.params}, test.objects, test.refused)
		})
	}
}

// TestHostileArchives renders charts whose charts/ has archives with links and with names that lead elsewhere.
func TestHostileArchives(t *testing.T) {
	chart := tar.Header{Name: "sub/Chart.yaml", Typeflag: tar.TypeReg}
	for _, test := range []struct {
		reason           string
		entry            tar.Header
		objects, refused string
	}{
		{"a name that leads above", tar.Header{Name: "sub/../../outside.yaml", Typeflag: tar.TypeReg}, "", "parent directory"},
		{"a name above, whose first part is cut off", tar.Header{Name: "../outside.yaml", Typeflag: tar.TypeReg}, "chart", ""},
		{"an absolute name, whose first part is cut off", tar.Header{Name: "/etc/outside.yaml", Typeflag: tar.TypeReg}, "chart", ""},
		{"a name of another system", tar.Header{Name: `sub\..\..\outside.yaml`, Typeflag: tar.TypeReg}, "", "parent directory"},
		{"a drive", tar.Header{Name: "sub/C:/outside.yaml", Typeflag: tar.TypeReg}, "", "illegally named"},
		{"a link", tar.Header{Name: "sub/templates/a.yaml", Typeflag: tar.TypeSymlink, Linkname: "../../../../outside.yaml"}, "chart", ""},
		{"an absolute link", tar.Header{Name: "sub/templates/a.yaml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, "chart", ""},
		{"a hard link", tar.Header{Name: "sub/templates/a.yaml", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, "chart", ""},
		{"a device", tar.Header{Name: "sub/templates/a.yaml", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5}, "chart", ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			files := map[string]string{"repository/chart/charts/sub-1.0.0.tgz": string(archiveOf(t, chart, test.entry))}
			for name, data := range repositoryFiles {
				files[name] = data
			}
			harmless(t, writeFiles(t, files), Request{Path: "chart", Params: app.Render{Kind: app.Helm}}, test.objects, test.refused)
		})
	}
}

// archiveOf packs a Chart.yaml and one entry more.
func archiveOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	w := tar.NewWriter(packed)
	for _, header := range headers {
		data := ""
		if header.Typeflag == tar.TypeReg {
			data = "{apiVersion: v2, name: sub, version: 1.0.0}"
		}
		header.Size, header.Mode = int64(len(data)), 0o600
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// writeFiles writes files into a directory of their own.
func writeFiles(t *testing.T, files map[string]string) (top string) {
	t.Helper()
	top = t.TempDir()
	for name, data := range files {
		if err := os.MkdirAll(filepath.Join(top, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

// harmless renders what is in the directory repository, and wants the names of objects or a part of a refusal, and
// nothing of what is beside that directory.
func harmless(t *testing.T, top string, request Request, objects, refused string) {
	t.Helper()
	root, err := os.OpenRoot(filepath.Join(top, "repository"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	request.Files = root.FS()
	r := New(Options{})
	defer r.Close()
	result, err := r.Render(t.Context(), request)
	names := []string{}
	if err == nil {
		for _, o := range result.Bundle.Objects {
			names = append(names, o.GetName())
		}
	}
	if refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) || refused == "" && err != nil {
		t.Errorf("error %v, want %q", err, refused)
	}
	if have := strings.Join(names, " "); have != objects {
		t.Errorf("objects %q, want %q", have, objects)
	}
	if shown := show(result, err); strings.Contains(shown, secret) || strings.Contains(shown, "root:") {
		t.Errorf("it shows what is not of the repository:\n%s", shown)
	}
}
