package gitserver

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFirstPushCreates(t *testing.T) {
	cases := []struct {
		name, reason string
		repository   string
		push         []string
		wantHead     string
	}{
		{"main", "the ordinary case", "fleet", []string{"main"}, "refs/heads/main"},
		{"with suffix", ".git names the same repository", "fleet.git", []string{"main"}, "refs/heads/main"},
		{"nested", "names may have several elements", "team/app", []string{"main"}, "refs/heads/main"},
		{"one other", "the only branch there is becomes the default", "fleet", []string{"main:trunk"}, "refs/heads/trunk"},
		{"main among others", "main is preferred to what sorts before it", "fleet", []string{"main:a", "main"}, "refs/heads/main"},
		{"several others", "without main, the first by name", "fleet", []string{"main:c", "main:b"}, "refs/heads/b"},
		{"tag only", "a tag creates the repository and says nothing of branches", "fleet",
			[]string{"main:refs/tags/v1"}, "refs/heads/main"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, Options{})
			url := l.url + "/" + c.repository
			name := strings.TrimSuffix(c.repository, ".git")

			out, err := tryGit(t.Context(), t.TempDir(), "clone", url, "copy")
			if err == nil || !strings.Contains(out, "the first push to it creates it") {
				t.Fatalf("cloning a repository that does not exist: %v, want a hint\n%s", err, out)
			}
			if _, err := os.Stat(l.repositoryDir(name)); !os.IsNotExist(err) {
				t.Fatalf("a fetch created the repository (%v)", err)
			}

			work := newClone(t, url)
			id := commit(t, work, "start", "README", "hello\n")
			runGit(t, work, append([]string{"push", "origin"}, c.push...)...)

			head := runGit(t, l.repositoryDir(name), "symbolic-ref", "HEAD")
			if head != c.wantHead {
				t.Errorf("%s: default branch is %s, want %s", c.reason, head, c.wantHead)
			}
			if refs := remoteRefs(t, l.url+"/"+name+".git"); strings.Count(refs, id+" refs/") != len(c.push) {
				t.Errorf("%s: repository has\n%s\nwant %v at %s", c.reason, refs, c.push, id)
			}
			pushes, _ := l.told()
			if len(pushes) != 1 || !pushes[0].Created || pushes[0].Repository != name || len(pushes[0].Moves) != len(c.push) {
				t.Errorf("%s: listener was told %+v", c.reason, pushes)
			}
			l.checkQuiet(t)
		})
	}
}

func TestPushFetchForceDelete(t *testing.T) {
	l := newLab(t, Options{})
	url := l.url + "/fleet.git"
	work := newClone(t, url)
	first := commit(t, work, "first", "a", "1\n")
	runGit(t, work, "push", "origin", "main", "main:topic")

	other := filepath.Join(t.TempDir(), "other")
	runGit(t, filepath.Dir(other), "clone", "--quiet", url, other)
	second := commit(t, work, "second", "a", "2\n")
	runGit(t, work, "push", "origin", "main")
	runGit(t, other, "fetch", "origin")
	if got := runGit(t, other, "rev-parse", "origin/main"); got != second {
		t.Errorf("fetched main is %s, want %s", got, second)
	}

	diverged := commit(t, other, "diverged", "a", "3\n")
	if out, err := tryGit(t.Context(), other, "push", "origin", "main"); err == nil {
		t.Errorf("a push that loses commits was accepted:\n%s", out)
	}
	runGit(t, other, "push", "--force", "origin", "main")
	runGit(t, other, "push", "origin", "--delete", "topic")
	if got, want := remoteRefs(t, url), diverged+" HEAD\n"+diverged+" refs/heads/main"; got != want {
		t.Errorf("repository has\n%s\nwant\n%s", got, want)
	}

	// A commit that no ref names can still be fetched, as on public hosting.
	for _, version := range []string{"0", "2"} {
		runGit(t, newClone(t, url), "-c", "protocol.version="+version, "fetch", "--depth=1", "origin", second)
	}

	runGit(t, other, "push", "origin", "--delete", "main")
	if got := remoteRefs(t, url); got != "" {
		t.Errorf("repository has %s after its default branch was deleted", got)
	}
	runGit(t, work, "push", "origin", "main")

	var got []string
	pushes, _ := l.told()
	for _, p := range pushes {
		for _, m := range p.Moves {
			got = append(got, fmt.Sprintf("%s %.7s..%.7s", m.Ref, m.Before, m.After))
		}
	}
	want := []string{
		fmt.Sprintf("refs/heads/main %.7s..%.7s", ZeroID, first),
		fmt.Sprintf("refs/heads/topic %.7s..%.7s", ZeroID, first),
		fmt.Sprintf("refs/heads/main %.7s..%.7s", first, second),
		fmt.Sprintf("refs/heads/main %.7s..%.7s", second, diverged),
		fmt.Sprintf("refs/heads/topic %.7s..%.7s", first, ZeroID),
		fmt.Sprintf("refs/heads/main %.7s..%.7s", diverged, ZeroID),
		fmt.Sprintf("refs/heads/main %.7s..%.7s", ZeroID, second),
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("listener was told\n%s\nwant\n%s", g, w)
	}
	l.checkQuiet(t)
}

