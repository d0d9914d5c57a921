package strictyaml

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxProblems is how many problems of one document are listed; nobody reads more, and a hostile file could have
// hundreds of thousands.
const maxProblems = 1000

// decoder walks a document beside the value that it is to fill. The meter has bounded the document, so the walk
// terminates.
type decoder struct {
	file     string
	problems Problems
	seen     map[Problem]bool // without field: what an anchor holds is listed once, however many aliases it has
	reports  int              // calls of report
	dropped  int              // problems not listed
}

// place is where the walk is, linked to where it came from. Nil is the whole document.
type place struct {
	up     *place
	name   string        // of the key, if key is set
	index  int           // in the list, otherwise
	key    *yaml.Node    // nil in a list
	within *structFields // of the struct that the walk is in at up, or nil if that is none
	alias  *yaml.Node    // if that is what stands here
	path   string        // what String returned
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// String returns the path of p as Document describes it. A key longer than any label of Kubernetes is cut, or a hostile
// file could make the paths of its problems larger than itself many times over.
func (p *place) String() string {
	if p == nil {
		return ""
	}
	if p.path != "" {
		return p.path
	}
	name := clipTo(320, p.name)
	switch {
	case p.key == nil:
		p.path = p.up.String() + "[" + strconv.Itoa(p.index) + "]"
	case !plainName.MatchString(name):
		p.path = p.up.String() + "[" + strconv.Quote(name) + "]"
	case p.up == nil:
		p.path = name
	default:
		p.path = p.up.String() + "." + name
	}
	return p.path
}

// at returns the node that n, which stands at p, stands for.
func (p *place) at(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		p.alias = n // an alias has an anchor above it, so p is not the whole document
	}
	return target(n)
}

// report adds a problem with n, which stands at p.
func (d *decoder) report(n *yaml.Node, p *place, hint, format string, args ...any) {
	var key *yaml.Node
	if p != nil {
		key = p.key
		if p.alias != nil && p.alias.Alias == n { // wrong for this place, if not where it was written
			n = p.alias
		}
	}
	problem := Problem{File: d.file, Message: fmt.Sprintf(format, args...), Hint: hint}
	problem.Line, problem.Column = position(n, key)
	d.reports++
	switch {
	case d.seen[problem]:
	case len(d.problems) >= maxProblems:
		d.dropped++
	default:
		d.seen[problem] = true
		problem.Field = p.String()
		d.problems = append(d.problems, problem)
	}
}

// finish returns the problems found, and at the last of them how many more there were.
func (d *decoder) finish() Problems {
	if d.dropped > 0 {
		last := d.problems[len(d.problems)-1]
		last.Field, last.Hint = "", ""
		last.Message = fmt.Sprintf("too many problems, %d more are not listed", d.dropped)
		d.problems = append(d.problems, last)
	}
	return d.problems
}

// wrong reports that n is something else than what is wanted.
func (d *decoder) wrong(n *yaml.Node, p *place, want, hint string) {
	d.report(n, p, hint, "want %s, have %s", want, describe(n))
}

// value sets v, which is addressable, from n, which stands at p.
func (d *decoder) value(n *yaml.Node, v reflect.Value, p *place) {
	n = p.at(n)
	if !d.untagged(n, p) {
		return
	}
	if isNull(n) {
		d.null(n, v, p)
		return
	}
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	switch u := v.Addr().Interface().(type) {
	case json.Unmarshaler:
		d.custom(n, u, v.Type(), p)
	case encoding.TextUnmarshaler:
		d.customText(n, u, v.Type(), p)
	default:
		d.builtin(n, v, p)
	}
}

// builtin sets v from n by the kind of v.
func (d *decoder) builtin(n *yaml.Node, v reflect.Value, p *place) {
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, p)
	case reflect.Map:
		d.mapping(n, v, p)
	case reflect.Slice, reflect.Array:
		d.list(n, v, p)
	case reflect.String:
		if d.wantText(n, p) {
			v.SetString(n.Value)
		}
	case reflect.Bool:
		d.boolean(n, v, p)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.integer(n, v, p)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		d.integer(n, v, p)
	case reflect.Float32, reflect.Float64:
		d.float(n, v, p)
	case reflect.Interface:
		if v.NumMethod() == 0 {
			if tree, ok := d.free(n, p, floats); ok {
				v.Set(reflect.ValueOf(tree))
			}
			return
		}
		fallthrough
	default:
		d.report(n, p, "", "cannot be set from a file (its type is %s)", v.Type())
	}
}

