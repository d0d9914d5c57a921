package strictyaml

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// mark is a place in the text that the parser saw, counted from 1. The zero mark is no place.
type mark struct{ line, column int }

// complaint is what the parser says is wrong, where it gave up, and where what it was in the middle of began.
type complaint struct {
	text                 string
	problemAt, contextAt mark
}

// complain returns the parser's complaint. The parser knows where it gave up, but its errors carry no column and a
// line that is that of the enclosing collection, off by one, or none; its marks are therefore read from its state.
// If another version of the parser keeps them elsewhere, the complaint has no place and the error's own text.
func complain(decoder *yaml.Decoder, err error) complaint {
	c := complaint{text: strings.TrimPrefix(err.Error(), "yaml: ")}
	state := inside(reflect.ValueOf(decoder), "parser")
	scanner := inside(state, "parser")
	if strings.HasPrefix(c.text, "unknown anchor ") { // found above the scanner, which is already past it
		c.problemAt = markOf(inside(state, "event", "start_mark"))
		return c
	}
	if text := inside(scanner, "problem"); text.Kind() == reflect.String && text.Len() > 0 {
		c.text = text.String()
		c.problemAt = markOf(inside(scanner, "problem_mark"))
		c.contextAt = markOf(inside(scanner, "context_mark"))
	}
	return c
}

// inside returns the named field of a field of … of v, or the zero Value if there is none.
func inside(v reflect.Value, names ...string) reflect.Value {
	for _, name := range names {
		v = reflect.Indirect(v)
		if v.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		v = v.FieldByName(name)
	}
	return v
}

func markOf(v reflect.Value) mark {
	line, column := inside(v, "line"), inside(v, "column")
	if !line.CanInt() || !column.CanInt() {
		return mark{}
	}
	return mark{int(line.Int()) + 1, int(column.Int()) + 1}
}

// wording says what a complaint of the parser means to the person who wrote the text, and whether to look where the
// context begins rather than where the parser gave up.
type wording struct {
	message, hint string
	atContext     bool
}

var (
	noTabs   = wording{message: "tab in the indentation", hint: "indent with spaces"}
	unclosed = wording{message: "quoted text is not closed", atContext: true}

	wordings = map[string]wording{
		"mapping values are not allowed in this context": {
			message: `":" is not allowed here`,
			hint:    `text that holds ": " needs quotes, and keys of one mapping start in the same column`,
		},
		"block sequence entries are not allowed in this context": {
			message: `"- " is not allowed here`,
			hint:    "the first item of a list stands on a line of its own",
		},
		"did not find expected key": {
			message: "want a key here",
			hint:    "keys of one mapping start in the same column, and a quoted value ends at its second quote",
		},
		"did not find expected '-' indicator": {
			message: `want "- " here`,
			hint:    "items of one list start in the same column",
		},
		"did not find expected node content":                           {message: "want a value here"},
		"did not find expected <document start>":                       {message: "text after the end of the document"},
		"found unexpected end of stream":                               unclosed,
		"found unexpected document indicator":                          unclosed,
		"found a tab character that violates indentation":              noTabs,
		"found a tab character where an indentation space is expected": noTabs,
		"could not find expected ':'": {
			message:   `want ": " after the key`,
			hint:      "a line that continues the text above is indented more than its key",
			atContext: true,
		},
		"found unknown escape character": {
			message: "a backslash in double quotes starts an escape, and this is none",
			hint:    `write \\ for a backslash, or use single quotes`,
		},
		"did not find expected alphabetic or numeric character": { // in the name of an anchor or alias
			message: "text cannot start with * or & without quotes", atContext: true,
		},
	}
)

// syntaxProblem says in words what the parser complained of.
func syntaxProblem(file string, c *chunk, decoder *yaml.Decoder, err error) Problem {
	said := complain(decoder, err)
	words, known := wordings[said.text]
	at := said.problemAt
	if words.atContext {
		at = said.contextAt
	}
	next := charAt(c.text, at)
	anchor, isAnchor := strings.CutPrefix(said.text, "unknown anchor ")
	closing, isFlow := strings.CutPrefix(said.text, "did not find expected ',' or ")
	switch {
	case known:
	case isAnchor:
		words.message = fmt.Sprintf("no anchor %s before this alias", strings.TrimSuffix(anchor, " referenced"))
		words.hint = "text that starts with * needs quotes"
	case isFlow && next == "":
		at = said.contextAt
		words.message = fmt.Sprintf("%q is not closed", charAt(c.text, at))
	case isFlow:
		words.message = fmt.Sprintf("want ',' or %s here", closing)
		words.hint = fmt.Sprintf("%q opened at line %d, column %d",
			charAt(c.text, said.contextAt), said.contextAt.line+c.line-1, said.contextAt.column)
	case said.text == "found character that cannot start any token" && next == "\t":
		words = noTabs
	case said.text == "found character that cannot start any token":
		words.message = fmt.Sprintf("text cannot start with %s without quotes", next)
	default:
		words.message = "YAML syntax: " + said.text
	}
	at = within(c.text, at)
	return Problem{
		File: file, Line: at.line + c.line - 1, Column: at.column, Message: words.message, Hint: words.hint,
	}
}

// within returns at, moved to the start or to the end of what is written in text if it lies outside.
func within(text []byte, at mark) mark {
	lines := bytes.Split(bytes.TrimRight(text, "\r\n"), []byte("\n"))
	if at.line > len(lines) {
		return mark{len(lines), utf8.RuneCount(lines[len(lines)-1]) + 1}
	}
	return mark{max(at.line, 1), max(at.column, 1)}
}

// charAt returns the character of text at a mark, or "" past its end.
func charAt(text []byte, at mark) string {
	lines := bytes.SplitAfterN(text, []byte("\n"), at.line+1)
	if at.line < 1 || at.line > len(lines) {
		return ""
	}
	chars := []rune(string(lines[at.line-1]))
	if at.column > len(chars) {
		return ""
	}
	return string(chars[at.column-1])
}
