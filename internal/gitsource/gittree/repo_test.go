package gittree

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repo is a bare repository on disk, with one process to write commits to it.
type repo struct {
	tb  testing.TB
	dir string
}

func newRepo(tb testing.TB, initArgs ...string) *repo {
	tb.Helper()
	r := &repo{tb: tb, dir: filepath.Join(tb.TempDir(), "repo.git")}
	cmd := exec.Command("git", append(append([]string{"init", "--quiet", "--bare"}, initArgs...), r.dir)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("git init: %v: %s", err, out)
	}
	return r
}

// command is the Options.Git of the repository.
func (r *repo) command(args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_DIR="+r.dir, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.fsync", "GIT_CONFIG_VALUE_0=none",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=2024-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE=2024-01-01T00:00:00Z")
	return cmd
}

// git runs a command on the repository and returns what it prints, without the end of the line.
func (r *repo) git(stdin string, args ...string) string {
	r.tb.Helper()
	cmd := r.command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.tb.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}

// node is what a path of a test commit holds.
type node struct {
	mode fs.FileMode // 0: an ordinary file
	data string      // of a submodule: the commit
}

func text(data string) node     { return node{data: data} }
func linkTo(target string) node { return node{mode: fs.ModeSymlink, data: target} }
func program(data string) node  { return node{mode: 0o111, data: data} }
func module(commit string) node { return node{mode: fs.ModeIrregular, data: commit} }
func (r *repo) store() *Store   { return r.storeWith(Options{}) }
func (r *repo) tree(nodes map[string]node) *Tree {
	r.tb.Helper()
	return r.open(r.store(), r.commit(nodes))
}

func (r *repo) storeWith(opts Options) *Store {
	if opts.Git == nil {
		opts.Git = r.command
	}
	s := NewStore(opts)
	r.tb.Cleanup(func() { s.Close() })
	return s
}

func (r *repo) open(s *Store, commit string) *Tree {
	r.tb.Helper()
	tree, err := s.Tree(r.tb.Context(), commit)
	if err != nil {
		r.tb.Fatal(err)
	}
	return tree
}

// commit writes a commit with these paths and nothing else, and returns its hash.
func (r *repo) commit(nodes map[string]node) string {
	r.tb.Helper()
	paths := make([]string, 0, len(nodes))
	for path := range nodes {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return r.importAll(func(emit func(path string, n node)) {
		for _, path := range paths {
			emit(path, nodes[path])
		}
	})
}

// importAll is commit for more paths than a map should hold.
func (r *repo) importAll(each func(emit func(path string, n node))) string {
	r.tb.Helper()
	return r.importOnto("", each)
}

// importOnto is importAll for what changes since another commit.
func (r *repo) importOnto(parent string, each func(emit func(path string, n node))) string {
	r.tb.Helper()
	var stream bytes.Buffer
	stream.WriteString("commit refs/heads/main\ncommitter A <a@example.com> 1700000000 +0000\ndata 0\n")
	if parent == "" {
		stream.WriteString("deleteall\n")
	} else {
		fmt.Fprintf(&stream, "from %s\n", parent)
	}
	each(func(path string, n node) {
		switch {
		case n.mode&fs.ModeIrregular != 0:
			fmt.Fprintf(&stream, "M 160000 %s %s\n", n.data, path)
			return
		case n.mode&fs.ModeSymlink != 0:
			fmt.Fprintf(&stream, "M 120000 inline %s\n", path)
		case n.mode&0o111 != 0:
			fmt.Fprintf(&stream, "M 100755 inline %s\n", path)
		default:
			fmt.Fprintf(&stream, "M 100644 inline %s\n", path)
		}
		fmt.Fprintf(&stream, "data %d\n%s\n", len(n.data), n.data)
	})
	r.git(stream.String(), "fast-import", "--quiet", "--force")
	return r.git("", "rev-parse", "refs/heads/main")
}
