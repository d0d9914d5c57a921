package offline

import (
	"fmt"
	"strings"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render"
)

// chart is one that shows its values, the namespace of its release and the version of its cluster.
func chart() app.Chart {
	return app.Chart{Files: []app.ChartFile{
		{Name: "Chart.yaml", Data: []byte("{apiVersion: v2, name: web, version: 1.0.0}")},
		{Name: "values.yaml", Data: []byte("{a: chart, b: chart, c: chart}")},
		{Name: "templates/web.yaml", Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n" +
			"data: {text: '{{ .Values.a }} {{ .Values.b }} {{ .Values.c }} {{ .Release.Namespace }} {{ .Capabilities.KubeVersion.Minor }}'}\n")},
		{Name: "crds/thing.yaml", Data: []byte("kind: CustomResourceDefinition")},
	}}
}

func TestReleases(t *testing.T) {
	patch := `[{"op": "replace", "path": "/data/text", "value": "patched"}]`
	for _, test := range []struct {
		reason  string
		release app.Release
		want    string // labels and text, or else the error
	}{
		{"the chart's values", app.Release{}, "[] chart chart chart shop 35"},
		{"values win over defaults, and these over the chart's", app.Release{Defaults: map[string]any{"a": "default", "b": "default"}, Values: map[string]any{"a": "own"}},
			"[] own default chart shop 35"},
		{"post-renderers, and metadata of all objects", app.Release{
			PostRenderers:  []app.PostRenderer{{Patches: []app.KustomizePatch{{Patch: patch, Target: &app.Selector{Kind: "ConfigMap"}}}}},
			CommonMetadata: app.Metadata{Labels: map[string]string{"team": "web"}},
		}, "[team:web] patched"},
		{"values of the cluster", app.Release{ValuesFrom: []app.ValuesFrom{{Kind: "Secret", Namespace: "shop", Name: "web"}}},
			"it has values of the Secret shop/web, which its cluster reads"},
		{"values of the revision before", app.Release{Upgrade: app.ReleaseAction{ReuseValues: true}}, "it reuses the values of the revision before, which its cluster has"},
	} {
		release := test.release
		release.Name, release.Namespace, release.Chart = "web", "shop", chart()
		bundle, err := app.NewReleaseBundle(&release)
		if err != nil {
			t.Fatal(err)
		}
		releases := New(render.New(render.Options{}))
		releases.Want(bundle, "v1.35.2")
		releases.Want(bundle, "v1.34.0")
		releases.Want(nil, "v1.35.2")
		if err := releases.Render(t.Context()); err != nil {
			t.Fatal(err)
		}
		told := releases.Of(bundle, "v1.35.2")
		have := fmt.Sprint(told.Err)
		if told.Err == nil {
			u := told.Bundle.Objects[0]
			text, _, _ := strings.Cut(fmt.Sprint(u.Object["data"]), "\n")
			have = strings.TrimPrefix(fmt.Sprint(u.GetLabels()), "map") + " " + strings.TrimSuffix(strings.TrimPrefix(text, "map[text:"), "]")
			if id := object.Of(u).String(); id != "ConfigMap shop/web" || len(told.Bundle.Objects) != 1 {
				t.Errorf("%s: have %d objects, %s first", test.reason, len(told.Bundle.Objects), id)
			}
		}
		if have != test.want {
			t.Errorf("%s: have %q, want %q", test.reason, have, test.want)
		}
		if other := releases.Of(bundle, "v1.36.0"); other != nil {
			t.Errorf("%s: told of a version that was not asked for: %+v", test.reason, other)
		}
	}
}

func TestAsksForHistory(t *testing.T) {
	for text, want := range map[string]bool{
		"{{ .Release.Name }} {{ $.Release.Namespace }} {{ .Release.Service }} {{ .Values.ReleaseName }}": false,
		"{{ if .Release.IsUpgrade }}{{ end }}":        true,
		"{{ .Release.Revision }}":                     true,
		"{{ $r := .Release }}{{ $r.Revision }}":       true,
		"{{ with .Release }}{{ .Revision }}{{ end }}": true,
		"{{ index .Release \"Revision\" }}":           true,
	} {
		for _, name := range []string{"templates/a.yaml", "charts/b/templates/_a.tpl"} {
			if have := asksForHistory(app.Chart{Files: []app.ChartFile{{Name: name, Data: []byte(text)}}}); have != want {
				t.Errorf("%s with %s: %t", name, text, have)
			}
		}
	}
}
