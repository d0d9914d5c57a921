package gitsource

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the process that is killed in TestKilledAtEveryCommand.
func TestMain(m *testing.M) {
	if cache := os.Getenv("GITSOURCE_TEST_CACHE"); cache != "" {
		ms, err := Open(context.Background(), cache, Options{Git: os.Getenv("GITSOURCE_TEST_GIT")})
		if err == nil {
			var mirror *Mirror
			if mirror, err = ms.Mirror("fleet", Remote{URL: os.Getenv("GITSOURCE_TEST_URL")}); err == nil {
				_, err = mirror.Fetch(context.Background())
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKilledAtEveryCommand kills a process that fetches at each git command that it runs: just before the command,
// and with the command left to work on alone. Whatever came of it, the next fetch ends with everything in place.
func TestKilledAtEveryCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("kills some fifty processes: run without -short")
	}
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	scenarios := map[string]struct {
		fetched bool // before
		damaged bool
	}{
		"clone":  {},
		"fetch":  {fetched: true},
		"repair": {fetched: true, damaged: true},
	}
	// The n-th command first kills the process that started it.
	const script = `#!/bin/sh
echo >> "$0.count"
if [ $(wc -l < "$0.count") = %d ]; then kill -9 $PPID; %s; fi
exec %s "$@"
`
	for name, scenario := range scenarios {
		for moment, then := range map[string]string{"before": "exit 1", "orphan": "true"} {
			t.Run(name+" "+moment, func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n++ {
					u := newUpstream(t)
					u.commit("main", "dir/file", "one")
					cache := t.TempDir()
					if scenario.fetched {
						m := openMirror(t, openMirrors(t, cache, Options{}), Remote{URL: u.dir})
						fetch(t, m)
						resolve(t, m, Revision{})
						if scenario.damaged {
							pack, _ := filepath.Glob(filepath.Join(m.repository(), "objects/pack/*.pack"))
							if err := os.Remove(pack[0]); err != nil {
								t.Fatal(err)
							}
						}
						u.commit("main", "dir/file", "two")
					}
					git := filepath.Join(t.TempDir(), "git")
					writeProgram(t, git, fmt.Sprintf(script, n, then, real))
					victim := exec.Command(os.Args[0])
					victim.Env = append(os.Environ(), "GITSOURCE_TEST_CACHE="+cache, "GITSOURCE_TEST_GIT="+git, "GITSOURCE_TEST_URL="+u.dir)
					out, err := victim.CombinedOutput()
					survived := err == nil
					if !survived && victim.ProcessState.Exited() {
						t.Fatalf("command %d: the fetch failed before it was killed: %s", n, out)
					}

					m := openMirror(t, openMirrors(t, cache, Options{}), Remote{URL: u.dir})
					state := fetch(t, m)
					want := u.git("", "rev-parse", "main")
					if got := resolve(t, m, Revision{}); got.Commit != want || state.Damage != "" {
						t.Errorf("command %d: resolves to %s, want %s; state %+v", n, got.Commit, want, state)
					}
					for commit := range strings.FieldsSeq(u.git("", "rev-list", "main")) {
						if err := readAll(t.Context(), m, commit); err != nil {
							t.Errorf("command %d: %v", n, err)
						}
					}
					u.commit("main", "dir/file", "three")
					fetch(t, m)
					if got := content(t, m, Revision{}, "dir/file"); got != "three" {
						t.Errorf("command %d: then read %q", n, got)
					}
					if left, _ := filepath.Glob(filepath.Join(m.dir, repoPrefix+"*")); len(left) != 1 {
						t.Errorf("command %d: repositories left: %q", n, left)
					}
					if survived {
						if n < 5 {
							t.Errorf("only %d commands", n-1)
						}
						return
					}
				}
			})
		}
	}
}

// TestDiskFull fetches with less and less room for files. What was there before stays whole, and with room again
// everything is in place.
func TestDiskFull(t *testing.T) {
	u := newUpstream(t)
	first := u.commit("main", "dir/file", "one")
	cache := t.TempDir()
	fetch(t, openMirror(t, openMirrors(t, cache, Options{}), Remote{URL: u.dir}))
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	second := u.commit("main", "dir/noise", string(noise))
	for _, blocks := range []int{64, 8, 1, 0} { // of 512 or 1024 bytes
		victim := exec.Command("sh", "-c", fmt.Sprintf(`ulimit -f %d; exec "$0"`, blocks), os.Args[0])
		victim.Env = append(os.Environ(), "GITSOURCE_TEST_CACHE="+cache, "GITSOURCE_TEST_GIT=git", "GITSOURCE_TEST_URL="+u.dir)
		if out, err := victim.CombinedOutput(); err == nil {
			t.Fatalf("%d blocks: a file of 1 MiB was fetched: %s", blocks, out)
		}
		m := openMirror(t, openMirrors(t, cache, Options{}), Remote{URL: u.dir})
		if got := resolve(t, m, Revision{}); got.Commit != first {
			t.Errorf("%d blocks: resolves to %s, want %s", blocks, got.Commit, first)
		}
		if err := readAll(t.Context(), m, first); err != nil {
			t.Errorf("%d blocks: %v", blocks, err)
		}
	}
	m := openMirror(t, openMirrors(t, cache, Options{}), Remote{URL: u.dir})
	fetch(t, m)
	if got := resolve(t, m, Revision{}); got.Commit != second {
		t.Errorf("with room again it resolves to %s, want %s", got.Commit, second)
	}
	if err := readAll(t.Context(), m, second); err != nil {
		t.Error(err)
	}
}

// TestOrphanKeepsTheLock kills a process and leaves its git at work, which nobody else may then work beside.
func TestOrphanKeepsTheLock(t *testing.T) {
	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	u := newUpstream(t)
	u.commit("main", "dir/file", "content")
	dir, cache := t.TempDir(), t.TempDir()
	program, waits := filepath.Join(dir, "git"), filepath.Join(dir, "waits")
	if out, err := exec.Command("mkfifo", waits).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v: %s", err, out)
	}
	script := fmt.Sprintf("#!/bin/sh\nif [ $1 = clone ]; then kill -9 $PPID; cat %s; fi\nexec %s \"$@\"\n", waits, real)
	writeProgram(t, program, script)
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "GITSOURCE_TEST_CACHE="+cache, "GITSOURCE_TEST_GIT="+program, "GITSOURCE_TEST_URL="+u.dir)
	if err := victim.Run(); err == nil || victim.ProcessState.Exited() {
		t.Fatalf("it was not killed: %v", err)
	}
	m := openMirror(t, openMirrors(t, cache, Options{}), Remote{URL: u.dir})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	want := fmt.Sprintf("waiting for process %d", victim.Process.Pid)
	if held, err := lock(ctx, m.file("lock")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, %v, want %s", held, err, want)
	}
	release, err := os.OpenFile(waits, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	release.Close()
	fetch(t, m)
}

