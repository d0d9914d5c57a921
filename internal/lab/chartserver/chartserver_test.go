package chartserver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// chart writes a chart's directory and returns it.
func chart(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func add(t *testing.T, root string, files map[string]string) {
	t.Helper()
	if _, _, err := Add(root, chart(t, files)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s *Server, path string) (int, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.Bytes()
}

// served is what the index lists of a chart: the template of each version.
func served(t *testing.T, s *Server, name string) map[string]string {
	t.Helper()
	_, data := get(t, s, "/index.yaml")
	var listed index
	if err := yaml.Unmarshal(data, &listed); err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, e := range listed.Entries[name] {
		_, data := get(t, s, "/"+e.URLs[0])
		if sum := fmt.Sprintf("%x", sha256.Sum256(data)); sum != e.Digest {
			t.Errorf("%s has the digest %s, and the index states %s", e.URLs[0], sum, e.Digest)
		}
		zip, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(zip); ; {
			header, err := archive.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if content, _ := io.ReadAll(archive); header.Name == name+"/templates/a.yaml" {
				have[e.Version] = string(content)
			}
		}
	}
	return have
}

func TestVersionsStandSideBySide(t *testing.T) {
	root := filepath.Join(t.TempDir(), "charts")
	s := &Server{Root: root}
	if status, data := get(t, s, "/index.yaml"); status != http.StatusOK || !strings.Contains(string(data), "entries: {}") {
		t.Errorf("with no chart: %d %s", status, data)
	}
	version := func(version, template string) map[string]string {
		return map[string]string{"Chart.yaml": "{apiVersion: v2, name: web, version: " + version + "}", "templates/a.yaml": template}
	}
	add(t, root, version("1.0.0", "one"))
	add(t, root, version("1.1.0", "two"))
	add(t, root, map[string]string{"Chart.yaml": "{apiVersion: v2, name: other, version: 1.0.0}"})
	if diff := cmp.Diff(map[string]string{"1.0.0": "one", "1.1.0": "two"}, served(t, s, "web")); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	before, _ := os.ReadFile(filepath.Join(root, "web-1.1.0.tgz"))
	add(t, root, version("1.1.0", "two"))
	if after, _ := os.ReadFile(filepath.Join(root, "web-1.1.0.tgz")); !bytes.Equal(before, after) {
		t.Error("the same files make another archive")
	}
	add(t, root, version("1.0.0", "another"))
	if diff := cmp.Diff(map[string]string{"1.0.0": "another", "1.1.0": "two"}, served(t, s, "web")); diff != "" {
		t.Errorf("replaced (-want +have):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	root := t.TempDir()
	s := &Server{Root: filepath.Join(root, "charts")}
	add(t, s.Root, map[string]string{"Chart.yaml": "{apiVersion: v2, name: web, version: 1.0.0}"})
	if err := os.WriteFile(filepath.Join(root, "secret.tgz"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/web-1.0.0.tgz": 200, "/web-2.0.0.tgz": 404, "/../secret.tgz": 404, "/": 404, "/charts/index.yaml": 404, "/.index.yaml": 404,
	} {
		if status, _ := get(t, s, path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	s.SetAway(true)
	if status, _ := get(t, s, "/index.yaml"); status != http.StatusServiceUnavailable {
		t.Errorf("while it is away: %d", status)
	}
	s.SetAway(false)
	if status, _ := get(t, s, "/index.yaml"); status != http.StatusOK {
		t.Errorf("when it is back: %d", status)
	}
	charts := map[string]string{
		"no Chart.yaml": "", "a path for a name": "{name: ../web, version: 1.0.0}", "a path for a version": "{name: web, version: 1/../../2}", "no YAML": "{",
	}
	for _, reason := range slices.Sorted(maps.Keys(charts)) {
		files := map[string]string{"Chart.yaml": charts[reason]}
		if charts[reason] == "" {
			files = nil
		}
		if name, version, err := Add(s.Root, chart(t, files)); err == nil {
			t.Errorf("%s: added %s %s", reason, name, version)
		}
	}
}