func TestPassword(t *testing.T) {
	l := newLab(t, Options{Password: "open sesame"})
	withUser := func(user string) string {
		return strings.Replace(l.url, "://", "://"+user+"@", 1) + "/fleet"
	}
	work := newClone(t, "")
	commit(t, work, "start", "a", "1\n")

	for _, user := range []string{"", "ada", "ada:", "ada:wrong", "ada:open"} {
		url := withUser(user)
		if user == "" {
			url = l.url + "/fleet"
		}
		if out, err := tryGit(t.Context(), work, "push", url, "main"); err == nil {
			t.Errorf("push as %q was accepted:\n%s", user, out)
		}
	}
	if _, err := os.Stat(l.repositoryDir("fleet")); !os.IsNotExist(err) {
		t.Errorf("a push without password created the repository (%v)", err)
	}

	runGit(t, work, "push", withUser("ada:open%20sesame"), "main")
	runGit(t, work, "ls-remote", "--exit-code", withUser(":open%20sesame"), "main")
	if out, err := tryGit(t.Context(), work, "ls-remote", l.url+"/fleet"); err == nil {
		t.Errorf("fetch without password was answered:\n%s", out)
	}
	if pushes, _ := l.told(); len(pushes) != 1 || pushes[0].Pusher != "ada" {
		t.Errorf("listener was told %+v, want one push by ada", pushes)
	}

	response, err := http.Get(l.url + "/fleet/info/refs?service=git-upload-pack")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if challenge := response.Header.Get("WWW-Authenticate"); response.StatusCode != 401 || !strings.HasPrefix(challenge, "Basic ") {
		t.Errorf("without password: status %d, challenge %q", response.StatusCode, challenge)
	}
}

// TestUsersGitStaysOut gives the process a hostile environment and configuration, which git must not see.
func TestUsersGitStaysOut(t *testing.T) {
	home := t.TempDir()
	config := "[transfer]\n\thideRefs = refs/heads\n[http]\n\treceivepack = false\n[init]\n\tdefaultBranch = odd\n"
	writeFile(t, filepath.Join(home, ".gitconfig"), config)
	t.Setenv("HOME", home)
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, ".gitconfig"))
	t.Setenv("GIT_DIR", filepath.Join(home, "nowhere"))
	t.Setenv("GIT_NAMESPACE", "elsewhere")

	l := newLab(t, Options{})
	writeFile(t, filepath.Join(l.root, ".gitconfig"), config) // git's HOME is the root
	work := newClone(t, l.url+"/fleet")
	id := commit(t, work, "start", "a", "1\n")
	runGit(t, work, "push", "origin", "main")
	if got, want := remoteRefs(t, l.url+"/fleet"), id+" HEAD\n"+id+" refs/heads/main"; got != want {
		t.Errorf("repository has\n%s\nwant\n%s", got, want)
	}

	// A hook or a setting that got into the repository is not obeyed either.
	dir := l.repositoryDir("fleet")
	hook := filepath.Join(dir, "hooks", "pre-receive")
	if err := os.MkdirAll(filepath.Dir(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	runGit(t, dir, "config", "http.receivepack", "false")
	commit(t, work, "more", "a", "2\n")
	runGit(t, work, "push", "origin", "main")
	l.checkQuiet(t)
}

func TestForeignOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files to another user")
	}
	l := newLab(t, Options{})
	work := newClone(t, l.url+"/fleet")
	commit(t, work, "start", "a", "1\n")
	runGit(t, work, "push", "origin", "main")
	if err := os.Chown(l.repositoryDir("fleet"), 54321, 54321); err != nil {
		t.Fatal(err)
	}
	commit(t, work, "more", "a", "2\n")
	runGit(t, work, "push", "origin", "main")
	remoteRefs(t, l.url+"/fleet")
	l.checkQuiet(t)
}

