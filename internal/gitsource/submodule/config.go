package submodule

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// File is where a repository says what its submodules are.
const File = ".gitmodules"

const (
	maxConfig  = 1 << 20 // bytes of a File
	maxModules = 10_000
)

// Module is what a repository says of one submodule.
type Module struct {
	Name string
	Path string // clean, and below the root
	// URL is as stated: it may be relative, and lead anywhere.
	URL    string
	Update string // how Git is to check it out; empty if nothing is said
	Line   int    // of its section
}

// Parse reads the content of a File, in the syntax of git-config, and returns the submodules by path. Keys that say
// nothing of where a submodule is do not count. The error names the line, of what Git would not read either, and of
// names and paths that lead outside.
func Parse(data []byte) (map[string]Module, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("%s has %d bytes, the limit is %d", File, len(data), maxConfig)
	}
	p := &parser{rest: string(data), line: 1, modules: map[string]*Module{}}
	if err := p.parse(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", File, p.line, err)
	}
	byPath := make(map[string]Module, len(p.order))
	for _, m := range p.order {
		if m.Path == "" {
			continue // such a section stands for nothing
		}
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("%s:%d: submodule %q: %w", File, m.Line, m.Name, err)
		}
		if other, twice := byPath[m.Path]; twice {
			return nil, fmt.Errorf("%s:%d: submodule %q: its path %q is that of %q as well", File, m.Line, m.Name, m.Path, other.Name)
		}
		byPath[m.Path] = *m
	}
	return byPath, nil
}

// check says what is wrong with a submodule, as Git sees it.
func (m *Module) check() error {
	for element := range strings.FieldsFuncSeq(m.Name, func(r rune) bool { return r == '/' || r == '\\' }) {
		if element == ".." {
			return fmt.Errorf("its name leads outside")
		}
	}
	switch {
	case m.Name == "":
		return fmt.Errorf("it has no name")
	case !fs.ValidPath(m.Path) || m.Path == "." || m.Path != path.Clean(m.Path):
		return fmt.Errorf("its path %q does not lead to a place in the repository", m.Path)
	case strings.HasPrefix(m.Path, "-") || strings.HasPrefix(m.URL, "-"):
		return fmt.Errorf("its path or URL begins with a dash")
	case strings.HasPrefix(m.Update, "!"):
		return fmt.Errorf("update = %q is a command, which a repository may not state", m.Update)
	}
	return nil
}

// parser reads the syntax of git-config, of which it knows what is in use: sections with a name in quotes, comments,
// values in quotes and over several lines.
type parser struct {
	rest    string
	line    int
	modules map[string]*Module // by name
	order   []*Module
	current *Module // whose section it is; nil in one of something else
	section bool    // there was one
}

