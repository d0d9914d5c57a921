package gitsource

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/gitsource/commitsig"
	"nave.dev/internal/gitsource/gittree"
)

func TestFetchResolveRead(t *testing.T) {
	u := newUpstream(t)
	first := u.commit("main", "app.yaml", "one")
	u.git("", "tag", "v1.0.0", first)
	second := u.commit("main", "app.yaml", "two")
	u.git("", "-c", "user.name=T", "-c", "user.email=t@example.com", "tag", "-a", "-m", "annotated", "v1.2.0", second)
	u.git("", "tag", "v2.0.0-rc.1", second)
	u.git("", "tag", "1.1.5", first)
	u.git("", "tag", "nightly", second)
	u.git("", "tag", "web/v1.0.0", first)
	u.git("", "tag", "web/1.0.1", second)
	u.git("", "tag", "web-api/v1.9.0", second)
	feature := u.commit("team/feature", "app.yaml", "three")
	u.git("", "update-ref", "refs/pull/7/head", feature)

	m := mirrorOf(t, u)
	cases := map[string]struct {
		reason string
		rev    Revision
		ref    string
		commit string
		err    string
	}{
		"default":        {"the branch that the remote's HEAD names", Revision{}, "refs/heads/main", second, ""},
		"branch":         {"a branch with a slash", Revision{Branch: "team/feature"}, "refs/heads/team/feature", feature, ""},
		"tag":            {"a tag", Revision{Tag: "v1.0.0"}, "refs/tags/v1.0.0", first, ""},
		"annotated":      {"an annotated tag stands for its commit", Revision{Tag: "v1.2.0"}, "refs/tags/v1.2.0", second, ""},
		"range":          {"the highest version, a v or not", Revision{SemVer: "1.x"}, "refs/tags/v1.2.0", second, ""},
		"narrow range":   {"a version without a v", Revision{SemVer: "~1.1"}, "refs/tags/1.1.5", first, ""},
		"no pre-release": {"a pre-release is for who asks", Revision{SemVer: "*"}, "refs/tags/v1.2.0", second, ""},
		"pre-release":    {"a pre-release is for who asks", Revision{SemVer: ">=2.0.0-0"}, "refs/tags/v2.0.0-rc.1", second, ""},
		"prefix":         {"versions of tags with a prefix", Revision{SemVer: "1.x", TagPrefix: "web/"}, "refs/tags/web/1.0.1", second, ""},
		"prefix with v":  {"a v after the prefix", Revision{SemVer: "1.0.0", TagPrefix: "web/"}, "refs/tags/web/v1.0.0", first, ""},
		"commit":         {"a commit is itself", Revision{Commit: first}, "", first, ""},

		"no branch":     {"a name that is none", Revision{Branch: "gone"}, "", "", "resolving branch gone of source \"fleet\": the source has no such revision: the remote has no branch gone"},
		"tag as branch": {"branches and tags are apart", Revision{Branch: "v1.0.0"}, "", "", "the remote has no branch v1.0.0"},
		"no tag":        {"a name that is none", Revision{Tag: "main"}, "", "", "the remote has no tag main"},
		"no version":    {"a range with nothing in it", Revision{SemVer: ">=3"}, "", "", `none of the 4 versions among the tags of the remote is in ">=3"`},
		"no prefix":     {"another prefix with nothing in it", Revision{SemVer: "1.x", TagPrefix: "api/"}, "", "", `none of the 0 versions among the tags of the remote that begin with "api/" is in "1.x"`},
		"prefix alone":  {"a prefix of what?", Revision{TagPrefix: "web/"}, "", "", "goes with a range of versions"},
		"no range":      {"not a range", Revision{SemVer: "latest"}, "", "", `semver "latest" is not a range of versions`},
		"no commit":     {"a commit that is nowhere", Revision{Commit: strings.Repeat("1", 40)}, "", "", "the repository has no such commit"},
		"short commit":  {"a hash may not be ambiguous", Revision{Commit: first[:12]}, "", "", "is not a full hash"},
		"two at once":   {"it must be clear what is meant", Revision{Branch: "main", Tag: "v1.0.0"}, "", "", "one of branch, tag, semver and commit"},
		"pull request":  {"refs other than branches and tags are not fetched", Revision{Branch: "../pull/7/head"}, "", "", "the remote has no branch"},
	}
	for name, c := range cases {
		for range 2 { // found out and remembered
			got, err := m.Resolve(t.Context(), c.rev)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%s: %s: got %+v, %v, want %q", name, c.reason, got, err, c.err)
				}
				continue
			}
			if err != nil || got.Commit != c.commit || got.Ref != c.ref || got.Since.IsZero() || got.Held() || got.Rewritten || got.Previous != "" {
				t.Errorf("%s: %s: got %+v, %v, want %s %s", name, c.reason, got, err, c.ref, c.commit)
			}
		}
	}
	if got := content(t, m, Revision{Branch: "team/feature"}, "app.yaml"); got != "three" {
		t.Errorf("read %q", got)
	}
	commit, err := m.Commit(t.Context(), second)
	want := Commit{Hash: second, Parents: []string{first}, Author: "Tess <t@example.com>", Time: time.Unix(1700000000, 0).UTC(), Subject: "Change app.yaml"}
	if diff := cmp.Diff(want, commit); diff != "" || err != nil {
		t.Errorf("Commit: %v (-want +got)\n%s", err, diff)
	}
	if state := m.State(); state.Head != second || state.Default != "main" || state.Failing() || state.LastFetched.IsZero() {
		t.Errorf("state %+v", state)
	}
	if signers, err := commitsig.ParseSigners(nil); err != nil {
		t.Error(err)
	} else if got, err := m.Verify(t.Context(), second, commitsig.Trusted{Signers: signers}, time.Now()); err != nil || got.Reason != "the commit is not signed" {
		t.Errorf("Verify: %+v, %v", got, err)
	}
}

