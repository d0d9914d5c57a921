package gitserver

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	l := newLab(t, Options{})
	long := strings.Repeat("x", 65)
	cases := []struct {
		reason, method, path string
		status               int
		says                 string
	}{
		{"a page", "GET", "/", 404, "smart HTTP"},
		{"a repository's page", "GET", "/fleet.git", 404, "smart HTTP"},
		{"dumb HTTP: a file", "GET", "/fleet.git/HEAD", 404, "smart HTTP"},
		{"dumb HTTP: refs", "GET", "/fleet.git/info/refs", 403, "smart HTTP"},
		{"unknown service", "GET", "/fleet.git/info/refs?service=git-upload-archive", 403, "smart HTTP"},
		{"wrong method", "POST", "/fleet.git/info/refs?service=git-upload-pack", 405, "POST"},
		{"wrong method", "GET", "/fleet.git/git-receive-pack", 405, "GET"},
		{"missing", "POST", "/fleet.git/git-upload-pack", 404, "no repository"},
		{"missing", "GET", "/fleet.git/info/refs?service=git-upload-pack", 404, "no repository"},

		{"out of the root", "POST", "/../fleet/git-receive-pack", 400, "name"},
		{"out of the root, encoded", "POST", "/%2e%2e/fleet/git-receive-pack", 400, "name"},
		{"out of the root, slash encoded", "POST", "/a%2f..%2f..%2ffleet/git-receive-pack", 400, "name"},
		{"in the middle", "POST", "/a/../../fleet/git-receive-pack", 400, "name"},
		{"empty", "POST", "/git-receive-pack", 400, "name"},
		{"nothing but a suffix", "POST", "/.git/git-receive-pack", 400, "name"},
		{"empty element", "POST", "//fleet/git-receive-pack", 400, "name"},
		{"trailing slash", "POST", "/fleet//git-receive-pack", 400, "name"},
		{"leading dot: the server's own directories", "POST", "/.incomplete/x/git-receive-pack", 400, "name"},
		{"leading dash: an option", "POST", "/--upload-pack=x/git-receive-pack", 400, "name"},
		{"inside a repository", "POST", "/fleet.git/objects/git-receive-pack", 400, "inside a repository"},
		{"inside a repository on a file system that ignores case", "POST", "/fleet.GIT/x/git-receive-pack", 400, "inside a repository"},
		{"suffix twice", "POST", "/fleet.git.git/git-receive-pack", 400, "inside a repository"},
		{"two dots", "POST", "/fl..eet/git-receive-pack", 400, "dot"},
		{"trailing dot", "POST", "/fleet./git-receive-pack", 400, "dot"},
		{"NUL", "POST", "/fl%00eet/git-receive-pack", 400, "name"},
		{"newline", "POST", "/fleet%0a/git-receive-pack", 400, "name"},
		{"backslash", "POST", "/a%5cb/git-receive-pack", 400, "name"},
		{"space", "POST", "/a%20b/git-receive-pack", 400, "name"},
		{"shell", "POST", "/$(id)/git-receive-pack", 400, "name"},
		{"letters that are not ASCII", "POST", "/fl%C3%B6te/git-receive-pack", 400, "name"},
		{"invalid UTF-8", "POST", "/fl%ff/git-receive-pack", 400, "name"},
		{"long", "POST", "/" + long + "/git-receive-pack", 400, "65"},
		{"deep", "POST", "/1/2/3/4/5/6/7/8/9/git-receive-pack", 400, "9 elements"},
	}
	for _, c := range cases {
		request, err := http.NewRequest(c.method, l.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status || !strings.Contains(string(body), c.says) {
			t.Errorf("%s: %s %s: status %d, %q; want %d with %q", c.reason, c.method, c.path, response.StatusCode, body, c.status, c.says)
		}
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(l.root), "*"))
	if err != nil || len(found) != 1 {
		t.Errorf("beside the root there is %v (%v)", found, err)
	}
	if found, err = filepath.Glob(filepath.Join(l.root, "*")); err != nil || len(found) != 2 {
		t.Errorf("below the root there is more than the server's own directories: %v (%v)", found, err)
	}
	l.checkQuiet(t)
}

func TestNamesThatCollideWithThePaths(t *testing.T) {
	l := newLab(t, Options{})
	for _, name := range []string{"info", "a/info", "info/refs", "git-receive-pack", "team", "team/app", "team/app/x", "_", "9.x-y_z"} {
		work := newClone(t, l.url+"/"+name)
		id := commit(t, work, name, "name", name)
		runGit(t, work, "push", "--quiet", "origin", "main")
		if got := remoteRefs(t, l.url+"/"+name); !strings.HasPrefix(got, id) {
			t.Errorf("%q has %s, want %s", name, got, id)
		}
	}
	l.checkQuiet(t)
}

// post sends a request to a service and returns the status and the body of the answer.
func post(t *testing.T, address, service, body string, header http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, address+"/"+service, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Content-Type", "application/x-"+service+"-request")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	out, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(out)
}

