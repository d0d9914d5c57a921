// Package glob matches paths and names against patterns as those who write for Argo CD mean them. The main type is Glob.
// A pattern is translated to a regular expression without backtracking, so that a hostile one costs no more than its
// length. It reads no files.
package glob

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// Glob is a compiled pattern. It is safe for concurrent use.
type Glob struct{ expression *regexp.Regexp }

// Dialect is what wildcards may stand for.
type Dialect int

const (
	// Whole has wildcards that match slashes as well: "*.yaml" matches "a/b.yaml". So does Argo CD for the files of a
	// directory, and for names in projects.
	Whole Dialect = iota
	// Parts has wildcards that end at a slash, save "**", which stands for any text. So does Argo CD for the addresses of
	// repositories.
	Parts
	// ByName has wildcards that end at a slash, save "**" as a whole name, which stands for any number of names, none
	// among them. So does Argo CD for value files.
	ByName
)

// maxPattern is how long a pattern may be, in bytes.
const maxPattern = 4096

var (
	errLong    = fmt.Errorf("it is longer than %d bytes", maxPattern)
	errText    = errors.New("it is not UTF-8 text")
	errBrace   = errors.New("a brace is not closed")
	errUnbrace = errors.New("a brace is closed that was not opened")
	errClass   = errors.New("a bracket is not closed, or holds nothing")
	errRange   = errors.New("a range in brackets runs backwards")
	errEscape  = errors.New("it ends in a backslash")
)

// Compile reads a pattern: "*" for any text, "?" for one character, "[ab]", "[a-z]" and "[!a-z]" for one of a set,
// "{a,b}" for one of several patterns, which may hold further ones, and a backslash before what is meant as it stands.
func Compile(pattern string, dialect Dialect) (*Glob, error) {
	t := translator{rest: pattern, dialect: dialect}
	expression, err := t.translate()
	if err != nil {
		return nil, fmt.Errorf("reading the pattern %q: %w", pattern, err)
	}
	compiled, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("reading the pattern %q: %w", pattern, err)
	}
	return &Glob{compiled}, nil
}

// Match reports whether the whole of a path matches.
func (g *Glob) Match(path string) bool { return g.expression.MatchString(path) }

// memory remembers what patterns were compiled to, for as long as there are few.
var memory struct {
	sync.Mutex
	compiled map[key]*Glob
}

type key struct {
	pattern string
	dialect Dialect
}

// maxMemory is how many patterns are remembered.
const maxMemory = 4096

// Match reports whether the whole of a text matches a pattern that is asked about often. "*" alone matches any text in
// each dialect, as in Argo CD's rules; a pattern that cannot be read matches nothing.
func Match(pattern, text string, dialect Dialect) bool {
	if pattern == "*" {
		return true
	}
	g := remembered(key{pattern, dialect})
	return g != nil && g.Match(text)
}

// remembered compiles a pattern, unless that was done; nil is one that cannot be read.
func remembered(of key) *Glob {
	memory.Lock()
	defer memory.Unlock()
	g, known := memory.compiled[of]
	if !known {
		if len(memory.compiled) >= maxMemory || memory.compiled == nil {
			memory.compiled = map[key]*Glob{}
		}
		g, _ = Compile(of.pattern, of.dialect)
		memory.compiled[of] = g
	}
	return g
}

// IsPattern reports whether a path holds what makes it a pattern to Argo CD: braces alone do not.
func IsPattern(path string) bool { return strings.ContainsAny(path, "*?[") }

// Quote returns a pattern that matches a path and nothing else.
func Quote(path string) string { return special.ReplaceAllString(path, `\$0`) }

var special = regexp.MustCompile(`[][*?{},\\]`)

// maxPlain is how many patterns one may stand for.
const maxPlain = 1000

