package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nave.dev/internal/gitsource/gittree"
)

// damageRecorder notes what a listener is told of damage and repair.
type damageRecorder struct {
	mu                sync.Mutex
	damaged, repaired int
}

func (d *damageRecorder) listener() Listener {
	add := func(n *int) { d.mu.Lock(); *n++; d.mu.Unlock() }
	return Listener{
		Damaged:  func(DamagedInfo) { add(&d.damaged) },
		Repaired: func(RepairedInfo) { add(&d.repaired) },
	}
}

func TestDamagedMirrorIsReplaced(t *testing.T) {
	repoFile := func(m *Mirror, pattern string) string {
		found, _ := filepath.Glob(filepath.Join(m.repository(), pattern))
		if len(found) == 0 {
			t.Fatalf("no %s in the mirror", pattern)
		}
		os.Chmod(found[0], 0o600)
		return found[0]
	}
	rewrite := func(file string, change func(data []byte) []byte) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(file, change(data), 0o600)
	}
	cases := map[string]struct {
		reason string
		damage func(m *Mirror) error
		seen   bool // by reading, before anything is fetched
		whole  bool // nothing that was fetched is lost, so nothing is fetched anew
	}{
		"pack truncated": {reason: "the file system lost the end of a file", seen: true, damage: func(m *Mirror) error {
			return rewrite(repoFile(m, "objects/pack/*.pack"), func(d []byte) []byte { return d[:len(d)/2] })
		}},
		"pack flipped": {reason: "a disk that returns something else", seen: true, damage: func(m *Mirror) error {
			return rewrite(repoFile(m, "objects/pack/*.pack"), func(d []byte) []byte {
				for i := 20; i < len(d)-20; i++ {
					d[i] ^= 0x55
				}
				return d
			})
		}},
		"pack gone":  {reason: "somebody made room", seen: true, damage: func(m *Mirror) error { return os.Remove(repoFile(m, "objects/pack/*.pack")) }},
		"index gone": {reason: "somebody made room", seen: true, damage: func(m *Mirror) error { return os.Remove(repoFile(m, "objects/pack/*.idx")) }},
		"index empty": {reason: "a power cut", seen: true, damage: func(m *Mirror) error {
			return rewrite(repoFile(m, "objects/pack/*.idx"), func([]byte) []byte { return nil })
		}},
		"objects gone":  {reason: "somebody made room", seen: true, damage: func(m *Mirror) error { return os.RemoveAll(repoFile(m, "objects")) }},
		"head garbage":  {reason: "a power cut", seen: true, damage: func(m *Mirror) error { return os.WriteFile(repoFile(m, "HEAD"), []byte("\x00\x00"), 0o600) }},
		"config broken": {reason: "a power cut", seen: true, damage: func(m *Mirror) error { return os.WriteFile(repoFile(m, "config"), []byte("[[["), 0o600) }},
		"packed refs garbage": {reason: "a power cut", damage: func(m *Mirror) error {
			return os.WriteFile(repoFile(m, "packed-refs"), bytes.Repeat([]byte{0}, 100), 0o600)
		}},
		"refs gone":      {reason: "git only negotiates by them", whole: true, damage: func(m *Mirror) error { return os.Remove(repoFile(m, "packed-refs")) }},
		"own refs empty": {reason: "a power cut", whole: true, damage: func(m *Mirror) error { return os.WriteFile(m.file("refs"), nil, 0o600) }},
		"own refs gone":  {reason: "somebody made room", whole: true, damage: func(m *Mirror) error { return os.Remove(m.file("refs")) }},
		"state garbage": {reason: "a power cut", whole: true, damage: func(m *Mirror) error {
			return errors.Join(os.WriteFile(m.file("state.json"), []byte("{"), 0o600), os.WriteFile(m.file("resolved.json"), []byte("]"), 0o600))
		}},
		"link gone":     {reason: "somebody made room", whole: true, damage: func(m *Mirror) error { return os.Remove(m.file("current")) }},
		"link dangling": {reason: "somebody made room", whole: true, damage: func(m *Mirror) error { return os.RemoveAll(m.repository()) }},
		"link astray": {reason: "only repositories of this mirror count", whole: true, damage: func(m *Mirror) error {
			return errors.Join(os.Remove(m.file("current")), os.Symlink("../../etc", m.file("current")))
		}},
		"branch lost in a crash": {reason: "an empty file in the place of a ref", damage: func(m *Mirror) error {
			return os.WriteFile(filepath.Join(m.repository(), "refs/heads/main"), nil, 0o600)
		}},
		"ref to nothing": {reason: "a ref without its objects", damage: func(m *Mirror) error {
			return os.WriteFile(filepath.Join(m.repository(), "refs/heads/main"), []byte(strings.Repeat("1", 40)+"\n"), 0o600)
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			first := u.commit("main", "dir/file", strings.Repeat("one\n", 100))
			rec, cache := &damageRecorder{}, t.TempDir()
			opts := Options{Listener: rec.listener()}
			m := openMirror(t, openMirrors(t, cache, opts), Remote{URL: u.dir})
			fetch(t, m)
			if err := c.damage(m); err != nil {
				t.Fatal(err)
			}

			// A new process, so that nothing is in memory.
			m = openMirror(t, openMirrors(t, cache, opts), Remote{URL: u.dir})
			err := readAll(t.Context(), m, first)
			if c.seen && (!errors.Is(err, gittree.ErrDamaged) && !errors.Is(err, gittree.ErrMissing) || m.State().Damage == "") {
				t.Errorf("%s: not noticed: %v, state %+v", c.reason, err, m.State())
			}
			if c.seen {
				if now := time.Now(); !NextPoll(now, m.State(), time.Hour).Equal(now) {
					t.Error("the repair is not due at once")
				}
			}

			// What is not seen by reading stands in the way of the next commit.
			second := u.commit("main", "dir/file", "two")
			fetch(t, m)
			if state := m.State(); state.Damage != "" || state.Failing() {
				t.Errorf("%s: state after the repair %+v", c.reason, state)
			}
			for _, commit := range []string{first, second} {
				if err := readAll(t.Context(), m, commit); err != nil {
					t.Errorf("%s: %v", c.reason, err)
				}
			}
			if want := map[bool]int{false: 1, true: 0}[c.whole]; rec.damaged != want || rec.repaired != want {
				t.Errorf("%s: told of %d damages and %d repairs, want %d", c.reason, rec.damaged, rec.repaired, want)
			}
			if left, _ := filepath.Glob(filepath.Join(m.dir, repoPrefix+"*")); len(left) != 1 {
				t.Errorf("%s: repositories left: %q", c.reason, left)
			}
		})
	}
}

