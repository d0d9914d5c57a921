// Package manifest turns files of YAML and JSON into objects, each with the file and line that it stands at. The main
// function is Decode. It reads values exactly as kubectl does (YAML 1.1 through sigs.k8s.io/yaml) and bounds what a
// file can become. It does not know what kinds mean and does not validate more than that an object is one.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// Object is an object with the place where it is stated. File is empty and Line 0 where that is not known.
type Object struct {
	*unstructured.Unstructured
	File string
	Line int
}

// Problem returns a problem of the object, at its place.
func (o Object) Problem(hint, format string, args ...any) Problem {
	p := Problem{File: o.File, Line: o.Line, Message: fmt.Sprintf(format, args...), Hint: hint}
	if o.GetKind() != "" {
		p.Object = name(o.Unstructured)
	}
	return p
}

// name is what people call an object: kind, namespace and name.
func name(u *unstructured.Unstructured) string {
	named := u.GetName()
	if named == "" {
		named = u.GetGenerateName()
	}
	if u.GetNamespace() != "" {
		named = u.GetNamespace() + "/" + named
	}
	return strings.TrimSpace(u.GetKind() + " " + named)
}

// Limits bounds what decoding may yield. Zero values mean no limit.
type Limits struct {
	Objects int   // how many objects
	Bytes   int64 // how large all of them may be, as JSON
}

// Decoder decodes files one after the other against common limits. Its zero value has no limits.
type Decoder struct {
	Limits  Limits
	objects int
	bytes   int64
}

// IsManifest reports whether a file's name says that it holds manifests.
func IsManifest(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// Decode returns the objects of a file, Lists taken apart. It goes on after a bad document and returns the problems of
// all; empty documents are skipped.
func (d *Decoder) Decode(file string, data []byte) ([]Object, Problems) {
	if problem := checkText(file, data); problem != nil {
		return nil, Problems{*problem}
	}
	return d.take(file, split(file, data))
}

// Evaluated returns the objects of what a program in a file came to, as JSON: one object, Lists taken apart, or a list
// of objects. They have no lines.
func (d *Decoder) Evaluated(file string, data []byte) ([]Object, Problems) {
	values := []json.RawMessage{data}
	if data = bytes.TrimSpace(data); bytes.HasPrefix(data, []byte("[")) {
		values = nil
		if err := json.Unmarshal(data, &values); err != nil {
			return nil, Problems{{File: file, Message: "does not come to valid JSON: " + err.Error()}}
		}
	}
	var docs []document
	for _, value := range values {
		if value = bytes.TrimSpace(value); !bytes.Equal(value, []byte("null")) {
			docs = append(docs, document{json: value})
		}
	}
	return d.take(file, docs)
}

// take makes objects of the documents of a file, within the limits.
func (d *Decoder) take(file string, docs []document) ([]Object, Problems) {
	var objects []Object
	var problems Problems
	for _, doc := range docs {
		if doc.problem != nil {
			problems = append(problems, *doc.problem)
			continue
		}
		if d.Limits.Bytes > 0 {
			if d.bytes += int64(len(doc.json)); d.bytes > d.Limits.Bytes {
				return nil, append(problems, Problem{File: file, Line: doc.line, Message: tooLarge(d.Limits.Bytes), Hint: hintSplit})
			}
		}
		found, bad := expand(file, doc.line, doc.json)
		problems = append(problems, bad...)
		objects = append(objects, found...)
		if d.objects += len(found); d.Limits.Objects > 0 && d.objects > d.Limits.Objects {
			return nil, append(problems, Problem{
				File: file, Line: doc.line, Message: fmt.Sprintf("the app has more than %d objects", d.Limits.Objects), Hint: hintSplit,
			})
		}
	}
	return objects, problems
}

const hintSplit = "split the app into several, or raise the limit"

func tooLarge(limit int64) string {
	return fmt.Sprintf("the app's objects are larger than %d MiB together", limit>>20)
}

// checkText refuses what is not UTF-8, with the line of the first bad byte.
func checkText(file string, data []byte) *Problem {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return &Problem{File: file, Line: 1, Message: "the file is UTF-16", Hint: "save it as UTF-8"}
		}
	}
	if utf8.Valid(data) && bytes.IndexByte(data, 0) < 0 {
		return nil
	}
	line, rest := 1, data
	for len(rest) > 0 {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 || r == 0 {
			break
		}
		if r == '\n' {
			line++
		}
		rest = rest[size:]
	}
	return &Problem{File: file, Line: line, Message: "the file is not UTF-8 text", Hint: "save it as UTF-8; only manifests may have the endings .yaml, .yml and .json"}
}

// document is one document as JSON, with the line of its first content.
type document struct {
	line    int
	json    []byte
	problem *Problem
}

// split takes a file apart into its documents, without those that are empty.
func split(file string, data []byte) []document {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if path.Ext(file) == ".json" {
		return splitJSON(file, data)
	}
	var docs []document
	var text []byte
	line, begin := 0, 1
	flush := func() {
		if doc, ok := convert(file, begin, text); ok {
			docs = append(docs, doc)
		}
		text = nil
	}
	for rest := data; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		row := rest[:end]
		rest = rest[end:]
		line++
		if mark, tail := boundary(row); mark {
			flush()
			begin = line
			// The tail of the line belongs to the new document; the padding keeps its column.
			text = append([]byte("   "), tail...)
			continue
		}
		text = append(text, row...)
	}
	flush()
	return docs
}

