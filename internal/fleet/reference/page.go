package reference

import (
	"bytes"
	"embed"
	"fmt"
	"strings"
	"text/template"
)

// files are the page around the tables, and whole documents as examples.
//
//go:embed kinds.md.tmpl examples
var files embed.FS

// Page returns the reference page of all kinds, in Markdown.
func (r *Reference) Page() ([]byte, error) {
	page, err := template.New("kinds.md.tmpl").Funcs(template.FuncMap{
		"fields": r.table,
		"about": func(kind string) (string, error) {
			s, err := r.kind(kind)
			if err != nil {
				return "", err
			}
			return s.doc, nil
		},
		"example": func(name string) (string, error) {
			data, err := files.ReadFile("examples/" + name)
			return "```yaml\n" + string(data) + "```", err
		},
	}).ParseFS(files, "kinds.md.tmpl")
	if err != nil {
		return nil, fmt.Errorf("parsing the page: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, nil); err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return out.Bytes(), nil
}

// table lists the fields of a kind, those inside others after them.
func (r *Reference) table(kind string) (string, error) {
	s, err := r.kind(kind)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| field | form | default | example | what it says |\n|---|---|---|---|---|\n")
	if err := r.rows(&b, "", s); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func (r *Reference) rows(b *strings.Builder, prefix string, s *structure) error {
	for _, f := range s.fields {
		shape, err := r.shape(f.typ)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", s.name, f.name, err)
		}
		name := prefix + f.name
		inner, form := shape.inner, shape.what
		if shape.item != nil {
			inner, form = shape.item.inner, "list of "+shape.item.what+"s"
			name += "[]"
		}
		state := code(f.defaultTo)
		if f.required {
			state = "*required*"
		}
		text := f.doc
		if inner != nil && inner.exactlyOne {
			text += " Exactly one of the fields below."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", name, form, state, code(f.example), cell(text))
		if inner != nil {
			if err := r.rows(b, name+".", inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// code formats a value as code, unless there is none.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + cell(text) + "`"
}

// cell keeps text from ending its cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