func TestBodies(t *testing.T) {
	l := newLab(t, Options{MaxPush: 1000})
	work := newClone(t, l.url+"/fleet")
	commit(t, work, "start", "a", "1\n")
	runGit(t, work, "push", "origin", "main")

	zip := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	list := "0014command=ls-refs\n0000"
	bomb := zip(strings.Repeat("0", 1<<20))
	cases := []struct {
		reason, service, encoding, body string
		status                          int
		says                            string
	}{
		{"plain", uploadPack, "", list, 200, "refs/heads/main"},
		{"gzip", uploadPack, "gzip", zip(list), 200, "refs/heads/main"},
		{"gzip by its old name", uploadPack, "x-gzip", zip(list), 200, "refs/heads/main"},
		{"gzip cut off", uploadPack, "gzip", zip(list)[:20], 400, "did not arrive whole"},
		{"no gzip at all", uploadPack, "gzip", list, 400, "did not arrive whole"},
		{"unknown encoding", uploadPack, "br", list, 415, "gzip"},
		{"a push over the limit", receivePack, "", strings.Repeat("0", 1001), 413, "1000 bytes"},
		{"a push over the limit once decompressed", receivePack, "gzip", bomb, 413, "1000 bytes"},
		{"a fetch over the limit once decompressed", uploadPack, "gzip", zip(strings.Repeat("0", maxNegotiation+1)), 413, "limit"},
	}
	for _, c := range cases {
		header := http.Header{"Git-Protocol": {"version=2"}}
		if c.encoding != "" {
			header.Set("Content-Encoding", c.encoding)
		}
		status, body := post(t, l.url+"/fleet", c.service, c.body, header)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: status %d, %q; want %d with %q", c.reason, status, body, c.status, c.says)
		}
	}
	if status, body := post(t, l.url+"/new", receivePack, "0000", nil); status != 200 {
		t.Errorf("a push of nothing, as git sends to find out about passwords: status %d, %q", status, body)
	}
	if _, err := l.find("new"); !isMissing(err) {
		t.Errorf("a push of nothing created a repository (%v)", err)
	}
	l.checkQuiet(t)

	if status, _ := post(t, l.url+"/fleet", receivePack, "this is not the protocol", nil); status != 200 {
		t.Errorf("nonsense: status %d", status)
	}
	if _, failures := l.told(); len(failures) != 1 || !strings.Contains(failures[0].Err.Error(), "fatal: ") {
		t.Errorf("listener was told %v, want git's complaint", failures)
	}
	remoteRefs(t, l.url+"/fleet")
}

func TestProtocolVersion2(t *testing.T) {
	l := newLab(t, Options{})
	work := newClone(t, l.url+"/fleet")
	commit(t, work, "start", "a", "1\n")
	runGit(t, work, "push", "origin", "main")

	for version, says := range map[string]string{"": "refs/heads/main", "version=2": "version 2"} {
		request, err := http.NewRequest(http.MethodGet, l.url+"/fleet/info/refs?service=git-upload-pack", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Git-Protocol", version)
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(body), says) {
			t.Errorf("protocol %q: %q (%v), want %q", version, body, err, says)
		}
	}
	out := runGit(t, t.TempDir(), "-c", "protocol.version=2", "clone", "--filter=blob:none", l.url+"/fleet", "copy")
	if strings.Contains(out, "warning") {
		t.Errorf("partial clone: %s", out)
	}
}

// TestEnvironmentOfBackend sends what a CGI program might mistake for its own settings.
func TestEnvironmentOfBackend(t *testing.T) {
	l := newLab(t, Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /fleet/info/refs?service=git-receive-pack&x=1 HTTP/1.0\r\n"+
		"Host: lab\r\nProxy: http://192.0.2.1\r\nGit-Project-Root: /\r\nContent-Encoding: odd\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), " 200 OK\r\n") || !strings.Contains(string(answer), "report-status") {
		t.Errorf("answer %q (%v)", answer, err)
	}
	l.checkQuiet(t)
}

func FuzzParseCall(f *testing.F) {
	for _, s := range []string{
		"/fleet.git/info/refs?service=git-upload-pack", "/team/app/git-receive-pack", "/../x/git-upload-pack",
		"/a//b/git-upload-pack", "/x.git/y.git/git-receive-pack", "/%2e%2e%2f/git-receive-pack", "/-x/git-upload-pack",
	} {
		f.Add(http.MethodPost, s)
		f.Add(http.MethodGet, s)
	}
	s := &Server{opts: Options{Root: "/srv/git"}}
	f.Fuzz(func(t *testing.T, method, address string) {
		u, err := url.Parse(address)
		if err != nil {
			return
		}
		c, err := parseCall(method, u)
		if err != nil {
			var r *refusal
			if !errors.As(err, &r) {
				t.Fatalf("%q: %v is not a refusal", address, err)
			}
			return
		}
		if c.service != uploadPack && c.service != receivePack {
			t.Fatalf("%q: service %q", address, c.service)
		}
		inside, err := filepath.Rel("/srv/git", s.repositoryDir(c.name))
		if err != nil || inside != c.name+".git" || !filepath.IsLocal(inside) {
			t.Fatalf("%q: name %q leads to %q (%v)", address, c.name, inside, err)
		}
		for dir := filepath.Dir(inside); dir != "."; dir = filepath.Dir(dir) {
			if strings.HasSuffix(dir, ".git") || strings.HasPrefix(filepath.Base(dir), ".") {
				t.Fatalf("%q: name %q leads inside %q", address, c.name, dir)
			}
		}
	})
}
