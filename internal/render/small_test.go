package render

import (
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/app"
)

// TestFewManifestsNeedNoWorker holds each render against one that has no choice, and looks whether a worker was started.
func TestFewManifestsNeedNoWorker(t *testing.T) {
	const manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\ndata: {text: hello}\n"
	long := manifest + "---\n" + strings.Replace(manifest, "name: a", "name: b", 1) + "  # " + strings.Repeat("x", maxSmall)
	cases := []struct {
		name, reason string
		files        map[string]string
		params       app.Render
		worker       bool
	}{
		{name: "plain", reason: "few manifests cost what they are long", files: map[string]string{"a.yaml": manifest}},
		{name: "broken", reason: "their problems cost no more", files: map[string]string{"a.yaml": "a: b: c"}},
		{name: "long", reason: "many are for a worker, whose memory is watched", files: map[string]string{"a.yaml": long}, worker: true},
		{name: "several", reason: "what counts is their sum", worker: true,
			files: map[string]string{"a.yaml": manifest, "b.yaml": "# " + strings.Repeat("x", maxSmall-50)}},
		{name: "anchor", reason: "aliases come to more than they are long", worker: true,
			files: map[string]string{"a.yaml": strings.Replace(manifest, "{text: hello}", "{text: &t hello, more: *t}", 1)}},
		{name: "program", reason: "a program may loop", worker: true,
			files: map[string]string{"a.jsonnet": "{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'a'}}"}},
		{name: "program beside", reason: "a program among manifests, too", worker: true,
			files: map[string]string{"a.yaml": manifest, "b.jsonnet": "[]"}},
		{name: "kustomization", reason: "Kustomize cannot be stopped", worker: true,
			files: map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": manifest}},
		{name: "variables", reason: "a variable may be longer than its name", worker: true,
			files: map[string]string{"a.yaml": strings.Replace(manifest, "hello", "${V}", 1)}, params: app.Render{Substitute: true, Variables: map[string]string{"V": "v"}}},
	}
	for _, c := range cases {
		files := fstest.MapFS{}
		for name, data := range c.files {
			files["app/"+name] = &fstest.MapFile{Data: []byte(data)}
		}
		request := Request{Files: files, Path: "app", Params: c.params}
		r := New(Options{WorkerCommand: workerCommand(t)})
		got, gotErr := r.Render(t.Context(), request)
		started := r.Stats().Isolation != ""
		r.Close()
		want, wantErr := New(Options{}).Render(t.Context(), request)
		switch {
		case started != c.worker:
			t.Errorf("%s: a worker was started: %t, want %t: %s", c.name, started, c.worker, c.reason)
		case (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error():
			t.Errorf("%s: error %v, want %v", c.name, gotErr, wantErr)
		case gotErr == nil && (got.Bundle.Digest != want.Bundle.Digest || len(got.Reads) != len(want.Reads)):
			t.Errorf("%s: %s of %v, want %s of %v", c.name, got.Bundle.Digest, got.Reads, want.Bundle.Digest, want.Reads)
		}
	}
}