// readAll reads the one file of a test commit.
func readAll(ctx context.Context, m *Mirror, commit string) error {
	tree, err := m.Tree(ctx, commit)
	if err != nil {
		return err
	}
	_, err = tree.ReadFile("dir/file")
	return err
}

// TestDamageWhileRemoteIsAway has both at once: what can be read stays readable, and the repair comes with the remote.
func TestDamageWhileRemoteIsAway(t *testing.T) {
	u := newUpstream(t)
	old := u.commit("main", "dir/file", "old")
	m := mirrorOf(t, u)
	next := u.commit("main", "dir/file", "next")
	fetch(t, m)
	resolve(t, m, Revision{})
	removePackOf(t, m, next)
	away := u.dir + ".away"
	if err := os.Rename(u.dir, away); err != nil {
		t.Fatal(err)
	}
	if err := readAll(t.Context(), m, next); err == nil {
		t.Fatal("the damage is not there")
	}
	if _, err := m.Fetch(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if err := readAll(t.Context(), m, old); err != nil {
		t.Errorf("what is sound cannot be read: %v", err)
	}
	if state := m.State(); state.Damage == "" || !state.Failing() {
		t.Errorf("state %+v", state)
	}
	if err := os.Rename(away, u.dir); err != nil {
		t.Fatal(err)
	}
	fetch(t, m)
	if err := readAll(t.Context(), m, next); err != nil || m.State().Damage != "" {
		t.Errorf("after the return: %v, %+v", err, m.State())
	}
}

// removePackOf removes the pack that holds a commit.
func removePackOf(t *testing.T, m *Mirror, commit string) {
	t.Helper()
	indexes, _ := filepath.Glob(filepath.Join(m.repository(), "objects/pack/*.idx"))
	for _, index := range indexes {
		f, err := os.Open(index)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("git", "show-index")
		cmd.Stdin = f
		out, err := cmd.Output()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(out, []byte(commit)) {
			if err := os.Remove(strings.TrimSuffix(index, ".idx") + ".pack"); err != nil {
				t.Fatal(err)
			}
			m.store.Restart()
			return
		}
	}
	t.Fatalf("commit %s is in no pack", commit)
}

// TestRepairKeepsWhatTheRemoteDropped damages a mirror that holds a commit in force which is nowhere else any more.
func TestRepairKeepsWhatTheRemoteDropped(t *testing.T) {
	u := newUpstream(t)
	dropped := u.commit("feature", "dir/file", "dropped")
	u.commit("main", "dir/file", "main")
	m := mirrorOf(t, u)
	resolve(t, m, Revision{Branch: "feature"})
	u.git("", "update-ref", "-d", "refs/heads/feature")
	u.git("", "gc", "--quiet", "--prune=now")
	next := u.commit("main", "dir/file", "next")
	fetch(t, m)
	removePackOf(t, m, next)
	if err := readAll(t.Context(), m, next); err == nil {
		t.Fatal("the damage is not there")
	}
	before := m.repository()
	fetch(t, m)
	if before == m.repository() {
		t.Fatal("the mirror was not replaced")
	}
	if got := resolve(t, m, Revision{Branch: "feature"}); got.Commit != dropped || !got.Held() {
		t.Errorf("resolution %+v", got)
	}
	for _, commit := range []string{dropped, next} {
		if err := readAll(t.Context(), m, commit); err != nil {
			t.Errorf("after the repair: %v", err)
		}
	}
}

// TestReaderSurvivesReplacement has a tree of one process in use while another process replaces the mirror.
func TestReaderSurvivesReplacement(t *testing.T) {
	u := newUpstream(t)
	commit := u.commit("main", "dir/file", "content")
	cache := t.TempDir()
	reader := openMirror(t, openMirrors(t, cache, Options{CacheBytes: 1}), Remote{URL: u.dir})
	fetch(t, reader)
	tree, err := reader.Tree(t.Context(), commit)
	if err != nil {
		t.Fatal(err)
	}
	writer := openMirror(t, openMirrors(t, cache, Options{}), Remote{URL: u.dir})
	removePackOf(t, writer, commit)
	if err := readAll(t.Context(), writer, commit); err == nil {
		t.Fatal("the damage is not there")
	}
	fetch(t, writer)
	if data, err := tree.ReadFile("dir/file"); err != nil || string(data) != "content" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestFalseAlarmReplacesNothing(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	rec := &damageRecorder{}
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{Listener: rec.listener()}), Remote{URL: u.dir})
	fetch(t, m)
	before := m.repository()
	m.damaged(errors.New("something that has passed"))
	fetch(t, m)
	if m.repository() != before || m.State().Damage != "" || rec.repaired != 0 {
		t.Errorf("replaced %q by %q, state %+v", before, m.repository(), m.State())
	}
}

