package strictyaml

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// byteOrderMark is what some editors put before UTF-8 text.
var byteOrderMark = []byte("\xef\xbb\xbf")

// checkText returns data without its byte order mark, or what makes it unfit for a YAML parser: its size, another
// encoding than UTF-8, or characters that YAML forbids.
func checkText(file string, data []byte, maxBytes int) ([]byte, *Problem) {
	problem := &Problem{File: file, Line: 1, Column: 1}
	if len(data) > maxBytes {
		problem.Message = fmt.Sprintf("file has %d bytes, more than the %d that are read", len(data), maxBytes)
		return nil, problem
	}
	if name := otherEncoding(data); name != "" {
		problem.Message = fmt.Sprintf("file is encoded as %s, want UTF-8", name)
		problem.Hint = fmt.Sprintf("save it as UTF-8, or convert it: iconv -f %s -t UTF-8", name)
		return nil, problem
	}
	text := bytes.TrimPrefix(data, byteOrderMark)
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			problem.Message = fmt.Sprintf("byte 0x%02x is not UTF-8", rest[0])
			problem.Hint = "save the file as UTF-8"
			return nil, problem
		case r == '\r' && !bytes.HasPrefix(rest, []byte("\r\n")):
			problem.Message = "carriage return without a line feed"
			problem.Hint = "end lines with a line feed"
			return nil, problem
		case r == 0:
			problem.Message = "NUL byte"
			problem.Hint = "the file is damaged, or not text"
			return nil, problem
		case !allowed(r):
			problem.Message = fmt.Sprintf("character %U is not allowed", r)
			problem.Hint = fmt.Sprintf(`remove it, or write it in double quotes as "\U%08x"`, r)
			return nil, problem
		case r == '\n':
			problem.Line++
			problem.Column = 1
		default:
			problem.Column++
		}
		rest = rest[size:]
	}
	return text, nil
}

// allowed tells whether YAML lets r stand in a file (YAML 1.2.2, production c-printable).
func allowed(r rune) bool {
	switch {
	case r < 0x20:
		return r == '\t' || r == '\n' || r == '\r'
	case r >= 0x7f && r < 0xa0:
		return r == 0x85
	default:
		return r != 0xfffe && r != 0xffff
	}
}

// otherEncoding names the encoding of data if it shows to be UTF-16, by its byte order mark or by where the zero bytes
// of its first two characters are: YAML starts with ASCII in practice.
func otherEncoding(data []byte) string {
	zero := func(i int) bool { return data[i] == 0 }
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), len(data) >= 4 && !zero(0) && zero(1) && !zero(2) && zero(3):
		return "UTF-16LE"
	case bytes.HasPrefix(data, []byte("\xfe\xff")), len(data) >= 4 && zero(0) && !zero(1) && zero(2) && !zero(3):
		return "UTF-16BE"
	}
	return ""
}

// chunk is the text of one document, and what parsing made of it.
type chunk struct {
	text     []byte
	line     int // of the first line of text, from 1
	begin    int // line where the document starts, comments before it left out
	root     *yaml.Node
	problems Problems
}

// cut divides text at the lines that separate documents, so that a syntax error in one document leaves the others
// readable. YAML forbids such a line inside any scalar, so no document is cut in two. Directives are reported.
func cut(file string, text []byte) (chunks []chunk, problems Problems) {
	current := chunk{line: 1}
	start, line := 0, 0
	flush := func(end, nextLine int) {
		if current.begin > 0 {
			current.text = text[start:end]
			chunks = append(chunks, current)
		}
		current, start = chunk{line: nextLine}, end
	}
	for at := 0; at < len(text); {
		line++
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		content := bytes.TrimSpace(text[at:end])
		switch {
		case isMarker(text[at:end], "---"):
			flush(at, line)
			current.begin = line
		case isMarker(text[at:end], "..."):
			flush(end, line+1)
		case len(content) == 0 || content[0] == '#' || current.begin > 0:
		case text[at] == '%':
			current.line, start = line+1, end
			if len(problems) < maxProblems {
				problems = append(problems, Problem{
					File: file, Line: line, Column: 1,
					Message: "directives are not supported", Hint: "remove this line",
				})
			}
		default:
			current.begin = line
		}
		at = end
	}
	flush(len(text), line)
	return chunks, problems
}

// isMarker tells whether line is the document marker, alone or with something after it.
func isMarker(line []byte, marker string) bool {
	rest, found := bytes.CutPrefix(line, []byte(marker))
	return found && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}
