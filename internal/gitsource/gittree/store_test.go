package gittree

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// objectFile is where the repository keeps an object that is in no pack.
func (r *repo) objectFile(id string) string { return filepath.Join(r.dir, "objects", id[:2], id[2:]) }

// loose takes all objects out of their packs, so that tests can damage single ones.
func (r *repo) loose() {
	packs, _ := filepath.Glob(filepath.Join(r.dir, "objects/pack/*.pack"))
	for _, pack := range packs {
		data, err := os.ReadFile(pack)
		if err != nil {
			r.tb.Fatal(err)
		}
		os.RemoveAll(filepath.Join(r.dir, "objects/pack"))
		r.git(string(data), "unpack-objects", "-q")
	}
}

// overwrite makes a loose object hold something else.
func (r *repo) overwrite(id string, data []byte) {
	r.tb.Helper()
	if err := errors.Join(os.Remove(r.objectFile(id)), os.WriteFile(r.objectFile(id), data, 0o444)); err != nil {
		r.tb.Fatal(err)
	}
}

func TestDamage(t *testing.T) {
	cases := map[string]struct {
		reason  string
		damage  func(r *repo)
		listing bool // whether it is found at once
	}{
		"absent file": {
			reason:  "a file that is not there is found before anything is read",
			damage:  func(r *repo) { os.Remove(r.objectFile(r.git("", "rev-parse", "main:dir/file"))) },
			listing: true,
		},
		"absent directory": {
			reason:  "a directory that is not there",
			damage:  func(r *repo) { os.Remove(r.objectFile(r.git("", "rev-parse", "main:dir"))) },
			listing: true,
		},
		"garbage": {
			reason:  "an object that cannot be unpacked",
			damage:  func(r *repo) { r.overwrite(r.git("", "rev-parse", "main:dir"), []byte("garbage")) },
			listing: true,
		},
		"flipped": {
			reason: "an object that unpacks to something else",
			damage: func(r *repo) {
				var packed bytes.Buffer
				w := zlib.NewWriter(&packed)
				fmt.Fprintf(w, "blob %d\x00%s", 7, "CONTENT")
				w.Close()
				r.overwrite(r.git("", "rev-parse", "main:dir/file"), packed.Bytes())
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			commit := r.commit(map[string]node{"dir/file": text("content"), "other": text("other")})
			r.loose()
			c.damage(r)
			var told []error
			s := r.storeWith(Options{Damaged: func(err error) { told = append(told, err) }})
			tree, err := s.Tree(t.Context(), commit)
			if c.listing != (err != nil) {
				t.Fatalf("%s: Tree: %v", c.reason, err)
			}
			if err == nil {
				if data, err := tree.ReadFile("other"); err != nil || string(data) != "other" {
					t.Errorf("%s: a sound file beside it: %q, %v", c.reason, data, err)
				}
				_, err = tree.ReadFile("dir/file")
			}
			if !errors.Is(err, ErrDamaged) || len(told) != 1 || !errors.Is(told[0], ErrDamaged) {
				t.Errorf("%s: got %v and told %v", c.reason, err, told)
			}
		})
	}
}

func TestMissingCommitIsNotDamage(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]node{"file": text("content")})
	s := r.storeWith(Options{Damaged: func(err error) { t.Errorf("told of damage: %v", err) }})
	cases := map[string]string{
		someCommit:                          "reading commit " + someCommit + ": the repository has no such commit",
		"main":                              `reading commit "main": not a full hash`,
		r.git("", "rev-parse", "main:file"): "reading commit " + r.git("", "rev-parse", "main:file") + ": it is a blob",
	}
	for id, want := range cases {
		if _, err := s.Tree(t.Context(), id); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := s.Tree(t.Context(), someCommit); !errors.Is(err, ErrMissing) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want ErrMissing", err)
	}
}

