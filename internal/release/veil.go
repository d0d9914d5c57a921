package release

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// shortest is how long a text is at least that is taken for a secret: shorter ones, such
// as numbers of replicas, would be found in any message.
const shortest = 4

// withheld stands for a value of a Secret.
const withheld = "(withheld)"

// conceal remembers what was read from a Secret: the texts and numbers in it, and the
// lines of those that have several.
func (r *run) conceal(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			r.conceal(inner)
		}
	case []any:
		for _, inner := range v {
			r.conceal(inner)
		}
	case nil, bool:
	default:
		text := fmt.Sprint(v)
		for _, part := range append(strings.Split(text, "\n"), text) {
			quoted := strconv.Quote(part)
			for _, form := range []string{part, quoted[1 : len(quoted)-1]} {
				if len(form) >= shortest {
					r.concealed = append(r.concealed, form)
				}
			}
		}
	}
}

// veil returns an error without values of Secrets: schemas, templates and the API server
// repeat what they do not like.
func (r *run) veil(err error) error {
	if err == nil || len(r.concealed) == 0 {
		return err
	}
	// The longest one first, as one may be part of another.
	slices.SortFunc(r.concealed, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	r.concealed = slices.Compact(r.concealed)
	text := err.Error()
	for _, secret := range r.concealed {
		text = strings.ReplaceAll(text, secret, withheld)
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