func TestNothingNewCostsOneCommand(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "one")
	program, record := recordingGit(t)
	clock := newClock()
	var told []FetchedInfo
	ms := openMirrors(t, t.TempDir(), Options{Git: program, Now: clock.Now,
		Listener: Listener{Fetched: func(i FetchedInfo) { told = append(told, i) }}})
	m := openMirror(t, ms, Remote{URL: u.dir})
	fetch(t, m)
	resolve(t, m, Revision{})
	runs(t, record)

	at := clock.pass(time.Minute)
	if state := fetch(t, m); !state.LastFetched.Equal(at) {
		t.Errorf("last fetched %v, want %v", state.LastFetched, at)
	}
	resolve(t, m, Revision{})
	if diff := cmp.Diff([]string{"ls-remote"}, runs(t, record)); diff != "" {
		t.Errorf("with nothing new: (-want +got)\n%s", diff)
	}
	u.commit("main", "file", "two")
	fetch(t, m)
	if got := content(t, m, Revision{}, "file"); got != "two" {
		t.Errorf("read %q", got)
	}
	if diff := cmp.Diff([]FetchedInfo{{Source: "fleet", Changed: true}, {Source: "fleet"}, {Source: "fleet", Changed: true}}, told); diff != "" {
		t.Errorf("told: (-want +got)\n%s", diff)
	}
}

func TestRefusesWithoutFetch(t *testing.T) {
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: filepath.Join(t.TempDir(), "nothing")})
	if _, err := m.Resolve(t.Context(), Revision{}); !errors.Is(err, ErrNotFetched) {
		t.Errorf("Resolve: %v", err)
	}
	_, errFetch := m.Fetch(t.Context())
	if errFetch == nil || !strings.Contains(errFetch.Error(), "does not appear to be a git repository") {
		t.Errorf("Fetch: %v", errFetch)
	}
	if _, err := m.Tree(t.Context(), strings.Repeat("1", 40)); !errors.Is(err, ErrNotFetched) || !strings.Contains(err.Error(), "does not appear") {
		t.Errorf("Tree does not say what fetching said: %v", err)
	}
	if state := m.State(); state.Damage != "" {
		t.Errorf("a mirror that does not exist is not damaged: %+v", state)
	}
}

func TestRemoteAway(t *testing.T) {
	u := newUpstream(t)
	first := u.commit("main", "file", "one")
	clock, cache := newClock(), t.TempDir()
	ms := openMirrors(t, cache, Options{Now: clock.Now})
	m := openMirror(t, ms, Remote{URL: u.dir})
	fetch(t, m)
	good := clock.Now()
	if err := os.Rename(u.dir, u.dir+".away"); err != nil {
		t.Fatal(err)
	}
	since := clock.pass(time.Minute)
	for range 3 {
		if _, err := m.Fetch(t.Context()); err == nil {
			t.Fatal("no error")
		}
		clock.pass(time.Minute)
	}

	// Another process later knows as much.
	m = openMirror(t, openMirrors(t, cache, Options{Now: clock.Now}), Remote{URL: u.dir})
	state := m.State()
	if !state.LastFetched.Equal(good) || !state.FailingSince.Equal(since) || state.Failures != 3 || state.Head != first ||
		!strings.Contains(state.Err, "does not appear to be a git repository") || state.URL != u.dir {
		t.Errorf("state %+v", state)
	}
	if got := content(t, m, Revision{}, "file"); got != "one" {
		t.Errorf("what was fetched is not in force: %q", got)
	}

	if err := os.Rename(u.dir+".away", u.dir); err != nil {
		t.Fatal(err)
	}
	u.commit("main", "file", "two")
	if state := fetch(t, m); state.Failing() || state.Err != "" || !state.FailingSince.IsZero() {
		t.Errorf("state after the return %+v", state)
	}
	if got := content(t, m, Revision{}, "file"); got != "two" {
		t.Errorf("after the return: %q", got)
	}
}