// untagged reports an explicit tag on n, except one that makes text of a scalar.
func (d *decoder) untagged(n *yaml.Node, p *place) bool {
	if n.Style&yaml.TaggedStyle == 0 || n.Tag == stringTag && n.Kind == yaml.ScalarNode {
		return true
	}
	d.report(n, p, "remove the tag", "tag %q is not supported", clip(n.Tag))
	return false
}

// null leaves v as it is, except that what can be absent becomes so.
func (d *decoder) null(n *yaml.Node, v reflect.Value, p *place) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		v.SetZero()
		return
	}
	if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		if err := u.UnmarshalJSON([]byte("null")); err != nil {
			d.refused(n, v.Type(), p, err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		v.SetZero()
	}
}

// structure sets the fields of the struct v.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, p *place) {
	fields := fieldsOf(v.Type())
	entries, ok := d.entries(n, p)
	if !ok {
		return
	}
	for _, e := range entries {
		at := &place{up: p, name: e.name, key: e.key, within: fields}
		f, known := fields.byName[e.name]
		if !known {
			d.unknown(e.key, at)
			continue
		}
		d.value(e.value, f.in(v), at)
	}
}

// unknown reports the field at p, whose hint is not worked out for problems that are not listed.
func (d *decoder) unknown(key *yaml.Node, p *place) {
	hint := ""
	if len(d.problems) < maxProblems {
		hint = unknownHint(p)
	}
	d.report(key, p, hint, "unknown field %q", clip(p.name))
}

// mapping adds what n holds to the map v.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, p *place) {
	entries, ok := d.entries(n, p)
	if !ok {
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(entries)))
	}
	for _, e := range entries {
		at := &place{up: p, name: e.name, key: e.key}
		key := reflect.New(v.Type().Key()).Elem()
		before := d.reports
		switch _, custom := key.Addr().Interface().(encoding.TextUnmarshaler); {
		case custom || key.Kind() != reflect.String:
			d.value(e.key, key, at)
		case d.plainKey(e.key, at):
			key.SetString(e.name)
		}
		if d.reports > before {
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		if d.present(e.value, element.Type(), at) {
			d.value(e.value, element, at)
			v.SetMapIndex(key, element)
		}
	}
}

// list sets the slice or array v.
func (d *decoder) list(n *yaml.Node, v reflect.Value, p *place) {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 && n.Kind == yaml.ScalarNode {
		d.bytes(n, v, p)
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, p, "a list", `start each item with "- "`)
		return
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	} else if len(n.Content) != v.Len() {
		d.report(n, p, "", "want a list of %d items, have %d", v.Len(), len(n.Content))
		return
	}
	for i, item := range n.Content {
		at := &place{up: p, index: i}
		if d.present(item, v.Type().Elem(), at) {
			d.value(item, v.Index(i), at)
		}
	}
}

// present reports an item of a list or map of type t without a value where that can only be a slip: it would become a
// nil pointer in a list, or text, a number or a struct that nobody wrote.
func (d *decoder) present(n *yaml.Node, t reflect.Type, p *place) bool {
	if !isNull(target(n)) {
		return true
	}
	hint := "remove it, or give it a value"
	switch inList := p.key == nil; t.Kind() {
	case reflect.Interface, reflect.Map, reflect.Slice:
		return true
	case reflect.Pointer:
		if !inList {
			return true
		}
	case reflect.String:
		hint = `write "" for empty text`
	case reflect.Struct:
		if takesNull(t) {
			return true
		}
	}
	d.report(n, p, hint, "has no value")
	return false
}

// takesNull tells whether values of type t decode themselves and do not say, as those of Kubernetes do, that they are
// scalars.
func takesNull(t reflect.Type) bool {
	v := reflect.New(t).Interface()
	schema, ok := v.(interface{ OpenAPISchemaType() []string })
	scalar := ok && len(schema.OpenAPISchemaType()) > 0
	_, custom := v.(json.Unmarshaler)
	return custom && !scalar
}