// boundary reports whether a line separates documents, and what follows the separator on that line.
func boundary(row []byte) (bool, []byte) {
	for _, mark := range []string{"---", "..."} {
		if tail, ok := bytes.CutPrefix(row, []byte(mark)); ok && (len(tail) == 0 || strings.IndexByte(" \t\r\n", tail[0]) >= 0) {
			return true, tail
		}
	}
	return false, nil
}

var yamlLine = regexp.MustCompile(`^(?:error converting YAML to JSON: )?yaml: (?:unmarshal errors:\n\s*)?(?:line (\d+): )?`)

// convert turns the text of a YAML document, whose first line is line begin of the file, into JSON. It is false for a
// document without content.
func convert(file string, begin int, text []byte) (document, bool) {
	first := begin
	content := false
	for row := range bytes.Lines(text) {
		if trimmed := bytes.TrimSpace(row); len(trimmed) > 0 && trimmed[0] != '#' {
			content = true
			break
		}
		first++
	}
	if !content {
		return document{}, false
	}
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		problem := &Problem{File: file, Line: first, Message: "is not valid YAML: " + yamlLine.ReplaceAllString(err.Error(), "")}
		if at := yamlLine.FindStringSubmatch(err.Error()); at != nil && at[1] != "" {
			if n, err := strconv.Atoi(at[1]); err == nil {
				problem.Line = begin + n - 1
			}
		}
		if bytes.Contains(text, []byte("\t")) && strings.Contains(err.Error(), "cannot start any token") {
			problem.Hint = "indent with spaces, not tabs"
		}
		return document{problem: problem}, true
	}
	if bytes.Equal(data, []byte("null")) {
		return document{}, false
	}
	return document{line: first, json: data}, true
}

// splitJSON takes a file of one or more JSON values apart.
func splitJSON(file string, data []byte) []document {
	var docs []document
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		begin := int(decoder.InputOffset())
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err != nil {
			at := int(decoder.InputOffset())
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				at = int(syntax.Offset)
			}
			return append(docs, document{problem: &Problem{File: file, Line: lineAt(data, at), Message: "is not valid JSON: " + err.Error()}})
		}
		for begin < len(data) && strings.IndexByte(" \t\r\n", data[begin]) >= 0 {
			begin++
		}
		if !bytes.Equal(raw, []byte("null")) {
			docs = append(docs, document{line: lineAt(data, begin), json: raw})
		}
	}
}

func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), len(data))], []byte("\n"))
}

// expand decodes one document into objects.
func expand(file string, line int, data []byte) ([]Object, Problems) {
	at := Problem{File: file, Line: line}
	fail := func(hint, format string, args ...any) ([]Object, Problems) {
		at.Message, at.Hint = fmt.Sprintf(format, args...), hint
		return nil, Problems{at}
	}
	var fields any
	if err := utiljson.Unmarshal(data, &fields); err != nil {
		return fail("", "cannot be read: %v", err)
	}
	top, ok := fields.(map[string]any)
	if !ok {
		return fail("every document of a manifest is one object, with apiVersion and kind", "is no object but %s", describe(fields))
	}
	return expandMap(Object{Unstructured: &unstructured.Unstructured{Object: top}, File: file, Line: line}, 0)
}

// maxNested is how deep Lists may stand in Lists.
const maxNested = 8

// expandMap checks that a document is an object and takes a List apart.
func expandMap(o Object, depth int) ([]Object, Problems) {
	for _, field := range []string{"apiVersion", "kind"} {
		switch value := o.Object[field].(type) {
		case nil:
			return nil, Problems{o.Problem("every object states apiVersion and kind; a file that is no manifest does not belong in this directory, or begins with a dot",
				"has no %s", field)}
		case string:
			if value == "" {
				return nil, Problems{o.Problem("", "has an empty %s", field)}
			}
		default:
			return nil, Problems{{File: o.File, Line: o.Line, Message: fmt.Sprintf("%s is no text but %s", field, describe(value))}}
		}
	}
	if metadata, ok := o.Object["metadata"]; ok && metadata != nil {
		if _, ok := metadata.(map[string]any); !ok {
			return nil, Problems{{File: o.File, Line: o.Line, Message: "metadata is no mapping but " + describe(metadata)}}
		}
	}
	items, isList := o.Object["items"].([]any)
	if !strings.HasSuffix(o.GetKind(), "List") || !isList {
		if o.GetKind() == "List" && o.Object["items"] == nil || emptyList(o) {
			return nil, nil
		}
		return []Object{o}, nil
	}
	if depth == maxNested {
		return nil, Problems{o.Problem("", "has Lists in Lists, more than %d deep", maxNested)}
	}
	var objects []Object
	var problems Problems
	for i, item := range items {
		fields, ok := item.(map[string]any)
		if !ok {
			problems = append(problems, o.Problem("", "items[%d] is no object but %s", i, describe(item)))
			continue
		}
		found, bad := expandMap(Object{Unstructured: &unstructured.Unstructured{Object: fields}, File: o.File, Line: o.Line}, depth+1)
		objects, problems = append(objects, found...), append(problems, bad...)
	}
	return objects, problems
}

// emptyList reports whether an object is a list of a kind, such as ConfigMapList, that states its items and has none.
func emptyList(o Object) bool {
	items, stated := o.Object["items"]
	_, spec := o.Object["spec"]
	_, status := o.Object["status"]
	return strings.HasSuffix(o.GetKind(), "List") && stated && items == nil && !spec && !status
}

// describe names the type of a decoded value.
func describe(value any) string {
	switch value.(type) {
	case nil:
		return "empty"
	case string:
		return "text"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	}
	return "a mapping"
}
