package gittree

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

const someCommit = "1234567890123456789012345678901234567890"

// assorted has one of everything that a tree can hold.
var assorted = map[string]node{
	"README.md":                text("hello\n"),
	"base/deployment.yaml":     text("kind: Deployment\n"),
	"base/kustomization.yaml":  text("resources: [deployment.yaml]\n"),
	"bin/run":                  program("#!/bin/sh\n"),
	"empty":                    text(""),
	"overlays/eu":              linkTo("prod"),
	"overlays/prod/base":       linkTo("../../base"),
	"overlays/prod/copy.yaml":  linkTo("base/./deployment.yaml"),
	"overlays/prod/patch.yaml": text("kind: Patch\n"),
}

func TestTreeIsAFileSystem(t *testing.T) {
	tree := newRepo(t).tree(assorted)
	var expected []string
	for path := range assorted {
		expected = append(expected, path)
	}
	if err := fstest.TestFS(tree, expected...); err != nil {
		t.Fatal(err)
	}
	sub, err := fs.Sub(tree, "overlays/prod")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(sub, "base/deployment.yaml"); err != nil || string(data) != "kind: Deployment\n" {
		t.Errorf("through a link that leads out of a subtree but not of the tree: %q, %v", data, err)
	}
}

func TestTreeOpensSHA256Repositories(t *testing.T) {
	r := newRepo(t, "--object-format=sha256")
	tree := r.tree(assorted)
	if data, err := tree.ReadFile("overlays/eu/copy.yaml"); err != nil || string(data) != "kind: Deployment\n" {
		t.Errorf("got %q, %v", data, err)
	}
	if got, want := must(tree.Hash("base")), r.git("", "rev-parse", "main:base"); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func must[T any](v T, ok bool) T {
	if !ok {
		panic("not ok")
	}
	return v
}

func TestReadFile(t *testing.T) {
	tree := newRepo(t).tree(map[string]node{
		"file":               text("content"),
		"dir/file":           text("below"),
		"dir/up":             linkTo("../file"),
		"dir/out":            linkTo("../../file"),
		"dir/outandback":     linkTo("../../dir/file"),
		"absolute":           linkTo("/etc/passwd"),
		"dangling":           linkTo("dir/nothing"),
		"throughfile":        linkTo("file/x"),
		"self":               linkTo("self"),
		"ping":               linkTo("pong"),
		"pong":               linkTo("ping"),
		"chain":              linkTo("dir/up"),
		"indirect":           linkTo("absolute"),
		"todir":              linkTo("dir"),
		"toroot":             linkTo("."),
		"slash":              linkTo("dir/"),
		"long":               linkTo(strings.Repeat("x/", 2100)),
		"module":             module(someCommit),
		"tomodule":           linkTo("module/x"),
		"zzz/a/b/c/d":        text("deep"),
		"zzz/a/b/back":       linkTo("../../../dir/../file"),
		"name with space":    text("space"),
		"-dash\"quote'":      text("quote"),
		"back\\slash":        text("backslash"),
		"\u00fcml\u00e4ut/x": text("utf-8"),
	})
	cases := map[string]struct {
		reason string
		want   string // content, or
		err    string // the error, and
		absent bool   // whether it says that there is nothing
	}{
		"file":               {reason: "an ordinary file", want: "content"},
		"dir/file":           {reason: "a file in a directory", want: "below"},
		"dir/up":             {reason: "a link may lead up inside the tree", want: "content"},
		"chain":              {reason: "a link may lead to a link", want: "content"},
		"todir/file":         {reason: "a link may stand for a directory", want: "below"},
		"todir/up":           {reason: "a link may lead through a link", want: "content"},
		"toroot/toroot/file": {reason: "a link may lead to the root", want: "content"},
		"slash/file":         {reason: "a target may end in a slash", want: "below"},
		"zzz/a/b/back":       {reason: "a target may go up and down", want: "content"},
		"zzz/a/b/c/d":        {reason: "a file at depth", want: "deep"},
		"name with space":    {reason: "any name that Git allows", want: "space"},
		"-dash\"quote'":      {reason: "any name that Git allows", want: "quote"},
		"back\\slash":        {reason: "a backslash is no separator", want: "backslash"},
		"\u00fcml\u00e4ut/x": {reason: "names are UTF-8", want: "utf-8"},

		"nothing":      {reason: "an absent file is absent", err: "open nothing: file does not exist", absent: true},
		"file/x":       {reason: "nothing is below a file", err: "open file/x: file does not exist", absent: true},
		"todir/absent": {reason: "the link is good, what the caller adds is absent", err: "open todir/absent: file does not exist", absent: true},

		"dir":            {reason: "a directory is no file", err: "read dir: is a directory"},
		"../file":        {reason: "paths are as fs.ValidPath says", err: "open ../file: invalid argument"},
		"/file":          {reason: "paths are as fs.ValidPath says", err: "open /file: invalid argument"},
		"dir/../file":    {reason: "paths are as fs.ValidPath says", err: "open dir/../file: invalid argument"},
		"dir/out":        {reason: "a link may not leave the tree", err: `open dir/out: symbolic link "dir/out" to "../../file" leads outside of the repository`},
		"dir/outandback": {reason: "a link may not leave the tree even to return", err: `open dir/outandback: symbolic link "dir/outandback" to "../../dir/file" leads outside of the repository`},
		"absolute":       {reason: "absolute links belong to some machine", err: `open absolute: symbolic link "absolute" to "/etc/passwd" is absolute`},
		"indirect":       {reason: "the link at fault is named, not the first one", err: `open indirect: symbolic link "absolute" to "/etc/passwd" is absolute`},
		"dangling":       {reason: "a dangling link is not the absence of a file", err: `open dangling: symbolic link "dangling" to "dir/nothing" leads to nothing`},
		"throughfile":    {reason: "nothing is below a file", err: `open throughfile: symbolic link "throughfile" to "file/x" leads to nothing`},
		"self":           {reason: "loops end", err: `open self: symbolic link "self" to "self" is one of too many in a row`},
		"ping":           {reason: "loops end", err: `open ping: symbolic link "ping" to "pong" is one of too many in a row`},
		"long":           {reason: "a target is a path", err: `open long: symbolic link "long" to "" has no valid target`},
		"module":         {reason: "a submodule is named", err: `open module: "module" is a submodule at commit ` + someCommit + `, whose files are in another repository and do not count here`},
		"module/x/y":     {reason: "a submodule on the way is named", err: `open module/x/y: "module" is a submodule at commit ` + someCommit + `, whose files are in another repository and do not count here`},
		"tomodule":       {reason: "a submodule behind a link is named", err: `open tomodule: "module" is a submodule at commit ` + someCommit + `, whose files are in another repository and do not count here`},
	}
	for path, c := range cases {
		data, err := tree.ReadFile(path)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if string(data) != c.want || message != c.err {
			t.Errorf("%s: %s:\n got %q, %s\nwant %q, %s", path, c.reason, data, message, c.want, c.err)
		}
		if errors.Is(err, fs.ErrNotExist) != c.absent {
			t.Errorf("%s: %s: errors.Is(err, fs.ErrNotExist) is not %v", path, c.reason, c.absent)
		}
		if _, errOpen := tree.Open(path); (errOpen == nil) != (err == nil || path == "dir") {
			t.Errorf("%s: Open and ReadFile differ: %v and %v", path, errOpen, err)
		}
	}
}

// TestLinksThatMultiply follows links of which each is two of the next, which would take for ever.
func TestLinksThatMultiply(t *testing.T) {
	nodes := map[string]node{"z/file": text("")}
	for c := 'a'; c < 'z'; c++ {
		next := string(c + 1)
		nodes[string(c)] = linkTo(next + "/../" + next)
	}
	_, err := newRepo(t).tree(nodes).Stat("a")
	var link *LinkError
	if !errors.As(err, &link) {
		t.Fatalf("got %v, want a LinkError", err)
	}
}

func TestStat(t *testing.T) {
	tree := newRepo(t).tree(map[string]node{
		"file": text("content"), "run": program("x"), "dir/file": text(""), "link": linkTo("file"), "module": module(someCommit),
	})
	cases := map[string]struct {
		reason string
		follow func(string) (fs.FileInfo, error)
		want   string
	}{
		"file":   {"a file has its size and may be read", tree.Stat, "-r--r--r-- 7 0001-01-01 00:00:00 file"},
		"run":    {"a program may be run", tree.Stat, "-r-xr-xr-x 1 0001-01-01 00:00:00 run"},
		"dir":    {"a directory", tree.Stat, "dr-xr-xr-x 0 0001-01-01 00:00:00 dir/"},
		".":      {"the root", tree.Stat, "dr-xr-xr-x 0 0001-01-01 00:00:00 ./"},
		"link":   {"Lstat does not follow", tree.Lstat, "Lrwxrwxrwx 4 0001-01-01 00:00:00 link"},
		"module": {"a submodule can be seen", tree.Lstat, "?--------- 0 0001-01-01 00:00:00 module"},
	}
	for path, c := range cases {
		got, err := c.follow(path)
		if err != nil {
			t.Errorf("%s: %s: %v", path, c.reason, err)
		} else if text := fs.FormatFileInfo(got); text != c.want {
			t.Errorf("%s: %s: got %q, want %q", path, c.reason, text, c.want)
		}
	}
	if got, err := tree.Stat("link"); err != nil || got.Mode() != 0o444 || got.Size() != 7 || got.Name() != "link" {
		t.Errorf("Stat follows links and keeps the name: got %v, %v", got, err)
	}
	if got, err := tree.ReadLink("link"); err != nil || got != "file" {
		t.Errorf("ReadLink: got %q, %v", got, err)
	}
	if _, err := tree.ReadLink("file"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadLink of a file: got %v", err)
	}
	if _, err := tree.ReadDir("file"); err == nil {
		t.Error("ReadDir of a file: no error")
	}
}

func TestHash(t *testing.T) {
	r := newRepo(t)
	tree := r.tree(map[string]node{
		"file":             text("content"),
		"same":             text("content"),
		"plain/file":       text("x"),
		"linked/deep/link": linkTo("../../file"),
		"link":             linkTo("file"),
		"dirlink":          linkTo("plain"),
		"bad":              linkTo("/etc"),
		"module":           module(someCommit),
		"holds/deep/one":   module(someCommit),
	})
	object := func(path string) string { return r.git("", "rev-parse", "main:"+path) }
	cases := map[string]struct{ reason, want string }{
		"file":        {"a file has the hash of its blob", object("file")},
		"same":        {"equal contents have equal hashes", object("file")},
		"plain":       {"a directory has the hash of its tree", object("plain")},
		"link":        {"a link has the hash of what it leads to", object("file")},
		"dirlink":     {"a link has the hash of what it leads to", object("plain")},
		"linked":      {"the hash of a directory does not cover what links below it lead to", ""},
		"linked/deep": {"the hash of a directory does not cover what links in it lead to", ""},
		".":           {"nor does that of the root", ""},
		"bad":         {"a refused link has no hash", ""},
		"module":      {"a submodule has no content here", ""},
		"holds":       {"nor does the hash of a directory cover what a submodule below it holds", ""},
		"nothing":     {"nor has what is not there", ""},
		"../x":        {"nor has what is no path", ""},
	}
	for path, c := range cases {
		got, ok := tree.Hash(path)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %s: got %q, %v, want %q", path, c.reason, got, ok, c.want)
		}
	}
}

