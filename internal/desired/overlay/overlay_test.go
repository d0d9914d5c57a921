package overlay

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
)

// hashed names files by their content.
type hashed struct{ fstest.MapFS }

func (h hashed) Hash(name string) (string, bool) {
	file, ok := h.MapFS[name]
	if !ok {
		return "", false
	}
	return "hash of " + string(file.Data), true
}

func repository(names ...string) hashed {
	files := fstest.MapFS{}
	for _, name := range names {
		files[name] = &fstest.MapFile{Data: []byte("content of " + name)}
	}
	return hashed{files}
}

func TestLayers(t *testing.T) {
	repositories := map[string]Files{
		"":      repository("apps/base/a.yaml", "apps/base/deep/b.yaml", "apps/prod/c.yaml", "README.md", "docs/d.md"),
		"other": repository("a.yaml", "x/e.yaml"),
		"links": hashed{fstest.MapFS{"a.yaml": {Data: []byte("a")}, "l.yaml": {Data: []byte("a.yaml"), Mode: fs.ModeSymlink}}},
	}
	for _, test := range []struct {
		reason string
		layers []app.Layer
		want   string // files, or an error
	}{
		{"all that is in a directory", []app.Layer{{From: "apps/base/**", To: "base/"}}, "base/a.yaml base/deep/b.yaml"},
		{"all of a repository", []app.Layer{{From: "**", Exclude: []string{"*.md"}}}, "apps/base/a.yaml apps/base/deep/b.yaml apps/prod/c.yaml"},
		{"a directory keeps its name", []app.Layer{{From: "apps/prod", To: "all"}}, "all/prod/c.yaml"},
		{"a file gets another name", []app.Layer{{From: "README.md", To: "docs/first.md"}}, "docs/first.md"},
		{"or goes into a directory", []app.Layer{{From: "README.md", To: "docs/"}}, "docs/README.md"},
		{"that may be there", []app.Layer{{From: "docs", To: ""}, {From: "README.md", To: "docs"}}, "docs/README.md docs/d.md"},
		{"what a pattern matches keeps its place", []app.Layer{{From: "apps/*/*.yaml", To: "x"}}, "x/apps/base/a.yaml x/apps/prod/c.yaml"},
		{"without what is excluded below it", []app.Layer{{From: "apps/base/**", To: "", Exclude: []string{"deep/**"}}}, "a.yaml"},
		{"and what does not count", []app.Layer{{From: "**", Ignore: "/apps\n"}}, "README.md docs/d.md"},
		{"a later layer is above", []app.Layer{{From: "apps/base/**"}, {Source: app.Source{Repository: "other"}, From: "**"}}, "a.yaml deep/b.yaml x/e.yaml"},
		{"links are left out", []app.Layer{{Source: app.Source{Repository: "links"}, From: "**"}}, "a.yaml"},
		{"nothing matches", []app.Layer{{From: "none/**"}}, "no file matches it"},
		{"there is no such file", []app.Layer{{From: "none"}}, "does not exist"},
		{"a place outside", []app.Layer{{From: "README.md", To: "../x"}}, "no place in the tree"},
	} {
		tree, err := New(test.layers, func(source app.Source) (Files, error) { return repositories[source.Repository], nil })
		if err != nil {
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %s", test.reason, err, test.want)
			}
			continue
		}
		var found []string
		err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				found = append(found, name)
			}
			return err
		})
		if diff := cmp.Diff(test.want, strings.Join(found, " ")); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", test.reason, err, diff)
		}
		if err := fstest.TestFS(tree, found...); err != nil && !strings.Contains(err.Error(), "Stat") {
			t.Errorf("%s: %v", test.reason, err)
		}
	}
}

func TestLaterLayersCount(t *testing.T) {
	repositories := map[string]Files{"": repository("a/a.yaml"), "other": repository("a.yaml")}
	tree, err := New([]app.Layer{{From: "a/**"}, {Source: app.Source{Repository: "other"}, From: "**"}}, func(source app.Source) (Files, error) { return repositories[source.Repository], nil })
	if err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(tree, "a.yaml")
	hash, known := tree.Hash("a.yaml")
	if string(data) != "content of a.yaml" || hash != "hash of content of a.yaml" || !known || err != nil {
		t.Errorf("%q %q %v %v", data, hash, known, err)
	}
	if _, known := tree.Hash("."); known {
		t.Error("a directory has a hash")
	}
	if slices.ContainsFunc([]string{"b.yaml", "/a.yaml", "a.yaml/b"}, func(name string) bool { _, err := tree.Open(name); return err == nil }) {
		t.Error("what is not there can be opened")
	}
}
