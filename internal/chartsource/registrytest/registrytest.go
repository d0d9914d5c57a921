// Package registrytest is for tests that need artifacts in a registry: New is a registry in memory, Push writes an
// artifact into it, Pack makes a layer of files, and a Signer signs as Cosign does. Who may read a registry, and when it is away, is for its tests to do.
package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	ocidigest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// New returns a registry that holds nothing.
func New() http.Handler { return registry.New() }

// Layer is one of an artifact.
type Layer struct {
	Kind        string // its media type
	Data        []byte
	Annotations map[string]string
}

// FilesLayer is the media type that flux push artifact gives what it packs.
const FilesLayer = "application/vnd.cncf.flux.content.v1.tar+gzip"

// Push writes an artifact under a tag, and returns the digest of its manifest.
func Push(tb testing.TB, to http.Handler, repository, tag string, layers ...Layer) string {
	tb.Helper()
	blob := func(l Layer) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: l.Kind, Digest: ocidigest.FromBytes(l.Data), Size: int64(len(l.Data)), Annotations: l.Annotations}
		put(tb, to, http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+d.Digest.String(), "application/octet-stream", l.Data)
		return d
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: blob(Layer{Kind: "application/vnd.oci.empty.v1+json", Data: []byte("{}")}),
	}
	for _, l := range layers {
		manifest.Layers = append(manifest.Layers, blob(l))
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		tb.Fatal(err)
	}
	put(tb, to, http.MethodPut, "/v2/"+repository+"/manifests/"+tag, manifest.MediaType, data)
	return ocidigest.FromBytes(data).String()
}

func put(tb testing.TB, to http.Handler, method, path, kind string, data []byte) {
	tb.Helper()
	request := httptest.NewRequest(method, path, bytes.NewReader(data))
	request.Header.Set("Content-Type", kind)
	recorder := httptest.NewRecorder()
	to.ServeHTTP(recorder, request)
	if recorder.Code >= 300 {
		tb.Fatalf("%s %s: %d %s", method, path, recorder.Code, recorder.Body)
	}
}

// Pack packs files by their names. A name such as "a->b" is a symbolic link from a to b.
func Pack(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644}
		if from, to, link := strings.Cut(name, "->"); link {
			header, content = &tar.Header{Typeflag: tar.TypeSymlink, Name: from, Linkname: to}, ""
		}
		if err := w.WriteHeader(header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
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