// Plain returns the patterns, with "*" alone, that together are a pattern of the dialect Whole: alternatives are written
// out. One that cannot be said so is an error.
func Plain(pattern string) ([]string, error) {
	if strings.ContainsAny(pattern, `?[]\`) {
		return nil, fmt.Errorf("of patterns only \"*\" and \"{a,b}\" are read here, not %q", pattern)
	}
	if _, err := Compile(pattern, Whole); err != nil {
		return nil, err
	}
	return plain(pattern)
}

// plain takes the first alternatives apart, and then the others.
func plain(pattern string) ([]string, error) {
	head, rest, open := strings.Cut(pattern, "{")
	if !open {
		return []string{strings.ReplaceAll(pattern, "**", "*")}, nil
	}
	inner, tail, _ := strings.Cut(rest, "}")
	if strings.Contains(inner, "{") {
		return nil, fmt.Errorf("alternatives in alternatives are not read, as in %q", pattern)
	}
	var out []string
	for alternative := range strings.SplitSeq(inner, ",") {
		all, err := plain(head + alternative + tail)
		if err != nil {
			return nil, err
		}
		if out = append(out, all...); len(out) > maxPlain {
			return nil, fmt.Errorf("%q stands for too many patterns", pattern)
		}
	}
	return out, nil
}

// translator turns a pattern into a regular expression.
type translator struct {
	rest    string
	dialect Dialect
	out     strings.Builder
	inside  bool   // a name has begun
	braces  []bool // that are open: inside before each
}

// next takes the first character off.
func (t *translator) next() rune {
	r, size := utf8.DecodeRuneInString(t.rest)
	t.rest = t.rest[size:]
	return r
}

func (t *translator) literal(r rune) {
	t.out.WriteString(regexp.QuoteMeta(string(r)))
	t.inside = r != '/'
}

func (t *translator) translate() (string, error) {
	switch {
	case len(t.rest) > maxPattern:
		return "", errLong
	case !utf8.ValidString(t.rest):
		return "", errText
	}
	t.out.WriteString(`(?s)\A(?:`)
	for t.rest != "" {
		if err := t.step(); err != nil {
			return "", err
		}
	}
	if len(t.braces) > 0 {
		return "", errBrace
	}
	t.out.WriteString(`)\z`)
	return t.out.String(), nil
}

// step translates what comes first.
func (t *translator) step() error {
	switch r := t.next(); r {
	case '*':
		t.star()
	case '?':
		t.out.WriteString(t.any())
		t.inside = true
	case '[':
		t.inside = true
		return t.class()
	case '{':
		t.braces = append(t.braces, t.inside)
		t.out.WriteString("(?:")
	case ',':
		if len(t.braces) == 0 {
			t.literal(r)
			return nil
		}
		t.inside = t.braces[len(t.braces)-1]
		t.out.WriteString("|")
	case '}':
		if len(t.braces) == 0 {
			return errUnbrace
		}
		t.braces = t.braces[:len(t.braces)-1]
		t.out.WriteString(")")
	case '\\':
		if t.rest == "" {
			return errEscape
		}
		t.literal(t.next())
	default:
		t.literal(r)
	}
	return nil
}

// any is the expression for one character.
func (t *translator) any() string {
	if t.dialect == Whole {
		return "."
	}
	return "[^/]"
}

// star translates one or more asterisks, the first of which is taken off.
func (t *translator) star() {
	begins := !t.inside
	double := strings.HasPrefix(t.rest, "*")
	t.rest = strings.TrimLeft(t.rest, "*")
	t.inside = true
	switch {
	case t.dialect == Whole, t.dialect == Parts && double:
		t.out.WriteString(".*")
	case double && begins && strings.HasPrefix(t.rest, "/"):
		t.next()
		t.inside = false
		t.out.WriteString("(?:.*/)?")
	case double && begins && t.rest == "":
		t.out.WriteString(".*")
	default:
		t.out.WriteString("[^/]*")
	}
}

// class translates a set, whose bracket is taken off.
func (t *translator) class() error {
	t.out.WriteString("[")
	if strings.HasPrefix(t.rest, "!") || t.dialect == ByName && strings.HasPrefix(t.rest, "^") {
		t.next()
		t.out.WriteString("^")
		if t.dialect == ByName {
			t.out.WriteString("/")
		}
	}
	for empty := true; ; empty = false {
		if t.rest == "" {
			return errClass
		}
		low := t.next()
		if low == ']' {
			if empty {
				return errClass
			}
			t.out.WriteString("]")
			return nil
		}
		if low == '\\' {
			if t.rest == "" {
				return errClass
			}
			low = t.next()
		}
		high := low
		if after, ok := strings.CutPrefix(t.rest, "-"); ok && after != "" && after[0] != ']' {
			t.rest = after
			if high = t.next(); high == '\\' && t.rest != "" {
				high = t.next()
			}
		}
		if high < low {
			return errRange
		}
		fmt.Fprintf(&t.out, `\x{%x}-\x{%x}`, low, high)
	}
}
