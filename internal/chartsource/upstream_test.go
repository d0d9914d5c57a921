package chartsource

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// packed is the archive of a chart of one file beside Chart.yaml.
func packed(tb testing.TB, name, version, content string) []byte {
	tb.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, entry := range [][2]string{
		{"Chart.yaml", "apiVersion: v2\nname: " + name + "\nversion: " + version + "\n"}, {"templates/all.yaml", content},
	} {
		file, data := entry[0], entry[1]
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name + "/" + file, Size: int64(len(data)), Mode: 0o644}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// webServer is a chart repository.
type webServer struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string][]byte
	entries  []string // of the index
	asked    map[string]int
	password string
	away     bool
}

func newWebServer(tb testing.TB) *webServer {
	s := &webServer{files: map[string][]byte{}, asked: map[string]int{}}
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

func (s *webServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[r.URL.Path]++
	if s.away {
		http.Error(w, "away", http.StatusBadGateway)
		return
	}
	if _, password, _ := r.BasicAuth(); password != s.password {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	data, ok := s.files[r.URL.Path]
	if strings.HasSuffix(r.URL.Path, "/index.yaml") {
		data, ok = []byte("apiVersion: v1\nentries:\n  web:\n"+strings.Join(s.entries, "")), true
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+digest(data)+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// add adds a version of the chart web and returns its digest.
func (s *webServer) add(tb testing.TB, version, content string) string {
	tb.Helper()
	data := packed(tb, "web", version, content)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/charts/web-"+version+".tgz"] = data
	s.entries = append(s.entries, fmt.Sprintf("  - {version: %q, digest: %s, urls: [web-%s.tgz]}\n", version, digest(data), version))
	return digest(data)
}

func (s *webServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *webServer) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// follow opens a repository in a directory.
func follow(tb testing.TB, dir string, remote Remote) *Repository {
	tb.Helper()
	charts, err := Open(dir, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := charts.Repository("base", remote)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func fetch(tb testing.TB, r *Repository) {
	tb.Helper()
	if _, err := r.Fetch(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// resolve asks for a version of web, which is fetched if it was not.
func resolve(tb testing.TB, r *Repository, versions string) Resolution {
	tb.Helper()
	request := Request{Chart: "web", Versions: versions}
	found, err := r.Resolve(request)
	if err != nil {
		fetch(tb, r)
		found, err = r.Resolve(request)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// template is what the template of an archive holds.
func template(tb testing.TB, r *Repository, hex string) string {
	tb.Helper()
	chart, err := r.Chart(hex)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := fs.ReadFile(chart, "templates/all.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func passwordFile(tb testing.TB, password string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// wantError reports an error that lacks a text.
func wantError(tb testing.TB, err error, text string) {
	tb.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		tb.Errorf("have the error %v, want %q in it", err, text)
	}
}
