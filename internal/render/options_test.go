package render

import (
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/app"
)

// TestOptionsAreRenderedAgain holds that a render is repeated when a file changes, or appears, that only options lead
// to, and not when another does.
func TestOptionsAreRenderedAgain(t *testing.T) {
	const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	const component = "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n"
	tests := []struct {
		reason  string
		files   map[string]string
		params  app.Render
		change  string // a file that counts
		content string
	}{{
		reason:  "a library of Jsonnet that is looked in first",
		files:   map[string]string{"app/a.jsonnet": "import 'l.libsonnet'", "one/l.libsonnet": "{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'a'}}"},
		params:  app.Render{Directory: &app.Directory{Jsonnet: app.Jsonnet{Libraries: []string{"one", "two"}}}},
		change:  "two/l.libsonnet",
		content: "{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'b'}}",
	}, {
		reason: "a value file of another repository",
		files: map[string]string{"app/Chart.yaml": "{apiVersion: v2, name: c, version: 1.0.0}", "app/templates/a.yaml": configMap + "data: {v: {{ .Values.v }}}\n",
			"config/a.yaml": "v: one"},
		params:  app.Render{Refs: map[string]string{"values": "config"}, Helm: app.HelmOptions{ValueFiles: []string{"$values/a.yaml"}}},
		change:  "config/a.yaml",
		content: "v: two",
	}, {
		reason:  "a value file that matches a pattern",
		files:   map[string]string{"app/Chart.yaml": "{apiVersion: v2, name: c, version: 1.0.0}", "app/templates/a.yaml": configMap, "env/a/v.yaml": "v: one"},
		params:  app.Render{Helm: app.HelmOptions{ValueFiles: []string{"/env/**/*.yaml"}}},
		change:  "env/b/v.yaml",
		content: "v: two",
	}, {
		reason:  "a component that was missing",
		files:   map[string]string{"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": configMap},
		params:  app.Render{Kustomize: &app.KustomizeOptions{Components: []string{"../more"}, IgnoreMissingComponents: true}},
		change:  "more/kustomization.yaml",
		content: component + "namePrefix: b-\n",
	}, {
		reason:  "a component that matches a pattern",
		files:   map[string]string{"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": configMap, "parts/one/kustomization.yaml": component + "nameSuffix: -c\n"},
		params:  app.Render{Kustomize: &app.KustomizeOptions{Components: []string{"../parts/*"}}},
		change:  "parts/two/kustomization.yaml",
		content: component + "namePrefix: b-\n",
	}}
	for _, test := range tests {
		r := New(Options{})
		files := fstest.MapFS{}
		for name, data := range test.files {
			files[name] = &fstest.MapFile{Data: []byte(data)}
		}
		cached := func(what string, want bool) {
			result, err := r.Render(t.Context(), Request{Files: files, Remotes: &archived{files, nil}, Path: "app", Params: test.params})
			if err != nil {
				t.Fatalf("%s, %s: %v", test.reason, what, err)
			}
			if result.FromCache != want {
				t.Errorf("%s, %s: remembered %t, want %t", test.reason, what, result.FromCache, want)
			}
		}
		cached("first", false)
		files["elsewhere"] = &fstest.MapFile{Data: []byte("x")}
		cached("after a change elsewhere", true)
		files[test.change] = &fstest.MapFile{Data: []byte(test.content)}
		cached("after the change", false)
	}
}

func TestMissingValueFileIsNamedAsItsRepositoryHasIt(t *testing.T) {
	files := fstest.MapFS{"app/Chart.yaml": {Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")}, "config/other.yaml": {Data: []byte("v: one")}}
	for given, want := range map[string]string{
		"$values/env/a.yaml": `there is no values file "env/a.yaml" in the repository of its $NAME`,
		"env/a.yaml":         `there is no values file "app/env/a.yaml"`,
	} {
		params := app.Render{Refs: map[string]string{"values": "config"}, Helm: app.HelmOptions{ValueFiles: []string{given}}}
		_, err := New(Options{}).Render(t.Context(), Request{Files: files, Remotes: &archived{files, nil}, Path: "app", Params: params})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", given, err, want)
		}
	}
}
