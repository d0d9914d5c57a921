package app

import "nave.dev/internal/object"

// Variables are what replaces ${NAME} in the objects of an app that are
// object.Deferred: they come from Layers, of which later ones win.
type Variables struct {
	Layers []VariableLayer `json:"layers"`
	// Always replaces what looks like variables also if there are none.
	Always bool `json:"always,omitempty"`
}

// VariableLayer are variables that Git knows, or an object on the cluster that has
// some.
type VariableLayer struct {
	Values map[string]string `json:"values,omitempty"`
	From   *VariablesFrom    `json:"from,omitempty"`
}

// VariablesFrom is an object on the cluster of which each entry is a variable.
type VariablesFrom struct {
	Kind      string `json:"kind"` // ConfigMap or Secret
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Optional passes over one that is not there. Otherwise the app waits for it.
	Optional bool `json:"optional,omitempty"`
}

// ID is the identity of the object.
func (f VariablesFrom) ID() object.ID {
	return object.ID{Kind: f.Kind, Namespace: f.Namespace, Name: f.Name}
}

// From returns the objects that variables come from, in order. nil has none.
func (v *Variables) From() (ids []object.ID) {
	if v == nil {
		return nil
	}
	for _, layer := range v.Layers {
		if layer.From != nil {
			ids = append(ids, layer.From.ID())
		}
	}
	return ids
}

// Certain are the variables that no object on the cluster can be the last to state.
func (v *Variables) Certain() map[string]string {
	certain := map[string]string{}
	for _, layer := range v.Layers {
		if layer.From != nil {
			clear(certain)
		}
		for name, value := range layer.Values {
			certain[name] = value
		}
	}
	return certain
}
