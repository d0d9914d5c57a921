package flux

import (
	"encoding/base64"
	"maps"
	"slices"

	"nave.dev/internal/object"
)

// variables returns those of a ConfigMap or Secret that the same cluster is given.
// What only the cluster itself knows is refused: it would count there.
func (r *reading) variables(from variables, at string) map[string]string {
	if from.Kind != "ConfigMap" && from.Kind != "Secret" {
		r.refuse(at+".kind", "ConfigMap or Secret", "%q has no variables", from.Kind)
		return nil
	}
	id := object.ID{Kind: from.Kind, Namespace: r.id.Namespace, Name: from.Name}
	if r.Find == nil {
		return nil
	}
	found := r.Find(r.cluster, id)
	switch {
	case found == nil && from.Optional:
		r.refuse(at, "remove the entry, or commit the object, empty or not", "%s is not among the objects of this cluster, and whether the cluster has one is not known when it is rendered", id)
		return nil
	case found == nil:
		r.refuse(at, "commit the object to this tree, or write the variables into spec.postBuild.substitute", "%s is not among the objects of this cluster, and one that is only there is not read", id)
		return nil
	case object.Encrypted(found):
		r.refuse(at, "put what is no secret into a ConfigMap; what is one belongs into a Secret that the workload reads", "%s is encrypted, and is decrypted on its cluster alone", id)
		return nil
	}
	values := map[string]string{}
	add := func(field string, decode func(string) (string, bool)) {
		entries, _ := found.Object[field].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			text, ok := entries[name].(string)
			if ok {
				text, ok = decode(text)
			}
			if !ok {
				r.refuse(at, "", "%s[%q] of %s cannot be read", field, name, id)
			}
			values[name] = text
		}
	}
	plain := func(text string) (string, bool) { return text, true }
	if from.Kind == "ConfigMap" {
		add("data", plain)
		return values
	}
	add("data", func(text string) (string, bool) {
		data, err := base64.StdEncoding.DecodeString(text)
		return string(data), err == nil
	})
	add("stringData", plain)
	return values
}