// What leads into a submodule is told with the path to go on by there.
func TestWayIntoSubmodule(t *testing.T) {
	tree := newRepo(t).tree(map[string]node{
		"sub/module": module(someCommit), "file": text("content"),
		"direct": linkTo("sub/module"), "slash": linkTo("sub/module/"), "deeper": linkTo("direct/./a"), "beside": linkTo("direct/../../file"),
		"up": linkTo("sub/module/a/../b"), "over": linkTo("direct/a/../../../file"), "behind": linkTo("deeper/.."),
	})
	for path, want := range map[string]string{
		"sub/module": "sub/module .", "sub/module/x/y": "sub/module x/y", "direct": "sub/module .", "slash": "sub/module .",
		"slash/x": "sub/module x", "deeper": "sub/module a", "deeper/b/c": "sub/module a/b/c",
		"beside": "content", "up": "refused", "over": "refused", "behind": "refused",
	} {
		data, err := tree.ReadFile(path)
		got := string(data)
		var inside *SubmoduleError
		var refused *LinkError
		switch {
		case errors.As(err, &inside) && inside.Commit == someCommit:
			got = inside.Path + " " + inside.Rest
		case errors.As(err, &refused) && refused.Reason == "leads into a submodule and up in it":
			got = "refused"
		case err != nil:
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestOpenDirReadsInParts(t *testing.T) {
	tree := newRepo(t).tree(map[string]node{"a": text(""), "b/x": text(""), "b-": text(""), "c": text("")})
	f, err := tree.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		entries, err := f.(fs.ReadDirFile).ReadDir(2)
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if err == io.EOF {
			break
		}
		if err != nil || len(entries) == 0 {
			t.Fatalf("got %v, %v", entries, err)
		}
	}
	if want := []string{"a", "b", "b-", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: by name, not in the order of Git", got, want)
	}
}

func TestCallerMayChangeWhatItRead(t *testing.T) {
	tree := newRepo(t).tree(map[string]node{"file": text("content")})
	for range 2 {
		data, err := tree.ReadFile("file")
		if err != nil || string(data) != "content" {
			t.Fatalf("got %q, %v", data, err)
		}
		copy(data, "CHANGED")
	}
}

func TestConcurrentReaders(t *testing.T) {
	r := newRepo(t)
	nodes := map[string]node{}
	for i := range 200 {
		name := strings.Repeat("d/", i%5) + "file" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		nodes[name] = text(strings.Repeat(name, 50))
	}
	// Too small a cache for all, so that readers also push out what others have read.
	s := r.storeWith(Options{Cache: NewCache(20_000)})
	commit := r.commit(nodes)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			tree := r.open(s, commit)
			for path, n := range nodes {
				if data, err := tree.ReadFile(path); err != nil || string(data) != n.data {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestInvalidDirectories(t *testing.T) {
	r := newRepo(t)
	blob := r.git("data", "hash-object", "-w", "--stdin")
	raw, _ := parseID(blob)
	good := "100644 good\x00" + raw
	cases := map[string]struct{ reason, listing, err string }{
		"dot":       {"a name that leads nowhere", "100644 .\x00" + raw + good, `the name of entry "." is not valid`},
		"parent":    {"a name that leads outside", "100644 ..\x00" + raw + good, `the name of entry ".." is not valid`},
		"slash":     {"a name that is a path", "100644 a/b\x00" + raw + good, `the name of entry "a/b" is not valid`},
		"empty":     {"no name", "100644 \x00" + raw + good, `the name of entry "" is not valid`},
		"latin1":    {"a name that is not UTF-8", good + "100644 \xe9t\xe9\x00" + raw, `the name of entry "\xe9t\xe9" is not valid`},
		"twice":     {"two files of one name", good + good, `entry "good" is there twice`},
		"mode":      {"a device", good + "020666 null\x00" + raw, `entry "null" has the unknown mode "020666"`},
		"truncated": {"a listing that ends early", good + "100644 next\x00" + raw[:19], ` is malformed`},
	}
	outer := ""
	for name, c := range cases {
		id := r.git(c.listing, "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
		outer += "040000 tree " + id + "\t" + name + "\n"
	}
	root := r.git(outer+"100644 blob "+blob+"\tfine\n", "mktree")
	tree := r.open(r.store(), r.git("", "commit-tree", "-m", "x", root))
	for name, c := range cases {
		if _, err := tree.ReadDir(name); err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "readdir "+name) {
			t.Errorf("%s: got %v, want %q", c.reason, err, c.err)
		}
		if f, err := tree.Open(name); err != nil {
			t.Errorf("%s: %v", c.reason, err)
		} else if _, err := f.(fs.ReadDirFile).ReadDir(-1); err == nil {
			t.Errorf("%s: listed from an opened directory", c.reason)
		}
		if _, ok := tree.Hash(name); ok {
			t.Errorf("%s: has a hash to go by", c.reason)
		}
		if data, err := tree.ReadFile(name + "/good"); err != nil || string(data) != "data" {
			t.Errorf("%s: its neighbour: %q, %v", c.reason, data, err)
		}
	}
	if data, err := tree.ReadFile("fine"); err != nil || string(data) != "data" {
		t.Errorf("beside invalid directories: %q, %v", data, err)
	}
}

func TestIsLFSPointer(t *testing.T) {
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	cases := []struct {
		reason, data string
		want         bool
	}{
		{"a pointer", pointer, true},
		{"extensions come between version and oid", strings.Replace(pointer, "oid", "ext-0-foo sha256:00\noid", 1), true},
		{"a file that only mentions the version", "# " + pointer, false},
		{"no size", pointer[:strings.Index(pointer, "size")], false},
		{"no hash", "version https://git-lfs.github.com/spec/v1\nsize 12345\n", false},
		{"too long to be one", pointer + strings.Repeat("x", 1000), false},
		{"an empty file", "", false},
	}
	for _, c := range cases {
		if got := IsLFSPointer([]byte(c.data)); got != c.want {
			t.Errorf("%s: got %v", c.reason, got)
		}
	}
}

func FuzzParseDir(f *testing.F) {
	id := strings.Repeat("i", 20)
	f.Add("")
	f.Add("100644 a\x00" + id + "40000 b\x00" + id)
	f.Add("40000 ..\x00" + id + "160000 b\x00" + id[1:])
	f.Fuzz(func(t *testing.T, data string) {
		d := parseDir(id, data)
		for i, e := range d.entries {
			if !fs.ValidPath(e.name) || e.name == "." || strings.Contains(e.name, "/") || len(e.id) != len(id) {
				t.Errorf("entry %+v", e)
			}
			if i > 0 && e.name < d.entries[i-1].name {
				t.Errorf("entry %q is out of order", e.name)
			}
		}
	})
}
