package glob

import "testing"

func TestIgnore(t *testing.T) {
	for _, test := range []struct {
		reason, dir, patterns, path string
		isDir, want                 bool
	}{
		{"nothing is ignored", ".", "", "a.yaml", false, false},
		{"a name counts everywhere", ".", "*.png", "a/b.png", false, true},
		{"a comment is none", ".", "#*.png", "a.png", false, false},
		{"a path counts from the top", ".", "/a", "b/a", false, false},
		{"a path with a slash in it does, too", ".", "a/b", "c/a/b", false, false},
		{"anywhere, where it says so", ".", "**/a/b", "c/a/b", false, true},
		{"a directory only", ".", "build/", "build", false, false},
		{"and what is in it", ".", "build/", "x/build/a.yaml", false, true},
		{"all but one", ".", "/*\n!/deploy", "deploy/a.yaml", false, false},
		{"all others", ".", "/*\n!/deploy", "docs/a.yaml", false, true},
		{"what is in an ignored directory stays ignored", ".", "docs/\n!docs/a.yaml", "docs/a.yaml", false, true},
		{"all that is in a directory", ".", "docs/**", "docs/a/b.yaml", false, true},
		{"and not itself", ".", "docs/**", "docs", true, false},
		{"below another directory it counts for nobody else", "apps", "*.yaml", "base/a.yaml", false, false},
		{"there it does", "apps", "/a.yaml", "apps/a.yaml", false, true},
		{"braces are no patterns", ".", "{a,b}", "a", false, false},
		{"spaces at the end are none", ".", "a.yaml  ", "a.yaml", false, true},
		{"what cannot be read", ".", "[", "[", false, false},
	} {
		var ignore Ignore
		ignore.Add(test.dir, test.patterns)
		if got := ignore.Match(test.path, test.isDir); got != test.want {
			t.Errorf("%s: %q says %v of %q", test.reason, test.patterns, got, test.path)
		}
	}
}

func FuzzIgnore(f *testing.F) {
	f.Add("/*\n!/deploy\n**/a/", "deploy/a/b.yaml")
	f.Fuzz(func(t *testing.T, patterns, name string) {
		var ignore Ignore
		ignore.Add(".", patterns)
		if ignore.Match(name, false) && len(ignore.rules) == 0 {
			t.Error("a file is ignored by no pattern")
		}
	})
}
