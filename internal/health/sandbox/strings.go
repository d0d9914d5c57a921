package sandbox

import (
	"strings"

	lua "github.com/yuin/gopher-lua"

	"nave.dev/internal/health/pattern"
)

// stringFunctions is the string library. Functions that match patterns are the package's own, because the virtual
// machine's matcher can neither be interrupted nor counted and takes time exponential in the pattern.
func (m *machine) stringFunctions() map[string]lua.LGFunction {
	functions := map[string]lua.LGFunction{
		"find":   m.stringFind,
		"format": m.stringFormat(m.member(lua.StringLibName, "format")),
		"gmatch": m.stringGmatch,
		"gsub":   m.stringGsub,
		"match":  m.stringMatch,
		"rep":    m.stringRep,
	}
	for _, name := range []string{"byte", "char", "lower", "reverse", "sub", "upper"} {
		fn := m.member(lua.StringLibName, name)
		functions[name] = func(l *lua.LState) int {
			length := l.GetTop()
			if s, ok := l.Get(1).(lua.LString); ok {
				length = len(s)
			}
			m.budget.text(l, length)
			return fn(l)
		}
	}
	return functions
}

func (m *machine) stringRep(l *lua.LState) int {
	s, n := l.CheckString(1), max(l.CheckInt(2), 0)
	if s == "" {
		n = 0
	} else if n > maxString/len(s) {
		l.RaiseError("string of more than %d bytes", maxString)
	}
	m.budget.text(l, n*len(s))
	l.Push(lua.LString(strings.Repeat(s, n)))
	return 1
}

// stringFormat checks the format as Lua 5.1 does before the virtual machine hands it to package fmt, which knows verbs
// and widths that Lua does not.
func (m *machine) stringFormat(format lua.LGFunction) lua.LGFunction {
	return func(l *lua.LState) int {
		layout, length := l.CheckString(1), 0
		for i := 2; i <= l.GetTop(); i++ {
			length += len(l.Get(i).String())
		}
		for i := 0; i < len(layout); i++ {
			if layout[i] != '%' {
				continue
			}
			i++
			start := i
			for i < len(layout) && strings.IndexByte("-+ #0123456789.", layout[i]) >= 0 {
				i++
			}
			if i == len(layout) || strings.IndexByte("cdioxXeEfgGqs%", layout[i]) < 0 || i-start > 8 || wide(layout[start:i]) {
				l.RaiseError("invalid option %q to 'format'", "%"+layout[start:min(i+1, len(layout))])
			}
			length += 400
		}
		m.budget.text(l, length+len(layout))
		return format(l)
	}
}

// wide says whether a width or precision has more than two digits.
func wide(flags string) bool {
	run := 0
	for _, c := range strings.TrimLeft(flags, "-+ #0") {
		if c == '.' {
			run = 0
			continue
		}
		if run++; run > 2 {
			return true
		}
	}
	return false
}

// subject returns the arguments of find and match: the string, the pattern and where to start, from 0.
func (m *machine) subject(l *lua.LState) (s, pat string, init int) {
	s, pat, init = l.CheckString(1), l.CheckString(2), l.OptInt(3, 1)
	switch {
	case init > 0:
		init--
	case init < 0:
		init += len(s)
	}
	return s, pat, min(max(init, 0), len(s))
}

func (m *machine) compile(l *lua.LState, source string, anchors bool) *pattern.Pattern {
	m.budget.work(l, len(source))
	p, err := pattern.Compile(source, anchors)
	if err != nil {
		l.RaiseError("%s", err.Error())
	}
	return p
}

func (m *machine) matcher(l *lua.LState, p *pattern.Pattern, s string) *pattern.Matcher {
	return &pattern.Matcher{Pattern: p, Subject: s, Work: func(steps int) { m.budget.work(l, steps) }}
}

func (m *machine) stringFind(l *lua.LState) int {
	s, pat, init := m.subject(l)
	if l.OptBool(4, false) || !strings.ContainsAny(pat, "^$*+?.([%-") {
		m.budget.work(l, len(s)/16)
		at := strings.Index(s[init:], pat)
		if at < 0 {
			l.Push(lua.LNil)
			return 1
		}
		l.Push(lua.LNumber(init + at + 1))
		l.Push(lua.LNumber(init + at + len(pat)))
		return 2
	}
	found := m.matcher(l, m.compile(l, pat, true), s)
	start, end, ok := found.Search(init)
	if !ok {
		l.Push(lua.LNil)
		return 1
	}
	l.Push(lua.LNumber(start + 1))
	l.Push(lua.LNumber(end))
	return 2 + m.pushCaptures(l, found, 0, 0, false)
}

func (m *machine) stringMatch(l *lua.LState) int {
	s, pat, init := m.subject(l)
	found := m.matcher(l, m.compile(l, pat, true), s)
	start, end, ok := found.Search(init)
	if !ok {
		l.Push(lua.LNil)
		return 1
	}
	return m.pushCaptures(l, found, start, end, true)
}

