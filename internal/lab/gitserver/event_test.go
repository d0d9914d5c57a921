package gitserver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nave.dev/internal/lab/gitserver/webhook"
)

const testSecret = "It's a secret to everybody"

// receiver is a webhook that checks what every event must have and passes the events on.
func receiver(t *testing.T) (url string, events <-chan pushEvent) {
	t.Helper()
	received := make(chan pushEvent, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading event: %v", err)
		}
		mac := hmac.New(sha256.New, []byte(testSecret))
		mac.Write(body)
		if got, want := r.Header.Get("X-Hub-Signature-256"), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("signature is %q, want %q", got, want)
		}
		if r.Method != "POST" || r.Header.Get("X-GitHub-Event") != "push" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("request is %s with %v", r.Method, r.Header)
		}
		var e pushEvent
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("event is not JSON: %v", err)
		}
		received <- e
	}))
	t.Cleanup(server.Close)
	return server.URL, received
}

// delivering runs Deliver for as long as the test.
func delivering(t *testing.T, l *lab) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Deliver(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Deliver: %v", err)
		}
	})
}

func next(t *testing.T, events <-chan pushEvent) pushEvent {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(3 * time.Minute):
		t.Fatal("no event came")
		return pushEvent{}
	}
}

func TestPushEvents(t *testing.T) {
	hook, events := receiver(t)
	l := newLab(t, Options{Password: "open sesame", Hooks: []webhook.Hook{{URL: hook, Secret: testSecret}}})
	delivering(t, l)
	url := strings.Replace(l.url, "://", "://ada:open%20sesame@", 1) + "/team/fleet"
	work := newClone(t, url)

	repository := eventRepository{
		Name: "fleet", FullName: "team/fleet", DefaultBranch: "main",
		HTMLURL: l.url + "/team/fleet", CloneURL: l.url + "/team/fleet.git",
	}
	author := eventPerson{Name: "Ada", Email: "ada@example.com"}
	committer := eventPerson{Name: "Cid", Email: "cid@example.com"}
	made := func(id, message string, added, removed, modified []string) eventCommit {
		return eventCommit{
			ID: id, TreeID: runGit(t, work, "rev-parse", id+"^{tree}"), Message: message, Timestamp: "2024-05-02T11:00:00+02:00",
			Author: author, Committer: committer, Added: added, Removed: removed, Modified: modified,
		}
	}
	check := func(reason string, want pushEvent) {
		t.Helper()
		want.Repository, want.Pusher = repository, eventPusher{Name: "ada"}
		got := next(t, events)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
		if got.Commits == nil {
			t.Errorf("%s: commits are null", reason)
		}
	}

	const base = "base/über \"all\"\n.yaml"
	first := commit(t, work, "first\n\nwith a body", base, "1\n", "gone", "1\n")
	runGit(t, work, "push", "origin", "main")
	firstCommit := made(first, "first\n\nwith a body", []string{base, "gone"}, nil, nil)
	check("a new repository", pushEvent{Ref: "refs/heads/main", Before: ZeroID, After: first, Created: true,
		HeadCommit: &firstCommit, Commits: []eventCommit{firstCommit}})

	second := commit(t, work, "second", "new", "1\n")
	runGit(t, work, "rm", "--quiet", "gone")
	third := commit(t, work, "third", base, "2\n")
	runGit(t, work, "push", "origin", "main")
	secondCommit := made(second, "second", []string{"new"}, nil, nil)
	thirdCommit := made(third, "third", nil, []string{"gone"}, []string{base})
	check("two commits, oldest first", pushEvent{Ref: "refs/heads/main", Before: first, After: third,
		HeadCommit: &thirdCommit, Commits: []eventCommit{secondCommit, thirdCommit}})

	runGit(t, work, "tag", "-a", "v1", "-m", "release")
	tag := runGit(t, work, "rev-parse", "v1")
	runGit(t, work, "push", "origin", "main:topic", "v1")
	check("a branch without new commits", pushEvent{Ref: "refs/heads/topic", Before: ZeroID, After: third, Created: true,
		HeadCommit: &thirdCommit})
	check("an annotated tag", pushEvent{Ref: "refs/tags/v1", Before: ZeroID, After: tag, Created: true, HeadCommit: &thirdCommit})

	runGit(t, work, "push", "--force", "origin", second+":refs/heads/main")
	check("moved back", pushEvent{Ref: "refs/heads/main", Before: third, After: second, Forced: true, HeadCommit: &secondCommit})

	runGit(t, work, "push", "--force", "origin", first+":refs/tags/v1")
	check("a moved tag", pushEvent{Ref: "refs/tags/v1", Before: tag, After: first, Forced: true, HeadCommit: &firstCommit})

	runGit(t, work, "push", "origin", "--delete", "topic")
	check("deleted", pushEvent{Ref: "refs/heads/topic", Before: third, After: ZeroID, Deleted: true})

	blob := runGit(t, work, "rev-parse", first+":gone")
	runGit(t, work, "push", "origin", blob+":refs/tags/blob", "main:refs/notes/x")
	check("a tag that names no commit; nothing for the ref that is neither branch nor tag",
		pushEvent{Ref: "refs/tags/blob", Before: ZeroID, After: blob, Created: true})

	// A merge is described against its first parent.
	runGit(t, work, "checkout", "--quiet", "-b", "side", first)
	side := commit(t, work, "side", "side", "1\n")
	runGit(t, work, "checkout", "--quiet", "main")
	runGit(t, work, "merge", "--quiet", "--no-ff", "-m", "merge", "side")
	merge := runGit(t, work, "rev-parse", "main")
	runGit(t, work, "push", "origin", third+":refs/heads/main")
	next(t, events)
	runGit(t, work, "push", "origin", "main")
	mergeCommit := made(merge, "merge", []string{"side"}, nil, nil)
	check("a merge", pushEvent{Ref: "refs/heads/main", Before: third, After: merge,
		HeadCommit: &mergeCommit, Commits: []eventCommit{made(side, "side", []string{"side"}, nil, nil), mergeCommit}})

	if pushes, _ := l.told(); len(pushes) != 9 {
		t.Errorf("listener was told of %d pushes", len(pushes))
	}
	l.checkQuiet(t)
}

