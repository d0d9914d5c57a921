package chartsource

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestFollowsARange(t *testing.T) {
	s := newWebServer(t)
	first := s.add(t, "1.2.0", "one")
	s.add(t, "2.0.0", "other")
	s.add(t, "1.3.0-rc.1", "not yet")
	r := follow(t, t.TempDir(), Remote{URL: s.URL + "/charts"})

	if _, err := r.Resolve(Request{Chart: "web", Versions: "^1"}); !errors.Is(err, ErrNotFetched) {
		t.Errorf("before the first fetch: %v", err)
	}
	found := resolve(t, r, "^1")
	if found.Version != "1.2.0" || found.Digest != first || template(t, r, found.Digest) != "one" {
		t.Errorf("found %+v", found)
	}
	if again := resolve(t, r, "^1.3.0-0"); again.Version != "1.3.0-rc.1" {
		t.Errorf("a range that names a pre-release: %+v", again)
	}

	// Nothing new: the index is asked for, and is as it was.
	fetch(t, r)
	if n := s.count("/charts/web-1.2.0.tgz"); n != 1 {
		t.Errorf("the archive was fetched %d times", n)
	}
	second := s.add(t, "1.3.0", "two")
	if now := resolve(t, r, "^1"); now.Digest != first {
		t.Errorf("without a fetch: %+v", now)
	}
	fetch(t, r)
	if now := resolve(t, r, "^1"); now.Version != "1.3.0" || now.Digest != second || template(t, r, second) != "two" {
		t.Errorf("after the new version: %+v", now)
	}
	if s.count("/charts/web-2.0.0.tgz") != 0 {
		t.Error("an archive was fetched that nobody asked for")
	}
}

func TestIndexIsReadOnceWhileItIsTheSame(t *testing.T) {
	s := newWebServer(t)
	s.add(t, "1.0.0", "one")
	sent := 0
	counting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, r)
		if recorder.Code == http.StatusOK && strings.HasSuffix(r.URL.Path, "index.yaml") {
			sent++
		}
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		w.Write(recorder.Body.Bytes())
	}))
	t.Cleanup(counting.Close)
	dir := t.TempDir()
	remote := Remote{URL: counting.URL + "/charts"}
	resolve(t, follow(t, dir, remote), "*")
	r := follow(t, dir, remote)
	fetch(t, r)
	fetch(t, r)
	if sent != 1 {
		t.Errorf("the index was sent %d times", sent)
	}
}

func TestWhatWasFetchedStaysInForce(t *testing.T) {
	s := newWebServer(t)
	first := s.add(t, "1.0.0", "one")
	dir := t.TempDir()
	remote := Remote{URL: s.URL + "/charts"}
	resolve(t, follow(t, dir, remote), "1.x")

	s.set(func() { s.away = true })
	r := follow(t, dir, remote) // by another process
	state, err := r.Fetch(t.Context())
	wantError(t, err, "502 Bad Gateway")
	if state.Failures != 1 || state.FailingSince.IsZero() {
		t.Errorf("state %+v", state)
	}
	if found := resolve(t, r, "1.x"); found.Digest != first || template(t, r, first) != "one" {
		t.Errorf("while the remote is away: %+v", found)
	}
	if _, err := r.Resolve(Request{Chart: "web", Versions: "2.x"}); !errors.Is(err, ErrNotFetched) {
		t.Errorf("something new while the remote is away: %v", err)
	}

	// It comes back without the version.
	s.set(func() { s.away, s.entries = false, nil })
	s.add(t, "3.0.0", "three")
	_, err = r.Fetch(t.Context())
	wantError(t, err, `none of its 1 versions is in "2.x"`)
	if found := resolve(t, r, "1.x"); found.Digest != first || found.HeldSince.IsZero() || !strings.Contains(found.HeldBecause, "none of its 1 versions") {
		t.Errorf("the version is gone: %+v", found)
	}
	if state := r.State(); state.Failures != 2 {
		t.Errorf("state %+v", state)
	}
	// And with it again.
	s.add(t, "1.0.0", "one")
	s.add(t, "2.0.0", "two")
	fetch(t, r)
	if found := resolve(t, r, "1.x"); found.Digest != first || !found.HeldSince.IsZero() {
		t.Errorf("it is back: %+v", found)
	}
	if state := r.State(); state.Failures != 0 || state.Err != "" {
		t.Errorf("state %+v", state)
	}
}

