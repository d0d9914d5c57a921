package chartsource

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/chartsource/registrytest"
)

// files is the artifact web at a tag, digest or range.
func files(of app.Artifact) Request {
	of.Name, of.Files = "web", true
	return Request{Artifact: of}
}

// bring resolves a request after a fetch, and returns what the file of the artifact holds.
func bring(tb testing.TB, r *Repository, request Request) (Resolution, string) {
	tb.Helper()
	if _, err := r.Resolve(request); err != nil && !errors.Is(err, ErrNotFetched) {
		tb.Fatal(err)
	}
	fetch(tb, r)
	found, err := r.Resolve(request)
	if err != nil {
		tb.Fatal(err)
	}
	tree, err := r.Files(found.Digest)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := fs.ReadFile(tree, "web/templates/all.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return found, string(data)
}

func TestArtifactReferences(t *testing.T) {
	s := newRegistryServer(t)
	manifests := map[string]string{}
	for tag, text := range map[string]string{"latest": "newest", "v1.0.0": "one", "1.1.0": "two", "1.2.0-rc.1": "rc", "1.2": "an alias", "main": "main"} {
		manifests[tag] = s.push(t, "charts/web", tag, layer{registrytest.FilesLayer, packed(t, "web", "0", text)})
	}
	r := follow(t, t.TempDir(), s.remote())
	for reason, test := range map[string]struct {
		of      app.Artifact
		version string
		want    string
	}{
		"latest":                   {app.Artifact{}, "latest", "newest"},
		"a tag":                    {app.Artifact{Tag: "main"}, "main", "main"},
		"a tag that looks a range": {app.Artifact{Tag: "1.2"}, "1.2", "an alias"},
		"a range before a tag":     {app.Artifact{Versions: "1.x", Tag: "main"}, "1.1.0", "two"},
		"pre-releases":             {app.Artifact{Versions: ">=1.0.0-0"}, "1.2.0-rc.1", "rc"},
		"a filter":                 {app.Artifact{Versions: ">=1.0.0-0", Filter: "^v"}, "v1.0.0", "one"},
		"a digest before a range":  {app.Artifact{Digest: manifests["v1.0.0"], Versions: "1.x"}, manifests["v1.0.0"], "one"},
	} {
		t.Run(reason, func(t *testing.T) {
			found, text := bring(t, r, files(test.of))
			if found.Version != test.version || text != test.want {
				t.Errorf("%+v with %q", found, text)
			}
		})
	}
	asked := s.count("HEAD /v2/charts/web/manifests/sha256")
	fetch(t, r)
	if n := s.count("HEAD /v2/charts/web/manifests/sha256"); n != asked {
		t.Error("what a digest stands for is asked again")
	}
}

func TestArtifactTagMoves(t *testing.T) {
	s := newRegistryServer(t)
	s.push(t, "charts/web", "main", layer{registrytest.FilesLayer, packed(t, "web", "0", "one")})
	dir := t.TempDir()
	r := follow(t, dir, s.remote())
	bring(t, r, files(app.Artifact{Tag: "main"}))
	s.push(t, "charts/web", "main", layer{registrytest.FilesLayer, packed(t, "web", "0", "two")})
	moved, text := bring(t, r, files(app.Artifact{Tag: "main"}))
	if text != "two" {
		t.Errorf("after the tag moved: %q", text)
	}
	// What a tag stood for stays while the registry is away, and when the tag is gone.
	for reason, change := range map[string]func(){"away": func() { s.away = true }, "gone": func() { s.away, s.handler = false, registrytest.New() }} {
		s.set(change)
		r = follow(t, dir, s.remote())
		_, err := r.Fetch(t.Context())
		if found, still := r.Resolve(files(app.Artifact{Tag: "main"})); still != nil || found.Digest != moved.Digest {
			t.Errorf("%s: %+v, %v", reason, found, still)
		}
		if (err == nil) == (reason == "away") {
			t.Errorf("%s: fetching gives %v", reason, err)
		}
	}
}

func TestArtifactLayers(t *testing.T) {
	s := newRegistryServer(t)
	s.push(t, "charts/web", "latest",
		layer{registrytest.FilesLayer, packed(t, "web", "0", "first")}, layer{"application/x.tar+gzip", packed(t, "web", "0", "second")})
	r := follow(t, t.TempDir(), s.remote())
	if _, text := bring(t, r, files(app.Artifact{})); text != "first" {
		t.Errorf("without a selector: %q", text)
	}
	if _, text := bring(t, r, files(app.Artifact{Layer: "application/x.tar+gzip"})); text != "second" {
		t.Errorf("by media type: %q", text)
	}
	r.Resolve(files(app.Artifact{Layer: "application/y"}))
	_, err := r.Fetch(t.Context())
	wantError(t, err, `no layer of the media type "application/y"`)
}

// A chart may be named by a tag that is no version, and by a digest.
func TestChartByReference(t *testing.T) {
	s := newRegistryServer(t)
	manifest := s.push(t, "charts/web", "stable", layer{chartLayer, packed(t, "web", "1.0.0", "one")})
	r := follow(t, t.TempDir(), s.remote())
	for _, of := range []app.Artifact{{Name: "web", Tag: "stable"}, {Name: "web", Digest: manifest}} {
		r.Resolve(Request{Artifact: of})
		fetch(t, r)
		found, err := r.Resolve(Request{Artifact: of})
		if err != nil || template(t, r, found.Digest) != "one" {
			t.Errorf("%s: %+v, %v", of, found, err)
		}
	}
}

func TestHostileArtifact(t *testing.T) {
	for reason, test := range map[string]struct {
		parts []layer
		of    app.Artifact
		want  string
	}{
		"no layers":    {nil, app.Artifact{}, "has no layers"},
		"no archive":   {[]layer{{registrytest.FilesLayer, []byte("hello")}}, app.Artifact{}, "not compressed"},
		"too large":    {[]layer{{registrytest.FilesLayer, make([]byte, 2000)}}, app.Artifact{}, "more than 1000 bytes"},
		"no such tag":  {nil, app.Artifact{Tag: "other"}, "has no charts/web:other"},
		"other digest": {nil, app.Artifact{Digest: "sha256:" + strings.Repeat("0", 64)}, "has no charts/web@sha256:000"},
		"no version":   {nil, app.Artifact{Versions: "1.x"}, "none of its 0 versions"},
	} {
		t.Run(reason, func(t *testing.T) {
			s := newRegistryServer(t)
			s.push(t, "charts/web", "latest", test.parts...)
			charts, err := Open(t.TempDir(), Options{MaxArchive: 1000})
			if err != nil {
				t.Fatal(err)
			}
			r, err := charts.Repository("base", s.remote())
			if err != nil {
				t.Fatal(err)
			}
			r.Resolve(files(test.of))
			_, err = r.Fetch(t.Context())
			wantError(t, err, test.want)
		})
	}
	r := follow(t, t.TempDir(), Remote{URL: "https://charts.example.com"})
	_, err := r.Resolve(files(app.Artifact{}))
	wantError(t, err, "only a registry has artifacts")
	_, err = r.Resolve(Request{Artifact: app.Artifact{Name: "../web"}})
	wantError(t, err, "not the name")
	_, err = r.Resolve(files(app.Artifact{Versions: "newest"}))
	wantError(t, err, "neither a version nor a range")
}
