package desired

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chartServer is a chart repository with versions of the chart web.
type chartServer struct {
	*httptest.Server
	mu    sync.Mutex
	index string
	files map[string][]byte
	away  bool
}

func newChartServer(tb testing.TB) *chartServer {
	s := &chartServer{files: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

func (s *chartServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[r.URL.Path]
	switch {
	case s.away:
		http.Error(w, "away", http.StatusBadGateway)
	case r.URL.Path == "/index.yaml":
		fmt.Fprint(w, "entries:\n  web:\n", s.index)
	case ok:
		w.Write(data)
	default:
		http.NotFound(w, r)
	}
}

// add publishes a version and returns what stands for its commit.
func (s *chartServer) add(tb testing.TB, version string, files map[string]string) string {
	tb.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	write := func(name, content string) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "web/" + name, Size: int64(len(content)), Mode: 0o644}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			tb.Fatal(err)
		}
	}
	if files["Chart.yaml"] == "" {
		write("Chart.yaml", "apiVersion: v2\nname: web\nversion: "+version+"\n")
	}
	for name, content := range files {
		write(name, content)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		tb.Fatal(err)
	}
	digest := fmt.Sprintf("%x", sha256.Sum256(out.Bytes()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/web-"+version+".tgz"] = out.Bytes()
	s.index += fmt.Sprintf("  - {version: %q, digest: %s, urls: [web-%s.tgz]}\n", version, digest, version)
	return version + "@sha256:" + digest
}

func (s *chartServer) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// withChart is a fleet whose web is a chart of a repository.
func withChart(s *chartServer, version, more string) map[string]string {
	files := fleetFiles()
	files["fleet.yaml"] += "spec:\n  sources:\n  - {name: charts, type: helm, url: '" + s.URL + "', deliveries: [web]" + more + "}\n"
	files["deliveries/web.yaml"] = delivery("web", "source: {name: charts, chart: web, version: '"+version+"'}",
		"limits: {namespaces: [shop]}", "helm: {values: {tag: '${cluster.labels.env}'}}")
	return files
}

// chartFiles is a chart with one Deployment, whose image has the label env of the cluster as its tag.
func chartFiles(image string) map[string]string {
	return map[string]string{"templates/web.yaml": deployment(image + "-{{ .Values.tag }}")}
}

func TestChart(t *testing.T) {
	s := newChartServer(t)
	first := s.add(t, "1.0.0", chartFiles("web:1"))
	r := newRepository(t)
	r.commit(withChart(s, "1.x", ""))
	p := r.open(nil)
	pinned := pin(t, p) // the source was never fetched, and is when it is needed
	if diff := cmp.Diff(map[string]string{"charts@chart:web:1.x": first}, pinned.Sources); diff != "" {
		t.Errorf("the archive is not pinned (-want +have):\n%s", diff)
	}
	compiled := compile(t, p, pinned)
	if got := image(t, compiled, "prod-eu"); got != "web:1-prod" {
		t.Errorf("rendered with %s", got)
	}
	if got := compiled["prod-eu"].Sources["web"]; got[0].Commit != first || got[0].Path != "." {
		t.Errorf("the app's files are at %+v", got)
	}
	before := p.render.Stats().Renders
	fetch(t, p, pinned)
	compile(t, p, pin(t, p))
	if now := p.render.Stats().Renders; now != before {
		t.Errorf("%d renders of what is as it was", now-before)
	}

	// A new version; the snapshot stays as it is.
	second := s.add(t, "1.1.0", chartFiles("web:2"))
	fetch(t, p, pinned)
	if got := image(t, compile(t, p, pinned), "prod-eu"); got != "web:1-prod" {
		t.Errorf("the same snapshot again: %s", got)
	}
	moved := pin(t, p)
	if got := image(t, compile(t, p, moved), "dev-1"); got != "web:2-dev" || moved.Sources["charts@chart:web:1.x"] != second {
		t.Errorf("after the new version: %s, %v", got, moved.Sources)
	}

	// The repository goes away: everything stays in force, and the state says why.
	s.setAway(true)
	for _, state := range p.Fetch(t.Context(), moved) {
		if away := state.Name == "charts"; away != strings.Contains(state.Err, "502 Bad Gateway") {
			t.Errorf("source %q: %q", state.Name, state.Err)
		}
	}
	if got := image(t, compile(t, p, pin(t, p)), "prod-us"); got != "web:2-prod" {
		t.Errorf("while the repository is away: %s", got)
	}
}

func TestChartThatCannotBeTold(t *testing.T) {
	s := newChartServer(t)
	s.add(t, "1.0.0", chartFiles("web:1"))
	s.add(t, "2.0.0", map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: web\nversion: 2.0.0\ndependencies:\n- {name: common, version: 1.x, repository: 'https://charts.example.com'}\n",
	})
	for reason, test := range map[string]struct {
		version, more, want string
	}{
		"no such version":       {"3.x", "", `none of its 2 versions is in "3.x"`},
		"unsigned":              {"1.x", ", verify: {keyringFile: settings/settings.yaml}", "it comes without a provenance file"},
		"a missing dependency":  {"2.0.0", "", "common"},
		"a credential not here": {"1.x", ", credential: {tokenFile: token}", "there is no directory of credentials"},
	} {
		t.Run(reason, func(t *testing.T) {
			r := newRepository(t)
			r.commit(withChart(s, test.version, test.more))
			p := r.open(nil)
			compiled := compile(t, p, pin(t, p), "prod-eu")
			if got := image(t, compiled, "prod-eu"); !strings.Contains(got, test.want) {
				t.Errorf("%s\nlacks %q", got, test.want)
			}
			for _, desired := range compiled["prod-eu"].Apps {
				if desired.Name == "settings" && desired.Err != nil {
					t.Error("another app fails with it")
				}
			}
		})
	}
}

func TestNeeds(t *testing.T) {
	s := newChartServer(t)
	s.add(t, "1.0.0", chartFiles("web:1"))
	r := newRepository(t)
	r.commit(withChart(s, "1.x", ""))
	p := r.open(func(o *Options) { o.SourcesApart = true })
	pinned := pin(t, p)
	if got := image(t, compile(t, p, pinned), "dev-1"); !strings.Contains(got, "has not been fetched yet") {
		t.Errorf("before others have fetched it: %s", got)
	}
	want := []string{s.URL, s.URL + " chart:web:1.x"}
	if diff := cmp.Diff(want, pinned.Needs("charts")); diff != "" {
		t.Errorf("needs (-want +have):\n%s", diff)
	}
	fetch(t, p, pinned)
	pinned = pin(t, p)
	if got := image(t, compile(t, p, pinned), "dev-1"); got != "web:1-dev" {
		t.Errorf("after it: %s", got)
	}
	if diff := cmp.Diff(want, pinned.Needs("charts")); diff != "" {
		t.Errorf("needs when it was fetched (-want +have):\n%s", diff)
	}
}
