package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/strictyaml"
)

// Schema returns the JSON Schema (draft 7, which editors understand best) of a kind.
func (r *Reference) Schema(kind string) ([]byte, error) {
	s, err := r.kind(kind)
	if err != nil {
		return nil, err
	}
	schema, err := r.object(s)
	if err != nil {
		return nil, err
	}
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	schema["title"] = kind
	properties := schema["properties"].(map[string]any)
	for name, value := range map[string]string{"apiVersion": v1alpha1.APIVersion, "kind": kind} {
		properties[name].(map[string]any)["enum"] = []string{value}
	}
	data, err := json.MarshalIndent(schema, "", "  ")
	return append(data, '\n'), err
}

// object returns the schema of a mapping with known fields.
func (r *Reference) object(s *structure) (map[string]any, error) {
	properties := map[string]any{}
	required := []string{}
	for _, f := range s.fields {
		shape, err := r.shape(f.typ)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", s.name, f.name, err)
		}
		property, err := r.schemaOf(shape)
		if err != nil {
			return nil, err
		}
		property["description"] = plain(f.doc)
		if f.pattern != "" {
			property["pattern"] = f.pattern
		}
		if f.defaultTo != "" {
			if property["default"], err = f.parse(f.defaultTo); err != nil {
				return nil, err
			}
		}
		if f.example != "" {
			example, err := f.parse(f.example)
			if err != nil {
				return nil, err
			}
			property["examples"] = []any{example}
		}
		if f.required {
			required = append(required, f.name)
		}
		properties[f.name] = property
	}
	object := map[string]any{
		"type": "object", "description": plain(s.doc), "properties": properties, "additionalProperties": false,
	}
	if len(required) > 0 {
		object["required"] = required
	}
	if s.exactlyOne {
		object["minProperties"], object["maxProperties"] = 1, 1
	}
	return object, nil
}

func (r *Reference) schemaOf(s shape) (map[string]any, error) {
	switch {
	case s.item != nil:
		items, err := r.schemaOf(*s.item)
		return map[string]any{"type": "array", "items": items}, err
	case s.inner != nil:
		return r.object(s.inner)
	}
	return maps.Clone(s.schema), nil
}

// parse returns the value of a marker, which is YAML.
func (f field) parse(text string) (any, error) {
	var value struct {
		Value any `json:"value"`
	}
	_, problems := strictyaml.Decode("marker of "+f.name, []byte("value: "+text), &value)
	return value.Value, problems.Err()
}

// plain returns a comment without the marks of emphasis, which editors would show as they are.
func plain(text string) string {
	return strings.NewReplacer("*template*", "template", "*Template*", "Template").Replace(text)
}
