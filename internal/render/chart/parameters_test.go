package chart

import (
	"strings"
	"testing"
	"unicode/utf8"

	"nave.dev/internal/app"
)

func TestQuoteCommas(t *testing.T) {
	for value, want := range map[string]string{
		"a,b": `a\,b`, `a\,b`: `a\,b`, "{a,b}": "{a,b}", ",": `\,`, ",,": `\,\,`, "": "", "{a,b": `{a\,b`,
	} {
		if have := quoteCommas(value); have != want {
			t.Errorf("%q becomes %q, want %q", value, have, want)
		}
	}
}

// FuzzParameters holds that a parameter is set or refused, that a plain one is what it says, and that no other value
// is written than the one it names.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{"a", "a.b", "a[0].b", `a\.b`, "a[70000]", "a,b=c", "a=b", "a{", "", "a.", "[", "a[-1]", "0"} {
		f.Add(seed, "x,y", true)
		f.Add(seed, "{1,2}", false)
	}
	f.Fuzz(func(t *testing.T, name, value string, text bool) {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return // YAML and JSON hold none
		}
		values := map[string]any{"kept": "kept"}
		g := &given{parameters: []app.Parameter{{Name: name, Value: value, Text: text}}}
		if err := g.setParameters("dir", values); err != nil || strings.ContainsAny(name, `.[]{}=,\`) {
			return
		}
		if name != "kept" && values["kept"] != "kept" {
			t.Errorf("%q changed another value", name)
		}
		if text && !strings.ContainsAny(value, `\{}`) && name != "" && values[name] != value {
			t.Errorf("%q is %q, want %q", name, values[name], value)
		}
	})
}