func (p *parser) parse() error {
	p.rest = strings.ReplaceAll(strings.TrimPrefix(p.rest, "\ufeff"), "\r\n", "\n")
	for p.rest != "" {
		var err error
		switch c := p.rest[0]; {
		case c == '\n':
			p.line++
			p.rest = p.rest[1:]
		case c == ' ' || c == '\t':
			p.rest = p.rest[1:]
		case c == '#' || c == ';':
			p.comment()
		case c == '[':
			err = p.header()
		case isLetter(c) && p.section:
			err = p.variable()
		default:
			err = fmt.Errorf("%q is neither a section nor a key of one", p.here())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// here is the rest of the line, for a message.
func (p *parser) here() string {
	text, _, _ := strings.Cut(p.rest, "\n")
	return text[:min(len(text), 60)]
}

func (p *parser) comment() {
	if i := strings.IndexByte(p.rest, '\n'); i >= 0 {
		p.rest = p.rest[i:]
		return
	}
	p.rest = ""
}

// header reads [section] or [section "name"].
func (p *parser) header() error {
	line := p.here()
	bad := fmt.Errorf("%q is no section, as [submodule \"NAME\"] is one", line)
	i := 1
	for i < len(p.rest) && (isLetter(p.rest[i]) || isDigit(p.rest[i]) || p.rest[i] == '-' || p.rest[i] == '.') {
		i++
	}
	kind := strings.ToLower(p.rest[1:i])
	p.rest = p.rest[i:]
	name, named := "", false
	if rest := strings.TrimLeft(p.rest, " \t"); rest != p.rest {
		p.rest = rest
		if name, named = p.quoted(); !named {
			return bad
		}
	}
	if kind == "" || strings.HasPrefix(kind, "submodule.") || !strings.HasPrefix(p.rest, "]") {
		return bad
	}
	p.rest, p.section, p.current = p.rest[1:], true, nil
	if kind != "submodule" || !named {
		return nil
	}
	if p.current = p.modules[name]; p.current == nil {
		if len(p.modules) == maxModules {
			return fmt.Errorf("there are more than %d submodules", maxModules)
		}
		p.current = &Module{Name: name, Line: p.line}
		p.modules[name], p.order = p.current, append(p.order, p.current)
	}
	return nil
}

// quoted reads the name of a section, in which a backslash stands before any character.
func (p *parser) quoted() (string, bool) {
	var name strings.Builder
	for i := 1; i < len(p.rest) && p.rest[0] == '"'; i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return name.String(), true
		case '\\':
			i++
			if i == len(p.rest) || p.rest[i] == '\n' || p.rest[i] == 0 {
				return "", false
			}
			name.WriteByte(p.rest[i])
		case '\n', 0:
			return "", false
		default:
			name.WriteByte(c)
		}
	}
	return "", false
}

// variable reads key = value, or a key alone.
func (p *parser) variable() error {
	i := 0
	for i < len(p.rest) && (isLetter(p.rest[i]) || isDigit(p.rest[i]) || p.rest[i] == '-') {
		i++
	}
	key := strings.ToLower(p.rest[:i])
	p.rest = strings.TrimLeft(p.rest[i:], " \t")
	line := p.line
	if p.rest == "" || p.rest[0] == '\n' {
		return p.set(key, "", line)
	}
	if p.rest[0] != '=' {
		return fmt.Errorf("after key %q there is no =", key)
	}
	p.rest = p.rest[1:]
	value, err := p.value()
	if err != nil {
		return err
	}
	return p.set(key, value, line)
}

// value reads up to the end of the line, or of several that end in a backslash. White space around it, and within it
// outside of quotes, is as in Git: the first does not count, the other does.
func (p *parser) value() (string, error) {
	var value strings.Builder
	spaces, inQuotes := "", false
	write := func(c byte) {
		value.WriteString(spaces)
		value.WriteByte(c)
		spaces = ""
	}
	for p.rest != "" {
		c := p.rest[0]
		switch {
		case c == '\n' && inQuotes:
			return "", fmt.Errorf("a quote is not closed")
		case c == '\n':
			return value.String(), nil
		case (c == '#' || c == ';') && !inQuotes:
			p.comment()
			continue
		case (c == ' ' || c == '\t') && !inQuotes:
			if value.Len() > 0 {
				spaces += string(c)
			}
		case c == '"':
			inQuotes = !inQuotes
		case c == 0 || c == '\r':
			return "", fmt.Errorf("a value has a control character")
		case c == '\\':
			p.rest = p.rest[1:]
			escaped, ok := map[byte]byte{'n': '\n', 't': '\t', 'b': '\b', '"': '"', '\\': '\\'}[p.first()]
			switch {
			case p.first() == '\n':
				p.line++
			case !ok:
				return "", fmt.Errorf("a backslash stands before something that it does not go with")
			default:
				write(escaped)
			}
		default:
			write(c)
		}
		p.rest = p.rest[1:]
	}
	if inQuotes {
		return "", fmt.Errorf("a quote is not closed")
	}
	return value.String(), nil
}

// first is the next character, or 0 at the end.
func (p *parser) first() byte {
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

// set takes a value in. Of several the last one counts.
func (p *parser) set(key, value string, line int) error {
	if p.current == nil {
		return nil
	}
	switch key {
	case "path", "url", "update":
		if value == "" {
			return fmt.Errorf("key %q has no value", key)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("the value of %q has a control character", key)
		}
	}
	switch key {
	case "path":
		p.current.Path, p.current.Line = value, line
	case "url":
		p.current.URL = value
	case "update":
		p.current.Update = value
	}
	return nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