// TestHousekeepingEndsWithThePush makes git's housekeeping due with every push: were it detached, it would still be
// running, with more than one pack to merge, when the push returns.
func TestHousekeepingEndsWithThePush(t *testing.T) {
	l := newLab(t, Options{})
	work := newClone(t, l.url+"/fleet")
	commit(t, work, "start", "a", "1\n")
	runGit(t, work, "push", "origin", "main")
	dir := l.repositoryDir("fleet")
	runGit(t, dir, "config", "gc.autoPackLimit", "1")
	runGit(t, dir, "config", "receive.unpackLimit", "1")
	for n := range 3 {
		commit(t, work, "more", "a", fmt.Sprint(n))
		runGit(t, work, "push", "origin", "main")
	}
	packs, err := filepath.Glob(filepath.Join(dir, "objects", "pack", "*.pack"))
	if err != nil || len(packs) != 1 {
		t.Errorf("packs are %v (%v), want one", packs, err)
	}
	l.checkQuiet(t)
}

func TestNew(t *testing.T) {
	t.Run("all problems at once", func(t *testing.T) {
		_, err := New(t.Context(), Options{MaxPush: -1, Backoff: -1, URL: "fleet"})
		for _, want := range []string{"root directory", "largest push", "backoff", "address"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not mention %q", err, want)
			}
		}
	})
	t.Run("git is missing", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := New(t.Context(), Options{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "looking for git") {
			t.Errorf("error is %v", err)
		}
	})
	fakes := []struct{ name, script, want string }{
		{"git is too old", "echo git version 2.30.1", `says "git version 2.30.1"`},
		{"git without server", "case $1 in --version) echo git version 2.50.0;; *) echo /nonexistent;; esac", "has no http-backend"},
	}
	for _, f := range fakes {
		t.Run(f.name, func(t *testing.T) {
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\n"+f.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin)
			if _, err := New(t.Context(), Options{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), f.want) {
				t.Errorf("error is %v, want %q", err, f.want)
			}
		})
	}
	t.Run("leftovers are cleared and repositories kept", func(t *testing.T) {
		l := newLab(t, Options{})
		work := newClone(t, l.url+"/fleet")
		commit(t, work, "start", "a", "1\n")
		runGit(t, work, "push", "origin", "main")
		writeFile(t, filepath.Join(l.scratch, "request-1"), "half")
		again := newLab(t, Options{Root: l.root})
		runGit(t, work, "ls-remote", "--exit-code", again.url+"/fleet", "main")
		again.checkQuiet(t)
	})
}

func TestParseVersion(t *testing.T) {
	cases := []struct {
		line         string
		major, minor int
		ok           bool
		reason       string
	}{
		{"git version 2.39.5\n", 2, 39, true, "as Debian says it"},
		{"git version 2.39.5 (Apple Git-154)\n", 2, 39, true, "as macOS says it"},
		{"git version 2.45.GIT\n", 2, 45, true, "built from a checkout"},
		{"git version 10.1\n", 10, 1, true, "more than one digit"},
		{"hub version 2.14", 0, 0, false, "something else called git"},
		{"", 0, 0, false, "nothing"},
	}
	for _, c := range cases {
		major, minor, ok := parseVersion(c.line)
		if major != c.major || minor != c.minor || ok != c.ok {
			t.Errorf("%s: %q reads as %d.%d %v", c.reason, c.line, major, minor, ok)
		}
	}
}

func TestTail(t *testing.T) {
	said := &tail{limit: 8}
	for _, s := range []string{"abc", "defgh", "ij", strings.Repeat("x", 20) + "end"} {
		if n, err := said.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("writing %q: %d, %v", s, n, err)
		}
	}
	if got := said.String(); got != "xxxxxend" {
		t.Errorf("kept %q", got)
	}
	if said.Write([]byte{0xff}); !bytes.Equal([]byte(said.String()), []byte("xxxxend?")) {
		t.Errorf("kept %q", said.String())
	}
}

func TestBesideAsksThePassword(t *testing.T) {
	l := newLab(t, Options{Password: "secret", Beside: map[string]http.Handler{"/-/charts": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path)
	})}})
	for _, test := range []struct {
		path, password string
		status         int
		body           string
	}{
		{"/-/charts/index.yaml", "secret", http.StatusOK, "/index.yaml"},
		{"/-/charts/index.yaml", "wrong", http.StatusUnauthorized, ""},
		{"/-/chartsx/index.yaml", "secret", http.StatusNotFound, ""},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("any", test.password)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != test.status || test.body != "" && string(body) != test.body {
			t.Errorf("%s with %q: %d %s %v", test.path, test.password, response.StatusCode, body, err)
		}
	}
}
