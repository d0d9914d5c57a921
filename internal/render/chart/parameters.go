package chart

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"helm.sh/helm/v4/pkg/strvals"

	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// fileParameter is a value that is the content of a file.
type fileParameter struct {
	name, file string
	data       []byte
}

// readFiles reads the files that are values.
func (g *given) readFiles(t tree.Tree, in Input) error {
	for i, p := range in.Options.FileParameters {
		field := fmt.Sprintf("fileParameters[%d]", i)
		file, err := in.file(field, p.Path)
		if err != nil {
			return err
		}
		data, err := t.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return manifest.Problem{File: in.Dir, Message: fmt.Sprintf("helm.%s: there is no file %q", field, file),
				Hint: "a path is relative to the chart, or begins with a slash and is relative to the repository"}
		}
		if err != nil {
			return fmt.Errorf("reading %q: %w", file, err)
		}
		if object.EncryptedFile(string(data)) {
			return encrypted(file)
		}
		g.files = append(g.files, fileParameter{p.Name, file, data})
		g.text = append(g.text, data...)
	}
	return nil
}

// setParameters writes the parameters into values: those that may be numbers or booleans and those that are text in
// their order, and then the files, as Helm does with --set, --set-string and --set-file.
func (g *given) setParameters(dir string, values map[string]any) error {
	for i, p := range g.parameters {
		set := strvals.ParseInto
		if p.Text {
			set = strvals.ParseIntoString
		}
		if err := set(p.Name+"="+quoteCommas(p.Value), values); err != nil {
			return manifest.Problem{File: dir, Message: fmt.Sprintf("helm.parameters[%d], %q: %v", i, p.Name, err),
				Hint: `write the name as helm --set has it, such as a.b or list[0].c, with a backslash before a dot that is part of a name`}
		}
	}
	for i, p := range g.files {
		content := func([]rune) (any, error) { return string(p.data), nil }
		if err := strvals.ParseIntoFile(p.name+"=file", values, content); err != nil {
			return manifest.Problem{File: dir, Message: fmt.Sprintf("helm.fileParameters[%d], %q: %v", i, p.name, err)}
		}
	}
	return nil
}

// quoteCommas keeps the commas of a value from ending it, as Argo CD does: all but those behind a backslash, and not
// in a list in braces.
func quoteCommas(value string) string {
	if strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}") {
		return value
	}
	var b strings.Builder
	before := byte(0)
	for i := range len(value) {
		if value[i] == ',' && before != '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
		before = value[i]
	}
	return b.String()
}