// stringGmatch returns an iterator. As in Lua 5.1 a leading ^ stands for itself here.
func (m *machine) stringGmatch(l *lua.LState) int {
	s := l.CheckString(1)
	found, at := m.matcher(l, m.compile(l, l.CheckString(2), false), s), 0
	l.Push(l.NewFunction(func(l *lua.LState) int {
		if at > len(s) {
			return 0
		}
		start, end, ok := found.Search(at)
		if !ok {
			at = len(s) + 1
			return 0
		}
		at = end
		if end == start {
			at++
		}
		return m.pushCaptures(l, found, start, end, true)
	}))
	return 1
}

// pushCaptures pushes what a match captured, or the whole match if it captured nothing and whole is set.
func (m *machine) pushCaptures(l *lua.LState, found *pattern.Matcher, start, end int, whole bool) int {
	if len(found.Captures) == 0 && whole {
		m.budget.text(l, end-start)
		l.Push(lua.LString(found.Subject[start:end]))
		return 1
	}
	for i := range found.Captures {
		l.Push(m.capture(l, found, i))
	}
	return len(found.Captures)
}

func (m *machine) capture(l *lua.LState, found *pattern.Matcher, i int) lua.LValue {
	c := found.Captures[i]
	if c.Position {
		return lua.LNumber(c.Start + 1)
	}
	m.budget.work(l, 1)
	return lua.LString(found.Subject[c.Start:c.End])
}

func (m *machine) stringGsub(l *lua.LState) int {
	s, replacement, limit := l.CheckString(1), l.CheckAny(3), l.OptInt(4, len(l.CheckString(1))+1)
	switch replacement.(type) {
	case lua.LString, lua.LNumber, *lua.LTable, *lua.LFunction:
	default:
		l.ArgError(3, "string, table or function expected")
	}
	p := m.compile(l, l.CheckString(2), true)
	found := m.matcher(l, p, s)
	var out strings.Builder
	write := func(text string) {
		if out.Len()+len(text) > maxString {
			l.RaiseError("string of more than %d bytes", maxString)
		}
		m.budget.text(l, len(text))
		out.WriteString(text)
	}
	at, count := 0, 0
	for count < limit {
		m.budget.work(l, 1)
		end, ok := found.At(at)
		if ok {
			count++
			write(m.replace(l, found, at, end, replacement))
		}
		switch {
		case ok && end > at:
			at = end
		case at < len(s):
			write(s[at : at+1])
			at++
		default:
			at++
		}
		if at > len(s) || p.Anchored {
			break
		}
	}
	if at < len(s) {
		write(s[at:])
	}
	l.Push(lua.LString(out.String()))
	l.Push(lua.LNumber(count))
	return 2
}

// replace returns what gsub puts in the place of one match.
func (m *machine) replace(l *lua.LState, found *pattern.Matcher, start, end int, replacement lua.LValue) string {
	first := func() lua.LValue {
		if len(found.Captures) > 0 {
			return m.capture(l, found, 0)
		}
		return lua.LString(found.Subject[start:end])
	}
	var value lua.LValue
	switch r := replacement.(type) {
	case *lua.LTable:
		value = l.GetTable(r, first())
	case *lua.LFunction:
		l.Push(r)
		n := m.pushCaptures(l, found, start, end, true)
		l.Call(n, 1)
		value = l.Get(-1)
		l.Pop(1)
	default:
		return m.expand(l, found, start, end, r.String())
	}
	switch v := value.(type) {
	case lua.LString, lua.LNumber:
		return v.String()
	}
	if lua.LVAsBool(value) {
		l.RaiseError("invalid replacement value (a %s)", value.Type())
	}
	return found.Subject[start:end]
}

// expand fills %0 to %9 into a replacement.
func (m *machine) expand(l *lua.LState, found *pattern.Matcher, start, end int, template string) string {
	if strings.IndexByte(template, '%') < 0 {
		return template
	}
	var out strings.Builder
	for i := 0; i < len(template); i++ {
		c := template[i]
		if c != '%' || i+1 == len(template) {
			out.WriteByte(c)
			continue
		}
		i++
		part := template[i : i+1]
		if n := int(template[i]) - '0'; n == 0 || n == 1 && len(found.Captures) == 0 {
			part = found.Subject[start:end]
		} else if n > 0 && n <= 9 {
			if n > len(found.Captures) {
				l.RaiseError("invalid capture index %%%d in replacement", n)
			}
			part = m.capture(l, found, n-1).String()
		}
		if out.Len()+len(part) > maxString {
			l.RaiseError("string of more than %d bytes", maxString)
		}
		m.budget.work(l, 1+len(part)/64)
		out.WriteString(part)
	}
	return out.String()
}