func TestManyCommitsAndFiles(t *testing.T) {
	hook, events := receiver(t)
	l := newLab(t, Options{URL: "https://git.example.com/lab/"})
	delivering(t, l)
	work := newClone(t, l.url+"/fleet")
	commit(t, work, "before the hook", "a", "0\n")
	runGit(t, work, "push", "origin", "main")
	if err := l.SetHooks([]webhook.Hook{{URL: hook, Secret: testSecret}}); err != nil {
		t.Fatal(err)
	}

	var last string
	for n := range maxCommits + 5 {
		last = commit(t, work, fmt.Sprint(n), "a", fmt.Sprint(n))
	}
	runGit(t, work, "push", "origin", "main")
	e := next(t, events)
	if len(e.Commits) != maxCommits || e.Commits[maxCommits-1].ID != last || e.Commits[0].Message != "5" {
		t.Errorf("event has %d commits, from %q", len(e.Commits), e.Commits[0].Message)
	}
	if got, want := e.Repository.CloneURL, "https://git.example.com/lab/fleet.git"; got != want {
		t.Errorf("clone URL is %s, want %s", got, want)
	}
	if e.Pusher.Name != "anonymous" {
		t.Errorf("pusher is %q", e.Pusher.Name)
	}

	var files []string
	for n := range maxFiles + 1 {
		files = append(files, fmt.Sprintf("d/%d", n), "x")
	}
	commit(t, work, "many files", files...)
	runGit(t, work, "push", "origin", "main")
	if e := next(t, events); len(e.HeadCommit.Added) != 0 {
		t.Errorf("a commit over the limit lists %d files, want none rather than some", len(e.HeadCommit.Added))
	}
	deliveries := l.Deliveries()
	if len(deliveries) != 2 || deliveries[1].After != last || deliveries[0].Repository != "fleet" {
		t.Errorf("recorded %+v", deliveries)
	}
	l.checkQuiet(t)
}

