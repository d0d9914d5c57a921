package sandbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// input converts the parts of input that the script mentions.
func (m *machine) input(script *Script, input map[string]any) lua.LValue {
	table := m.state.CreateTable(0, len(input))
	m.fields(input, func(key string) {
		if !script.whole && !script.reads[key] {
			return
		}
		metadata, ok := input[key].(map[string]any)
		if key != "metadata" || !ok {
			table.RawSetString(key, m.convert(input[key]))
			return
		}
		inner := m.state.CreateTable(0, len(metadata))
		m.fields(metadata, func(key string) {
			if key != "managedFields" {
				inner.RawSetString(key, m.convert(metadata[key]))
			}
		})
		table.RawSetString(key, inner)
	})
	return table
}

// fields calls f with the keys of object in order. Lua's pairs goes by the order of insertion, so a script that takes
// the first match gives the same result every time.
func (m *machine) fields(object map[string]any, f func(key string)) {
	start := len(m.keys)
	for key := range object {
		m.keys = append(m.keys, key)
	}
	end := len(m.keys)
	slices.Sort(m.keys[start:end])
	for i := start; i < end; i++ {
		f(m.keys[i])
	}
	m.keys = m.keys[:start]
}

func (m *machine) convert(value any) lua.LValue {
	switch v := value.(type) {
	case bool:
		return lua.LBool(v)
	case string:
		return lua.LString(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case int:
		return lua.LNumber(v)
	case int32:
		return lua.LNumber(v)
	case json.Number:
		// As text, as Argo CD does.
		return lua.LString(v)
	case []any:
		table := m.state.CreateTable(len(v), 0)
		for _, element := range v {
			table.Append(m.convert(element))
		}
		return table
	case map[string]any:
		table := m.state.CreateTable(0, len(v))
		m.fields(v, func(key string) { table.RawSetString(key, m.convert(v[key])) })
		return table
	}
	return lua.LNil
}

// outcome reads what the script returned.
func (m *machine) outcome(script *Script, value lua.LValue) (Outcome, error) {
	out := Outcome{ReadClock: m.readClock, Empty: true}
	switch v := value.(type) {
	case *lua.LNilType:
		return out, nil
	case *lua.LTable:
		v.ForEach(func(key, field lua.LValue) {
			name, ok := key.(lua.LString)
			if !ok {
				return
			}
			switch field.(type) {
			case lua.LString, lua.LNumber:
				if out.Fields == nil {
					out.Fields = make(map[string]string, 2)
				}
				// Copied and made valid, so that neither the script's memory nor broken text leaves with it.
				out.Fields[string(name)] = strings.ToValidUTF8(strings.Clone(field.String()), "?")
				out.Empty = false
			}
		})
		return out, nil
	}
	return Outcome{}, fmt.Errorf("%s: the script returned a %s, want a table", script.name, value.Type())
}
