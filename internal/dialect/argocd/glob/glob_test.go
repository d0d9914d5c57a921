package glob

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, text, separators string
		want                      bool
	}{
		{"*", "a/b", "/", true},
		{"a*", "ab/c", "/", false},
		{"a**", "ab/c", "/", true},
		{"a?c", "abc", "", true},
		{"[!a]c", "bc", "", true},
		{"{a,b}c", "bc", "", true},
		{`a\*`, "a*", "", true},
		{`a\*`, "ab", "", false},
		{"größe/*.yaml", "größe/a.yaml", "", true},
		{"a.c", "abc", "", false},
		{strings.Repeat("a", maxPattern+1), strings.Repeat("a", maxPattern+1), "", false},
	} {
		if got := Match(test.pattern, test.text, test.separators); got != test.want {
			t.Errorf("%.40q, %.40q: %v", test.pattern, test.text, got)
		}
	}
}