// TestEventOfUnreadableCommit breaks the repository so that git cannot list what a push brought.
func TestEventOfUnreadableCommit(t *testing.T) {
	l := newLab(t, Options{})
	if err := l.SetHooks([]webhook.Hook{{URL: "http://127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	work := newClone(t, l.url+"/fleet")
	id := commit(t, work, "start", "a", "1\n")
	runGit(t, work, "push", "origin", "main")

	missing := strings.Repeat("1", 40)
	err := l.announce(t.Context(), finishedPush{
		Push: Push{Repository: "fleet", Moves: []Move{{Ref: "refs/heads/main", Before: id, After: missing}}},
		dir:  l.repositoryDir("fleet"),
	})
	if err == nil || !strings.Contains(err.Error(), "describing push to refs/heads/main") {
		t.Errorf("error is %v", err)
	}
	if d := l.Deliveries(); len(d) != 2 || d[0].After != missing {
		t.Errorf("the event did not go out: %+v", d)
	}
}

func TestParseLog(t *testing.T) {
	whole := "id\x00tree\x00time\x00an\x00ae\x00cn\x00ce\x00message\n\x00"
	cases := []struct {
		reason, out string
		commits     int
		ok          bool
	}{
		{"nothing", "", 0, true},
		{"one", whole, 1, true},
		{"two", whole + whole, 2, true},
		{"cut", whole[:len(whole)-1], 0, false},
		{"a field short", whole[3:], 0, false},
	}
	for _, c := range cases {
		commits, err := parseLog([]byte(c.out))
		if len(commits) != c.commits || (err == nil) != c.ok {
			t.Errorf("%s: %d commits, %v", c.reason, len(commits), err)
		}
	}
}

func TestParseDiffTree(t *testing.T) {
	one := strings.Repeat("1", 40)
	two := strings.Repeat("2", 40)
	cases := []struct {
		reason, out string
		want        map[string][]changedFile
	}{
		{"nothing", "", map[string][]changedFile{}},
		{"a commit without changes", one + "\x00" + two + "\x00A\x00x\x00", map[string][]changedFile{two: {{'A', "x"}}}},
		{"paths that look like an id or a status", one + "\x00M\x00" + two + "\x00D\x00A\x00",
			map[string][]changedFile{one: {{'M', two}, {'D', "A"}}}},
		{"status before a commit", "A\x00x\x00", nil},
		{"cut after the status", one + "\x00A\x00", nil},
		{"cut in the path", one + "\x00A\x00x", nil},
		{"empty field", one + "\x00\x00", nil},
	}
	for _, c := range cases {
		got, err := parseDiffTree([]byte(c.out))
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(changedFile{})); diff != "" || (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v (-want +got):\n%s", c.reason, err, diff)
		}
	}
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte("id\x00tree\x00time\x00an\x00ae\x00cn\x00ce\x00message\n\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, out []byte) {
		commits, err := parseLog(out)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, c := range commits {
			again.WriteString(strings.Join([]string{c.ID, c.TreeID, c.Timestamp, c.Author.Name, c.Author.Email,
				c.Committer.Name, c.Committer.Email, c.Message}, "\x00") + "\x00")
		}
		// Only the newlines that end a message are lost.
		if want := strings.Count(string(out), "\x00"); strings.Count(again.String(), "\x00") != want || again.Len() > len(out) {
			t.Errorf("%q reads as %q", out, again.String())
		}
	})
}

func FuzzParseDiffTree(f *testing.F) {
	f.Add([]byte(strings.Repeat("1", 40) + "\x00A\x00x\x00M\x00y\x00"))
	f.Add([]byte("A\x00x\x00"))
	f.Fuzz(func(t *testing.T, out []byte) {
		changed, err := parseDiffTree(out)
		if err != nil {
			return
		}
		size := 0
		for id, files := range changed {
			if len(id) < 2 {
				t.Errorf("commit %q", id)
			}
			for _, file := range files {
				size += len(file.path) + 3
			}
		}
		if size > len(out) {
			t.Errorf("%q reads as more than it is: %v", out, changed)
		}
	})
}
