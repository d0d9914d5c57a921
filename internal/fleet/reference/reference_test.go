package reference

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/fleet"
	"nave.dev/internal/strictyaml"
)

var rewrite = flag.Bool("rewrite", false, "write the documents in place of comparing them")

const docs = "../../../docs"

var kinds = []string{v1alpha1.FleetKind, v1alpha1.ClusterKind, v1alpha1.DeliveryKind}

func source(t *testing.T) *Reference {
	t.Helper()
	r, err := Read(os.DirFS("../../../api/v1alpha1"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDocumentsAreCurrent compares what is under docs/ with what the types say, or writes it.
func TestDocumentsAreCurrent(t *testing.T) {
	r := source(t)
	page, err := r.Page()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"kinds.md": page}
	for _, kind := range kinds {
		if want["schemas/"+strings.ToLower(kind)+".json"], err = r.Schema(kind); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range want {
		file := filepath.Join(docs, filepath.FromSlash(name))
		if *rewrite {
			if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, data, 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(data), string(have)); diff != "" {
			t.Errorf("docs/%s is not current: run go generate ./internal/fleet/reference (-want +have):\n%s", name, diff)
		}
	}
}

func compile(t *testing.T, data []byte) *jsonschema.Schema {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", value); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// values returns the documents of a file as the values that JSON has.
func values(t *testing.T, data []byte) (kinds []string, values []any) {
	t.Helper()
	documents, problems := strictyaml.Split("example", data)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, doc := range documents {
		var value map[string]any
		if err := doc.Decode(&value).Err(); err != nil {
			t.Fatal(err)
		}
		kind, _ := doc.Text("kind")
		kinds, values = append(kinds, kind), append(values, any(value))
	}
	return kinds, values
}

// TestExamples holds the examples of the page against the schemas, and loads them as the repository that they are.
func TestExamples(t *testing.T) {
	r := source(t)
	repository := fstest.MapFS{"signers/platform": {Data: []byte("platform@example.com ssh-ed25519 AAAA\n")}}
	for name, place := range map[string]string{"fleet": "fleet.yaml", "cluster": "clusters/prod-eu-1.yaml", "delivery": "deliveries/cart.yaml"} {
		data, err := files.ReadFile("examples/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		repository[place] = &fstest.MapFile{Data: data}
		kinds, values := values(t, data)
		for i, value := range values {
			schema, err := r.Schema(kinds[i])
			if err != nil {
				t.Fatal(err)
			}
			if err := compile(t, schema).Validate(value); err != nil {
				t.Errorf("%s.yaml: %v", name, err)
			}
		}
	}
	loaded, problems := fleet.Load(repository)
	if err := problems.Err(); err != nil {
		t.Error(err)
	}
	if err := loaded.Warnings.Err(); err != nil {
		t.Error(err)
	}
	placement, err := loaded.Apps("prod-eu-1", func(string, string) (string, error) { return "c0ffee", nil })
	if err != nil || len(placement.Apps) != 2 {
		t.Errorf("the examples give prod-eu-1 %v, %v; want two apps", placement, err)
	}
}

// TestMarkers holds the example and the default of each field against the schema of that field.
func TestMarkers(t *testing.T) {
	for _, kind := range kinds {
		schema, err := source(t).Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := json.Unmarshal(schema, &tree); err != nil {
			t.Fatal(err)
		}
		checked := 0
		walk(kind, tree, func(at string, property map[string]any) {
			values, _ := property["examples"].([]any)
			if value, ok := property["default"]; ok {
				values = append(values, value)
			}
			if len(values) == 0 {
				return
			}
			data, err := json.Marshal(property)
			if err != nil {
				t.Fatal(err)
			}
			for _, value := range values {
				checked++
				if err := compile(t, data).Validate(value); err != nil {
					t.Errorf("%s: %v", at, err)
				}
			}
		})
		if checked == 0 {
			t.Errorf("%s has no field with an example", kind)
		}
	}
}

func walk(at string, schema map[string]any, visit func(at string, schema map[string]any)) {
	visit(at, schema)
	if items, ok := schema["items"].(map[string]any); ok {
		walk(at+"[]", items, visit)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		walk(at+"."+name, property.(map[string]any), visit)
	}
}

func TestSchemaRefuses(t *testing.T) {
	const head = "apiVersion: nave.dev/v1alpha1\nkind: %\nmetadata: {name: a}\n"
	tests := []struct {
		reason, kind, rest string
		ok                 bool
	}{
		{reason: "the least Cluster", kind: "Cluster", ok: true},
		{reason: "unknown fields at the top", kind: "Cluster", rest: "spce: {}"},
		{reason: "unknown fields inside", kind: "Cluster", rest: "spec: {suspended: true}"},
		{reason: "another type", kind: "Cluster", rest: "spec: {suspend: sure}"},
		{reason: "a version without its v", kind: "Cluster", rest: `spec: {kubernetesVersion: "1.36"}`},
		{reason: "a time", kind: "Cluster", rest: `spec: {expires: "2030-01-31T18:00:00Z"}`, ok: true},
		{reason: "no time", kind: "Cluster", rest: `spec: {expires: "tomorrow"}`},
		{reason: "a Delivery without its required spec", kind: "Delivery"},
		{reason: "the least Delivery", kind: "Delivery", rest: "spec: {clusters: {all: true}, source: {path: a}}", ok: true},
		{reason: "a value that an enum has not", kind: "Delivery", rest: "spec: {clusters: {all: true}, source: {path: a}, kind: jsonnet}"},
		{reason: "an operator that selectors have not", kind: "Delivery",
			rest: "spec: {clusters: {selector: {matchExpressions: [{key: a, operator: Is}]}}, source: {path: a}}"},
		{reason: "one way to name a revision", kind: "Delivery", rest: "spec: {clusters: {all: true}, source: {path: a, revision: {tag: b}}}", ok: true},
		{reason: "two ways to name a revision", kind: "Delivery", rest: "spec: {clusters: {all: true}, source: {path: a, revision: {tag: b, branch: c}}}"},
		{reason: "no way to name a revision", kind: "Delivery", rest: "spec: {clusters: {all: true}, source: {path: a, revision: {}}}"},
		{reason: "a duration", kind: "Fleet", rest: "spec: {defaults: {interval: 1m30s}}", ok: true},
		{reason: "no duration", kind: "Fleet", rest: "spec: {defaults: {interval: often}}"},
	}
	r := source(t)
	for _, test := range tests {
		schema, err := r.Schema(test.kind)
		if err != nil {
			t.Fatal(err)
		}
		_, values := values(t, []byte(strings.Replace(head, "%", test.kind, 1)+test.rest))
		if err := compile(t, schema).Validate(values[0]); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.reason, err)
		}
	}
	cluster, err := r.Schema("Cluster")
	if err != nil {
		t.Fatal(err)
	}
	_, fleets := values(t, []byte(strings.Replace(head, "%", "Fleet", 1)))
	if compile(t, cluster).Validate(fleets[0]) == nil {
		t.Error("the schema of Cluster accepts a Fleet")
	}
}

func TestRead(t *testing.T) {
	tests := []struct{ reason, source, want string }{
		{"a field without a comment would be without a description", "package a\ntype T struct {\n\tA string `json:\"a\"`\n}\n", "T.A has no comment"},
		{"a type that documents cannot have", "package a\n// T is.\ntype T struct {\n\t// V is.\n\tV string `json:\"apiVersion\"`\n\t// A is.\n\tA chan int `json:\"a\"`\n}\n",
			"the type has no form"},
		{"no Go", "pakcage a", "parsing the source"},
	}
	for _, test := range tests {
		r, err := Read(fstest.MapFS{"a.go": {Data: []byte(test.source)}})
		if err == nil {
			_, err = r.Schema("T")
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: have error %v, want %q", test.reason, err, test.want)
		}
	}
	if _, err := source(t).Schema("Source"); err == nil {
		t.Error("Source has a schema of its own, though it is no kind")
	}
}
