package ownership

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// readEntry decodes an entry of [object.ManagedFields].
func readEntry(raw any) (Entry, bool) {
	values, _ := raw.(map[string]any)
	text := func(name string) string {
		value, _ := values[name].(string)
		return value
	}
	fields, ok := values["fieldsV1"].(map[string]any)
	if !ok {
		return Entry{}, false
	}
	set, err := fieldSet(fields)
	if err != nil {
		return Entry{}, false
	}
	entry := Entry{
		Manager: text("manager"), Operation: metav1.ManagedFieldsOperationType(text("operation")),
		Subresource: text("subresource"), APIVersion: text("apiVersion"), Fields: set,
	}
	if at, err := time.Parse(time.RFC3339, text("time")); err == nil {
		entry.Time = at
	}
	return entry, true
}

// self is the key that stands for the field itself, beside what is in it.
const self = "."

// fieldSet returns the set that fields in the form of managed fields stand for.
// Elements of kinds that are not known are left out.
func fieldSet(fields map[string]any) (*fieldpath.Set, error) {
	set := &fieldpath.Set{}
	for key, value := range fields {
		if key == self {
			continue
		}
		element, err := fieldpath.DeserializePathElement(key)
		if errors.Is(err, fieldpath.ErrUnknownPathElementType) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the field %q: %w", key, err)
		}
		inside, _ := value.(map[string]any)
		below, err := fieldSet(inside)
		if err != nil {
			return nil, err
		}
		leaf := below.Members.Size() == 0 && below.Children.Size() == 0
		if _, member := inside[self]; member || leaf {
			set.Members.Insert(element)
		}
		if !leaf {
			*set.Children.Descend(element) = *below
		}
	}
	return set, nil
}
