package submodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/gitsource/gittree"
)

// repository is one that Git made, with a process that reads it.
type repository struct {
	tb    testing.TB
	dir   string
	store *gittree.Store
}

func newRepository(tb testing.TB) *repository {
	tb.Helper()
	r := &repository{tb: tb, dir: tb.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	r.store = gittree.NewStore(gittree.Options{Git: r.command})
	tb.Cleanup(func() { r.store.Close() })
	return r
}

func (r *repository) command(args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=core.fsync", "GIT_CONFIG_VALUE_0=none", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com")
	return cmd
}

func (r *repository) git(args ...string) string {
	r.tb.Helper()
	out, err := r.command(args...).CombinedOutput()
	if err != nil {
		r.tb.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, links to what follows "-> " and submodules at the commit that follows "@ ", and returns its hash.
func (r *repository) commit(files map[string]string) string {
	r.tb.Helper()
	var modules []string
	for name, text := range files {
		path := filepath.Join(r.dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if target, link := strings.CutPrefix(text, "-> "); link {
			err = errors.Join(err, os.Symlink(target, path))
		} else if commit, module := strings.CutPrefix(text, "@ "); module {
			modules = append(modules, "160000,"+commit+","+name)
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o600))
		}
		if err != nil {
			r.tb.Fatal(err)
		}
	}
	r.git("add", "--all")
	for _, module := range modules {
		r.git("update-index", "--add", "--cacheinfo", module)
	}
	r.git("commit", "--quiet", "-m", "x")
	return r.git("rev-parse", "HEAD")
}

func (r *repository) tree(commit string) *gittree.Tree {
	r.tb.Helper()
	tree, err := r.store.Tree(r.tb.Context(), commit)
	if err != nil {
		r.tb.Fatal(err)
	}
	return tree
}

// stated is a .gitmodules file with submodules by path and URL.
func stated(modules ...string) string {
	text := ""
	for pair := range slices.Chunk(modules, 2) {
		text += fmt.Sprintf("[submodule %q]\n\tpath = %s\n\turl = %s\n", pair[0], pair[0], pair[1])
	}
	return text
}

const top = "https://git.example.com/org/top"

// opener opens repositories by URL, and notes which.
type opener struct {
	repositories map[string]*repository
	opened       []string
}

func (o *opener) open(urls []string, commit string) (fs.FS, error) {
	o.opened = append(o.opened, urls[0])
	r := o.repositories[urls[0]]
	if r == nil {
		return nil, fmt.Errorf("no such repository: %w", fs.ErrNotExist)
	}
	return r.tree(commit), nil
}

func TestShow(t *testing.T) {
	lib, deep, r := newRepository(t), newRepository(t), newRepository(t)
	deepCommit := deep.commit(map[string]string{"x.yaml": "x", "dir/y.yaml": "y"})
	libCommit := lib.commit(map[string]string{
		"a.yaml": "a", "b/c.yaml": "c", "out": "-> ../../outside.yaml", "in": "-> b/c.yaml", "deep": "@ " + deepCommit, ".gitmodules": stated("deep", "../deep"),
	})
	commit := r.commit(map[string]string{
		"outside.yaml": "outside", "vendor/lib": "@ " + libCommit, "vendor/away": "@ " + libCommit, "vendor/silent": "@ " + libCommit, "plain/f": "f",
		"linked": "-> vendor/lib/b", "link.yaml": "-> vendor/lib/deep/dir/y.yaml", "whole": "-> vendor/lib",
		".gitmodules": stated("vendor/lib", "../lib.git", "vendor/away", "https://git.example.com/org/away"),
	})
	o := &opener{repositories: map[string]*repository{"https://git.example.com/org/lib.git": lib, "https://git.example.com/org/deep": deep}}
	tree := Show(r.tree(commit), []string{top}, o.open)

	// Nothing is opened for what says nothing of its content.
	entries, err := tree.ReadDir("vendor")
	if err != nil || len(entries) != 3 || !entries[1].IsDir() || entries[1].Name() != "lib" {
		t.Fatalf("%v, %v", entries, err)
	}
	if info, err := tree.Stat("vendor/away"); err != nil || !info.IsDir() || info.Name() != "away" {
		t.Errorf("a submodule is no directory: %v, %v", info, err)
	}
	if _, ok := tree.Hash("plain"); !ok || len(o.opened) > 0 {
		t.Errorf("%v are opened for nothing", o.opened)
	}
	for name, want := range map[string]string{
		"vendor/lib/a.yaml": "a", "vendor/lib/b/c.yaml": "c", "vendor/lib/deep/x.yaml": "x", "linked/c.yaml": "c", "link.yaml": "y",
		"whole/in": "c", "plain/f": "f",
	} {
		if data, err := tree.ReadFile(name); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if want := []string{"https://git.example.com/org/deep", "https://git.example.com/org/lib.git"}; !slices.Equal(slices.Sorted(slices.Values(o.opened)), want) {
		t.Errorf("opened %q, want each once: %q", o.opened, want)
	}
	for name, want := range map[string]string{
		"vendor/lib/b": lib.git("rev-parse", "HEAD:b"), "vendor/lib/deep": deep.git("rev-parse", "HEAD^{tree}"), "link.yaml": deep.git("rev-parse", "HEAD:dir/y.yaml"),
		"vendor": "", "vendor/lib": "", "vendor/away": "", "vendor/away/x": "", ".": "", "nothing": "",
	} {
		if got, _ := tree.Hash(name); got != want {
			t.Errorf("hash of %s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"vendor/lib/nothing":  "open vendor/lib/nothing: file does not exist",
		"vendor/lib/deep/z/z": "open vendor/lib/deep/z/z: file does not exist",
		"vendor/lib/out":      `open vendor/lib/out: symbolic link "out" to "../../outside.yaml" leads outside of the repository`,
		"vendor/away/x":       `open vendor/away/x: "vendor/away" is a submodule of https://git.example.com/org/away at commit ` + libCommit + `: no such repository: file does not exist`,
		"vendor/silent/x":     `open vendor/silent/x: "vendor/silent" is a submodule at commit ` + libCommit + ": .gitmodules does not say where its repository is\nhint: git submodule add does",
	} {
		_, err := tree.ReadFile(name)
		_, errOpen := tree.Open(name)
		if err == nil || err.Error() != want || errOpen == nil {
			t.Errorf("%s: %v, %v", name, err, errOpen)
			continue
		}
		if absent := strings.HasPrefix(name, "vendor/lib/") && !strings.HasSuffix(name, "out"); errors.Is(err, fs.ErrNotExist) != absent || errors.Is(errOpen, fs.ErrNotExist) != absent {
			t.Errorf("%s: that it is absent is known: %t", name, !absent)
		}
	}
	if _, err := tree.ReadDir("vendor/away"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what cannot be read is listed: %v", err)
	}
}

func TestTreeIsAFileSystem(t *testing.T) {
	lib, r := newRepository(t), newRepository(t)
	libCommit := lib.commit(map[string]string{"a.yaml": "a", "b/c.yaml": "c"})
	commit := r.commit(map[string]string{"f": "f", "vendor/lib": "@ " + libCommit, ".gitmodules": stated("vendor/lib", "../lib")})
	o := &opener{repositories: map[string]*repository{"https://git.example.com/org/lib": lib}}
	if err := fstest.TestFS(Show(r.tree(commit), []string{top}, o.open), "f", "vendor/lib/a.yaml", "vendor/lib/b/c.yaml"); err != nil {
		t.Error(err)
	}
}

// A chain of submodules ends in an error that names them.
func TestDepth(t *testing.T) {
	r := newRepository(t)
	commit := r.commit(map[string]string{"f": "f", ".gitmodules": stated("m", "./")})
	for range maxDepth + 1 {
		commit = r.commit(map[string]string{"m": "@ " + commit})
	}
	o := &opener{repositories: map[string]*repository{top: r}}
	tree := Show(r.tree(commit), []string{top}, o.open)
	if data, err := tree.ReadFile(strings.Repeat("m/", maxDepth) + "f"); err != nil || string(data) != "f" {
		t.Errorf("as deep as may be: %q, %v", data, err)
	}
	_, err := tree.ReadFile(strings.Repeat("m/", maxDepth+1) + "f")
	if err == nil || !strings.Contains(err.Error(), "it is in more than 8 others: m > m > m > m > m > m > m > m > m") {
		t.Errorf("deeper: %v", err)
	}
}

// A .gitmodules that is a link, which Git itself would not commit, is not followed.
func TestLinkedFile(t *testing.T) {
	r := newRepository(t)
	r.commit(map[string]string{"modules": stated("m", top), "target": "modules"})
	text := fmt.Sprintf("120000 blob %s\t.gitmodules\n100644 blob %s\tmodules\n160000 commit %s\tm\n",
		r.git("rev-parse", "HEAD:target"), r.git("rev-parse", "HEAD:modules"), strings.Repeat("1", 40))
	cmd := r.command("mktree", "--missing")
	cmd.Stdin = strings.NewReader(text)
	hash, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	commit := r.git("commit-tree", "-m", "x", strings.TrimSpace(string(hash)))
	if _, err = Show(r.tree(commit), []string{top}, (&opener{}).open).ReadFile("m/f"); err == nil || !strings.Contains(err.Error(), ".gitmodules is no ordinary file") {
		t.Error(err)
	}
}

// Without a URL of its repository, that of a submodule has to be absolute.
func TestNoURL(t *testing.T) {
	lib, r := newRepository(t), newRepository(t)
	libCommit := lib.commit(map[string]string{"f": "f"})
	commit := r.commit(map[string]string{"m": "@ " + libCommit, "n": "@ " + libCommit, ".gitmodules": stated("m", top, "n", "../lib")})
	tree := Show(r.tree(commit), nil, (&opener{repositories: map[string]*repository{top: lib}}).open)
	if data, err := tree.ReadFile("m/f"); err != nil || string(data) != "f" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := tree.ReadFile("n/f"); err == nil || !strings.Contains(err.Error(), `its URL "../lib" is relative, and that of its repository is not known`) {
		t.Error(err)
	}
}

// Of several URLs of a repository each may be that to which another is relative.
func TestSeveralURLs(t *testing.T) {
	r := newRepository(t)
	commit := r.commit(map[string]string{"m": "@ " + strings.Repeat("1", 40), ".gitmodules": stated("m", "../../lib")})
	var asked []string
	tree := Show(r.tree(commit), []string{"", "https://git.example.com/fleet", "/srv/git/fleet", "git@git.example.com:org/fleet"}, func(urls []string, _ string) (fs.FS, error) {
		asked = urls
		return fstest.MapFS{"f": {Data: []byte("f")}}, nil
	})
	if _, err := tree.ReadFile("m/f"); err != nil {
		t.Error(err)
	}
	if want := []string{"/srv/lib", "git@git.example.com:lib"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

func TestCheckout(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"there/f": "f", "there/.gitmodules": stated("inner", "../x"), "plain/f": "f",
		".gitmodules": stated("there", "../there", "empty", "../empty", "gone/deep", "../gone"), "there/inner/": "", "empty/": "", "nothing/": "", "link": "-> empty",
	} {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if target, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(target, path)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o700)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c := NewCheckout(os.DirFS(dir))
	const refused = "is a submodule: it is not checked out\nhint: git submodule update --init --recursive"
	for name, want := range map[string]string{
		"there": "", "plain": "", "nothing": "", ".": "", "empty": `"empty" ` + refused, "link": `"empty" ` + refused,
		"there/inner": `"there/inner" ` + refused, "gone/deep": `"gone/deep" ` + refused, "gone": "no such file", "empty/a/b": `"empty" ` + refused,
	} {
		_, err := c.ReadDir(name)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if (want == "") != (err == nil) || !strings.Contains(message, want) {
			t.Errorf("listing %s: %q, want %q", name, message, want)
		}
	}
	for name, absent := range map[string]bool{"empty/f": false, "link/a/f": false, "there/inner/f": false, "gone/deep/f": false, "gone/f": true, "there/g": true, "plain/g": true} {
		_, err := c.ReadFile(name)
		_, errStat := c.Stat(name)
		_, errOpen := c.Open(name)
		for _, err := range []error{err, errStat, errOpen} {
			if err == nil || errors.Is(err, fs.ErrNotExist) != absent {
				t.Errorf("%s: %v, want absent: %t", name, err, absent)
			}
		}
	}
	if data, err := c.ReadFile("there/f"); err != nil || string(data) != "f" {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitmodules"), []byte("path"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = NewCheckout(os.DirFS(dir))
	if _, err := c.ReadDir("empty"); err == nil || !strings.Contains(err.Error(), ".gitmodules:1: ") {
		t.Errorf("an empty directory, and submodules that cannot be told: %v", err)
	}
	if _, err := c.ReadFile("plain/g"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
