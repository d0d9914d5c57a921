package sandbox

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// What a script may call, by library. Left out on purpose, beside everything that reaches the outside or loads code:
// getmetatable, setmetatable, rawset and setfenv, with which a script could change what a later run sees, and
// math.random, which would make a result differ from run to run.
var (
	baseNames   = []string{"assert", "error", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "select", "tostring", "type", "_VERSION"}
	tableNames  = []string{"getn", "maxn"}
	mathNames   = []string{"abs", "ceil", "exp", "floor", "fmod", "huge", "log", "log10", "max", "min", "mod", "modf", "pi", "pow", "sqrt"}
	stringNames = []string{"len"}
)

// openLibraries makes the tables that every run falls back to.
func (m *machine) openLibraries() {
	base := m.pick(lua.BaseLibName, lua.OpenBase, baseNames)
	m.define(base, map[string]lua.LGFunction{
		guardConcat:   m.concat,
		guardTable:    m.madeTable,
		guardTarget:   m.pushTarget,
		guardKey:      m.checkKey,
		guardFieldKey: m.checkFieldKey,
		"print":       func(*lua.LState) int { return 0 },
		"require":     m.require,
		"tonumber":    m.counted(m.builtin("tonumber"), 1),
		"unpack":      m.unpack,
	})
	m.global = m.fallback(base)

	table := m.pick(lua.TabLibName, lua.OpenTable, tableNames)
	m.define(table, map[string]lua.LGFunction{
		"concat": m.tableConcat,
		"insert": m.tableInsert(m.member(lua.TabLibName, "insert")),
		"remove": m.tableShift(m.member(lua.TabLibName, "remove")),
		"sort":   m.tableSort(m.member(lua.TabLibName, "sort")),
	})
	text := m.pick(lua.StringLibName, lua.OpenString, stringNames)
	m.define(text, m.stringFunctions())
	clock := m.state.NewTable()
	m.define(clock, m.clockFunctions())

	m.library = []namedTable{
		{lua.TabLibName, m.fallback(table)},
		{lua.MathLibName, m.fallback(m.pick(lua.MathLibName, lua.OpenMath, mathNames))},
		{lua.StringLibName, m.fallback(text)},
		{lua.OsLibName, m.fallback(clock)},
	}
	// Methods on strings, as in ("x"):upper().
	m.state.SetMetatable(lua.LString(""), m.fallback(text))
}

// pick opens one of the virtual machine's own libraries and copies the named members.
func (m *machine) pick(library string, open lua.LGFunction, names []string) *lua.LTable {
	m.state.Push(m.state.NewFunction(open))
	m.state.Push(lua.LString(library))
	m.state.Call(1, 0)
	picked := m.state.NewTable()
	for _, name := range names {
		picked.RawSetString(name, m.value(library, name))
	}
	return picked
}

func (m *machine) value(library, name string) lua.LValue {
	table := m.state.G.Global
	if library != lua.BaseLibName {
		table = table.RawGetString(library).(*lua.LTable)
	}
	return table.RawGetString(name)
}

func (m *machine) member(library, name string) lua.LGFunction {
	return m.value(library, name).(*lua.LFunction).GFunction
}

func (m *machine) builtin(name string) lua.LGFunction { return m.member(lua.BaseLibName, name) }

func (m *machine) define(table *lua.LTable, functions map[string]lua.LGFunction) {
	for name, fn := range functions {
		table.RawSetString(name, m.state.NewFunction(fn))
	}
}

// fallback returns a metatable through which an empty table reads from table.
func (m *machine) fallback(table *lua.LTable) *lua.LTable {
	meta := m.state.NewTable()
	meta.RawSetString("__index", table)
	return meta
}

// counted charges fn for the length of the string at argument arg.
func (m *machine) counted(fn lua.LGFunction, arg int) lua.LGFunction {
	return func(l *lua.LState) int {
		if s, ok := l.Get(arg).(lua.LString); ok {
			m.budget.work(l, len(s)/16)
		}
		return fn(l)
	}
}

