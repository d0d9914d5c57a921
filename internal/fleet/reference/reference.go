// Package reference writes what users read about the kinds of the fleet repository, a reference page and a JSON Schema
// for editors each, from the Go types and their comments. The main type is Reference, which Read makes of the source
// of package v1alpha1; its test keeps the files under docs/ current. It is no part of any program, and it judges no
// document: the schemas are looser than the validation that Nave does.
package reference

//go:generate go test -run TestDocumentsAreCurrent -rewrite .

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"reflect"
	"strconv"
	"strings"
)

// Reference is what the source of the kinds says.
type Reference struct {
	structs map[string]*structure
	enums   map[string][]string // values of named string types
}

// structure is a struct type.
type structure struct {
	name       string
	doc        string
	exactlyOne bool // of its fields is set
	fields     []field
}

// field is one field of a struct.
type field struct {
	name     string // in documents
	doc      string
	typ      ast.Expr
	required bool

	defaultTo, example, pattern string // from markers
}

// Read parses the Go files of a package of kinds.
func Read(source fs.FS) (*Reference, error) {
	r := &Reference{structs: map[string]*structure{}, enums: map[string][]string{}}
	names, err := fs.Glob(source, "*.go")
	if err != nil {
		return nil, fmt.Errorf("listing Go files: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := fs.ReadFile(source, name)
		if err != nil {
			return nil, fmt.Errorf("reading the source of the kinds: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path.Base(name), data, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parsing the source of the kinds: %w", err)
		}
		for _, decl := range file.Decls {
			if decl, ok := decl.(*ast.GenDecl); ok {
				if err := r.declaration(decl); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return r, nil
}

func (r *Reference) declaration(decl *ast.GenDecl) error {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if t, ok := spec.Type.(*ast.StructType); ok && spec.Name.IsExported() {
				if err := r.structure(spec.Name.Name, decl.Doc, t); err != nil {
					return err
				}
			}
		case *ast.ValueSpec:
			if typ, ok := spec.Type.(*ast.Ident); ok && decl.Tok == token.CONST && len(spec.Values) == 1 {
				if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
					text, err := strconv.Unquote(value.Value)
					if err != nil {
						return err
					}
					r.enums[typ.Name] = append(r.enums[typ.Name], text)
				}
			}
		}
	}
	return nil
}

func (r *Reference) structure(name string, doc *ast.CommentGroup, t *ast.StructType) error {
	s := &structure{name: name}
	var markers map[string]string
	s.doc, markers = split(doc.Text())
	_, s.exactlyOne = markers["exactlyOne"]
	for _, f := range t.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			return err
		}
		jsonName, options, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		doc, markers := split(f.Doc.Text())
		if doc == "" {
			return fmt.Errorf("%s.%s has no comment", name, f.Names[0].Name)
		}
		if goName := f.Names[0].Name; strings.ToLower(goName[1:]) != goName[1:] {
			doc = strings.Replace(doc, goName+" ", jsonName+" ", 1)
		}
		s.fields = append(s.fields, field{
			name: jsonName, doc: doc, typ: f.Type, required: !strings.Contains(options, "omit"),
			defaultTo: markers["default"], example: markers["example"], pattern: markers["pattern"],
		})
	}
	if len(s.fields) > 0 {
		r.structs[name] = s
	}
	return nil
}

// split divides a comment into its text and the markers, which are lines that begin with a plus sign.
func split(comment string) (text string, markers map[string]string) {
	markers = map[string]string{}
	var lines []string
	for line := range strings.Lines(comment) {
		line = strings.TrimSuffix(line, "\n")
		if marker, ok := strings.CutPrefix(line, "+"); ok {
			key, value, _ := strings.Cut(marker, "=")
			markers[key] = value
			continue
		}
		lines = append(lines, line)
	}
	paragraphs := strings.Split(strings.TrimSpace(strings.Join(lines, "\n")), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.ReplaceAll(p, "\n", " ")
	}
	return strings.Join(paragraphs, "\n\n"), markers
}

// kind returns the struct of a kind.
func (r *Reference) kind(name string) (*structure, error) {
	if s, ok := r.structs[name]; ok && s.fields[0].name == "apiVersion" {
		return s, nil
	}
	return nil, fmt.Errorf("there is no kind %q", name)
}

// shape is what a Go type is in a document.
type shape struct {
	what   string // for people: "text", "true or false", …
	schema map[string]any
	item   *shape     // of a list
	inner  *structure // of a mapping with known fields
}

// foreign are types of other modules, by their Go names.
var foreign = map[string]shape{
	"metav1.Duration": {what: "duration", schema: map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}},
	"metav1.Time":     {what: "time", schema: map[string]any{"type": "string", "format": "date-time"}},
	"metav1.LabelSelector": {what: "label selector", schema: map[string]any{
		"type": "object", "additionalProperties": false,
		"properties": map[string]any{
			"matchLabels": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"},
				"description": "Labels that a cluster has, each with its value."},
			"matchExpressions": map[string]any{"type": "array", "description": "Conditions, all of which a cluster meets.",
				"items": map[string]any{
					"type": "object", "additionalProperties": false, "required": []string{"key", "operator"},
					"properties": map[string]any{
						"key":      map[string]any{"type": "string", "description": "The label's name."},
						"operator": map[string]any{"type": "string", "enum": []string{"In", "NotIn", "Exists", "DoesNotExist"}},
						"values":   map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
					},
				}},
		},
	}},
}

var errUnknownType = errors.New("the type has no form in documents")

// shape returns what a type is in documents.
func (r *Reference) shape(typ ast.Expr) (shape, error) {
	switch t := typ.(type) {
	case *ast.StarExpr:
		return r.shape(t.X)
	case *ast.SelectorExpr:
		if pkg, ok := t.X.(*ast.Ident); ok {
			if s, ok := foreign[pkg.Name+"."+t.Sel.Name]; ok {
				return s, nil
			}
		}
	case *ast.ArrayType:
		item, err := r.shape(t.Elt)
		return shape{what: "list", item: &item}, err
	case *ast.MapType:
		if value, ok := t.Value.(*ast.Ident); ok && value.Name == "any" {
			return shape{what: "mapping", schema: map[string]any{"type": "object"}}, nil
		}
		value, err := r.shape(t.Value)
		return shape{what: "mapping of " + value.what, schema: map[string]any{"type": "object", "additionalProperties": value.schema}}, err
	case *ast.Ident:
		switch {
		case t.Name == "string":
			return shape{what: "text", schema: map[string]any{"type": "string"}}, nil
		case t.Name == "int":
			return shape{what: "number", schema: map[string]any{"type": "integer"}}, nil
		case t.Name == "bool":
			return shape{what: "boolean", schema: map[string]any{"type": "boolean"}}, nil
		case r.enums[t.Name] != nil:
			return shape{what: "one of " + strings.Join(r.enums[t.Name], ", "),
				schema: map[string]any{"type": "string", "enum": r.enums[t.Name]}}, nil
		case r.structs[t.Name] != nil:
			return shape{what: "mapping", inner: r.structs[t.Name]}, nil
		}
	}
	return shape{}, errUnknownType
}
