package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var secret = []byte("it is a secret")

const (
	after  = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
	github = `{"ref":"refs/heads/main","before":"0","after":"` + after + `","deleted":false,"repository":{
		"url":"https://api.example.com/repos/org/fleet","html_url":"https://git.example.com/org/fleet",
		"clone_url":"https://git.example.com/org/fleet.git","ssh_url":"git@git.example.com:org/fleet.git"},"commits":[{"id":"x"}]}`
)

func sign(body string, secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	io.WriteString(mac, body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestParse(t *testing.T) {
	const jsonType = "application/json; charset=utf-8"
	gitHub := func(body string) http.Header {
		return headers("X-GitHub-Event", "push", GitHubSignature, sign(body, secret), "Content-Type", jsonType)
	}
	generic := func(body string) http.Header {
		return headers(GenericSignature, sign(body, secret), "Content-Type", jsonType)
	}
	with := func(h http.Header, name, value string) http.Header {
		h.Set(name, value)
		return h
	}
	pushed := Push{
		URLs: []string{"https://git.example.com/org/fleet.git", "git@git.example.com:org/fleet.git", "https://git.example.com/org/fleet"},
		Ref:  "refs/heads/main", After: after,
	}
	gone := pushed
	gone.After, gone.Deleted = "", true
	const generically = `{"url":"https://git.example.com/org/fleet","ref":"refs/heads/main","after":"` + after + `"}`
	deletion := strings.Replace(strings.Replace(github, after, strings.Repeat("0", 40), 1), `"deleted":false`, `"deleted":true`, 1)
	cases := map[string]struct {
		reason string
		header http.Header
		body   string
		want   Push
		status int
		why    string
	}{
		"github":  {reason: "a push as GitHub tells it", header: gitHub(github), body: github, want: pushed},
		"deleted": {reason: "a branch that is gone has no commit", header: gitHub(deletion), body: deletion, want: gone},
		"generic": {reason: "a push in the generic form", header: generic(generically), body: generically,
			want: Push{URLs: []string{"https://git.example.com/org/fleet"}, Ref: "refs/heads/main", After: after}},
		"only the repository": {reason: "no more is needed", header: generic(`{"url":"/srv/fleet"}`), body: `{"url":"/srv/fleet"}`,
			want: Push{URLs: []string{"/srv/fleet"}}},

		"ping": {reason: "GitHub's first call is no push", header: with(gitHub(github), "X-GitHub-Event", "ping"), body: github,
			status: 202, why: `event "ping" is not a push`},
		"forged ping": {reason: "nothing is said to who has no secret", header: headers("X-GitHub-Event", "ping", GitHubSignature, sign(github, []byte("guess"))), body: github,
			status: 401, why: "the signature does not fit"},
		"another secret": {reason: "a forged call", header: with(gitHub(github), GitHubSignature, sign(github, []byte("guess"))), body: github,
			status: 401, why: "the signature does not fit"},
		"another body": {reason: "a changed call", header: gitHub(github), body: strings.Replace(github, "main", "mine", 1),
			status: 401, why: "the signature does not fit"},
		"no signature": {reason: "an unsigned call", header: headers("X-GitHub-Event", "push", "Content-Type", jsonType), body: github,
			status: 401, why: "the call has 0 headers X-Hub-Signature-256, not 1"},
		"nothing": {reason: "no header at all", header: headers(), body: github,
			status: 401, why: "the call has 0 headers X-Nave-Signature, not 1"},
		"two signatures": {reason: "which of them counts must not be a question", body: github,
			header: headers("X-GitHub-Event", "push", GitHubSignature, sign(github, secret), GitHubSignature, "sha256=00"),
			status: 401, why: "the call has 2 headers"},
		"sha1":     {reason: "the older signature is not enough", header: with(gitHub(github), GitHubSignature, "sha1=00"), body: github, status: 401, why: "is not sha256="},
		"no digit": {reason: "a signature that is none", header: with(gitHub(github), GitHubSignature, "sha256=xyz"), body: github, status: 401, why: "is not sha256="},
		"empty":    {reason: "a signature that is none", header: with(gitHub(github), GitHubSignature, "sha256="), body: github, status: 401, why: "the signature does not fit"},
		"the generic signature on an event of GitHub's": {reason: "one form has one header", header: with(generic(github), "X-GitHub-Event", "push"), body: github,
			status: 401, why: "the call has 0 headers X-Hub-Signature-256"},
		"form": {reason: "GitHub's other content type", header: with(gitHub(github), "Content-Type", "application/x-www-form-urlencoded"), body: github,
			status: 415, why: "set it to application/json"},
		"not json": {reason: "a call that cannot be read", header: gitHub("{"), body: "{", status: 400, why: "reading the push event: "},
		"no repository": {reason: "a push to nowhere", header: generic("{}"), body: "{}",
			status: 400, why: "does not say of which repository"},
		"too large": {reason: "a call that fills the memory", header: gitHub(github), body: strings.Repeat(" ", MaxBody+1),
			status: 413, why: "more than 4194304 bytes"},
	}
	for name, c := range cases {
		got, err := Parse(c.header, strings.NewReader(c.body), secret)
		if c.status == 0 {
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%s: %s: %v (-want +got)\n%s", name, c.reason, err, diff)
			}
			continue
		}
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Status != c.status || !strings.Contains(refusal.Reason, c.why) {
			t.Errorf("%s: %s: got %v, want %d %q", name, c.reason, err, c.status, c.why)
		}
		if diff := cmp.Diff(Push{}, got); diff != "" {
			t.Errorf("%s: a refused call left something behind:\n%s", name, diff)
		}
	}
	if _, err := Parse(with(generic(generically), GenericSignature, sign(generically, nil)), strings.NewReader(generically), nil); err == nil {
		t.Error("a call signed with an empty secret was taken where none is set")
	}
	if _, err := Parse(generic(""), io.MultiReader(strings.NewReader("{"), brokenReader{}), secret); err == nil {
		t.Error("a call that broke off was taken")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection lost") }

func TestConcerns(t *testing.T) {
	cases := []struct {
		reason, pushed, source string
		want                   bool
	}{
		{"the same address", "https://h/org/fleet.git", "https://h/org/fleet.git", true},
		{"with and without suffix", "https://h/org/fleet", "https://h/org/fleet.git/", true},
		{"another protocol", "https://h/org/fleet", "ssh://git@h/org/fleet.git", true},
		{"the short form of ssh", "git@h:org/fleet.git", "https://h/org/fleet", true},
		{"the port of the protocol", "https://h:443/org/fleet", "ssh://git@h:22/org/fleet", true},
		{"another port is another server", "https://h:8443/org/fleet", "https://h/org/fleet", false},
		{"hosts have no case", "https://H.example.COM/org/fleet", "https://h.example.com/org/fleet", true},
		{"paths have", "https://h/org/Fleet", "https://h/org/fleet", false},
		{"another repository", "https://h/org/fleet2", "https://h/org/fleet", false},
		{"another host", "https://evil/org/fleet", "https://h/org/fleet", false},
		{"a path on this machine", "/srv/git/fleet.git", "file:///srv/git/fleet", true},
		{"nothing", "", "", false},
		{"only a host", "https://h", "https://h", false},
	}
	for _, c := range cases {
		if got := (Push{URLs: []string{"https://other/x", c.pushed}}).Concerns(c.source); got != c.want {
			t.Errorf("%s: push to %q, source %q: got %v", c.reason, c.pushed, c.source, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(github), true)
	f.Add([]byte(`{"url":"git@h:x"}`), false)
	f.Add([]byte(`{"url":5,"repository":null}`), true)
	f.Fuzz(func(t *testing.T, body []byte, fromGitHub bool) {
		h := headers("Content-Type", "application/json", GenericSignature, sign(string(body), secret))
		if fromGitHub {
			h.Set("X-GitHub-Event", "push")
			h.Set(GitHubSignature, sign(string(body), secret))
		}
		push, err := Parse(h, bytes.NewReader(body), secret)
		var refusal *Refusal
		if err != nil && !errors.As(err, &refusal) || err == nil && len(push.URLs) == 0 {
			t.Errorf("%+v, %v", push, err)
		}
		push.Concerns("https://h/x")
	})
}

// BenchmarkForged is what a call of somebody without the secret costs.
func BenchmarkForged(b *testing.B) {
	header := headers("X-GitHub-Event", "push", GitHubSignature, sign(github, []byte("guess")))
	for b.Loop() {
		if _, err := Parse(header, strings.NewReader(github), secret); err == nil {
			b.Fatal(fmt.Sprint("taken: ", err))
		}
	}
}
