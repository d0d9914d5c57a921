package strictyaml

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestSyntaxProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		in     string
		want   string
	}{
		"ValueInValue": {
			reason: "a colon in plain text",
			in:     "a: 1\nb: c: d\n",
			want: `f.yaml:2:5: ":" is not allowed here
  hint: text that holds ": " needs quotes, and keys of one mapping start in the same column`,
		},
		"KeyTooDeep": {
			reason: "a key that is indented under a scalar",
			in:     "a: 1\n  b: 2\n",
			want: `f.yaml:2:4: ":" is not allowed here
  hint: text that holds ": " needs quotes, and keys of one mapping start in the same column`,
		},
		"KeyBetweenColumns": {
			reason: "the parser names the line before the mapping",
			in:     "a:\n  - b\n - c\n",
			want: `f.yaml:3:2: want a key here
  hint: keys of one mapping start in the same column, and a quoted value ends at its second quote`,
		},
		"QuoteInQuotes": {
			reason: "the text ends before the person meant it to",
			in:     "a: 1\nb: 'it's'\n",
			want: `f.yaml:2:8: want a key here
  hint: keys of one mapping start in the same column, and a quoted value ends at its second quote`,
		},
		"NoColon": {
			reason: "the key is the place to look at, not the next line",
			in:     "a: 1\nb\nc: 3\n",
			want: `f.yaml:2:1: want ": " after the key
  hint: a line that continues the text above is indented more than its key`,
		},
		"NoHyphen": {
			reason: "a list that turns into a mapping",
			in:     "- a\nb: 1\n",
			want: `f.yaml:2:1: want "- " here
  hint: items of one list start in the same column`,
		},
		"HyphenAfterKey": {
			reason: "a list that starts on the line of its key",
			in:     "a: - b\n",
			want: `f.yaml:1:4: "- " is not allowed here
  hint: the first item of a list stands on a line of its own`,
		},
		"CommaInList": {
			reason: "the hint leads to the bracket in case that is what is wrong",
			in:     "# list\na: [\"x\" \"y\"]\n",
			want: `f.yaml:2:9: want ',' or ']' here
  hint: "[" opened at line 2, column 4`,
		},
		"OpenMapping": {
			reason: "the same with the closing brace missing and text after it",
			in:     "a: {b: 1\nc: 2\n",
			want: `f.yaml:2:2: want ',' or '}' here
  hint: "{" opened at line 1, column 4`,
		},
		"OpenListAtEnd": {
			reason: "the end of the file is no place to look at",
			in:     "a: [1, 2\n",
			want:   `f.yaml:1:4: "[" is not closed`,
		},
		"OpenQuote": {
			reason: "neither is it for a quote",
			in:     "a: 1\nb: \"x\nc: 3\n",
			want:   `f.yaml:2:4: quoted text is not closed`,
		},
		"OpenQuoteBeforeDocument": {
			reason: "a document marker ends the document whatever is open",
			in:     "a: 'x\n...\n",
			want:   `f.yaml:1:4: quoted text is not closed`,
		},
		"ClosingOnly": {
			reason: "a value that starts with a bracket of the wrong kind",
			in:     "a: }\n",
			want:   `f.yaml:1:4: want a value here`,
		},
		"TextAfterDocument": {
			reason: "nothing in the file is skipped silently",
			in:     "[1, 2]]\n",
			want:   `f.yaml:1:7: text after the end of the document`,
		},
		"SecondDocumentWithoutMarker": {
			reason: "the parser takes other characters for line ends than editors do",
			in:     "a: 1\u2028--- b\n",
			want:   `f.yaml:1:1: YAML syntax: another document follows without a line ---`,
		},
		"TabIndent": {
			reason: "tabs look like spaces",
			in:     "a:\n\tb: 1\n",
			want: `f.yaml:2:1: tab in the indentation
  hint: indent with spaces`,
		},
		"TabInBlock": {
			reason: "also in a block of text",
			in:     "a: |\n\tb\n",
			want: `f.yaml:2:1: tab in the indentation
  hint: indent with spaces`,
		},
		"At": {
			reason: "characters that YAML reserves",
			in:     "a: @b\n",
			want:   `f.yaml:1:4: text cannot start with @ without quotes`,
		},
		"Glob": {
			reason: "an asterisk makes an alias",
			in:     "a:\n  path: *.yaml\n",
			want:   `f.yaml:2:9: text cannot start with * or & without quotes`,
		},
		"UnknownAnchor": {
			reason: "the parser gives no line at all",
			in:     "a: 1\nb: *c\n",
			want: `f.yaml:2:4: no anchor 'c' before this alias
  hint: text that starts with * needs quotes`,
		},
		"Escape": {
			reason: "a Windows path or regular expression in double quotes",
			in:     `a: "\d+"`,
			want: `f.yaml:1:5: a backslash in double quotes starts an escape, and this is none
  hint: write \\ for a backslash, or use single quotes`,
		},
		"Other": {
			reason: "what has no wording of ours has the parser's, at its place",
			in:     "a: 1\nb: !foo!bar x\n",
			want:   `f.yaml:2:4: YAML syntax: found undefined tag handle`,
		},
		"Directive": {
			reason: "the document is decoded all the same",
			in:     "# c\n%YAML 1.2\n---\na: x\n",
			want: `f.yaml:2:1: directives are not supported
  hint: remove this line
f.yaml:4:4: a: want a number, have "x"`,
		},
		"SeveralDocuments": {
			reason: "the first one is decoded, the marker of the second pointed at, later ones are checked only by Split",
			in:     "# c\n---\na: x\n---\n# nothing\n---\na: 2\n---\na: [\n",
			want: `f.yaml:3:4: a: want a number, have "x"
f.yaml:6:1: want one document, have 3
  hint: a line with three hyphens starts another document: move it to a file of its own`,
		},
		"Empty": {
			reason: "a document is wanted",
			want:   "f.yaml:1:1: file has no content",
		},
		"OnlyComments": {
			reason: "comments and markers are no content",
			in:     "# a\n---\n# b\n...\n---\n~\n",
			want:   "f.yaml:1:1: file has no content",
		},
		"ByteOrderMark": {
			reason: "some editors write it; it has no width",
			in:     "\ufeffa: x\n",
			want:   `f.yaml:1:4: a: want a number, have "x"`,
		},
		"WindowsLineEnds": {
			reason: "carriage returns before line feeds belong to them",
			in:     "---\r\na: x\r\n...\r\n",
			want:   `f.yaml:2:4: a: want a number, have "x"`,
		},
		"CarriageReturn": {
			reason: "the parser takes it for a line end, most editors do not",
			in:     "a: 1\rb: 2\n",
			want: `f.yaml:1:5: carriage return without a line feed
  hint: end lines with a line feed`,
		},
		"UTF16": {
			reason: "what Windows calls Unicode",
			in:     "\xff\xfea\x00:\x00 \x001\x00",
			want: `f.yaml:1:1: file is encoded as UTF-16LE, want UTF-8
  hint: save it as UTF-8, or convert it: iconv -f UTF-16LE -t UTF-8`,
		},
		"UTF16BigEndian": {
			reason: "the other order",
			in:     "\xfe\xff\x00a\x00:",
			want: `f.yaml:1:1: file is encoded as UTF-16BE, want UTF-8
  hint: save it as UTF-8, or convert it: iconv -f UTF-16BE -t UTF-8`,
		},
		"UTF16WithoutMark": {
			reason: "recognized by its zeros",
			in:     "a\x00:\x00",
			want: `f.yaml:1:1: file is encoded as UTF-16LE, want UTF-8
  hint: save it as UTF-8, or convert it: iconv -f UTF-16LE -t UTF-8`,
		},
		"UTF16BigEndianWithoutMark": {
			reason: "recognized by its zeros",
			in:     "\x00a\x00:",
			want: `f.yaml:1:1: file is encoded as UTF-16BE, want UTF-8
  hint: save it as UTF-8, or convert it: iconv -f UTF-16BE -t UTF-8`,
		},
		"Latin1": {
			reason: "columns count characters, not bytes",
			in:     "a: 1 # é\n# é \xe9\n",
			want: `f.yaml:2:5: byte 0xe9 is not UTF-8
  hint: save the file as UTF-8`,
		},
		"NUL": {
			reason: "a file cut by a crash is often filled with zeros",
			in:     "a: 1\n\x00\x00\x00",
			want: `f.yaml:2:1: NUL byte
  hint: the file is damaged, or not text`,
		},
		"ControlCharacter": {
			reason: "what YAML forbids is named, since it cannot be seen",
			in:     "a: b\x07\n",
			want: `f.yaml:1:5: character U+0007 is not allowed
  hint: remove it, or write it in double quotes as "\U00000007"`,
		},
		"Delete": {
			reason: "so are the control characters beyond ASCII's first 32",
			in:     "a: b # \u0085\u007f\n",
			want: `f.yaml:1:9: character U+007F is not allowed
  hint: remove it, or write it in double quotes as "\U0000007f"`,
		},
		"TooLarge": {
			reason: "the limit is on bytes, before anything is parsed",
			in:     "a: " + strings.Repeat("x", 4<<20),
			want:   "f.yaml:1:1: file has 4194307 bytes, more than the 4194304 that are read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var into struct {
				A int `json:"a"`
			}
			doc, problems := Decode("f.yaml", []byte(tc.in), &into)
			if diff := cmp.Diff(tc.want, problems.Error()); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s", tc.reason, diff)
			}
			if line, _ := doc.Position("b.c"); line < 1 {
				t.Errorf("Position returned line %d of a document with problems", line)
			}
		})
	}
}

