package hub

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// charts is a chart repository with versions of the chart web, of a ConfigMap b each.
type charts struct {
	mu       sync.Mutex
	versions []string
	away     bool
}

func (c *charts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		http.Error(w, "away", http.StatusBadGateway)
		return
	}
	if version, ok := strings.CutPrefix(strings.TrimSuffix(r.URL.Path, ".tgz"), "/web-"); ok {
		w.Write(packed(version))
		return
	}
	fmt.Fprintln(w, "entries:\n  web:")
	for _, version := range c.versions {
		fmt.Fprintf(w, "  - {version: %s, urls: [web-%s.tgz]}\n", version, version)
	}
}

func (c *charts) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// packed is the archive of a version.
func packed(version string) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, file := range [][2]string{
		{"Chart.yaml", "apiVersion: v2\nname: web\nversion: " + version + "\n"}, {"templates/map.yaml", configMap("b", version)},
	} {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "web/" + file[0], Size: int64(len(file[1])), Mode: 0o644})
		w.Write([]byte(file[1]))
	}
	w.Close()
	zip.Close()
	return out.Bytes()
}

// A Delivery of a chart follows its range, keeps what it has while the repository is away, and gets another chart as
// soon as a commit asks for it.
func TestChartFollowsItsRange(t *testing.T) {
	repository := &charts{versions: []string{"1.0.0", "2.0.0"}}
	server := httptest.NewServer(repository)
	t.Cleanup(server.Close)
	w := newWorld(t)
	w.kubeconfig(w.right())
	files := w.fleet()
	files["fleet.yaml"] += "spec:\n  sources:\n  - {name: charts, type: helm, url: '" + server.URL + "', deliveries: [b]}\n"
	plain := files["deliveries/b.yaml"]
	delivery := func(version string) string {
		return strings.Replace(plain, "source: {path: b}",
			"source: {name: charts, chart: web, version: '"+version+"'}\n  limits: {namespaces: ["+w.namespace+"]}", 1)
	}
	files["deliveries/b.yaml"] = delivery("1.x")
	commit := w.commit(files)
	w.start()
	w.synced(commit)
	if value, _ := w.object("b"); value != "1.0.0" {
		t.Fatalf("the chart is at %q", value)
	}
	for _, app := range w.state().Clusters[0].Apps {
		if app.Name == "b" && app.Source != "charts:web" {
			t.Errorf("its source is shown as %q", app.Source)
		}
	}

	repository.set(func() { repository.versions = append(repository.versions, "1.1.0") })
	w.refresh()
	w.until("the app follows", func() bool { value, _ := w.object("b"); return value == "1.1.0" })

	repository.set(func() { repository.away = true })
	commit = w.commit(map[string]string{"a/map.yaml": configMap("a", "2")})
	w.refresh()
	w.synced(commit)
	if value, _ := w.object("b"); value != "1.1.0" {
		t.Errorf("while the repository is away the chart is at %q", value)
	}
	if value, _ := w.object("a"); value != "2" {
		t.Errorf("another app is at %q", value)
	}
	for _, source := range w.state().Sources {
		if away := source.Name == "charts"; away != strings.Contains(source.Err, "502 Bad Gateway") {
			t.Errorf("source %q: %q", source.Name, source.Err)
		}
	}

	// What nobody asked for before is not there yet; then it is fetched without waiting for the next time.
	repository.set(func() { repository.away = false })
	commit = w.commit(map[string]string{"deliveries/b.yaml": delivery("2.0.0")})
	w.refresh()
	w.synced(commit)
	if value, _ := w.object("b"); value != "2.0.0" {
		t.Errorf("the chart is at %q", value)
	}
}
