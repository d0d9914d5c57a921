package inputs

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// shelf has objects by their identity.
type shelf map[object.ID]*unstructured.Unstructured

func (s shelf) Read(_ context.Context, id object.ID, _ string) (*unstructured.Unstructured, error) {
	return s[id], nil
}

// put adds an object with entries.
func (s shelf) put(kind, name, key, value string) {
	if kind == "Secret" {
		value = base64.StdEncoding.EncodeToString([]byte(value))
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": "flux-system", "resourceVersion": "7"},
		"data":     map[string]any{key: value},
	}}
	s[object.Of(u)] = u
}

// parse reads an object in YAML and defers it.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	object.Defer(u, nil)
	return u
}

func from(kind, name string, optional bool) app.VariableLayer {
	return app.VariableLayer{From: &app.VariablesFrom{Kind: kind, Namespace: "flux-system", Name: name, Optional: optional}}
}

const deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {replicas: "${replicas}", text: "${text:=none}"}}`

func TestReplace(t *testing.T) {
	for name, test := range map[string]struct {
		reason  string
		object  string
		layers  []app.VariableLayer
		limits  app.Limits
		want    string // in the object, or in the error
		waits   string
		fails   bool
		secret  bool
		withold string // what the error must not have
	}{
		"number":   {reason: "a value that reads as a number is one", object: deployment, layers: []app.VariableLayer{from("ConfigMap", "vars", false)}, want: "replicas: 3\n"},
		"default":  {reason: "what is not set is empty, and has its default", object: deployment, layers: []app.VariableLayer{from("ConfigMap", "vars", false)}, want: "text: none\n"},
		"inline":   {reason: "later layers win", object: deployment, layers: []app.VariableLayer{from("ConfigMap", "vars", false), {Values: map[string]string{"replicas": "5"}}}, want: "replicas: 5\n"},
		"missing":  {reason: "an app waits for what must be there", object: deployment, layers: []app.VariableLayer{from("ConfigMap", "gone", false)}, waits: "ConfigMap flux-system/gone"},
		"optional": {reason: "what is optional need not be there", object: deployment, layers: []app.VariableLayer{from("ConfigMap", "gone", true), {Values: map[string]string{"a": "b"}}}, want: "replicas: null\n"},
		"none":     {reason: "without any variable nothing is replaced", object: deployment, layers: []app.VariableLayer{from("ConfigMap", "gone", true)}, want: "replicas: ${replicas}\n"},
		"secret": {reason: "that a value is a Secret's is told", secret: true, layers: []app.VariableLayer{from("Secret", "keys", false)}, want: "token: hunter2\n",
			object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {token: "${token}"}}`},
		"name": {reason: "what an object is called is not for the cluster to say", fails: true, layers: []app.VariableLayer{from("ConfigMap", "vars", false)}, want: "changes its name",
			object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: "a${replicas}"}}`},
		"label": {reason: "labels are text", fails: true, layers: []app.VariableLayer{from("ConfigMap", "vars", false)}, want: "metadata.labels",
			object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {a: "${replicas}"}}}`},
		"broken": {reason: "an error repeats no value of a Secret", fails: true, secret: true, layers: []app.VariableLayer{from("Secret", "odd", false)}, want: "withheld", withold: "swordfish",
			object: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {token: "${token}"}}`},
		"limits": {reason: "an app reads where it may write alone", object: deployment, limits: app.Limits{Namespaces: []string{"shop"}}, fails: true, layers: []app.VariableLayer{from("ConfigMap", "vars", false)}, want: "limits allow"},
	} {
		t.Run(name, func(t *testing.T) {
			there := shelf{}
			there.put("ConfigMap", "vars", "replicas", "3")
			there.put("Secret", "keys", "token", "hunter2")
			there.put("Secret", "odd", "token", "[swordfish: {")
			reading := &Reading{From: there, Options: app.Options{Limits: test.limits, Variables: &app.Variables{Layers: test.layers}}}
			replace, waits, err := reading.Replace(t.Context())
			if waits != "" || test.waits != "" {
				if test.waits == "" || !strings.Contains(waits, test.waits) {
					t.Fatalf("%s: waits for %q, want %q", test.reason, waits, test.waits)
				}
				if version, read := reading.Versions()[object.ID{Kind: "ConfigMap", Namespace: "flux-system", Name: "gone"}]; !read || version != "" {
					t.Errorf("that it is not there is not noted")
				}
				return
			}
			var got string
			var secret bool
			if err == nil {
				var u *unstructured.Unstructured
				if u, secret, err = replace(parse(t, test.object)); err == nil {
					data, _ := yaml.Marshal(u.Object)
					got = string(data)
					if object.Deferred(u) {
						t.Errorf("it is still deferred")
					}
				}
			}
			if err != nil {
				got = err.Error()
			}
			if (err != nil) != test.fails || secret != test.secret || !strings.Contains(got, test.want) || test.withold != "" && strings.Contains(got, test.withold) {
				t.Errorf("%s: got %q (error: %t, secret: %t), want %q", test.reason, got, err != nil, secret, test.want)
			}
		})
	}
}