func TestTransferCutOff(t *testing.T) {
	u := newUpstream(t)
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	first := u.commit("main", "dir/file", "one")
	server := serveHTTP(t, u, httptest.NewServer)
	rec := &damageRecorder{}
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{Listener: rec.listener()}), Remote{URL: server.repo(u)})
	cut := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if strings.HasSuffix(r.URL.Path, "/git-upload-pack") && bytes.Contains(body, []byte("packfile")) {
			body = body[:len(body)*2/3]
		}
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.Write(body)
	}
	server.between(cut)
	if _, err := m.Fetch(t.Context()); err == nil {
		t.Fatal("half of a first transfer was taken for the whole")
	}
	if left, _ := filepath.Glob(filepath.Join(m.dir, repoPrefix+"*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	server.between(nil)
	fetch(t, m)

	second := u.commit("main", "dir/file", string(noise))
	server.between(cut)
	if _, err := m.Fetch(t.Context()); err == nil {
		t.Fatal("half of a transfer was taken for the whole")
	}
	if got := resolve(t, m, Revision{}); got.Commit != first {
		t.Errorf("resolves to %s, want what was fetched whole", got.Commit)
	}
	if state := m.State(); state.Failures != 1 || state.Head != first || state.Damage != "" || rec.damaged != 0 {
		t.Errorf("state %+v", state)
	}
	server.between(nil)
	fetch(t, m)
	if got := resolve(t, m, Revision{}); got.Commit != second {
		t.Errorf("resolves to %s, want %s", got.Commit, second)
	}
}

func TestRemoteTalksNonsense(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	server := serveHTTP(t, u, httptest.NewServer)
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: server.repo(u)})
	fetch(t, m)
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"a login page": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			fmt.Fprint(w, "<html>please log in</html>")
		},
		"nothing": func(http.ResponseWriter, *http.Request, http.Handler) {},
		"an error": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			http.Error(w, "busy", http.StatusServiceUnavailable)
		},
		"hangs up": func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) },
	} {
		server.between(answer)
		if _, err := m.Fetch(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := content(t, m, Revision{}, "file"); got != "content" {
			t.Errorf("%s: read %q", name, got)
		}
	}
}

