package render

import (
	"errors"
	"strings"
	"testing"
	"time"

	"nave.dev/internal/app"
)

// A release is rendered on its cluster: here its chart is packed, once for all clusters, and remembered like objects.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	files := sample()
	request := Request{Files: files, Path: "version", Facts: app.Facts{KubernetesVersion: "v1.35.0"}, Params: app.Render{
		Namespace: "shop", Helm: app.HelmOptions{ReleaseName: "v", Values: map[string]any{"n": 1}, SkipCRDs: true}, Release: &app.Release{History: 2},
	}}
	first, err := New(Options{CacheDir: dir}).Render(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	release := first.Bundle.Release
	if release == nil || release.Name != "v" || release.Namespace != "shop" || release.History != 2 || release.Install.CRDs != app.CRDsSkip || len(release.Chart.Files) != 2 {
		t.Fatalf("packed %+v", release)
	}
	if len(first.Bundle.Objects) > 0 || first.FactsUsed {
		t.Errorf("objects %v, facts used: %t, want neither", first.Bundle.Objects, first.FactsUsed)
	}
	for _, test := range []struct {
		reason string
		change func(*Request)
		hit    bool
	}{
		{"the same, after a restart", func(*Request) {}, true},
		{"another cluster", func(r *Request) { r.Facts.KubernetesVersion = "v1.36.0" }, true},
		{"a file beside the chart", func(r *Request) { r.Files = files.with(map[string]string{"README.md": "new"}) }, true},
		{"a file of the chart", func(r *Request) {
			r.Files = files.with(map[string]string{"version/values.yaml": "a: b"})
		}, false},
		{"another value", func(r *Request) { r.Params.Helm.Values = map[string]any{"n": 2} }, false},
		{"another option", func(r *Request) { r.Params.Release = &app.Release{History: 3} }, false},
		{"objects in its place", func(r *Request) { r.Params.Release = nil }, false},
	} {
		other := request
		test.change(&other)
		result, err := New(Options{CacheDir: dir}).Render(t.Context(), other)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		if result.FromCache != test.hit || (result.Bundle.Digest == first.Bundle.Digest) != test.hit {
			t.Errorf("%s: from the cache: %t, digest %s, want the first: %t", test.reason, result.FromCache, result.Bundle.Digest, test.hit)
		}
	}
	request.Path = "plain"
	if _, err := New(Options{}).Render(t.Context(), request); err == nil || !strings.Contains(err.Error(), "not as a chart") {
		t.Errorf("a directory that is no chart: %v", err)
	}
}

// Templates that are stopped are not run again at once, for whatever cluster; others are.
func TestStoppedTemplatesAreRemembered(t *testing.T) {
	r := New(Options{WorkerCommand: workerCommand(t), Workers: 1, Deadline: 2 * time.Second, Retry: time.Hour})
	t.Cleanup(r.Close)
	chart := func(template string) app.Templates {
		return app.Templates{Name: "web", Namespace: "shop", Revision: 1, Chart: app.Chart{Files: []app.ChartFile{
			{Name: "Chart.yaml", Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")},
			{Name: "templates/a.yaml", Data: []byte(template)},
		}}}
	}
	nowhere := func(string, string, string, string) (map[string]any, error) { return nil, nil }
	loop := chart("{{ range $i := int64 9000000000000000000 }}{{ end }}")
	for range 3 {
		_, err := r.Templates(t.Context(), loop, nowhere)
		var stopped *StoppedError
		if !errors.As(err, &stopped) {
			t.Fatalf("error %v, want that it was stopped", err)
		}
	}
	if renders := r.Stats().Renders; renders != 1 {
		t.Errorf("one loop was run %d times", renders)
	}
	if out, err := r.Templates(t.Context(), chart("{a: b}"), nowhere); err != nil || len(out) == 0 {
		t.Errorf("another one came to %v, %v", out, err)
	}
	other := loop
	other.Values = app.Values{"n": 1}
	if _, err := r.Templates(t.Context(), other, nowhere); err == nil || r.Stats().Renders != 3 {
		t.Errorf("with other values: %v after %d renders", err, r.Stats().Renders)
	}
}
