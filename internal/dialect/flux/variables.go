package flux

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/variables"
)

// substitution reads what becomes of variables.
func (r *reading) substitution(p postBuild, out *app.Render) {
	from := app.Variables{Always: p.SubstituteStrategy == "Always"}
	for i, object := range p.SubstituteFrom {
		if layer := r.variables(object, fmt.Sprintf("spec.postBuild.substituteFrom[%d]", i)); layer.From != nil || len(layer.Values) > 0 {
			from.Layers = append(from.Layers, layer)
		}
	}
	if len(p.Substitute) > 0 {
		from.Layers = append(from.Layers, app.VariableLayer{Values: maps.Clone(p.Substitute)})
	}
	for _, layer := range from.Layers {
		for _, name := range slices.Sorted(maps.Keys(layer.Values)) {
			layer.Values[name] = variables.Line(layer.Values[name])
			if err := variables.Check(name); err != nil {
				r.refuse("spec.postBuild", "", "%v", err)
			}
		}
	}
	switch p.SubstituteStrategy {
	case "", "WithVariables", "Always":
	default:
		r.refuse("spec.postBuild.substituteStrategy", "WithVariables or Always", "%q is no strategy", p.SubstituteStrategy)
	}
	out.Variables, out.Defer = from.Certain(), len(from.From()) > 0
	if out.Substitute = len(out.Variables) > 0 || out.Defer || from.Always; !out.Substitute {
		out.Variables = nil
	}
	out.UnsetIsEmpty = out.Substitute
	if !out.Defer {
		return
	}
	r.child.Options.Variables = &from
	for _, entries := range []map[string]string{out.CommonMetadata.Labels, out.CommonMetadata.Annotations} {
		for _, name := range slices.Sorted(maps.Keys(entries)) {
			if strings.Contains(name+entries[name], "$") {
				r.refuse("spec.commonMetadata", "write it without a dollar sign", "%q would be taken for a variable on the cluster", name)
			}
		}
	}
}

// variables returns those of a ConfigMap or Secret that the same cluster is given, or
// says that they are to be read there.
func (r *reading) variables(from fromObject, at string) (layer app.VariableLayer) {
	if from.Kind != "ConfigMap" && from.Kind != "Secret" {
		r.refuse(at+".kind", "ConfigMap or Secret", "%q has no variables", from.Kind)
		return layer
	}
	if from.Name == "" {
		r.refuse(at+".name", "", "it names no %s", from.Kind)
		return layer
	}
	there := &app.VariablesFrom{Kind: from.Kind, Namespace: r.id.Namespace, Name: from.Name, Optional: from.Optional}
	id := there.ID()
	if r.Find == nil {
		return app.VariableLayer{From: there}
	}
	found := r.Find(r.cluster, id)
	if found == nil || object.Encrypted(found) || object.Deferred(found) {
		return app.VariableLayer{From: there}
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
		return app.VariableLayer{Values: values}
	}
	add("data", func(text string) (string, bool) {
		data, err := base64.StdEncoding.DecodeString(text)
		return string(data), err == nil
	})
	add("stringData", plain)
	return app.VariableLayer{Values: values}
}
