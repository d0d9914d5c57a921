package strictyaml

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// FuzzDecode checks what holds for every input: no panic, problems in order and inside the file, Split and Decode
// agreeing, and a document without problems meaning what it means to Kubernetes.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: Fleet\nmetadata: {name: a, labels: {a/b: c}}\nspec:\n  clusters:\n  - name: a\n    nodePools:\n    - {count: 3, cpu: 4, memory: 16Gi}\n",
		"spec:\n  numbers: {tiny: -1, whole: 0x10, port: 0o17, weight: 1e3, pair: [1, 2], byID: {1: a}, ptrs: [1]}\n",
		"spec:\n  custom: {limits: {cpu: 1}, soak: 1h, expires: 2026-01-31T15:04:05Z, target: 80%, address: ::1, data: aGk=}\n",
		"spec:\n  free: {values: {a: [1.5, null, x]}, any: on, raw: {b: {c: 010}}, items: [2026-01-31], named: {x: y}}\n",
		"spec: &a\n  inner: {<<: *a}\n", "spec: {clusters: [&a {name: a}, *a, {<<: [*a], name: b}]}\n",
		"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "---\n# c\n--- {kind: a}\n...\n--- |\n ---\n", "%YAML 1.1\n--- a\n",
		"\ufeffkind: \"\\x41\\u00e9\"\r\n", "\xff\xfek\x00", "? [a]\n: b\n", "kind: >-\n  a\n\n  b\nspec: !!map {}\n", "kind: 'a", "[a, {b: c, ]",
		"kind: *a\n", "\tkind: a\n", "kind: @a\n", "- 1\n-\n  - 2\n", "kind: ~\nspec: \n  version:\n", "kind: [\n---\n]\n", "{",
		"spec: {custom: {limits: {cpu: '1e1000'}}, numbers: {small: 1e-400}}\n", "---\n# c\n--- {kind: a}\n...\n\n#|\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got fleet
		doc, problems := Decode("f.yaml", data, &got)
		checkPlaces(t, data, problems)
		docs, _ := Split("f.yaml", data)
		for _, d := range docs {
			var into any
			checkPlaces(t, data, d.Decode(&into))
		}
		if len(problems) > 0 {
			return
		}
		if len(docs) != 1 {
			t.Errorf("Decode finds one document, Split %d", len(docs))
		}
		doc.Position("spec.clusters[0].name")
		var want fleet
		// A key beside a merge, a document after an empty one, and what Kubernetes refuses are not comparable.
		if err := yaml.Unmarshal(data, &want); err != nil || differs.Match(data) {
			return
		}
		if diff := cmp.Diff(want, got, compareFleets); diff != "" {
			t.Errorf("differs from sigs.k8s.io/yaml (-want +got):\n%s", diff)
		}
	})
}

var differs = regexp.MustCompile(`<<|(?m)^(---|\.\.\.)`)

// checkPlaces checks that problems are sorted and that each is in the text or at its end.
func checkPlaces(t *testing.T, data []byte, problems Problems) {
	sorted := slices.Clone(problems)
	sorted.Sort()
	if !slices.Equal(sorted, problems) {
		t.Errorf("problems are not sorted:\n%s", problems.Error())
	}
	if strings.ContainsAny(string(data), "\u0085\u2028\u2029") {
		return // line ends for the parser, not for editors
	}
	lines := bytes.Split(bytes.TrimPrefix(data, byteOrderMark), []byte("\n"))
	for _, p := range problems {
		if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCount(lines[p.Line-1])+1 {
			t.Errorf("problem is not in the file of %d lines: %s", len(lines), p)
		}
		if p.Message == "" || p.File != "f.yaml" {
			t.Errorf("problem without a message or file: %+v", p)
		}
	}
}
