package gitserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// lab is a server on a port of its own, with what it told its listener.
type lab struct {
	*Server
	root string
	url  string // http://127.0.0.1:PORT

	mu       sync.Mutex
	pushes   []Push
	failures []Failure
}

// newLab starts a server. The wrapper, if any, stands between the network and the server.
func newLab(t *testing.T, opts Options, wrap ...func(http.Handler) http.Handler) *lab {
	t.Helper()
	l := &lab{root: opts.Root}
	if l.root == "" {
		l.root = filepath.Join(t.TempDir(), "repositories")
	}
	opts.Root = l.root
	opts.Listener.Pushed = func(p Push) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pushes = append(l.pushes, p)
	}
	opts.Listener.Failed = func(f Failure) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failures = append(l.failures, f)
	}
	server, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	l.Server = server
	var handler http.Handler = server
	for _, w := range wrap {
		handler = w(handler)
	}
	listener := httptest.NewServer(handler)
	t.Cleanup(listener.Close)
	l.url = listener.URL
	return l
}

func (l *lab) told() ([]Push, []Failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Push(nil), l.pushes...), append([]Failure(nil), l.failures...)
}

// checkQuiet fails the test if the server complained or left something behind.
func (l *lab) checkQuiet(t *testing.T) {
	t.Helper()
	if _, failures := l.told(); len(failures) > 0 {
		t.Errorf("server reported failures: %v", failures)
	}
	left, err := os.ReadDir(l.scratch)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("server left %v behind", left)
	}
}

// clientEnv is the environment of a git client that knows nothing of the user's own settings.
func clientEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + os.DevNull,
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.fsync", "GIT_CONFIG_VALUE_0=none",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2024-05-01T10:00:00+02:00",
		"GIT_COMMITTER_NAME=Cid", "GIT_COMMITTER_EMAIL=cid@example.com", "GIT_COMMITTER_DATE=2024-05-02T11:00:00+02:00",
	}
}

// tryGit runs git in dir and returns what it said on both streams.
func tryGit(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = clientEnv()
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(t.Context(), dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// newClone makes a local repository on branch main whose remote origin is the URL, with nothing in it.
func newClone(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	runGit(t, dir, "init", "--quiet", "--initial-branch=main")
	runGit(t, dir, "remote", "add", "origin", url)
	return dir
}

// commit writes files, given as path and content, and commits them. It returns the commit's id.
func commit(t *testing.T, dir, message string, files ...string) string {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, files[i+1])
	}
	runGit(t, dir, "add", "--all")
	runGit(t, dir, "commit", "--quiet", "--allow-empty", "-m", message)
	return runGit(t, dir, "rev-parse", "HEAD")
}

// remoteRefs is what a client sees of a repository, one "ID REF" a line.
func remoteRefs(t *testing.T, url string) string {
	t.Helper()
	return strings.ReplaceAll(runGit(t, t.TempDir(), "ls-remote", url), "\t", " ")
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