func TestOneBadChartKeepsNoOther(t *testing.T) {
	s := newWebServer(t)
	good := s.add(t, "1.0.0", "one")
	s.add(t, "1.1.0", "two")
	s.set(func() { s.files["/charts/web-1.1.0.tgz"] = packed(t, "web", "1.1.0", "forged") })
	r := follow(t, t.TempDir(), Remote{URL: s.URL + "/charts"})
	exact := Request{Chart: "web", Versions: "1.0.0"}
	latest := Request{Chart: "web", Versions: "*"}
	r.Resolve(exact)
	r.Resolve(latest)
	_, err := r.Fetch(t.Context())
	wantError(t, err, "and the repository states")
	if found, err := r.Resolve(exact); err != nil || found.Digest != good {
		t.Errorf("the good one: %+v, %v", found, err)
	}
	_, err = r.Resolve(latest)
	wantError(t, err, "and the repository states")
}

func TestDamagedArchiveIsFetchedAgain(t *testing.T) {
	s := newWebServer(t)
	s.add(t, "1.0.0", "one")
	dir := t.TempDir()
	remote := Remote{URL: s.URL + "/charts"}
	found := resolve(t, follow(t, dir, remote), "*")
	r := follow(t, dir, remote)
	if err := os.WriteFile(r.kept(found.Digest, archiveExtension), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := r.Chart(found.Digest)
	wantError(t, err, "is damaged")
	if again := resolve(t, r, "*"); template(t, r, again.Digest) != "one" {
		t.Errorf("found %+v", again)
	}
}

func TestIndexWithoutDigests(t *testing.T) {
	s := newWebServer(t)
	want := s.add(t, "1.0.0", "one")
	s.set(func() { s.entries[0] = "  - {version: 1.0.0, urls: [" + s.URL + "/charts/web-1.0.0.tgz]}\n" })
	r := follow(t, t.TempDir(), Remote{URL: s.URL + "/charts/"})
	if found := resolve(t, r, "1.0.0"); found.Digest != want {
		t.Errorf("found %+v", found)
	}
	fetch(t, r)
	if n := s.count("/charts/web-1.0.0.tgz"); n != 1 {
		t.Errorf("the archive was fetched %d times", n)
	}
}

func TestRequestsThatNobodyMakesAnyMore(t *testing.T) {
	s := newWebServer(t)
	s.add(t, "1.0.0", "one")
	now := time.Now()
	charts, err := Open(t.TempDir(), Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	r, err := charts.Repository("base", Remote{URL: s.URL + "/charts"})
	if err != nil {
		t.Fatal(err)
	}
	resolve(t, r, "*")
	s.add(t, "1.1.0", "two")
	now = now.Add(recent + time.Hour)
	fetch(t, r)
	if n := s.count("/charts/web-1.1.0.tgz"); n != 0 {
		t.Errorf("an archive was fetched %d times for a request of long ago", n)
	}
	if found := resolve(t, r, "*"); found.Version != "1.0.0" {
		t.Errorf("what it stood for: %+v", found)
	}
	fetch(t, r) // it was made again
	if found := resolve(t, r, "*"); found.Version != "1.1.0" {
		t.Errorf("found %+v", found)
	}
}

func TestPasswordStaysWithItsServer(t *testing.T) {
	s := newWebServer(t)
	s.password = "hunter2"
	var others []string // what another server is told
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		others = append(others, r.Header.Get("Authorization"))
		w.Write(packed(t, "web", "1.0.0", "one"))
	}))
	t.Cleanup(other.Close)
	s.set(func() {
		s.entries = append(s.entries, "  - {version: 1.0.0, urls: ['"+other.URL+"/web.tgz']}\n", "  - {version: 2.0.0, urls: [moved.tgz]}\n")
	})
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/charts/moved.tgz" {
			http.Redirect(w, r, other.URL+"/web.tgz", http.StatusFound)
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(redirecting.Close)
	remote := Remote{URL: redirecting.URL + "/charts", Auth: Auth{PasswordFile: passwordFile(t, "hunter2")}}
	r := follow(t, t.TempDir(), remote)
	resolve(t, r, "1.0.0")
	resolve(t, r, "2.0.0")
	if len(others) != 2 || others[0] != "" || others[1] != "" {
		t.Errorf("another server was told %q", others)
	}
	r.setRemote(Remote{URL: remote.URL, Auth: Auth{PasswordFile: passwordFile(t, "wrong")}})
	_, err := r.Fetch(t.Context())
	wantError(t, err, "401 Unauthorized\nhint: check the source's credential")
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the password is in %v", err)
	}
}

