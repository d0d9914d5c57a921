package desired

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// definitionKind is the kind of the objects that define kinds.
var definitionKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// withDefinitions returns facts with the scopes of the kinds that a cluster's apps
// define, and whether a render may come out otherwise with them: some render
// depends on facts, and these say more, or other things. Git comes before the
// cluster, since it is what the cluster will be. Apps that define one kind
// differently leave it to the cluster.
func withDefinitions(facts app.Facts, all []rendered) (app.Facts, bool) {
	defined := map[string]bool{}
	disputed := map[string]bool{}
	depends := false
	for _, r := range all {
		if r.err != nil {
			depends = true // on what is not known
			continue
		}
		depends = depends || r.result.FactsUsed
		for _, u := range r.result.Bundle.Objects {
			if object.Of(u).GroupKind() != definitionKind {
				continue
			}
			group, _, _ := unstructured.NestedString(u.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(u.Object, "spec", "names", "kind")
			scope, _, _ := unstructured.NestedString(u.Object, "spec", "scope")
			if kind == "" || scope != "Namespaced" && scope != "Cluster" {
				continue
			}
			name := schema.GroupKind{Group: group, Kind: kind}.String()
			namespaced, twice := defined[name]
			defined[name] = scope == "Namespaced"
			disputed[name] = disputed[name] || twice && namespaced != defined[name]
		}
	}
	if !depends {
		return facts, false
	}
	more := false
	scopes := maps.Clone(facts.Scopes)
	for name, namespaced := range defined {
		if known, ok := scopes[name]; disputed[name] || ok && known == namespaced {
			continue
		}
		if scopes == nil {
			scopes = map[string]bool{}
		}
		scopes[name], more = namespaced, true
	}
	facts.Scopes = scopes
	return facts, more
}