// TestParserMistakes checks what only another version of the parser would show.
func TestParserMistakes(t *testing.T) {
	if _, err := next(panicking{}); err == nil || err.Error() != "cannot be parsed: internal error" {
		t.Errorf("a panic of the parser becomes %v", err)
	}
	if got := markOf(inside(reflect.ValueOf(&chunk{}), "text", "start_mark")); got != (mark{}) {
		t.Errorf("marks that are not where they were give %v, want none", got)
	}
	got := syntaxProblem("f.yaml", &chunk{line: 3}, yaml.NewDecoder(nil), errors.New("yaml: line 7: odd"))
	if want := "f.yaml:3:1: YAML syntax: line 7: odd"; got.String() != want {
		t.Errorf("an error without a complaint is reported as %s, want %s", got, want)
	}
}

type panicking struct{}

func (panicking) Decode(any) error { panic("internal error") }

func TestLimits(t *testing.T) {
	const bomb = `a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]
f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]
g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]
h: &h [*g, *g, *g, *g, *g, *g, *g, *g, *g]
`
	for name, tc := range map[string]struct {
		reason  string
		options Options
		in      string
		want    string
	}{
		"AliasBomb": {
			reason: "values are counted as if every alias were written out, without writing them out",
			in:     bomb,
			want: `f.yaml:7:8: alias *f makes the document hold more than 1000000 values
  hint: each alias repeats everything in its anchor, the aliases in it included`,
		},
		"AliasOfLongText": {
			reason: "text counts by its size",
			in:     "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a, ", 100) + "*a]\n",
			want: `f.yaml:2:245: alias *a makes the document hold more than 1000000 values
  hint: each alias repeats everything in its anchor, the aliases in it included`,
		},
		"AliasInItself": {
			reason: "a value that contains itself never ends",
			in:     "a: &a\n  b: [*a]\n",
			want:   "f.yaml:2:7: alias *a stands inside what it repeats",
		},
		"MergeOfItself": {
			reason: "nor does a mapping merged into itself",
			in:     "a: &a\n  <<: *a\n",
			want:   "f.yaml:2:7: alias *a stands inside what it repeats",
		},
		"Values": {
			reason:  "without aliases the limit holds as well; keys, lists and mappings count",
			options: Options{MaxValues: 6},
			in:      "a: [1, 2]\nb: 1\n",
			want: `f.yaml:2:4: document holds more than 6 values
  hint: divide it into several files`,
		},
		"ValuesAllowed": {
			reason:  "the limit itself is allowed",
			options: Options{MaxValues: 7},
			in:      "a: [1, 2]\nb: 1\n",
		},
		"Depth": {
			reason:  "the first value that is too deep is reported",
			options: Options{MaxDepth: 3},
			in:      "a: [1]\nb:\n  c: [1]\n",
			want:    "f.yaml:3:7: nested more than 3 levels deep",
		},
		"DepthByAlias": {
			reason:  "an alias is as deep as what it repeats",
			options: Options{MaxDepth: 3},
			in:      "a: &a [1]\nb: [*a]\n",
			want:    "f.yaml:2:5: nested more than 3 levels deep",
		},
		"DepthAllowed": {
			reason:  "the limit itself is allowed",
			options: Options{MaxDepth: 3},
			in:      "a: [1]\n",
		},
		"DeepInParser": {
			reason: "what is too deep for the parser is so for us",
			in:     strings.Repeat("[", 20000),
			want:   "f.yaml:1:10001: YAML syntax: exceeded max depth of 10000",
		},
		"Bytes": {
			reason:  "the limit is inclusive",
			options: Options{MaxBytes: 5},
			in:      "a: 12\n",
			want:    "f.yaml:1:1: file has 6 bytes, more than the 5 that are read",
		},
		"Problems": {
			reason: "nobody reads ten thousand problems",
			in:     "[" + strings.Repeat("yes,\n", 10_000) + "]",
			want:   "f.yaml:1000:1: too many problems, 9000 more are not listed",
		},
		"Directives": {
			reason: "nor those of a file that has nothing else",
			in:     strings.Repeat("%TAG ! x\n", 2000),
			want: `f.yaml:1000:1: directives are not supported
  hint: remove this line`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var into any
			_, problems := tc.options.Decode("f.yaml", []byte(tc.in), &into)
			got := ""
			if len(problems) > 0 {
				got = problems[len(problems)-1].String()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nlast problem (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestQuantityOfAnySizeIsQuick(t *testing.T) {
	for _, text := range []string{"1e1000000000000", "1e-1000000000000", "1.5E+999999999", strings.Repeat("9", 1000)} {
		t.Run(text[:12], func(t *testing.T) {
			var into struct {
				CPU resource.Quantity `json:"cpu"`
			}
			_, problems := Decode("f.yaml", []byte("cpu: '"+text+"'\n"), &into)
			if len(problems) != 1 || !strings.HasPrefix(problems[0].Message, "want a quantity, have ") {
				t.Errorf("parsing it would take minutes: want one problem, have %v", problems)
			}
		})
	}
}

func TestLongKeysInPaths(t *testing.T) {
	var in strings.Builder
	for depth := range 40 {
		indent := strings.Repeat(" ", depth)
		in.WriteString(indent + "? " + strings.Repeat("k", 20_000) + "\n" + indent + ":\n")
	}
	in.WriteString(strings.Repeat(" ", 40) + "[" + strings.Repeat("yes, ", 1000) + "]\n")
	var into any
	_, problems := Decode("f.yaml", []byte(in.String()), &into)
	if size := len(problems.Error()); len(problems) != 1000 || size > 20<<20 {
		t.Errorf("%d problems of a file of %d bytes take %d bytes", len(problems), in.Len(), size)
	}
}
