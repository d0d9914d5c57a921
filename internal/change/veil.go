package change

import (
	"slices"
	"strings"

	"nave.dev/internal/object"
)

// VeilFields hides the values of fields, and what tells the elements of a list apart, which
// may be a value, too.
func VeilFields(found []Field, key []byte) []Field {
	for i := range found {
		f := &found[i]
		f.Path, _, _ = strings.Cut(f.Path, "[")
		for _, value := range []*any{&f.From, &f.To} {
			if *value != nil {
				*value = object.Veil(*value, key)
			}
		}
	}
	return slices.CompactFunc(found, func(a, b Field) bool { return a.Path == b.Path && a.Manager == b.Manager })
}
