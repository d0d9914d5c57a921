// Package strictyaml decodes YAML that people write into Go structs with json tags, and reports everything that is
// wrong with it at once, each problem with its file, line, column, field path and, where one is known, the way to
// mend it. The main type is Document: one parsed YAML document that decodes itself and resolves a field path to a
// position, so that a validator which runs after decoding reports its findings in the same form.
//
// It is stricter than YAML: unknown and repeated fields, names that differ in case, a number or a boolean where text
// is wanted, words that YAML 1.1 and 1.2 read differently (yes, no, on, off), tags and directives are problems. What
// it accepts it decodes as sigs.k8s.io/yaml does, except that a key written beside a merge (<<) always wins. It does
// not apply defaults, does not validate beyond types, does not write YAML, and does not honour the json tag option
// "string".
package strictyaml

import (
	"fmt"
	"reflect"
	"slices"
)

// Options bounds what is read. The zero value is ready to use.
type Options struct {
	// MaxBytes is the largest input that is read, in bytes. 0 means 4 MiB.
	MaxBytes int
	// MaxDepth is how deep mappings and lists may nest, aliases followed. 0 means 100.
	MaxDepth int
	// MaxValues is how many values one document may hold once every alias is replaced by what it stands for.
	// A scalar counts once more for each 64 bytes, so that the limit bounds memory as well. 0 means 1,000,000.
	MaxValues int
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = 4 << 20
	}
	if o.MaxDepth == 0 {
		o.MaxDepth = 100
	}
	if o.MaxValues == 0 {
		o.MaxValues = 1_000_000
	}
	return o
}

// Decode is Options.Decode with the default limits.
func Decode(file string, data []byte, into any) (*Document, Problems) {
	return Options{}.Decode(file, data, into)
}

// Split is Options.Split with the default limits.
func Split(file string, data []byte) ([]*Document, Problems) {
	return Options{}.Split(file, data)
}

// Decode reads data, which must hold exactly one document, into the value that into points to. The name file only
// appears in problems. The document is never nil; if data could not be parsed it has no fields, and every path
// resolves to its start. See Document.Decode for what becomes of into.
func (o Options) Decode(file string, data []byte, into any) (*Document, Problems) {
	mustPoint(into)
	chunks, problems := o.read(file, data)
	doc := &Document{File: file}
	if len(chunks) == 0 && len(problems) == 0 {
		return doc, Problems{{File: file, Line: 1, Column: 1, Message: "file has no content"}}
	}
	if len(chunks) > 0 {
		doc.root = chunks[0].root
		problems = append(problems, chunks[0].problems...)
		problems = append(problems, doc.Decode(into)...)
	}
	if len(chunks) > 1 {
		problems = append(problems, Problem{
			File: file, Line: chunks[1].begin, Column: 1,
			Message: fmt.Sprintf("want one document, have %d", len(chunks)),
			Hint:    "a line with three hyphens starts another document: move it to a file of its own",
		})
	}
	problems.Sort()
	return doc, problems
}

// Split reads all documents of data, in order, each with its positions in the whole file. Documents without content
// are left out, and so are those that cannot be parsed, whose problems are returned. A file without any content
// yields no documents and no problem.
func (o Options) Split(file string, data []byte) ([]*Document, Problems) {
	chunks, problems := o.read(file, data)
	var docs []*Document
	for _, c := range chunks {
		problems = append(problems, c.problems...)
		if c.root != nil {
			docs = append(docs, &Document{File: file, root: c.root})
		}
	}
	problems.Sort()
	return docs, problems
}

// read checks the encoding of data and parses its documents, the empty ones left out. The problems that it returns are
// those of the file; those of one document are in its chunk, which then has no root.
func (o Options) read(file string, data []byte) ([]chunk, Problems) {
	o = o.withDefaults()
	text, problem := checkText(file, data, o.MaxBytes)
	if problem != nil {
		return nil, Problems{*problem}
	}
	chunks, problems := cut(file, text)
	for i := range chunks {
		chunks[i].parse(file, o)
	}
	chunks = slices.DeleteFunc(chunks, func(c chunk) bool { return c.root == nil && len(c.problems) == 0 })
	return chunks, problems
}

// mustPoint panics unless into is a pointer to something: only the program can be wrong about that, not its input.
func mustPoint(into any) reflect.Value {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("strictyaml: decoding into %T, want a pointer that is not nil", into))
	}
	return v.Elem()
}