// TestStepsLeftUndone begins where a process can be killed between two files that it writes.
func TestStepsLeftUndone(t *testing.T) {
	write := func(path, data string) error {
		os.MkdirAll(filepath.Dir(path), 0o700)
		return os.WriteFile(path, []byte(data), 0o600)
	}
	cases := map[string]struct {
		reason string
		undo   func(m *Mirror, u *upstream) error
	}{
		"clone without link": {"a clone that was not put in place", func(m *Mirror, u *upstream) error {
			return write(m.file("repo-123/HEAD"), "ref: refs/heads/main\n")
		}},
		"refs older than the repository": {"a repair that moved the link and not yet the refs", func(m *Mirror, u *upstream) error {
			old, err := os.ReadFile(m.file("refs"))
			if err != nil {
				return err
			}
			u.root("main", "dir/file", "rewritten")
			fetch(t, m)
			return write(m.file("refs"), string(old))
		}},
		"mark of damage older than the repository": {"a repair that moved the link and not yet removed the mark", func(m *Mirror, u *upstream) error {
			return write(m.file("damaged"), "something")
		}},
		"files of git": {"locks and parts of packs of a git that was killed", func(m *Mirror, u *upstream) error {
			for _, file := range []string{"HEAD.lock", "packed-refs.lock", "config.lock", "shallow.lock", "refs/heads/main.lock",
				"refs/tags/v1.lock", "objects/pack/tmp_pack_abc", "objects/pack/tmp_idx_abc", "objects/tmp_obj_abc",
				"objects/incoming-abc/pack/tmp_pack_x", "objects/info/commit-graph.lock"} {
				if err := write(filepath.Join(m.repository(), file), "half"); err != nil {
					return err
				}
			}
			return nil
		}},
	}
	for name, c := range cases {
		u := newUpstream(t)
		u.commit("main", "dir/file", "one")
		m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: u.dir})
		fetch(t, m)
		if err := c.undo(m, u); err != nil {
			t.Fatal(err)
		}
		u.git("", "tag", "v1", u.commit("main", "dir/file", "next"))
		fetch(t, m)
		if got := content(t, m, Revision{Tag: "v1"}, "dir/file"); got != "next" || m.State().Damage != "" {
			t.Errorf("%s: %s: read %q", name, c.reason, got)
		}
		for _, pattern := range []string{"*.lock", "refs/*/*.lock", "objects/*/tmp_*", "objects/tmp_*", "objects/incoming-*"} {
			if left, _ := filepath.Glob(filepath.Join(m.repository(), pattern)); len(left) > 0 {
				t.Errorf("%s: %s: left %q", name, c.reason, left)
			}
		}
		if left, _ := filepath.Glob(m.file(repoPrefix + "*")); len(left) != 1 {
			t.Errorf("%s: %s: repositories left: %q", name, c.reason, left)
		}
	}
}
