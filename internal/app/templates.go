package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Templates are what the templates of a release's chart are run with.
type Templates struct {
	Chart     Chart  `json:"chart"`
	Name      string `json:"name"` // of the release
	Namespace string `json:"namespace"`
	Revision  int    `json:"revision"`
	Upgrade   bool   `json:"upgrade,omitempty"` // and no installation
	// Values are those of the release. Reused, unless nil, stand in the place of the
	// chart's own, as with helm upgrade --reuse-values.
	Values Values `json:"values"`
	Reused Values `json:"reused,omitempty"`
	// NoSchema passes over the chart's schema of its values.
	NoSchema bool `json:"noSchema,omitempty"`
	// Facts are the version and the APIs of the cluster; scopes are of no interest.
	Facts Facts `json:"facts"`
}

// Lookup reads an object of the cluster, or with an empty name a list of them, for a
// template, as the function of that name of Helm's. What is not there is empty.
type Lookup func(apiVersion, kind, namespace, name string) (map[string]any, error)

// Values is JSON that keeps whole numbers apart from others, also of the same value, as
// they print differently in a template.
type Values map[string]any

// MarshalJSON implements json.Marshaler.
func (v Values) MarshalJSON() ([]byte, error) { return json.Marshal(told(map[string]any(v))) }

// UnmarshalJSON implements json.Unmarshaler.
func (v *Values) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var read map[string]any
	if err := decoder.Decode(&read); err != nil {
		return err
	}
	if read == nil {
		*v = nil
		return nil
	}
	whole, err := number(read)
	if err != nil {
		return err
	}
	*v, _ = whole.(map[string]any)
	return nil
}

// told returns a copy in which numbers that are not whole by their type have an exponent.
func told(value any) any {
	switch value := value.(type) {
	case map[string]any:
		if value == nil {
			return nil
		}
		copied := make(map[string]any, len(value))
		for key, entry := range value {
			copied[key] = told(entry)
		}
		return copied
	case []any:
		if value == nil {
			return nil
		}
		copied := make([]any, len(value))
		for i, entry := range value {
			copied[i] = told(entry)
		}
		return copied
	case float64:
		return json.Number(strconv.FormatFloat(value, 'e', -1, 64))
	}
	return value
}

// number reads the numbers that told wrote, in place.
func number(value any) (any, error) {
	var err error
	switch value := value.(type) {
	case map[string]any:
		for key, entry := range value {
			if value[key], err = number(entry); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, entry := range value {
			if value[i], err = number(entry); err != nil {
				return nil, err
			}
		}
	case json.Number:
		if !strings.ContainsAny(value.String(), ".eE") {
			whole, err := value.Int64()
			if err != nil {
				return nil, fmt.Errorf("reading the number %s: %w", value, err)
			}
			return whole, nil
		}
		return value.Float64()
	}
	return value, nil
}