// TestPasswordStaysAtTheSecondHop is about a server on another port of the same host
// that sends a request on to itself.
func TestPasswordStaysAtTheSecondHop(t *testing.T) {
	var leaked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		if r.URL.Path != "/second/index.yaml" {
			http.Redirect(w, r, "/second/index.yaml", http.StatusFound)
			return
		}
		w.Write([]byte("entries: {}"))
	}))
	t.Cleanup(other.Close)
	first := httptest.NewServer(http.RedirectHandler(other.URL+"/first", http.StatusFound))
	t.Cleanup(first.Close)
	fetch(t, follow(t, t.TempDir(), Remote{URL: first.URL, Auth: Auth{PasswordFile: passwordFile(t, "hunter2")}}))
	if n := leaked.Load(); n > 0 {
		t.Errorf("the other server was given the password %d times", n)
	}
}

func TestNeverFromHTTPSToHTTP(t *testing.T) {
	plain := newWebServer(t)
	plain.add(t, "1.0.0", "one")
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/charts/index.yaml", http.StatusFound))
	t.Cleanup(secure.Close)
	at := secure.URL
	before := transport.TLSClientConfig.RootCAs
	transport.TLSClientConfig.RootCAs = secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	t.Cleanup(func() { transport.TLSClientConfig.RootCAs = before })
	_, err := follow(t, t.TempDir(), Remote{URL: at}).Fetch(t.Context())
	wantError(t, err, "sends it to one that is not")
}

func TestHostileRepository(t *testing.T) {
	for reason, test := range map[string]struct {
		index, want string
	}{
		"no index":          {"hello", "index.yaml: it has no entries"},
		"a page":            {"<html>", "index.yaml: it has no entries"},
		"no entries":        {"apiVersion: v1\n", "it has no entries"},
		"a large index":     {"entries: {web: []}\n" + strings.Repeat("#", 2000), "more than 1000 bytes"},
		"no such chart":     {"entries: {other: []}\n", `does not name "web"`},
		"no URL":            {"entries: {web: [{version: 1.0.0}]}\n", `does not name "web"`},
		"an empty URL":      {"entries: {web: [{version: 1.0.0, urls: ['']}]}\n", `does not name "web"`},
		"a digest of MD5":   {"entries: {web: [{version: 1.0.0, digest: 'md5:1', urls: [a]}]}\n", `does not name "web"`},
		"a file":            {"entries: {web: [{version: 1.0.0, urls: ['file:///etc/passwd']}]}\n", "fetched by https alone"},
		"a large archive":   {"entries: {web: [{version: 1.0.0, urls: [large]}]}\n", "more than 1000 bytes"},
		"no archive":        {"entries: {web: [{version: 1.0.0, urls: [text]}]}\n", "is refused: it is not compressed"},
		"nothing there":     {"entries: {web: [{version: 1.0.0, urls: [gone]}]}\n", "404 Not Found"},
		"sent round":        {"entries: {web: [{version: 1.0.0, urls: [round]}]}\n", "more than 5 times"},
		"anchors that grow": {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\nentries: {web: [*f,*f,*f,*f,*f,*f,*f,*f,*f]}\n", ""},
	} {
		t.Run(reason, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/index.yaml":
					w.Write([]byte(test.index))
				case "/large":
					w.Write(make([]byte, 2000))
				case "/text":
					w.Write([]byte("hello"))
				case "/round":
					http.Redirect(w, r, "/round", http.StatusFound)
				default:
					http.NotFound(w, r)
				}
			}))
			defer server.Close()
			charts, err := Open(t.TempDir(), Options{MaxIndex: 1000, MaxArchive: 1000})
			if err != nil {
				t.Fatal(err)
			}
			r, err := charts.Repository("base", Remote{URL: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			r.Resolve(Request{Chart: "web", Versions: "*"})
			_, err = r.Fetch(t.Context())
			wantError(t, err, test.want)
			if _, err := r.Resolve(Request{Chart: "web", Versions: "*"}); !errors.Is(err, ErrNotFetched) {
				t.Errorf("resolved: %v", err)
			}
		})
	}
}

