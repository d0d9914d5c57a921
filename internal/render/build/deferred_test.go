package build

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
)

func TestDeferred(t *testing.T) {
	for name, test := range map[string]struct {
		reason   string
		text     string
		want     string // in the object or the error
		deferred bool
		fails    bool
	}{
		"known":   {reason: "what Git knows is replaced here", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: "${env}"}}`, want: "a: prod\n"},
		"unknown": {reason: "what it does not is left", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: "a-${env}"}, data: {a: "${env} ${x}"}}`, want: "name: a-prod\n", deferred: true},
		"name":    {reason: "names are known here", text: `{apiVersion: v1, kind: ConfigMap, metadata: {name: "a-${x}"}}`, want: "metadata.name", fails: true},
		"asks":    {reason: "what is read here has no other variable", text: `{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: a}, spec: {path: "${x}"}}`, want: "spec.path", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(test.text), &u.Object); err != nil {
				t.Fatal(err)
			}
			f := &finisher{out: &Output{}, job: Job{Params: app.Render{Substitute: true, UnsetIsEmpty: true, Defer: true, Variables: map[string]string{"env": "prod"}}}}
			o, err := f.substitute(manifest.Object{Unstructured: u})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				data, _ := yaml.Marshal(o.Object)
				got = string(data)
			}
			if (err != nil) != test.fails || err == nil && object.Deferred(o.Unstructured) != test.deferred || !strings.Contains(got, test.want) {
				t.Errorf("%s: got %s (error: %t), want %q", test.reason, got, err != nil, test.want)
			}
		})
	}
}