func TestTwoSourcesOneDown(t *testing.T) {
	up, down := newUpstream(t), newUpstream(t)
	up.commit("main", "file", "one")
	ms := openMirrors(t, t.TempDir(), Options{})
	a, err := ms.Mirror("a", Remote{URL: up.dir})
	if err != nil {
		t.Fatal(err)
	}
	b, err := ms.Mirror("b", Remote{URL: down.dir + ".none"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Fetch(t.Context()); err == nil {
		t.Error("no error")
	}
	fetch(t, a)
	if got := content(t, a, Revision{}, "file"); got != "one" {
		t.Errorf("read %q", got)
	}
}

func TestHistoryRewritten(t *testing.T) {
	u := newUpstream(t)
	base := u.commit("main", "file", "base")
	u.git("", "tag", "v1", base)
	u.git("", "tag", "v1.0.0", base)
	m := mirrorOf(t, u)
	main, tag, versions := Revision{Branch: "main"}, Revision{Tag: "v1"}, Revision{SemVer: "1.x"}
	for _, rev := range []Revision{main, tag, versions} {
		resolve(t, m, rev)
	}

	next := u.commit("main", "file", "next")
	fetch(t, m)
	if got := resolve(t, m, main); got.Commit != next || got.Previous != base || got.Rewritten {
		t.Errorf("a branch that moved forward: %+v", got)
	}

	other := u.root("main", "file", "other")
	u.git("", "tag", "-f", "v1", other)
	u.git("", "tag", "v1.1.0", other)
	fetch(t, m)
	if got := resolve(t, m, main); got.Commit != other || got.Previous != next || !got.Rewritten {
		t.Errorf("a branch that was force-pushed: %+v", got)
	}
	if got := resolve(t, m, tag); got.Commit != other || got.Previous != base || !got.Rewritten {
		t.Errorf("a tag that moved: %+v", got)
	}
	if got := resolve(t, m, versions); got.Commit != other || got.Previous != base || got.Rewritten {
		t.Errorf("a new version is no rewriting: %+v", got)
	}
	tree, err := m.Tree(t.Context(), next)
	if err != nil {
		t.Fatalf("the way back is gone: %v", err)
	}
	if data, err := tree.ReadFile("file"); err != nil || string(data) != "next" {
		t.Errorf("the way back: %q, %v", data, err)
	}
}

func TestBranchDeleted(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "main")
	commit := u.commit("feature", "file", "feature")
	clock, cache := newClock(), t.TempDir()
	m := openMirror(t, openMirrors(t, cache, Options{Now: clock.Now}), Remote{URL: u.dir})
	fetch(t, m)
	rev := Revision{Branch: "feature"}
	began := resolve(t, m, rev).Since

	u.git("", "update-ref", "-d", "refs/heads/feature")
	noticed := clock.pass(time.Hour)
	fetch(t, m)
	want := Resolution{Commit: commit, Ref: "refs/heads/feature", Since: began, HeldSince: noticed,
		HeldBecause: "the source has no such revision: the remote has no branch feature"}
	for range 2 {
		if diff := cmp.Diff(want, resolve(t, m, rev)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		// Later, and in another process, it is still so.
		clock.pass(time.Hour)
		u.commit("main", "file", clock.Now().String())
		m = openMirror(t, openMirrors(t, cache, Options{Now: clock.Now}), Remote{URL: u.dir})
		fetch(t, m)
	}
	if got := content(t, m, rev, "file"); got != "feature" {
		t.Errorf("read %q", got)
	}

	// The name may come back as something that rules the old out, and as a directory of others.
	u.commit("feature/a", "file", "deep")
	fetch(t, m)
	if got := content(t, m, Revision{Branch: "feature/a"}, "file"); got != "deep" {
		t.Errorf("read %q", got)
	}
	u.git("", "update-ref", "-d", "refs/heads/feature/a")
	u.git("", "update-ref", "refs/heads/feature", commit)
	fetch(t, m)
	if got := resolve(t, m, rev); got.Held() || got.Commit != commit || !got.Since.Equal(began) {
		t.Errorf("after its return: %+v", got)
	}
}

func TestRemoteEmptied(t *testing.T) {
	u := newUpstream(t)
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: u.dir})
	fetch(t, m)
	if _, err := m.Resolve(t.Context(), Revision{}); !errors.Is(err, ErrNoRevision) {
		t.Errorf("a remote that is empty from the start: %v", err)
	}
	u.commit("main", "file", "one")
	fetch(t, m)
	if got := content(t, m, Revision{}, "file"); got != "one" {
		t.Errorf("read %q", got)
	}
	u.git("", "update-ref", "-d", "refs/heads/main")
	if _, err := m.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "the remote lists no branch and no tag, and had 1 before") {
		t.Errorf("got %v", err)
	}
	if got := content(t, m, Revision{}, "file"); got != "one" {
		t.Errorf("read %q", got)
	}
}

