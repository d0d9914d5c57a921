package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// entry is one of an archive; without a type it is a file.
type entry struct {
	name, content string
	kind          byte
	target        string
}

// pack makes an archive.
func pack(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, e := range entries {
		kind := e.kind
		if kind == 0 {
			kind = tar.TypeReg
		}
		header := &tar.Header{Typeflag: kind, Name: e.name, Linkname: e.target, Mode: 0o644, Size: int64(len(e.content))}
		if err := w.WriteHeader(header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

var good = entry{name: "web/Chart.yaml", content: "name: web\n"}

func TestRead(t *testing.T) {
	c, err := Chart(pack(t,
		entry{name: "web/", kind: tar.TypeDir}, good,
		entry{name: "./web/templates/a.yaml", content: "a"},
		entry{name: `web\templates\b.yaml`, content: "b"},
		entry{name: "web/charts/common/Chart.yaml", content: "name: common\n"},
	), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(c, "Chart.yaml", "templates/a.yaml", "templates/b.yaml", "charts/common/Chart.yaml"); err != nil {
		t.Error(err)
	}
	if data, err := fs.ReadFile(c, "templates/b.yaml"); err != nil || string(data) != "b" {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := c.ReadDir("Chart.yaml"); err == nil {
		t.Error("a file is listed")
	}
	if _, err := c.ReadFile("templates"); err == nil {
		t.Error("a directory is read")
	}
	if c.Size() != int64(len("name: web\nabname: common\n")) {
		t.Errorf("%d bytes", c.Size())
	}
}

func TestHash(t *testing.T) {
	read := func(entries ...entry) *Tree {
		t.Helper()
		c, err := Chart(pack(t, append([]entry{good}, entries...)...), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	hash := func(c *Tree, name string) string {
		t.Helper()
		h, ok := c.Hash(name)
		if !ok {
			t.Fatalf("%s has no hash", name)
		}
		return h
	}
	one := read(entry{name: "web/t/a", content: "1"}, entry{name: "web/u/a", content: "1"})
	same := read(entry{name: "web/u/a", content: "1"}, entry{name: "web/t/a", content: "1"})
	other := read(entry{name: "web/t/a", content: "1"}, entry{name: "web/u/a", content: "2"})
	if hash(one, ".") != hash(same, ".") {
		t.Error("the order of an archive shows in the hash")
	}
	if hash(one, ".") == hash(other, ".") || hash(one, "u") == hash(other, "u") || hash(one, "u/a") == hash(other, "u/a") {
		t.Error("other content has the same hash")
	}
	if hash(one, "t") != hash(other, "t") {
		t.Error("a directory that is the same has another hash")
	}
	if _, ok := one.Hash("gone"); ok {
		t.Error("what is not there has a hash")
	}
}

func TestReadRefuses(t *testing.T) {
	many := []entry{good}
	for i := range 10 {
		many = append(many, entry{name: fmt.Sprintf("web/%d", i)})
	}
	for reason, test := range map[string]struct {
		data []byte
		want string
	}{
		"no archive":           {[]byte("hello"), "not compressed"},
		"no tar":               {gzipped(t, strings.Repeat("x", 1000)), "reading it"},
		"empty":                {pack(t), "no Chart.yaml"},
		"no chart":             {pack(t, entry{name: "web/values.yaml"}), "no Chart.yaml"},
		"chart at the top":     {pack(t, entry{name: "Chart.yaml"}), "not in the chart's directory"},
		"leads up":             {pack(t, good, entry{name: "web/../../x"}), "not a path inside"},
		"leads up on Windows":  {pack(t, good, entry{name: `web\..\..\x`}), "not a path inside"},
		"absolute":             {pack(t, good, entry{name: "/etc/passwd"}), "not a path inside"},
		"another directory":    {pack(t, good, entry{name: "other/x"}), `not in the directory "web"`},
		"symbolic link":        {pack(t, good, entry{name: "web/x", kind: tar.TypeSymlink, target: "/etc/passwd"}), "is a link"},
		"hard link":            {pack(t, good, entry{name: "web/x", kind: tar.TypeLink, target: "web/Chart.yaml"}), "is a link"},
		"device":               {pack(t, good, entry{name: "web/x", kind: tar.TypeChar}), "neither a file"},
		"twice":                {pack(t, good, good), "there twice"},
		"file and directory":   {pack(t, good, entry{name: "web/x"}, entry{name: "web/x/y"}), "a file and a directory"},
		"a large file":         {pack(t, good, entry{name: "web/x", content: strings.Repeat("x", 101)}), "more than 100 bytes"},
		"many bytes":           {pack(t, good, entry{name: "web/x", content: strings.Repeat("x", 100)}, entry{name: "web/y", content: strings.Repeat("x", 100)}), "more than 150 bytes"},
		"many files":           {pack(t, many...), "more than 10 files"},
		"a header without end": {pack(t, good, entry{name: "web/" + strings.Repeat("x/", 40_000) + "y"}), "more than 150 bytes"},
		"deep":                 {pack(t, good, entry{name: "web/" + strings.Repeat("x/", 50) + "y"}), "directories deep"},
		"cut off":              {pack(t, good, entry{name: "web/x", content: "xyz"})[:60], "reading it"},
	} {
		t.Run(reason, func(t *testing.T) {
			_, err := Chart(test.data, Limits{Bytes: 150, File: 100, Files: 10})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want %q", err, test.want)
			}
		})
	}
}

func gzipped(tb testing.TB, text string) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func FuzzRead(f *testing.F) {
	f.Add(pack(f, good, entry{name: "web/templates/a.yaml", content: "a"}))
	f.Add(pack(f, good, entry{name: "web/../x"}))
	f.Add(pack(f, good, entry{name: "web/x", kind: tar.TypeSymlink, target: ".."}))
	limits := Limits{Bytes: 1 << 20, File: 1 << 16, Files: 100}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Files(data, limits)
		if err != nil {
			return
		}
		if chart, err := Chart(data, limits); err == nil && chart.Size() != c.Size() {
			t.Errorf("a chart has %d of %d bytes", chart.Size(), c.Size())
		}
		if c.Size() > limits.Bytes || len(c.nodes) > limits.Files*(deepest+2) {
			t.Errorf("%d bytes, %d paths", c.Size(), len(c.nodes))
		}
		err = fs.WalkDir(c, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !fs.ValidPath(name) || entry.Type()&^fs.ModeDir != 0 {
				t.Errorf("%q: %v %v", name, entry, err)
			}
			if _, ok := c.Hash(name); !ok {
				t.Errorf("%q has no hash", name)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestFiles(t *testing.T) {
	tree, err := Files(pack(t,
		entry{name: ".", kind: tar.TypeDir}, entry{name: "./", kind: tar.TypeDir}, entry{name: "apps/", kind: tar.TypeDir},
		entry{name: "kustomization.yaml", content: "a"}, entry{name: "./apps/web.yaml", content: "b"},
	), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree, "kustomization.yaml", "apps/web.yaml"); err != nil {
		t.Error(err)
	}
	for want, data := range map[string][]byte{
		"holds no files":     pack(t, entry{name: "apps/", kind: tar.TypeDir}),
		`".." is not a path`: pack(t, entry{name: ".."}),
		`"." is not a path`:  pack(t, entry{name: "."}),
		`"/x" is not a path`: pack(t, entry{name: "/x"}),
		"is a link":          pack(t, entry{name: "x", kind: tar.TypeSymlink, target: "apps"}),
		"more than 10 bytes": pack(t, entry{name: "x", content: "12345678901"}),
	} {
		if _, err := Files(data, Limits{File: 10}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %v, want %q", err, want)
		}
	}
}
