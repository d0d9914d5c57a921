package strictyaml

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// forms says what the types with a decoding of their own want that people write most, since their errors speak of Go
// types or regular expressions. By name, so that only programs which use the types depend on them.
var forms = map[string]struct{ want, hint string }{
	"k8s.io/apimachinery/pkg/api/resource.Quantity": {"a quantity", "a number and perhaps a unit, such as 500m, 2 or 4Gi"},
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration": {"a duration", "numbers with units, such as 30s, 15m or 1h30m"},
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":     {"a time", "as in RFC 3339, such as 2026-01-31T15:04:05Z"},
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime": {
		"a time with microseconds", "as in RFC 3339, such as 2026-01-31T15:04:05.000000Z",
	},
	"time.Time": {"a time", "as in RFC 3339, such as 2026-01-31T15:04:05Z"},
}

// outsize matches scalars that no such type wants and on which resource.Quantity spends minutes: with an exponent that
// no quantity can have, or very long.
var outsize = regexp.MustCompile(`(?s)[eE][-+]?[0-9]{3}|.{200}`)

func typeName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// custom lets the value u, of type t, decode itself from n.
func (d *decoder) custom(n *yaml.Node, u json.Unmarshaler, t reflect.Type, p *place) {
	if form, known := forms[typeName(t)]; known && outsize.MatchString(n.Value) {
		d.wrong(n, p, form.want, form.hint)
		return
	}
	if d.leadingZero(n, p) {
		return
	}
	var tree any = n.Value
	_, old := oldBoolean(n)
	if !old {
		var ok bool
		if tree, ok = d.free(n, p, exact); !ok {
			return
		}
	}
	data, err := json.Marshal(tree)
	if err == nil {
		err = u.UnmarshalJSON(data)
	}
	switch {
	case err != nil:
		d.refused(n, t, p, err)
	case old: // what the type makes of the word would be another thing elsewhere
		d.free(n, p, exact)
	}
}

// customText lets the value u, of type t, decode itself from the text of n.
func (d *decoder) customText(n *yaml.Node, u encoding.TextUnmarshaler, t reflect.Type, p *place) {
	if !d.wantText(n, p) {
		return
	}
	if err := u.UnmarshalText([]byte(n.Value)); err != nil {
		d.refused(n, t, p, err)
	}
}

// refused reports that a value of type t, which decodes itself, did not take n.
func (d *decoder) refused(n *yaml.Node, t reflect.Type, p *place, err error) {
	if form, known := forms[typeName(t)]; known {
		d.wrong(n, p, form.want, form.hint)
		return
	}
	var mismatch *json.UnmarshalTypeError
	if n.Kind != yaml.ScalarNode || !errors.As(err, &mismatch) {
		text := strings.TrimPrefix(err.Error(), "json: ")
		d.report(n, p, "", "%s", strings.Join(strings.Fields(text), " ")) // on one line
		return
	}
	// The usual way to implement json.Unmarshaler is to decode into a plain type first: say which one it wanted.
	switch kind := mismatch.Type.Kind(); kind {
	case reflect.String:
		d.wrong(n, p, "a string", quoted(n))
	case reflect.Bool:
		d.wrong(n, p, "true or false", booleanHint(n))
	case reflect.Struct, reflect.Map:
		d.wrong(n, p, "a mapping", "")
	case reflect.Slice, reflect.Array:
		d.wrong(n, p, "a list", `start each item with "- "`)
	default:
		want := "a number"
		if n.Tag == floatTag {
			want = "a whole number"
		}
		d.wrong(n, p, want, numberHint(n))
	}
}
