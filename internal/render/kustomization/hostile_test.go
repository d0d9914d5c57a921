package kustomization

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Kustomize matches the names of fields in any case, follows merge keys and aliases, and takes for a path what is no
// document: whatever way leads to a remote reference, it is refused before Kustomize would fetch it.
func TestNoWayToARemoteReference(t *testing.T) {
	const remote = "https://127.0.0.1:1/a.yaml"
	for name, kustomization := range map[string]string{
		"plain":                          "crds:\n- " + remote,
		"another case":                   "CRDs:\n- " + remote,
		"long s":                         "configuration\u017f:\n- " + remote,
		"another case inside":            "patches:\n- Path: " + remote,
		"generator in another case":      "ConfigMapGenerator:\n- name: a\n  Files: [a=" + remote + "]",
		"merge key":                      "<<: {crds: [\"" + remote + "\"]}",
		"merge key, several":             "<<: [{namePrefix: a}, {crds: [\"" + remote + "\"]}]",
		"merge key of an alias":          "commonAnnotations: &a\n  crds: " + remote + "\n<<: *a",
		"merge key inside":               "patches:\n- <<: {path: \"" + remote + "\"}",
		"key is an alias":                "namePrefix: &a crds\n*a :\n- " + remote,
		"alias of a list":                "x: &a [\"" + remote + "\"]\ncrds: *a",
		"like a document":                "generators:\n- '" + remote + "?a: b'",
		"like a document, two lines":     "transformers:\n- |\n  " + remote + "?a\n  b: c",
		"patch like a document":          "patchesStrategicMerge:\n- '" + remote + "?a: b'",
		"generator's configuration":      "generators:\n- |\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n  metadata: {name: a}\n  Files: [a=" + remote + "]",
		"generator's merge key":          "generators:\n- |\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n  metadata: {name: a}\n  <<: {files: [a=" + remote + "]}",
		"generator's patch":              "transformers:\n- |\n  apiVersion: builtin\n  kind: PatchStrategicMergeTransformer\n  metadata: {name: a}\n  paths: ['" + remote + "?a: b']",
		"generator's patch as one value": "transformers:\n- |\n  apiVersion: builtin\n  kind: PatchTransformer\n  metadata: {name: a}\n  path: " + remote,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(files(map[string]string{"kustomization.yaml": kustomization + "\n"}), ".")
			if err == nil {
				t.Fatal("it was built")
			}
			if !strings.Contains(err.Error(), "refers to") || !strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%v", err)
			}
		})
	}
}

// Documents that read otherwise to a walk than to Kustomize, or that a walk does not end in.
func TestHostileDocuments(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		a := fmt.Sprintf("*a%d", i)
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.Join(slices.Repeat([]string{a}, 10), ", "))
	}
	for name, test := range map[string]struct{ document, want string }{
		"circle":                {"crds: &a [*a]", "in a circle"},
		"circle of merges":      {"x: &a {<<: *a}", "in a circle"},
		"bomb":                  {bomb, "to too much"},
		"text in disguise":      {"crds: [!!binary aHR0cHM6Ly8xMjcuMC4wLjE6MS9hLnlhbWw=]", "!!binary"},
		"a key in disguise":     {"!!binary Y3Jkcw==: [a]", "!!binary"},
		"a circle in a plug-in": {"generators:\n- |\n  a: &a\n    b: *a\n", "in a circle"},
	} {
		if _, err := Build(files(map[string]string{"kustomization.yaml": test.document + "\n"}), "."); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	if _, err := Build(files(map[string]string{
		"kustomization.yaml": "resources: &a [a.yaml]\nconfigurations:\n#- b.yaml\npatchesStrategicMerge:\nlabels:\n- &l {pairs: &p {a: b}}\n- {<<: *l, fields: []}\ncommonAnnotations: *p\n",
		"a.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
	}), "."); err != nil {
		t.Errorf("aliases and empty lists that are no harm: %v", err)
	}
}
