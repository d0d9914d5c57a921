// Package pattern matches the patterns of Lua 5.1 (reference manual, section 5.4.1). Unlike other matchers it reports the
// work it does, so that a caller can bound it: a pattern such as .-.-.-x takes time that grows with a power of the
// subject's length, and neither the pattern nor the subject can be trusted. [Compile] checks a pattern, a [Matcher]
// applies it. Characters are bytes and classes are those of the C locale.
package pattern

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxItems bounds a pattern; the matcher recurses at most once per item.
const maxItems = 256

// maxCaptures is that of Lua.
const maxCaptures = 32

// bytes256 is a set of bytes.
type bytes256 [4]uint64

func (s *bytes256) add(c byte)      { s[c>>6] |= 1 << (c & 63) }
func (s *bytes256) has(c byte) bool { return s[c>>6]&(1<<(c&63)) != 0 }
func (s *bytes256) merge(o bytes256, invert bool) {
	for i := range s {
		if invert {
			s[i] |= ^o[i]
		} else {
			s[i] |= o[i]
		}
	}
}

type itemKind uint8

const (
	itemSet      itemKind = iota // one byte of a set, repeated as times says
	itemOpen                     // start of a capture
	itemClose                    // end of the innermost open capture
	itemPosition                 // an empty capture, which captures where it is
	itemBack                     // what a capture holds, again
	itemBalance                  // %bxy
	itemFrontier                 // %f[set]
	itemEnd                      // $
)

// item is one element of a pattern as the Lua 5.1 reference manual, section 5.4.1, describes them.
type item struct {
	kind  itemKind
	set   bytes256
	times byte // one of 0 (once), '*', '+', '-', '?'
	index int  // of itemBack
	x, y  byte // of itemBalance
}

// Pattern is a compiled pattern. It is immutable.
type Pattern struct {
	// Anchored is true when the pattern started with ^ and so matches only where the search starts.
	Anchored bool
	items    []item
}

// Compile compiles a pattern. Without anchors a leading ^ is an ordinary character, as string.gmatch wants it. Errors
// say what is malformed, in Lua's own words.
func Compile(source string, anchors bool) (*Pattern, error) {
	p := &Pattern{}
	i := 0
	if anchors && strings.HasPrefix(source, "^") {
		p.Anchored, i = true, 1
	}
	var open []int
	captures := 0
	for i < len(source) {
		if len(p.items) == maxItems {
			return nil, fmt.Errorf("malformed pattern (more than %d items)", maxItems)
		}
		it := item{}
		switch c := source[i]; {
		case c == '(':
			if captures == maxCaptures {
				return nil, errors.New("too many captures")
			}
			captures++
			it.kind = itemOpen
			i++
			if i < len(source) && source[i] == ')' {
				it.kind = itemPosition
				i++
			} else {
				open = append(open, captures-1)
			}
		case c == ')':
			if len(open) == 0 {
				return nil, errors.New("invalid pattern capture")
			}
			it.kind = itemClose
			it.index = open[len(open)-1]
			open = open[:len(open)-1]
			i++
		case c == '$' && i+1 == len(source):
			it.kind = itemEnd
			i++
		case c == '%' && i+1 < len(source) && source[i+1] == 'b':
			if i+3 >= len(source) {
				return nil, errors.New("unbalanced pattern (missing arguments to '%b')")
			}
			it.kind, it.x, it.y = itemBalance, source[i+2], source[i+3]
			i += 4
		case c == '%' && i+1 < len(source) && source[i+1] >= '0' && source[i+1] <= '9':
			it.kind, it.index = itemBack, int(source[i+1]-'1')
			if it.index < 0 || it.index >= captures || slices.Contains(open, it.index) {
				return nil, errors.New("invalid capture index")
			}
			i += 2
		case c == '%' && i+1 < len(source) && source[i+1] == 'f':
			it.kind = itemFrontier
			if i += 2; i >= len(source) || source[i] != '[' {
				return nil, errors.New("missing '[' after '%f' in pattern")
			}
			var err error
			if it.set, i, err = readSet(source, i); err != nil {
				return nil, err
			}
		default:
			var err error
			if it.set, i, err = readSet(source, i); err != nil {
				return nil, err
			}
			if i < len(source) && strings.IndexByte("*+-?", source[i]) >= 0 {
				it.times = source[i]
				i++
			}
		}
		p.items = append(p.items, it)
	}
	if len(open) > 0 {
		return nil, errors.New("unfinished capture")
	}
	return p, nil
}

// readSet reads the single-character class that starts at i and returns where it ends.
func readSet(source string, i int) (set bytes256, next int, err error) {
	switch source[i] {
	case '.':
		set.merge(bytes256{}, true)
		return set, i + 1, nil
	case '%':
		if i+1 == len(source) {
			return set, 0, errors.New("malformed pattern (ends with '%')")
		}
		addClass(&set, source[i+1])
		return set, i + 2, nil
	case '[':
	default:
		set.add(source[i])
		return set, i + 1, nil
	}
	i++
	invert := i < len(source) && source[i] == '^'
	if invert {
		i++
	}
	var inner bytes256
	for first := true; ; first = false {
		if i >= len(source) {
			return set, 0, errors.New("malformed pattern (missing ']')")
		}
		c := source[i]
		switch {
		case c == ']' && !first:
			set.merge(inner, invert)
			return set, i + 1, nil
		case c == '%':
			if i+1 == len(source) {
				return set, 0, errors.New("malformed pattern (missing ']')")
			}
			addClass(&inner, source[i+1])
			i += 2
		case i+2 < len(source) && source[i+1] == '-' && source[i+2] != ']':
			for b := int(c); b <= int(source[i+2]); b++ {
				inner.add(byte(b))
			}
			i += 3
		default:
			inner.add(c)
			i++
		}
	}
}

// addClass adds %c to a set: a class if c is one of Lua's letters, its complement for the capital, or c itself.
func addClass(set *bytes256, c byte) {
	in, ok := classes[c|0x20]
	if !ok {
		set.add(c)
		return
	}
	var class bytes256
	for b := 0; b < 256; b++ {
		if in(byte(b)) {
			class.add(byte(b))
		}
	}
	set.merge(class, c&0x20 == 0)
}

// classes are those of the C locale.
var classes = map[byte]func(byte) bool{
	'a': letter,
	'c': func(b byte) bool { return b < 0x20 || b == 0x7f },
	'd': digit,
	'l': func(b byte) bool { return b >= 'a' && b <= 'z' },
	'p': func(b byte) bool { return b > 0x20 && b < 0x7f && !letter(b) && !digit(b) },
	's': func(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' },
	'u': func(b byte) bool { return b >= 'A' && b <= 'Z' },
	'w': func(b byte) bool { return letter(b) || digit(b) },
	'x': func(b byte) bool { return digit(b) || b|0x20 >= 'a' && b|0x20 <= 'f' },
	'z': func(b byte) bool { return b == 0 },
}

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func digit(b byte) bool  { return b >= '0' && b <= '9' }
