package chartsource

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/chartsource/registrytest"
)

// ociServer is a registry, which may ask for a token.
type ociServer struct {
	*httptest.Server
	mu       sync.Mutex
	handler  http.Handler
	password string
	token    string
	asked    map[string]int
	away     bool
}

func newRegistryServer(tb testing.TB) *ociServer {
	s := &ociServer{handler: registrytest.New(), asked: map[string]int{}}
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

func (s *ociServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[r.Method+" "+r.URL.Path]++
	switch _, password, _ := r.BasicAuth(); {
	case s.away:
		http.Error(w, "away", http.StatusBadGateway)
	case r.URL.Path == "/token" && password == s.password:
		json.NewEncoder(w).Encode(map[string]string{"token": s.token})
	case r.URL.Path == "/token":
		http.Error(w, "who are you", http.StatusUnauthorized)
	case s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, s.URL))
		w.WriteHeader(http.StatusUnauthorized)
	default:
		s.handler.ServeHTTP(w, r)
	}
}

func (s *ociServer) count(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for call, times := range s.asked {
		if strings.HasPrefix(call, prefix) {
			n += times
		}
	}
	return n
}

func (s *ociServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// layer is one of an artifact.
type layer struct {
	kind string
	data []byte
}

// push writes an artifact under a tag, and returns the digest of its manifest.
func (s *ociServer) push(tb testing.TB, repository, tag string, parts ...layer) string {
	tb.Helper()
	var layers []registrytest.Layer
	for _, part := range parts {
		layers = append(layers, registrytest.Layer{Kind: part.kind, Data: part.data})
	}
	return registrytest.Push(tb, s.handler, repository, tag, layers...)
}

// pushChart writes a version of the chart web.
func (s *ociServer) pushChart(tb testing.TB, version, text string) []byte {
	tb.Helper()
	data := packed(tb, "web", version, text)
	s.push(tb, "charts/web", strings.ReplaceAll(version, "+", "_"), layer{chartLayer, data})
	return data
}

func (s *ociServer) remote() Remote {
	return Remote{URL: "oci://" + strings.TrimPrefix(s.URL, "http://") + "/charts"}
}

func TestRegistry(t *testing.T) {
	s := newRegistryServer(t)
	s.pushChart(t, "1.0.0", "one")
	s.pushChart(t, "1.1.0+build", "two")
	s.pushChart(t, "2.0.0-rc.1", "not yet")
	s.push(t, "charts/web", "1", layer{chartLayer, packed(t, "web", "1.1.0", "an alias")})
	s.push(t, "charts/web", "latest", layer{chartLayer, packed(t, "web", "9.0.0", "no version")})
	dir := t.TempDir()
	r := follow(t, dir, s.remote())

	found := resolve(t, r, "1.x")
	if found.Version != "1.1.0+build" || template(t, r, found.Digest) != "two" {
		t.Errorf("a range: %+v", found)
	}
	if exact := resolve(t, r, "1.0.0"); template(t, r, exact.Digest) != "one" {
		t.Errorf("a version: %+v", exact)
	}
	blobs := s.count("GET /v2/charts/web/blobs/")
	fetch(t, r)
	if n := s.count("GET /v2/charts/web/blobs/"); n != blobs {
		t.Errorf("archives were fetched again: %d and %d times", blobs, n)
	}
	s.pushChart(t, "1.2.0", "three")
	fetch(t, r)
	if now := resolve(t, r, "1.x"); now.Version != "1.2.0" || template(t, r, now.Digest) != "three" {
		t.Errorf("after a new version: %+v", now)
	}

	s.set(func() { s.away = true })
	r = follow(t, dir, s.remote())
	if _, err := r.Fetch(t.Context()); err == nil {
		t.Error("a registry that is away was fetched")
	}
	if now := resolve(t, r, "1.x"); now.Version != "1.2.0" || template(t, r, now.Digest) != "three" {
		t.Errorf("while it is away: %+v", now)
	}
}

func TestRegistryWithToken(t *testing.T) {
	s := newRegistryServer(t)
	s.token, s.password = "open-sesame", "hunter2"
	s.pushChart(t, "1.0.0", "one")
	remote := s.remote()
	r := follow(t, t.TempDir(), remote)
	r.Resolve(Request{Chart: "web", Versions: "1.0.0"})
	if _, err := r.Fetch(t.Context()); err == nil {
		t.Error("fetched without a password")
	}
	remote.Auth = Auth{Username: "bob", PasswordFile: passwordFile(t, "hunter2")}
	r.setRemote(remote)
	fetch(t, r)
	if found := resolve(t, r, "1.0.0"); template(t, r, found.Digest) != "one" {
		t.Errorf("found %+v", found)
	}
}

func TestIndexOfARegistry(t *testing.T) {
	s, web := newRegistryServer(t), newWebServer(t)
	data := s.pushChart(t, "1.0.0", "one")
	at := strings.Replace(s.URL, "http://", "oci://", 1) + "/charts/web"
	web.set(func() {
		web.entries = []string{"  - {version: 1.0.0, digest: " + digest(data) + ", urls: ['" + at + ":1.0.0']}\n", "  - {version: 2.0.0, urls: ['" + at + "']}\n"}
	})
	r := follow(t, t.TempDir(), Remote{URL: web.URL})
	if found := resolve(t, r, "1.0.0"); template(t, r, found.Digest) != "one" {
		t.Errorf("found %+v", found)
	}
	r.Resolve(Request{Chart: "web", Versions: "2.0.0"})
	_, err := r.Fetch(t.Context())
	wantError(t, err, "which has no tag")
}

func TestHostileRegistry(t *testing.T) {
	chart := layer{chartLayer, packed(t, "web", "1.0.0", "one")}
	for reason, test := range map[string]struct {
		parts    []layer
		versions string
		want     string
	}{
		"no chart":         {[]layer{{"application/x", []byte("x")}}, "1.0.0", "holds no Helm chart"},
		"two charts":       {[]layer{chart, chart}, "1.0.0", "more than one chart"},
		"no archive":       {[]layer{{chartLayer, []byte("hello")}}, "1.0.0", "not compressed"},
		"a large archive":  {[]layer{{chartLayer, make([]byte, 2000)}}, "1.0.0", "more than 1000 bytes"},
		"no such version":  {[]layer{chart}, "3.0.0", "has no charts/web:3.0.0"},
		"nothing in range": {[]layer{chart}, ">=3", "none of its 1 versions"},
	} {
		t.Run(reason, func(t *testing.T) {
			s := newRegistryServer(t)
			s.push(t, "charts/web", "1.0.0", test.parts...)
			charts, err := Open(t.TempDir(), Options{MaxArchive: 1000})
			if err != nil {
				t.Fatal(err)
			}
			r, err := charts.Repository("base", s.remote())
			if err != nil {
				t.Fatal(err)
			}
			r.Resolve(Request{Chart: "web", Versions: test.versions})
			_, err = r.Fetch(t.Context())
			wantError(t, err, test.want)
		})
	}
	// What is served under another digest than it has.
	s := newRegistryServer(t)
	s.push(t, "charts/web", "1.0.0", chart)
	honest := s.handler
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			w.Write(make([]byte, len(chart.data)))
			return
		}
		honest.ServeHTTP(w, r)
	})
	r := follow(t, t.TempDir(), s.remote())
	r.Resolve(Request{Chart: "web", Versions: "*"})
	_, err := r.Fetch(t.Context())
	wantError(t, err, "mismatch")
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"layers": [{"mediaType": "`+chartLayer+`", "digest": "sha256:00", "size": -1}]}`), "")
	f.Add([]byte(`{"layers": [{}, {"mediaType": "a"}]}`), "a")
	f.Fuzz(func(t *testing.T, data []byte, media string) {
		if found, err := parseManifest(data, app.Artifact{}); err == nil && found.content.MediaType == "" {
			t.Error("a chart without a layer")
		}
		if found, err := parseManifest(data, app.Artifact{Files: true, Layer: media}); err == nil && media != "" && found.content.MediaType != media {
			t.Error("another layer")
		}
	})
}
