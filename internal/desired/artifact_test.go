package desired

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"nave.dev/internal/chartsource/registrytest"
)

// artifactServer is a registry, which may be away.
type artifactServer struct {
	*httptest.Server
	mu      sync.Mutex
	handler http.Handler
	away    bool
}

func newArtifactServer(tb testing.TB) *artifactServer {
	s := &artifactServer{handler: registrytest.New()}
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

func (s *artifactServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		http.Error(w, "away", http.StatusBadGateway)
		return
	}
	s.handler.ServeHTTP(w, r)
}

func (s *artifactServer) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// place is where the artifacts are.
func (s *artifactServer) place() string {
	return strings.Replace(s.URL, "http://", "oci://", 1) + "/manifests"
}

// push publishes files under the tag main of the artifact web, and returns the digest of its manifest.
func (s *artifactServer) push(tb testing.TB, files map[string]string) string {
	tb.Helper()
	return registrytest.Push(tb, s.handler, "manifests/web", "main", registrytest.Layer{Kind: registrytest.FilesLayer, Data: registrytest.Pack(tb, files)})
}

func manifests(image string) map[string]string {
	return map[string]string{"deploy/web.yaml": deployment(image), "deploy/notes.yaml": "not: a manifest\n", "README.md": "web\n"}
}

// withArtifact is a fleet with a Kustomization of an artifact's main, whose source has more fields.
func withArtifact(s *artifactServer, more string) map[string]string {
	files := fluxFiles()
	files["fleet.yaml"] = "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  urls: ['" + fleetURL + "']\n" +
		"  sources:\n  - {name: artifacts, type: oci, url: '" + s.place() + "', deliveries: [flux]" + more + "}\n"
	files["flux/prod/oci.yaml"] = ociRepository(s.place()+"/web", "ref: {tag: main}", "ignore: notes.yaml") +
		strings.Replace(fluxed("packed", "deploy"), "kind: GitRepository, name: flux-system", "kind: OCIRepository, name: web", 1)
	return files
}

func ociRepository(url string, spec ...string) string {
	return fmt.Sprintf("apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: web, namespace: flux-system}\nspec:\n  interval: 1m\n  url: %s\n  %s\n---\n",
		url, strings.Join(spec, "\n  "))
}

// packedApp is what the Kustomization came to: the image, or its error.
func packedApp(tb testing.TB, c *Compiled) (image string, err error) {
	tb.Helper()
	for _, d := range c.Apps {
		if d.Name != "packed" {
			continue
		}
		if d.Err != nil {
			return "", d.Err
		}
		if len(d.Bundle.Objects) != 1 {
			tb.Fatalf("it has %d objects", len(d.Bundle.Objects))
		}
		return imageOf(d), nil
	}
	return "", fmt.Errorf("there is no such app: %v", c.Incomplete)
}

func TestArtifactOfManifests(t *testing.T) {
	s := newArtifactServer(t)
	s.push(t, manifests("web:1"))
	r := newRepository(t)
	r.commit(withArtifact(s, ""))
	dir := t.TempDir()
	p := r.open(func(o *Options) { o.Dir = dir })
	pinned := pin(t, p)
	c := compile(t, p, pinned)["prod-eu"]
	if got, err := packedApp(t, c); got != "web:1" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	key := "artifacts@artifact:web?files=true&tag=main"
	first := pinned.Sources[key]
	if !strings.HasPrefix(first, "main@sha256:") || c.Sources["packed"][0].Commit != first || c.Sources["packed"][0].Path != "deploy" {
		t.Errorf("the archive is pinned as %q, and is %+v", first, c.Sources["packed"])
	}
	again := compile(t, p, pinned)["prod-eu"]
	if again.Digest() != c.Digest() {
		t.Error("one snapshot is two assignments")
	}

	// A tag that moves is followed by the next fetch.
	s.push(t, manifests("web:2"))
	if needs := strings.Join(pinned.Needs("artifacts"), " "); !strings.Contains(needs, "artifact:web") {
		t.Errorf("what is fetched of the source: %q", needs)
	}
	p.Fetch(t.Context(), pinned)
	if got, err := packedApp(t, compile(t, p, pin(t, p))["prod-eu"]); got != "web:2" || err != nil {
		t.Errorf("after the tag moved: %q, %v", got, err)
	}
	if got, err := packedApp(t, compile(t, p, pinned)["prod-eu"]); got != "web:1" || err != nil {
		t.Errorf("of the former snapshot: %q, %v", got, err)
	}

	// A registry that is away, or has something else, leaves what there was.
	s.setAway(true)
	p = r.open(func(o *Options) { o.Dir = dir })
	if states := p.Fetch(t.Context(), pinned); states[1].Err == "" {
		t.Error("a registry that is away was fetched")
	}
	if got, err := packedApp(t, compile(t, p, pin(t, p))["prod-eu"]); got != "web:2" || err != nil {
		t.Errorf("while the registry is away: %q, %v", got, err)
	}
	s.setAway(false)
	hostile := manifests("web:3")
	hostile["deploy/other->/etc"] = ""
	s.push(t, hostile)
	if states := p.Fetch(t.Context(), pinned); !strings.Contains(states[1].Err, "is a link") {
		t.Errorf("a hostile archive: %q", states[1].Err)
	}
	if got, err := packedApp(t, compile(t, p, pin(t, p))["prod-eu"]); got != "web:2" || err != nil {
		t.Errorf("after a hostile archive: %q, %v", got, err)
	}
}

