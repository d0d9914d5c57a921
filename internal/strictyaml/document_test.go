package strictyaml

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPosition(t *testing.T) {
	const in = `# comment
kind: Fleet
metadata:
  labels: {app.kubernetes.io/name: nave, "a]b": c, "0": d}
spec:
  empty:
  clusters:
  - &base
    name: a
    nodePools:
    - cpu: 4
  - name: b
    nodePools: [{cpu: 2}]
  - <<: *base
    name: c
  - *base
  - <<: [{zone: x}, *base]
`
	var into any
	doc, problems := Decode("f.yaml", []byte(in), &into)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, tc := range []struct {
		reason string
		field  string
		want   string
	}{
		{"the whole document starts at its first key", "", "2:1"},
		{"a scalar is where its text is", "kind", "2:7"},
		{"a block is where its key is", "metadata", "3:1"},
		{"a flow mapping is where it starts", "metadata.labels", "4:11"},
		{"a quoted key", `metadata.labels["app.kubernetes.io/name"]`, "4:36"},
		{"a key in the form of Kubernetes", "metadata.labels[app.kubernetes.io/name]", "4:36"},
		{"a key with a bracket", `metadata.labels["a]b"]`, "4:49"},
		{"a number as a key", "metadata.labels[0]", "4:57"},
		{"a quoted number as a key", `metadata.labels["0"]`, "4:57"},
		{"a field without value is where its key is", "spec.empty", "6:3"},
		{"an item of a list", "spec.clusters[0]", "8:5"},
		{"a field of an item", "spec.clusters[0].name", "9:11"},
		{"an item in an item", "spec.clusters[0].nodePools[0].cpu", "11:12"},
		{"an item without anchor", "spec.clusters[1]", "12:5"},
		{"an item of a flow list", "spec.clusters[1].nodePools[0].cpu", "13:23"},
		{"a key beside a merge", "spec.clusters[2].name", "15:11"},
		{"a merged key is where it was written", "spec.clusters[2].nodePools", "10:5"},
		{"an alias is where it stands", "spec.clusters[3]", "16:5"},
		{"what is below an alias is where it was written", "spec.clusters[3].name", "9:11"},
		{"a key of the first of several merges", "spec.clusters[4].zone", "17:17"},
		{"a key of another of them", "spec.clusters[4].name", "9:11"},
		{"a missing field is where the nearest thing above is", "spec.clusters[1].zone", "12:5"},
		{"a missing item too", "spec.clusters[9].name", "7:3"},
		{"a negative item too", "spec.clusters[-1]", "7:3"},
		{"a missing mapping too", "spec.rollout.stages[0]", "5:1"},
		{"a missing field at the top", "apiVersion", "2:1"},
		{"a field of a scalar", "kind.name", "2:7"},
		{"a key used as an index", "spec.clusters.name", "7:3"},
		{"an unclosed bracket", "spec.clusters[0", "7:3"},
		{"an unclosed quote", `spec["clusters`, "5:1"},
		{"text after a quote", `spec["clusters"x]`, "5:1"},
		{"an empty element", "spec..clusters", "5:1"},
		{"a dot at the end", "spec.", "5:1"},
	} {
		t.Run(tc.field, func(t *testing.T) {
			line, column := doc.Position(tc.field)
			if got := fmt.Sprintf("%d:%d", line, column); got != tc.want {
				t.Errorf("Position(%q) = %s, want %s: %s", tc.field, got, tc.want, tc.reason)
			}
		})
	}
}

func TestPositionOfProblemIsThatOfItsField(t *testing.T) {
	in := "spec:\n  free:\n    values: {a/b: {c: [yes]}, d: [on]}\n  clusters:\n  - {name: 1, labels: {x.y: 1}}\n"
	var f fleet
	doc, problems := Decode("f.yaml", []byte(in), &f)
	if len(problems) != 4 {
		t.Fatalf("got %d problems, want 4:\n%s", len(problems), problems.Error())
	}
	for _, p := range problems {
		if line, column := doc.Position(p.Field); line != p.Line || column != p.Column {
			t.Errorf("Position(%q) = %d:%d, but the problem is at %d:%d", p.Field, line, column, p.Line, p.Column)
		}
	}
}