func TestDefaultBranchChanges(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "main")
	m := mirrorOf(t, u)
	trunk := u.commit("trunk", "file", "trunk")
	u.git("", "symbolic-ref", "HEAD", "refs/heads/trunk")
	if state := fetch(t, m); state.Default != "trunk" || state.Head != trunk {
		t.Errorf("state %+v", state)
	}
	if got := content(t, m, Revision{}, "file"); got != "trunk" {
		t.Errorf("read %q", got)
	}
}

func TestSHA256Remote(t *testing.T) {
	u := newUpstream(t, "--object-format=sha256")
	u.commit("main", "file", "content")
	m := mirrorOf(t, u)
	if got := content(t, m, Revision{}, "file"); got != "content" {
		t.Errorf("read %q", got)
	}
}

func TestManyFetchesAreTidied(t *testing.T) {
	u := newUpstream(t)
	dropped := u.commit("main", "file", "dropped")
	m := mirrorOf(t, u)
	u.root("main", "file", "0")
	for i := range maxPacks + 5 {
		u.commit("main", "file", strings.Repeat("x", i))
		fetch(t, m)
	}
	packs, err := filepath.Glob(filepath.Join(m.repository(), "objects/pack/*.pack"))
	if err != nil || len(packs) > maxPacks {
		t.Errorf("%d packs, want at most %d", len(packs), maxPacks)
	}
	if _, err := m.Tree(t.Context(), dropped); err != nil {
		t.Errorf("tidying removed what the remote has dropped: %v", err)
	}
	if got := content(t, m, Revision{}, "file"); len(got) != maxPacks+4 {
		t.Errorf("read %q", got)
	}
}

func TestMirrorIsOneOfItsSource(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	ms := openMirrors(t, t.TempDir(), Options{})
	a, errA := ms.Mirror("a/b", Remote{URL: u.dir})
	again, errAgain := ms.Mirror("a/b", Remote{URL: u.dir})
	b, errB := ms.Mirror("a.b", Remote{URL: u.dir})
	moved, errMoved := ms.Mirror("a/b", Remote{URL: "file://" + u.dir})
	if err := errors.Join(errA, errAgain, errB, errMoved); err != nil {
		t.Fatal(err)
	}
	if a != again || a == b || a == moved || a.dir == b.dir || a.dir == moved.dir {
		t.Errorf("%q, %q, %q", a.dir, b.dir, moved.dir)
	}
	fetch(t, a)
	if _, err := b.Resolve(t.Context(), Revision{}); !errors.Is(err, ErrNotFetched) {
		t.Errorf("one source reads what another has fetched: %v", err)
	}
	if err := ms.Close(); err != nil {
		t.Error(err)
	}
	if _, err := ms.Mirror("c", Remote{URL: u.dir}); err == nil {
		t.Error("no error after Close")
	}
	if _, err := a.Tree(t.Context(), strings.Repeat("1", 40)); err == nil || errors.Is(err, gittree.ErrDamaged) {
		t.Errorf("reading after Close: %v", err)
	}
}

func TestOpenRefusesOldGit(t *testing.T) {
	program := filepath.Join(t.TempDir(), "git")
	writeProgram(t, program, "#!/bin/sh\necho git version 2.17.1\n")
	if _, err := Open(t.Context(), t.TempDir(), Options{Git: program}); err == nil || !strings.Contains(err.Error(), "git is version 2.17.1 and must be 2.34 or newer") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(t.Context(), t.TempDir(), Options{Git: "no-such-git"}); err == nil || !strings.Contains(err.Error(), "must be installed") {
		t.Errorf("got %v", err)
	}
	for version, want := range map[string]bool{"2.34.1": true, "2.39.5 (Apple Git-154)": true, "3.0": true, "2.33.8": false, "1.9": false, "": false} {
		if got := atLeast(version, oldestGit); got != want {
			t.Errorf("version %q: %v", version, got)
		}
	}
}