// require gives the libraries that exist anyway, for the sake of scripts that start with local os = require("os").
func (m *machine) require(l *lua.LState) int {
	name := l.CheckString(1)
	for _, lib := range m.library {
		if lib.name == name {
			table := l.CreateTable(0, 0)
			table.Metatable = lib.meta
			l.Push(table)
			return 1
		}
	}
	l.RaiseError("require of %q: only os, string, table and math exist here", name)
	return 0
}

// Costs in bytes, rounded up from the virtual machine's structures on a 64-bit machine: a table with its first fields,
// and one array element.
const (
	tableBytes   = 512
	elementBytes = 16
)

func (m *machine) madeTable(l *lua.LState) int {
	m.budget.alloc(l, tableBytes)
	l.SetTop(1)
	return 1
}

func (m *machine) pushTarget(l *lua.LState) int {
	table, _ := l.Get(1).(*lua.LTable)
	m.targets = append(m.targets, table)
	l.SetTop(1)
	return 1
}

// checkKey counts the gap that writing beyond the end of an array fills.
func (m *machine) checkKey(l *lua.LState) int {
	last := len(m.targets) - 1
	table := m.targets[last]
	m.targets = m.targets[:last]
	if table != nil {
		m.gap(l, l.Get(1), table.Len())
	}
	l.SetTop(1)
	return 1
}

func (m *machine) checkFieldKey(l *lua.LState) int {
	m.gap(l, l.Get(1), 0)
	l.SetTop(1)
	return 1
}

func (m *machine) gap(l *lua.LState, key lua.LValue, length int) {
	if n, ok := key.(lua.LNumber); ok && n > lua.LNumber(length)+1 && n < lua.LNumber(lua.MaxArrayIndex) {
		m.budget.alloc(l, elementBytes*(int(n)-length))
	}
}

// concat is the .. operator.
func (m *machine) concat(l *lua.LState) int {
	length := 0
	for i := 1; i <= l.GetTop(); i++ {
		switch v := l.Get(i).(type) {
		case lua.LString:
			length += len(v)
		case lua.LNumber:
			length += len(v.String())
		default:
			l.RaiseError("attempt to concatenate a %s value", v.Type())
		}
	}
	m.budget.text(l, length)
	var joined strings.Builder
	joined.Grow(length)
	for i := 1; i <= l.GetTop(); i++ {
		joined.WriteString(l.Get(i).String())
	}
	l.Push(lua.LString(joined.String()))
	return 1
}

// unpack pushes one value per step, so that a large range costs what it takes.
func (m *machine) unpack(l *lua.LState) int {
	table := l.CheckTable(1)
	from, to := l.OptInt(2, 1), l.OptInt(3, table.Len())
	if from > to {
		return 0
	}
	if count := to - from; count < 0 || count >= registryMax {
		l.RaiseError("too many results to unpack")
	}
	m.budget.work(l, to-from)
	for i := from; i <= to; i++ {
		l.Push(table.RawGetInt(i))
	}
	return to - from + 1
}

func (m *machine) tableConcat(l *lua.LState) int {
	table, sep := l.CheckTable(1), l.OptString(2, "")
	from, to := l.OptInt(3, 1), l.OptInt(4, table.Len())
	length := 0
	for i := from; i <= to; i++ {
		m.budget.work(l, 1)
		v := table.RawGetInt(i)
		if !lua.LVCanConvToString(v) {
			l.RaiseError("invalid value (%s) at index %d in table for concat", v.Type(), i)
		}
		length += len(v.String()) + len(sep)
	}
	m.budget.text(l, length)
	var joined strings.Builder
	joined.Grow(length)
	for i := from; i <= to; i++ {
		if i > from {
			joined.WriteString(sep)
		}
		joined.WriteString(table.RawGetInt(i).String())
	}
	l.Push(lua.LString(joined.String()))
	return 1
}

func (m *machine) tableInsert(insert lua.LGFunction) lua.LGFunction {
	return func(l *lua.LState) int {
		if l.GetTop() > 2 {
			length := l.CheckTable(1).Len()
			m.budget.work(l, length/8)
			m.gap(l, l.Get(2), length)
		}
		return insert(l)
	}
}

