// Package glob matches the patterns of Argo CD: "*" is anything but a separator,
// "**" is anything, "?" one character, "[a-z]" one of a class, "{a,b}" one of
// several. Matching takes time in proportion to the text.
package glob

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Match reports whether text fits a glob. Separators may be empty. A pattern
// that is no glob matches nothing.
func Match(pattern, text, separators string) bool {
	if pattern == "*" {
		return true
	}
	compiled := compile(pattern, separators)
	return compiled != nil && compiled.MatchString(text)
}

// maxPattern is how long a pattern may be in bytes: an expression takes many times as
// much memory.
const maxPattern = 4096

// cache remembers what patterns were compiled to, for as long as there are few.
var cache struct {
	sync.Mutex
	compiled map[[2]string]*regexp.Regexp
}

func compile(pattern, separators string) *regexp.Regexp {
	key := [2]string{pattern, separators}
	cache.Lock()
	defer cache.Unlock()
	if compiled, ok := cache.compiled[key]; ok {
		return compiled
	}
	if len(cache.compiled) > 4096 || cache.compiled == nil {
		cache.compiled = map[[2]string]*regexp.Regexp{}
	}
	var compiled *regexp.Regexp
	if len(pattern) <= maxPattern {
		compiled, _ = regexp.Compile(expression(pattern, separators)) // nil with an error
	}
	cache.compiled[key] = compiled
	return compiled
}

// expression translates a glob.
func expression(pattern, separators string) string {
	single := "."
	if separators != "" {
		single = "[^" + regexp.QuoteMeta(separators) + "]"
	}
	var b strings.Builder
	b.WriteString(`(?s)^`)
	depth := 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			if strings.HasPrefix(pattern[i:], "**") {
				b.WriteString(".*")
				i++
			} else {
				b.WriteString(single + "*")
			}
		case '?':
			b.WriteString(single)
		case '{':
			depth++
			b.WriteString("(?:")
		case '}':
			depth--
			b.WriteString(")")
		case ',':
			if depth > 0 {
				b.WriteString("|")
			} else {
				b.WriteString(",")
			}
		case '[':
			end := strings.IndexByte(pattern[i:], ']')
			if end < 0 {
				return "[" // no expression either
			}
			class := pattern[i+1 : i+end]
			if rest, negated := strings.CutPrefix(class, "!"); negated {
				class = "^" + rest
			}
			b.WriteString("[" + strings.ReplaceAll(class, `[`, `\[`) + "]")
			i += end
		case '\\':
			if i++; i < len(pattern) {
				b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
			}
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	return b.String() + "$"
}

// Plain returns the patterns, with "*" alone, that together are a glob without
// separators: alternatives are written out. What cannot be said so is an error.
func Plain(pattern string) ([]string, error) {
	if strings.ContainsAny(pattern, `?[]\`) {
		return nil, fmt.Errorf("of patterns only \"*\" and \"{a,b}\" are read here, not %q", pattern)
	}
	head, rest, open := strings.Cut(pattern, "{")
	if !open {
		return []string{strings.ReplaceAll(pattern, "**", "*")}, nil
	}
	inner, tail, closed := strings.Cut(rest, "}")
	if !closed || strings.Contains(inner, "{") {
		return nil, fmt.Errorf("alternatives in alternatives are not read, as in %q", pattern)
	}
	var out []string
	for _, alternative := range strings.Split(inner, ",") {
		all, err := Plain(head + alternative + tail)
		if err != nil {
			return nil, err
		}
		if out = append(out, all...); len(out) > 1000 {
			return nil, fmt.Errorf("%q stands for too many patterns", pattern)
		}
	}
	return out, nil
}