func TestLimits(t *testing.T) {
	r := newRepo(t)
	commit := r.commit(map[string]node{"a/small": text("1234567890"), "a/large": text("12345678901"), "b": text("x")})
	tree := r.open(r.storeWith(Options{MaxBlob: 10, MaxFiles: 4}), commit)
	if _, err := tree.ReadFile("a/small"); err != nil {
		t.Errorf("a file of just the limit: %v", err)
	}
	const want = "open a/large: the file has 11 bytes, the limit is 10"
	if _, err := tree.ReadFile("a/large"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if info, err := tree.Stat("a/large"); err != nil || info.Size() != 11 {
		t.Errorf("a file over the limit can still be described: %v, %v", info, err)
	}
	if _, err := r.storeWith(Options{MaxFiles: 3}).Tree(t.Context(), commit); err == nil || !strings.HasSuffix(err.Error(), "more than 3 files and directories") {
		t.Errorf("got %v", err)
	}
}

// TestTreeBomb lists a commit of twenty small objects that stand for ten to the power of twenty files.
func TestTreeBomb(t *testing.T) {
	r := newRepo(t)
	listing := "100644 blob " + r.git("x", "hash-object", "-w", "--stdin") + "\t%d\n"
	id := ""
	for range 20 {
		var lines strings.Builder
		for i := range 10 {
			fmt.Fprintf(&lines, listing, i)
		}
		id = r.git(lines.String(), "mktree")
		listing = "040000 tree " + id + "\t%d\n"
	}
	_, err := r.store().Tree(t.Context(), r.git("", "commit-tree", "-m", "x", id))
	if err == nil || !strings.HasSuffix(err.Error(), "more than 500000 files and directories") {
		t.Errorf("got %v", err)
	}
}

// running counts the processes that a store starts, and remembers the last.
type running struct {
	r       *repo
	started atomic.Int32
	last    atomic.Pointer[exec.Cmd]
}

func (c *running) command(args ...string) *exec.Cmd {
	cmd := c.r.command(args...)
	if args[1] == "--batch" {
		c.started.Add(1)
		c.last.Store(cmd)
	}
	return cmd
}

func TestProcessIsReplaced(t *testing.T) {
	r := newRepo(t)
	commit := r.commit(map[string]node{"a/file": text("one")})
	procs := &running{r: r}
	s := r.storeWith(Options{Git: procs.command, Cache: NewCache(1)}) // keeps nothing
	tree := r.open(s, commit)
	procs.last.Load().Process.Kill()
	if data, err := tree.ReadFile("a/file"); err != nil || string(data) != "one" {
		t.Errorf("after the process was killed: %q, %v", data, err)
	}
	s.Restart()
	if data, err := tree.ReadFile("a/file"); err != nil || string(data) != "one" {
		t.Errorf("after a restart: %q, %v", data, err)
	}
	if got := procs.started.Load(); got != 3 {
		t.Errorf("%d processes, want 3", got)
	}
	s.Close()
	if _, err := tree.ReadFile("a/file"); err == nil {
		t.Error("no error after Close")
	}
	if entries, err := tree.ReadDir("."); err != nil || len(entries) != 1 {
		t.Errorf("listing after Close: %v, %v", entries, err)
	}
}

func TestRepositoryMoves(t *testing.T) {
	old, moved := newRepo(t), newRepo(t)
	nodes := map[string]node{"file": text("content")}
	commit := old.commit(nodes)
	moved.commit(nodes)
	current := old
	s := old.storeWith(Options{Cache: NewCache(1), Git: func(args ...string) *exec.Cmd { return current.command(args...) }})
	tree := old.open(s, commit)
	old.loose()
	os.RemoveAll(old.dir)
	current = moved
	if data, err := tree.ReadFile("file"); err != nil || string(data) != "content" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestIdleProcessEnds(t *testing.T) {
	r := newRepo(t)
	commit := r.commit(map[string]node{"file": text("content")})
	procs := &running{r: r}
	s := r.storeWith(Options{Git: procs.command, Cache: NewCache(1), IdleTimeout: time.Millisecond})
	tree := r.open(s, commit)
	eventually(t, "the idle process is gone", func() bool {
		s.reading.Lock()
		defer s.reading.Unlock()
		return s.proc == nil
	})
	if data, err := tree.ReadFile("file"); err != nil || string(data) != "content" {
		t.Errorf("after the process was idle: %q, %v", data, err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in 30 s: %s", what)
		}
	}
}

func TestGitThatDoesNotAnswer(t *testing.T) {
	silent := func(...string) *exec.Cmd { return exec.Command("sleep", "600") }
	s := NewStore(Options{Git: silent, ReadTimeout: 10 * time.Millisecond})
	defer s.Close()
	if _, err := s.Tree(t.Context(), someCommit); !errors.Is(err, errSlow) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want %v", err, errSlow)
	}

	s = NewStore(Options{Git: silent})
	defer s.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := s.Tree(ctx, someCommit); !errors.Is(err, why) {
		t.Errorf("got %v, want the cause of the cancellation", err)
	}
}

func TestGitThatIsAbsent(t *testing.T) {
	s := NewStore(Options{Git: func(...string) *exec.Cmd { return exec.Command("/nonexistent/git") }})
	defer s.Close()
	if _, err := s.Tree(t.Context(), someCommit); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

func TestGitThatTalksNonsense(t *testing.T) {
	for _, answer := range []string{"", "\n", "x", someCommit + " commit 5", someCommit + " commit -5\nhello\n",
		someCommit + " commit 99999999999\n", someCommit + " commit x\n", "0" + someCommit[1:] + " commit 5\nhello\n"} {
		s := NewStore(Options{Git: func(...string) *exec.Cmd { return exec.Command("printf", "%s", answer) }})
		if _, err := s.Tree(t.Context(), someCommit); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("answer %q: got %v", answer, err)
		}
		s.Close()
	}
}

func TestCommitsShareDirectories(t *testing.T) {
	r := newRepo(t)
	nodes := map[string]node{"same/deep/file": text("same"), "other/file": text("old")}
	s := r.store()
	first := r.open(s, r.commit(nodes))
	nodes["other/file"] = text("new")
	second := r.open(s, r.commit(nodes))
	if first.root.dir.find("same").dir != second.root.dir.find("same").dir {
		t.Error("an unchanged directory was read again")
	}
	if first.root.dir.find("other").dir == second.root.dir.find("other").dir {
		t.Error("a changed directory was not read")
	}
	runtime.KeepAlive(first)
	runtime.KeepAlive(second)
	first, second = nil, nil
	eventually(t, "directories that no tree needs are forgotten", func() bool {
		runtime.GC()
		s.sharing.Lock()
		defer s.sharing.Unlock()
		return len(s.dirs) == 0
	})
}

func TestCache(t *testing.T) {
	c := NewCache(3*itemOverhead + 30)
	a, b := &Store{}, &Store{}
	c.put(cacheKey{a, "1"}, "0123456789")
	c.put(cacheKey{a, "2"}, "0123456789")
	c.put(cacheKey{b, "1"}, "9876543210")
	c.put(cacheKey{a, "huge"}, strings.Repeat("x", 1000))
	if got, ok := c.get(cacheKey{a, "1"}); !ok || got != "0123456789" {
		t.Errorf("got %q, %v", got, ok)
	}
	if _, ok := c.get(cacheKey{a, "huge"}); ok {
		t.Error("a content larger than half of the cache was kept")
	}
	c.put(cacheKey{a, "3"}, "0123456789")
	if c.has(cacheKey{a, "2"}) || !c.has(cacheKey{a, "1"}) || !c.has(cacheKey{b, "1"}) {
		t.Error("it is not the least recently used that went")
	}
	c.drop(a)
	if c.has(cacheKey{a, "1"}) || !c.has(cacheKey{b, "1"}) || c.size != itemOverhead+10 {
		t.Errorf("drop left %d bytes", c.size)
	}
}