func (m *machine) tableShift(shift lua.LGFunction) lua.LGFunction {
	return func(l *lua.LState) int {
		m.budget.work(l, l.CheckTable(1).Len()/8)
		return shift(l)
	}
}

func (m *machine) tableSort(sort lua.LGFunction) lua.LGFunction {
	return func(l *lua.LState) int {
		n := l.CheckTable(1).Len()
		m.budget.work(l, n*bits.Len(uint(n)))
		return sort(l)
	}
}

// clockFunctions is the part of os that has no effects. Times are in UTC whatever the machine's zone is, so that a
// script gives the same result everywhere.
func (m *machine) clockFunctions() map[string]lua.LGFunction {
	now := func() time.Time {
		m.readClock = true
		return m.clock().UTC()
	}
	field := func(l *lua.LState, t *lua.LTable, name string, missing int) int {
		v := t.RawGetString(name)
		if v == lua.LNil {
			if missing < 0 {
				l.RaiseError("field %q missing in date table", name)
			}
			return missing
		}
		n, ok := v.(lua.LNumber)
		if s, isText := v.(lua.LString); isText {
			var f float64
			_, err := fmt.Sscan(string(s), &f)
			n, ok = lua.LNumber(f), err == nil
		}
		if !ok || n < -1e9 || n > 1e9 {
			l.RaiseError("field %q is not a number in date table", name)
		}
		return int(n)
	}
	return map[string]lua.LGFunction{
		"time": func(l *lua.LState) int {
			t := time.Time{}
			if l.GetTop() == 0 || l.Get(1) == lua.LNil {
				t = now()
			} else {
				table := l.CheckTable(1)
				t = time.Date(field(l, table, "year", -1), time.Month(field(l, table, "month", -1)), field(l, table, "day", -1),
					field(l, table, "hour", 12), field(l, table, "min", 0), field(l, table, "sec", 0), 0, time.UTC)
			}
			l.Push(lua.LNumber(t.Unix()))
			return 1
		},
		"difftime": func(l *lua.LState) int {
			l.Push(l.CheckNumber(1) - l.OptNumber(2, 0))
			return 1
		},
		"date": func(l *lua.LState) int {
			layout := strings.TrimPrefix(l.OptString(1, "%c"), "!")
			var t time.Time
			if l.GetTop() >= 2 {
				t = time.Unix(l.CheckInt64(2), 0).UTC()
			} else {
				t = now()
			}
			if strings.HasPrefix(layout, "*t") {
				l.Push(dateTable(l, t))
				return 1
			}
			m.budget.text(l, 16*len(layout))
			l.Push(lua.LString(date(layout, t)))
			return 1
		},
	}
}

func dateTable(l *lua.LState, t time.Time) *lua.LTable {
	table := l.NewTable()
	for name, n := range map[string]int{
		"year": t.Year(), "month": int(t.Month()), "day": t.Day(), "hour": t.Hour(), "min": t.Minute(), "sec": t.Second(),
		"wday": int(t.Weekday()) + 1, "yday": t.YearDay(),
	} {
		table.RawSetString(name, lua.LNumber(n))
	}
	table.RawSetString("isdst", lua.LFalse)
	return table
}

// layouts are the conversions of C's strftime in the C locale.
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'c': "Mon Jan _2 15:04:05 2006", 'd': "02", 'D': "01/02/06",
	'F': "2006-01-02", 'H': "15", 'I': "03", 'j': "002", 'm': "01", 'M': "04", 'p': "PM", 'S': "05", 'T': "15:04:05",
	'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST",
}

func date(layout string, t time.Time) string {
	var out strings.Builder
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' || i+1 == len(layout) {
			out.WriteByte(layout[i])
			continue
		}
		i++
		if conversion, ok := layouts[layout[i]]; ok {
			out.WriteString(t.Format(conversion))
		} else if layout[i] == '%' {
			out.WriteByte('%')
		} else {
			out.WriteString(layout[i-1 : i+1])
		}
	}
	return out.String()
}
