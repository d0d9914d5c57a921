// Package definitions reads which kinds objects define. What a cluster's apps define
// counts before what the cluster says that it has, since it is what the cluster will
// be. The package renders nothing and asks no cluster.
package definitions

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// definitionKind is the kind of the objects that define kinds.
var definitionKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// Add returns facts with the scopes of the kinds that the objects of apps define, and
// whether these say more, or other things. Apps that define one kind differently
// leave it to the cluster. What an app may not have defines nothing: it would have
// others' objects read as what they are not.
func Add(facts app.Facts, apps []app.Desired) (app.Facts, bool) {
	defined := map[string]bool{}
	disputed := map[string]bool{}
	for _, definer := range apps {
		for _, u := range definer.Bundle.Objects {
			id := object.Of(u)
			if id.GroupKind() != definitionKind {
				continue
			}
			if _, may := definer.Options.Permits(id, false, true); !may {
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