func TestText(t *testing.T) {
	var into any
	doc, _ := Decode("f.yaml", []byte("kind: \"Fleet\"\nversion: 1.10\nempty:\nlist: [a]\nref: &r x\nalias: *r\n"), &into)
	for field, want := range map[string]string{
		"kind": "Fleet", "version": "1.10", "alias": "x", "list[0]": "a",
		"empty": "none", "list": "none", "missing": "none", "kind.x": "none", "": "none",
	} {
		got, ok := doc.Text(field)
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("Text(%q) = %s, want %s", field, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	const in = `# three documents and a half
kind: Fleet
---
# nothing
---
kind: [Cluster
spec: 1
--- # comment
kind: Delivery
text: |
  ---
   x
...
# after the end
--- {kind: Cluster, kind: x}
---
a: &a 1
---
b: *a
`
	docs, problems := Split("f.yaml", []byte(in))
	want := `f.yaml:7:5: want ',' or ']' here
  hint: "[" opened at line 6, column 7
f.yaml:19:4: no anchor 'a' before this alias
  hint: text that starts with * needs quotes`
	if diff := cmp.Diff(want, problems.Error()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	var got []string
	for _, doc := range docs {
		line, column := doc.Position("kind")
		kind, _ := doc.Text("kind")
		got = append(got, fmt.Sprintf("%s %d:%d", kind, line, column))
		var into map[string]any
		for _, p := range doc.Decode(&into) {
			got = append(got, p.String())
		}
	}
	wantDocs := []string{
		"Fleet 2:7", "Delivery 9:7", "Cluster 15:12", `f.yaml:15:21: kind: key "kind" is already set at line 15`, " 17:1",
	}
	if diff := cmp.Diff(wantDocs, got); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

func TestSplitWithoutContent(t *testing.T) {
	for _, in := range []string{"", "\n", "# c\n", "---\n", "---\n---\n...\n", "\ufeff", "null\n"} {
		if docs, problems := Split("f.yaml", []byte(in)); len(docs) > 0 || len(problems) > 0 {
			t.Errorf("Split of %q returned %d documents and problems %v, want none", in, len(docs), problems)
		}
	}
}

func TestDocumentProblem(t *testing.T) {
	var into any
	doc, _ := Decode("f.yaml", []byte("spec:\n  clusters:\n  - name: a\n  - name: a\n"), &into)
	got := doc.Problem("spec.clusters[1].name", "duplicate cluster name %q", "a").WithHint("first used at line %d", 3)
	want := Problem{
		File: "f.yaml", Line: 4, Column: 11, Field: "spec.clusters[1].name",
		Message: `duplicate cluster name "a"`, Hint: "first used at line 3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Problem (-want +got):\n%s", diff)
	}
}

func TestProblemsWith(t *testing.T) {
	at := func(file string, line int, field string) Problem {
		return Problem{File: file, Line: line, Column: 1, Field: field, Message: "m"}
	}
	decoding := Problems{at("b", 5, "spec.clusters[1]"), at("b", 9, "spec.name"), at("c", 1, "")}
	found := Problems{
		at("b", 8, "spec.names"), at("b", 5, "spec.clusters[1].name"), at("b", 9, "spec.name"),
		at("b", 3, "spec.clusters"), at("b", 5, "spec.clusters[10].name"), at("c", 1, "spec"), at("a", 7, "spec.name"),
		at("b", 8, "spec.names"),
	}
	want := Problems{
		at("a", 7, "spec.name"), at("b", 3, "spec.clusters"), at("b", 5, "spec.clusters[1]"),
		at("b", 5, "spec.clusters[10].name"), at("b", 8, "spec.names"), at("b", 8, "spec.names"), at("b", 9, "spec.name"),
		at("c", 1, ""),
	}
	if diff := cmp.Diff(want, decoding.With(found)); diff != "" {
		t.Errorf("findings about what could not be decoded are left out, the rest sorted (-want +got):\n%s", diff)
	}
	if decoding[0].File != "b" || len(decoding) != 3 {
		t.Errorf("With changed its receiver: %v", decoding)
	}
}

func TestProblemsErr(t *testing.T) {
	if err := (Problems{}).Err(); err != nil {
		t.Errorf("Err of no problems is %v, want nil", err)
	}
	problems := Problems{{File: "f.yaml", Line: 1, Column: 2, Message: "m"}}
	var got Problems
	if err := fmt.Errorf("reading fleet: %w", problems.Err()); !errors.As(err, &got) || len(got) != 1 {
		t.Errorf("problems are not found in %v", err)
	}
}

func TestProblemJSON(t *testing.T) {
	got, err := json.Marshal(Problems{
		{File: "f.yaml", Line: 1, Column: 2, Field: "spec", Message: "m", Hint: "h"},
		{File: "f.yaml", Line: 3, Column: 4, Message: "m"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"file":"f.yaml","line":1,"column":2,"field":"spec","message":"m","hint":"h"},` +
		`{"file":"f.yaml","line":3,"column":4,"message":"m"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
