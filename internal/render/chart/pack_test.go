package chart

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
)

func packedRelease(t *testing.T, files map[string]string, options app.HelmOptions, asked app.Release) (*app.Release, map[string]string) {
	t.Helper()
	release, err := Pack(chartWith(files), Input{Dir: "c", Options: options}, asked)
	if err != nil {
		t.Fatal(err)
	}
	chart := map[string]string{}
	for _, file := range release.Chart.Files {
		chart[file.Name] = string(file.Data)
	}
	return release, chart
}

func TestPack(t *testing.T) {
	files := map[string]string{
		"c/Chart.yaml":         "{apiVersion: v2, name: c, version: 1.0.0, dependencies: [{name: lib, version: 1.0.0, repository: 'file://../lib'}]}",
		"c/values.yaml":        "a: chart\nb: chart\n",
		"c/env.yaml":           "a: file\n",
		"c/templates/a.yaml":   "{{ .Values.a }}",
		"c/.helmignore":        "env.yaml\n",
		"lib/Chart.yaml":       "{apiVersion: v2, name: lib, version: 1.0.0}",
		"lib/templates/l.yaml": "{{ fail \"templates are not run\" }}",
	}
	release, chart := packedRelease(t, files, app.HelmOptions{ValueFiles: []string{"env.yaml"}, Values: map[string]any{"n": 1}}, app.Release{Name: "r", History: 3})
	if release.Name != "r" || release.History != 3 {
		t.Errorf("%+v lost what was asked for", release)
	}
	if diff := cmp.Diff(map[string]any{"a": "file"}, release.Defaults); diff != "" {
		t.Errorf("defaults (-want +have):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"n": float64(1)}, release.Values); diff != "" {
		t.Errorf("values (-want +have):\n%s", diff)
	}
	if chart["values.yaml"] != files["c/values.yaml"] || chart["charts/lib/templates/l.yaml"] == "" || chart["env.yaml"] != "" {
		t.Errorf("the chart has %q", chart)
	}
	release, chart = packedRelease(t, files, app.HelmOptions{ValueFiles: []string{"env.yaml"}}, app.Release{ReplaceDefaults: true})
	if len(release.Defaults) > 0 || chart["values.yaml"] != `{"a":"file"}` {
		t.Errorf("defaults %v, own values %q, want those of the file to be the chart's own", release.Defaults, chart["values.yaml"])
	}
	if _, chart = packedRelease(t, files, app.HelmOptions{}, app.Release{ReplaceDefaults: true}); chart["values.yaml"] != files["c/values.yaml"] {
		t.Errorf("own values %q, want them kept where there are no files", chart["values.yaml"])
	}
}

func TestPackRefuses(t *testing.T) {
	remote := "{apiVersion: v2, name: c, version: 1.0.0, dependencies: [{name: db, version: 1.0.0, repository: 'https://charts.example.org', condition: db.enabled}]}"
	for _, test := range []struct {
		reason  string
		chart   string
		options app.HelmOptions
		want    string // empty: it is not refused
	}{
		{"a dependency that cannot be had", remote, app.HelmOptions{}, `"db"`},
		{"one that is turned off", remote, app.HelmOptions{Values: map[string]any{"db": map[string]any{"enabled": false}}}, ""},
		{"a library", "{apiVersion: v2, name: c, version: 1.0.0, type: library}", app.HelmOptions{}, "library"},
		{"parameters", "{apiVersion: v2, name: c, version: 1.0.0}", app.HelmOptions{Parameters: []app.Parameter{{Name: "a", Value: "b"}}}, "parameters"},
		{"a file that is not there", "{apiVersion: v2, name: c, version: 1.0.0}", app.HelmOptions{ValueFiles: []string{"x.yaml"}}, "x.yaml"},
	} {
		_, err := Pack(chartWith(map[string]string{"c/Chart.yaml": test.chart}), Input{Dir: "c", Options: test.options}, app.Release{})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.reason, err, test.want)
		}
	}
}
