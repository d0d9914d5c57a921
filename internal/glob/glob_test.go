package glob

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var dialects = []Dialect{Whole, Parts, ByName}

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, path string
		dialect       Dialect
		want          bool
		reason        string
	}{
		{"*.yaml", "deployment.yaml", Whole, true, "documentation of Argo CD: include"},
		{"*.yaml", "env-use2/configmap.yaml", Whole, true, "documentation of Argo CD: of env-use2 is included what *.yaml matches"},
		{"{*.yml,*.yaml}", "a.yml", Whole, true, "documentation of Argo CD: several patterns"},
		{"{*.yml,*.yaml}", "a.json", Whole, false, "none of several"},
		{"some-directory/*", "some-directory/a/b.yaml", Whole, true, "a wildcard matches slashes"},
		{"{config.json,env-usw2/*}", "env-usw2/configmap.yaml", Whole, true, "a directory among several patterns"},
		{"{config.json,env-usw2/*}", "env-use2/configmap.yaml", Whole, false, "another directory"},
		{"{a{b,c},d}", "ac", Whole, true, "patterns in patterns"},
		{"{a,}b", "b", Whole, true, "nothing may be one of several"},
		{"?.yaml", "ab.yaml", Whole, false, "one character is one"},
		{"?.yaml", "é.yaml", Whole, true, "one character may be several bytes"},
		{"[a-c]", "b", Whole, true, "a range"},
		{"[!a-c]", "b", Whole, false, "what is not in a range"},
		{"[abc]x", "cx", Whole, true, "a set"},
		{"[^a]", "^", Whole, true, "a caret is a character like any other"},
		{`\*`, "*", Whole, true, "a character as it stands"},
		{`\*`, "a", Whole, false, "and no other"},
		{"a,b", "a,b", Whole, true, "a comma outside of braces"},
		{"a.yaml", "axyaml", Whole, false, "a dot is a dot"},
		{"a", "xax", Whole, false, "the whole path has to match"},
		{"", "", Whole, true, "nothing is nothing"},
		{"*", "a\nb", Whole, true, "any text, line breaks among it"},

		{"https://git.example/*", "https://git.example/shop", Parts, true, "any text in a part"},
		{"https://git.example/*", "https://git.example/shop/web", Parts, false, "a wildcard ends at a slash"},
		{"https://git.example/**", "https://git.example/shop/web", Parts, true, "two asterisks do not"},
		{"a**", "ab/c", Parts, true, "wherever they stand"},
		{"a?c", "a/c", Parts, false, "one character is no slash"},
		{"*a", "b/a", Parts, false, "an asterisk at the beginning"},

		{"*.yaml", "a/b.yaml", ByName, false, "a wildcard ends at a slash"},
		{"**/*.yaml", "b.yaml", ByName, true, "two asterisks may stand for no directory"},
		{"**/*.yaml", "a/b/c.yaml", ByName, true, "and for several"},
		{"a/**", "a/b/c", ByName, true, "all below"},
		{"a/**/c", "a/c", ByName, true, "none between"},
		{"a/**/c", "a/b/b/c", ByName, true, "several between"},
		{"a**/c", "ab/c", ByName, true, "in a name two asterisks are one"},
		{"a**/c", "a/b/c", ByName, false, "and end at a slash"},
		{"env/[!p]*/v.yaml", "env/dev/v.yaml", ByName, true, "not in a set"},
		{"env/[^p]*/v.yaml", "env/prod/v.yaml", ByName, false, "the same with a caret"},
		{"a[!b]c", "a/c", ByName, false, "a set is never a slash"},
		{"x/{a,**/b}", "x/c/b", ByName, true, "each of several patterns begins where the first does"},
		{"env/{dev,test}/*.yaml", "env/test/v.yaml", ByName, true, "one of several"},
	}
	for _, test := range tests {
		g, err := Compile(test.pattern, test.dialect)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		if have := g.Match(test.path); have != test.want {
			t.Errorf("%s: %q matches %q: %t, want %t", test.reason, test.pattern, test.path, have, test.want)
		}
		for range 2 { // the second time it is remembered
			if have := Match(test.pattern, test.path, test.dialect); have != test.want {
				t.Errorf("%s: Match(%q, %q): %t, want %t", test.reason, test.pattern, test.path, have, test.want)
			}
		}
	}
}

func TestMatchAll(t *testing.T) {
	for _, dialect := range dialects {
		if !Match("*", "a/b", dialect) {
			t.Errorf("an asterisk alone does not match all, dialect %d", dialect)
		}
	}
}

func TestPlain(t *testing.T) {
	for _, test := range []struct {
		pattern string
		want    []string
		refused string
	}{
		{"shop", []string{"shop"}, ""},
		{"shop-**", []string{"shop-*"}, ""},
		{"{a,b}-*", []string{"a-*", "b-*"}, ""},
		{"{a,b}{c,}", []string{"ac", "a", "bc", "b"}, ""},
		{"", []string{""}, ""},
		{"a?", nil, "are read here"},
		{"[ab]", nil, "are read here"},
		{`a\*`, nil, "are read here"},
		{"{a", nil, "not closed"},
		{"a}", nil, "not opened"},
		{"{a,{b,c}}", nil, "alternatives in alternatives"},
		{strings.Repeat("{a,b,c,d,e,f,g,h,i,j}", 4), nil, "too many"},
	} {
		have, err := Plain(test.pattern)
		if diff := cmp.Diff(test.want, have); diff != "" {
			t.Errorf("%.40q (-want +have):\n%s", test.pattern, diff)
		}
		if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) {
			t.Errorf("%.40q: %v, want %q", test.pattern, err, test.refused)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for pattern, want := range map[string]string{
		"{a": "not closed", "a}": "not opened", "[a": "not closed", "[]": "holds nothing", "[b-a]": "backwards", `a\`: "backslash",
		"[": "not closed", "[!": "not closed", "\xff": "UTF-8", strings.Repeat("a", maxPattern+1): "longer",
	} {
		for _, dialect := range dialects {
			if _, err := Compile(pattern, dialect); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.20q: %v, want %q", pattern, err, want)
			}
			if Match(pattern, pattern, dialect) {
				t.Errorf("%.20q matches, and cannot be read", pattern)
			}
		}
	}
}

// FuzzCompile holds that every pattern compiles or is refused, and that one without wildcards matches itself only, as
// does every path that is quoted.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{"*.yaml", "{a,b/*}", "[!a-z]?", `\*`, "**/x", "[\\]-a]", "{{a,},}", "[a-\\]"} {
		f.Add(seed, "a/b.yaml")
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		for _, dialect := range dialects {
			if g, err := Compile(Quote(path), dialect); err == nil && (!g.Match(path) || g.Match(pattern) != (pattern == path)) {
				t.Errorf("%q does not match itself alone", path)
			}
			g, err := Compile(pattern, dialect)
			if err != nil {
				continue
			}
			matches := g.Match(path)
			if !strings.ContainsAny(pattern, `*?[]{}\`) && matches != (pattern == path) {
				t.Errorf("%q matches %q: %t", pattern, path, matches)
			}
		}
	})
}