func TestArtifactsOfArtifacts(t *testing.T) {
	s := newArtifactServer(t)
	s.push(t, manifests("web:1"))
	r := newRepository(t)
	files := withArtifact(s, "")
	files["flux/prod/oci.yaml"] = ociRepository(s.place()+"/web", "ref: {tag: main}") +
		"apiVersion: source.extensions.fluxcd.io/v1beta1\nkind: ArtifactGenerator\nmetadata: {name: g, namespace: flux-system}\nspec:\n" +
		"  sources: [{alias: oci, kind: OCIRepository, name: web}]\n  artifacts:\n  - {name: made, copy: [{from: '@oci/deploy/web.yaml', to: '@artifact/there/'}]}\n---\n" +
		strings.Replace(fluxed("packed", "there"), "kind: GitRepository, name: flux-system", "kind: ExternalArtifact, name: made", 1)
	r.commit(files)
	p := r.open(nil)
	if got, err := packedApp(t, compile(t, p, pin(t, p))["prod-eu"]); got != "web:1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestArtifactIsRefused(t *testing.T) {
	s := newArtifactServer(t)
	s.push(t, manifests("web:1"))
	for reason, test := range map[string]struct{ from, to, want string }{
		"no source":        {"type: oci", "type: helm", "add it to the Fleet's spec.sources: {name: manifests, type: oci, url:"},
		"another Delivery": {"deliveries: [flux]", "deliveries: [other]", `source "artifacts" may not be used by Delivery "flux"`},
		"another place":    {"/manifests', deliv", "/others', deliv", "its repository is no source of the fleet"},
		"no such tag":      {"tag: main", "tag: gone", "the registry has no manifests/web:gone"},
		"no such path":     {"path: ./deploy", "path: ./missing", "missing"},
	} {
		t.Run(reason, func(t *testing.T) {
			r := newRepository(t)
			files := withArtifact(s, "")
			for _, name := range []string{"fleet.yaml", "flux/prod/oci.yaml"} {
				files[name] = strings.ReplaceAll(files[name], test.from, test.to)
			}
			r.commit(files)
			p := r.open(nil)
			if got, err := packedApp(t, compile(t, p, pin(t, p))["prod-eu"]); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q, %v, not %q", got, err, test.want)
			}
		})
	}
}

func TestArtifactIsSigned(t *testing.T) {
	s, tess, eve := newArtifactServer(t), registrytest.NewSigner(t), registrytest.NewSigner(t)
	r := newRepository(t)
	files := withArtifact(s, ", verify: {cosignKeysFile: keys.pub}")
	files["keys.pub"] = string(tess.Public)
	r.commit(files)
	p := r.open(nil)
	check := func(reason, image, want string) {
		t.Helper()
		p.Fetch(t.Context(), pin(t, p))
		got, err := packedApp(t, compile(t, p, pin(t, p))["prod-eu"])
		if got != image || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, not %q", reason, got, err, want)
		}
	}
	sign := func(manifest string, layers ...registrytest.Layer) {
		registrytest.Push(t, s.handler, "manifests/web", registrytest.SignatureTag(manifest), layers...)
	}
	first := s.push(t, manifests("web:1"))
	check("a tree that does not ask for it", "", "it is not signed by Cosign")
	sign(first, eve.Sign(t, first))
	check("by another key", "", "no key that is trusted")
	sign(first, tess.Sign(t, first))
	check("signed", "web:1", "")
	second := s.push(t, manifests("web:2"))
	sign(second, tess.Sign(t, first))
	check("replayed", "", "not about this artifact")
	s.setAway(true)
	check("replayed, and the registry away", "", "not about this artifact")

	// A commit that asks for a signature where the Fleet names no keys.
	s.setAway(false)
	files = withArtifact(s, "")
	files["flux/prod/oci.yaml"] = strings.Replace(files["flux/prod/oci.yaml"], "ref: {tag: main}", "ref: {tag: main}\n  verify: {provider: cosign, secretRef: {name: keys}}", 1)
	r.commit(files)
	fetch(t, p, nil)
	check("without keys", "", "the Fleet names no keys of source \"artifacts\"")
}
