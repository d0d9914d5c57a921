package v1alpha1

import (
	"io/fs"
	"strings"
	"testing"
)

// FuzzFillPath fills in paths with labels that say anything. None leads out of the
// repository.
func FuzzFillPath(f *testing.F) {
	for _, seed := range []string{"apps/${name}", "${labels.a}", "../${labels.a}", "a/$${b}", "${variables.v}/..", "./.", "${", "a\\b", "/"} {
		f.Add(seed, "x/..", "..")
	}
	f.Fuzz(func(t *testing.T, text, label, variable string) {
		context := Context{Name: "one", Labels: map[string]string{"a": label}, Variables: map[string]string{"v": variable}}
		path, err := FillPath(text, context)
		if err == nil && path != "." && !fs.ValidPath(strings.ToValidUTF8(path, "?")) {
			t.Errorf("%q with %q and %q becomes %q", text, label, variable, path)
		}
		filled, err := Fill(text, context)
		if err == nil && CheckTemplate(text) != nil {
			t.Errorf("%q is no template and becomes %q", text, filled)
		}
	})
}

// FuzzParseRevision reads revisions as String writes them, and fills in their
// templates. No branch or tag is one that git would take for an option.
func FuzzParseRevision(f *testing.F) {
	for _, seed := range []string{"branch:main", "tag:v1", "semver:~1.4", "commit:" + strings.Repeat("a", 40), "branch:--upload-pack=x", "branch:${labels.a}", "", ":", "tag:"} {
		f.Add(seed, "-x")
	}
	f.Fuzz(func(t *testing.T, text, label string) {
		r, err := ParseRevision(text)
		if err != nil {
			return
		}
		if r.String() != text {
			t.Errorf("%q is written as %q", text, r)
		}
		filled, err := r.Fill(Context{Name: "one", Labels: map[string]string{"a": label}})
		if err == nil && (strings.HasPrefix(filled.Branch, "-") || strings.HasPrefix(filled.Tag, "-") || strings.ContainsAny(filled.Branch+filled.Tag+filled.Commit, "\x00\n:")) {
			t.Errorf("%q with %q becomes %+v", text, label, filled)
		}
	})
}