func TestRemoteHangs(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	server := serveHTTP(t, u, httptest.NewServer)
	reached, release := make(chan struct{}, 10), make(chan struct{})
	server.between(func(http.ResponseWriter, *http.Request, http.Handler) { reached <- struct{}{}; <-release })
	defer close(release)

	ms := openMirrors(t, t.TempDir(), Options{FetchTimeout: 300 * time.Millisecond})
	m := openMirror(t, ms, Remote{URL: server.repo(u)})
	_, err := m.Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "it took more than 300ms") || m.State().Failures != 1 {
		t.Errorf("got %v, state %+v", err, m.State())
	}

	patient := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: server.repo(u)})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	go func() {
		<-reached
		cancel(why)
	}()
	if _, err := patient.Fetch(ctx); !errors.Is(err, why) {
		t.Errorf("got %v, want the cause of the cancellation", err)
	}
	if state := patient.State(); state.Failing() || !state.LastAttempt.IsZero() {
		t.Errorf("a fetch that was called off counts: %+v", state)
	}
}

func TestFetchesAtOnceShareOne(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	server := serveHTTP(t, u, httptest.NewServer)
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	server.between(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		once.Do(func() { close(reached); <-release })
		next.ServeHTTP(w, r)
	})
	var mu sync.Mutex
	ended := 0
	ms := openMirrors(t, t.TempDir(), Options{Listener: Listener{Fetched: func(FetchedInfo) { mu.Lock(); ended++; mu.Unlock() }}})
	m := openMirror(t, ms, Remote{URL: server.repo(u)})
	var wg sync.WaitGroup
	wg.Go(func() { fetch(t, m) })
	<-reached
	// None of these is served by the fetch that runs, which may have missed what they are about; one serves them all.
	waiting := make(chan struct{}, 100)
	for range 100 {
		wg.Go(func() {
			waiting <- struct{}{}
			fetch(t, m)
		})
	}
	for range 100 {
		<-waiting
	}
	close(release)
	wg.Wait()
	// A goroutine may have announced itself and asked only after the second fetch began.
	if ended < 2 || ended > 50 {
		t.Errorf("%d fetches for 101 calls", ended)
	}
}

func TestTwoProcessesOnOneDirectory(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "0")
	cache := t.TempDir()
	var mirrors []*Mirror
	for range 3 { // their locks know nothing of each other, as in three processes
		mirrors = append(mirrors, openMirror(t, openMirrors(t, cache, Options{}), Remote{URL: u.dir}))
	}
	for i := range 5 {
		want := fmt.Sprint(i)
		u.commit("main", "file", want)
		var wg sync.WaitGroup
		for _, m := range mirrors {
			wg.Go(func() {
				if _, err := m.Fetch(t.Context()); err != nil {
					t.Error(err)
				}
				if got := content(t, m, Revision{}, "file"); got != want {
					t.Errorf("read %q, want %q", got, want)
				}
			})
		}
		wg.Wait()
	}
}

func TestLockOfAnother(t *testing.T) {
	t.Parallel() // it waits
	u := newUpstream(t)
	u.commit("main", "file", "content")
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{FetchTimeout: 3 * time.Second}), Remote{URL: u.dir})
	held, err := lock(t.Context(), m.file("lock"))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("waiting for process %d, which works on the same mirror: it took more than 3s", os.Getpid())
	if _, err := m.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	held.Close()
	fetch(t, m)

	// To find nothing new takes no lock.
	if held, err = lock(t.Context(), m.file("lock")); err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	fetch(t, m)
}
