package chartsource

import (
	"os"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/chartsource/registrytest"
)

// attach puts layers where Cosign looks for the signatures of a manifest of web.
func (s *ociServer) attach(tb testing.TB, manifest string, layers ...registrytest.Layer) {
	tb.Helper()
	registrytest.Push(tb, s.handler, "charts/web", registrytest.SignatureTag(manifest), layers...)
}

func TestVerifySigned(t *testing.T) {
	s, tess, eve := newRegistryServer(t), registrytest.NewSigner(t), registrytest.NewSigner(t)
	remote := s.remote()
	remote.Signatures = true
	r := follow(t, t.TempDir(), remote)
	request := files(app.Artifact{Tag: "main"})
	check := func(keys []byte) error {
		t.Helper()
		found, _ := bring(t, r, request)
		return r.VerifySigned(request, found, keys)
	}

	first := s.push(t, "charts/web", "main", layer{registrytest.FilesLayer, packed(t, "web", "0", "one")})
	wantError(t, check(tess.Public), `web:main of source "base" is refused: it is not signed by Cosign`)
	s.attach(t, first, eve.Sign(t, first))
	wantError(t, check(tess.Public), "no key that is trusted has signed it")
	s.attach(t, first, eve.Sign(t, first), tess.Sign(t, first)) // a person signs what is there already
	if err := check(tess.Public); err != nil {
		t.Error(err)
	}
	asked := s.count("GET /v2/charts/web/blobs/")
	if err := check(tess.Public); err != nil || s.count("GET /v2/charts/web/blobs/") != asked {
		t.Errorf("signatures are fetched again: %v", err)
	}

	// The tag moves to what is not signed, and then to what another's signature is put to.
	second := s.push(t, "charts/web", "main", layer{registrytest.FilesLayer, packed(t, "web", "0", "two")})
	wantError(t, check(tess.Public), "is not signed")
	s.attach(t, second, tess.Sign(t, first))
	wantError(t, check(tess.Public), `is about "`+first)
	s.attach(t, second, tess.Sign(t, second))
	if err := check(tess.Public); err != nil {
		t.Error(err)
	}

	// What was verified can be without the registry.
	s.set(func() { s.away = true })
	if _, err := r.Fetch(t.Context()); err == nil {
		t.Error("a registry that is away was fetched")
	}
	found, err := r.Resolve(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.VerifySigned(request, found, tess.Public); err != nil {
		t.Error(err)
	}

	// The archive is the one that the manifest has, whatever the cache says.
	other := digest(packed(t, "web", "0", "three"))
	if err := os.Rename(r.signedFile(found.Digest, found.Manifest), r.signedFile(other, found.Manifest)); err != nil {
		t.Fatal(err)
	}
	wantError(t, r.VerifySigned(request, Resolution{Digest: other, Manifest: found.Manifest}, tess.Public), "its manifest is of the archive")
	statement := signed{Manifest: []byte("{}")}
	wantError(t, statement.holds(request.Artifact, found), "its manifest has the digest")
}

// A chart is signed by its manifest as well.
func TestVerifySignedChart(t *testing.T) {
	s, tess := newRegistryServer(t), registrytest.NewSigner(t)
	remote := s.remote()
	remote.Signatures = true
	r := follow(t, t.TempDir(), remote)
	manifest := s.push(t, "charts/web", "1.0.0", layer{chartLayer, packed(t, "web", "1.0.0", "one")})
	s.attach(t, manifest, tess.Sign(t, manifest))
	if err := r.VerifySigned(Request{Chart: "web", Versions: "1.x"}, resolve(t, r, "1.x"), tess.Public); err != nil {
		t.Error(err)
	}
}
