package gitsource

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// writeProgram writes a program. A process that another test starts meanwhile would
// have the file open for writing as well, and nobody could run it.
func writeProgram(tb testing.TB, path, text string) {
	tb.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		tb.Fatal(err)
	}
}

// upstream is a repository that tests push to and mirrors fetch from.
type upstream struct {
	tb  testing.TB
	dir string
}

// gitEnv keeps the settings of whoever runs the tests out of them.
var gitEnv = []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_COUNT=1",
	"GIT_CONFIG_KEY_0=core.fsync", "GIT_CONFIG_VALUE_0=none"}

func newUpstream(tb testing.TB, initArgs ...string) *upstream {
	tb.Helper()
	u := &upstream{tb: tb, dir: filepath.Join(tb.TempDir(), "upstream.git")}
	cmd := exec.Command("git", append(append([]string{"init", "--quiet", "--bare", "--initial-branch=main"}, initArgs...), u.dir)...)
	cmd.Env = append(os.Environ(), gitEnv...)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("git init: %v: %s", err, out)
	}
	return u
}

func (u *upstream) git(stdin string, args ...string) string {
	u.tb.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(append(os.Environ(), gitEnv...), "GIT_DIR="+u.dir, "GIT_COMMITTER_NAME=T", "GIT_COMMITTER_EMAIL=t@example.com")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		u.tb.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit adds a commit with one file changed to a branch, and returns its hash.
func (u *upstream) commit(branch, file, content string) string {
	u.tb.Helper()
	return u.write(branch, "refs/heads/"+branch+"^0", file, content)
}

// root replaces a branch by a commit that has no parent.
func (u *upstream) root(branch, file, content string) string {
	u.tb.Helper()
	u.git("", "update-ref", "-d", "refs/heads/"+branch)
	return u.write(branch, "", file, content)
}

func (u *upstream) write(branch, from, file, content string) string {
	u.tb.Helper()
	var s strings.Builder
	fmt.Fprintf(&s, "commit refs/heads/%s\ncommitter Tess <t@example.com> 1700000000 +0000\ndata %d\n%s\n", branch, len(file)+7, "Change "+file)
	if exec.Command("git", "--git-dir", u.dir, "rev-parse", "--quiet", "--verify", from).Run() == nil && from != "" {
		fmt.Fprintf(&s, "from %s\n", from)
	}
	fmt.Fprintf(&s, "M 100644 inline %s\ndata %d\n%s\n", file, len(content), content)
	u.git(s.String(), "fast-import", "--quiet", "--force")
	return u.git("", "rev-parse", "refs/heads/"+branch)
}

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

func openMirrors(tb testing.TB, dir string, opts Options) *Mirrors {
	tb.Helper()
	ms, err := Open(tb.Context(), dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ms.Close() })
	return ms
}

func openMirror(tb testing.TB, ms *Mirrors, remote Remote) *Mirror {
	tb.Helper()
	m, err := ms.Mirror("fleet", remote)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func fetch(tb testing.TB, m *Mirror) State {
	tb.Helper()
	state, err := m.Fetch(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return state
}

// mirrorOf is a mirror of its own that has fetched u.
func mirrorOf(tb testing.TB, u *upstream) *Mirror {
	tb.Helper()
	m := openMirror(tb, openMirrors(tb, tb.TempDir(), Options{}), Remote{URL: u.dir})
	fetch(tb, m)
	return m
}

func resolve(tb testing.TB, m *Mirror, rev Revision) Resolution {
	tb.Helper()
	r, err := m.Resolve(tb.Context(), rev)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// content reads a file of what a revision resolves to.
func content(tb testing.TB, m *Mirror, rev Revision, file string) string {
	tb.Helper()
	tree, err := m.Tree(tb.Context(), resolve(tb, m, rev).Commit)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := tree.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// httpServer serves an upstream over smart HTTP, at /repo.git.
type httpServer struct {
	*httptest.Server
	username, password string // if set, needed

	mu    sync.Mutex
	users map[string]int                                                  // requests with each Authorization
	wrap  func(w http.ResponseWriter, r *http.Request, next http.Handler) // if set, stands in between
}

func serveHTTP(tb testing.TB, u *upstream, start func(http.Handler) *httptest.Server) *httpServer {
	tb.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		tb.Fatal(err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		tb.Skipf("git-http-backend is not installed: %v", err)
	}
	s := &httpServer{users: map[string]int{}}
	git := &cgi.Handler{Path: backend, Root: "/", Stderr: &bytes.Buffer{}, Env: append([]string{
		"GIT_PROJECT_ROOT=" + filepath.Dir(u.dir), "GIT_HTTP_EXPORT_ALL=1"}, gitEnv...)}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		s.mu.Lock()
		s.users[user+":"+password]++
		needed, wrap := s.password, s.wrap
		s.mu.Unlock()
		if needed != "" && (user != s.username || password != needed) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you, "+password+"?", http.StatusUnauthorized)
			return
		}
		r.Header.Del("Authorization")
		if wrap != nil {
			wrap(w, r, git)
			return
		}
		git.ServeHTTP(w, r)
	}))
	tb.Cleanup(s.Close)
	return s
}

func (s *httpServer) repo(u *upstream) string { return s.URL + "/" + filepath.Base(u.dir) }

func (s *httpServer) between(wrap func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrap = wrap
}

// recordingGit is a git command that notes its arguments and environment in a file before it runs.
func recordingGit(tb testing.TB) (program, record string) {
	tb.Helper()
	real, err := exec.LookPath("git")
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	program, record = filepath.Join(dir, "git"), filepath.Join(dir, "record")
	script := fmt.Sprintf("#!/bin/sh\n{ echo \"run $*\"; env; } >> %s\nexec %s \"$@\"\n", record, real)
	writeProgram(tb, program, script)
	return program, record
}

// runs returns the git commands in a record, and forgets them.
func runs(tb testing.TB, record string) []string {
	tb.Helper()
	data, err := os.ReadFile(record)
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	os.Remove(record)
	var commands []string
	for line := range strings.Lines(string(data)) {
		if args, ok := strings.CutPrefix(line, "run "); ok {
			commands = append(commands, strings.Fields(args)[0])
		}
	}
	return commands
}