func TestSame(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"https://charts.example.com/stable", "https://Charts.example.com:443/stable/", true},
		{"https://charts.example.com/stable", "http://charts.example.com/stable", true},
		{"oci://registry.example.com/charts", "registry.example.com/charts", true},
		{"oci://registry.example.com/charts/", "oci://registry.example.com:443/charts", true},
		{"oci://registry.example.com/charts", "https://registry.example.com/charts", false},
		{"https://charts.example.com/stable", "https://charts.example.com/Stable", false},
		{"https://charts.example.com/stable", "https://charts.example.com", false},
		{"https://charts.example.com:8443/a", "https://charts.example.com/a", false},
		{"git@git.example.com:charts", "git@git.example.com:charts", false},
		{"", "", false},
	} {
		if Same(test.a, test.b) != test.want || Same(test.b, test.a) != test.want {
			t.Errorf("%q and %q: want %t", test.a, test.b, test.want)
		}
	}
}

func TestRemoteValidate(t *testing.T) {
	file := passwordFile(t, "x")
	for _, test := range []struct {
		remote Remote
		want   string
	}{
		{Remote{URL: "https://charts.example.com"}, ""},
		{Remote{URL: "oci://registry.example.com/charts", Auth: Auth{PasswordFile: file}}, ""},
		{Remote{URL: "http://127.0.0.1:1/x", Auth: Auth{PasswordFile: file}}, ""},
		{Remote{URL: "http://charts.example.com", Auth: Auth{PasswordFile: file}}, "where everyone can read it"},
		{Remote{URL: "https://bob:hunter2@charts.example.com"}, "holds a user or password"},
		{Remote{URL: "https://bob:hunter2@charts.example.com:x"}, "is not valid"},
		{Remote{URL: "file:///srv/charts"}, "begins with https:// or oci://"},
		{Remote{URL: "https://charts.example.com?x"}, "or a query"},
		{Remote{URL: "https://charts.example.com", Auth: Auth{PasswordFile: "x"}}, "not an absolute path"},
	} {
		err := test.remote.Validate()
		if test.want == "" && err != nil {
			t.Errorf("%q: %v", test.remote.URL, err)
		}
		if test.want != "" {
			wantError(t, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in %v", err)
		}
	}
}

func TestChoose(t *testing.T) {
	versions := []string{"1.0.0", "v1.2.0", "1.10.0", "2.0.0-beta.1", "2.0.0+one", "2.0.0+two", "latest", "3"}
	for versionsWanted, want := range map[string]string{
		"1.0.0": "1.0.0", "v1.2.0": "v1.2.0", "1.2.0": "v1.2.0", "~1": "1.10.0", "<1.10": "v1.2.0", ">=1 <3": "2.0.0+one",
		"2.0.0-beta.1": "2.0.0-beta.1", "2.0.0+two": "2.0.0+two", "*": "3", ">=4": "", "1.3": "",
	} {
		i, err := Request{Chart: "web", Versions: versionsWanted}.choose(versions)
		switch {
		case want == "" && !errors.Is(err, ErrNoChart):
			t.Errorf("%q: %d, %v", versionsWanted, i, err)
		case want != "" && (err != nil || versions[i] != want):
			t.Errorf("%q: %d, %v, want %s", versionsWanted, i, err, want)
		}
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte("entries: {web: [{version: 1.0.0, digest: abc, urls: [a]}]}"))
	f.Add([]byte(`{"entries": {"web": null}}`))
	f.Add([]byte(`{"entries": {"other": [1, {}], "web": [{"version": "1.0.0", "urls": ["a"]}, {"version": 1}]}, "more": [[]]}`))
	f.Add([]byte("apiVersion: v1\nentries:\n  web:\n  - version: 1.0.0\n    urls:\n    - a\n  # more\n  \"other\":\n  - {}\n"))
	wanted := map[string]bool{"web": true}
	f.Fuzz(func(t *testing.T, data []byte) {
		for way, read := range map[string]func(*entries) error{
			"whole": func(e *entries) error { return e.whole(data) },
			"json":  func(e *entries) error { return e.json(bytes.NewReader(data)) },
			"lines": func(e *entries) error { return e.lines(bufio.NewReader(bytes.NewReader(data))) },
		} {
			e := &entries{wanted: wanted, charts: map[string][]release{}}
			if err := read(e); err != nil {
				continue
			}
			for chart, releases := range e.charts {
				for _, r := range releases {
					if !wanted[chart] || r.Version == "" || r.Location == "" || r.Digest != "" && !sha256Digits.MatchString(r.Digest) {
						t.Errorf("%s: %s %+v", way, chart, r)
					}
				}
			}
		}
	})
}
