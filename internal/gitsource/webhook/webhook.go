// Package webhook reads the calls by which Git servers tell of a push. Parse checks a call's signature and turns it
// into a Push; what to fetch then, and how often at most, is the caller's to decide. A call is a hint and no more: a
// replayed one costs a fetch that finds nothing, and no call can say what a branch holds.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// MaxBody is the size in bytes of the largest call that is read. GitHub itself sends up to 25 MB, but only for pushes
// of thousands of commits; a poll finds those.
const MaxBody = 4 << 20

// The headers that carry a signature: "sha256=" and the HMAC-SHA-256 of the body in hexadecimal digits.
const (
	GitHubSignature  = "X-Hub-Signature-256"
	GenericSignature = "X-Nave-Signature"
)

// Push is what a call says.
type Push struct {
	URLs    []string // addresses of the repository, in the forms that the server knows
	Ref     string   // such as refs/heads/main; empty if the call does not say
	After   string   // the commit that the ref now points to; empty if it was deleted or the call does not say
	Deleted bool     // the ref is gone
}

// Refusal says why a call was not taken, and with which HTTP status to answer it.
type Refusal struct {
	Status int
	Reason string
}

// Error is the reason.
func (r *Refusal) Error() string { return r.Reason }

func refuse(status int, format string, args ...any) error {
	return &Refusal{Status: status, Reason: fmt.Sprintf(format, args...)}
}

// Parse reads a call: a push event of GitHub's form (X-GitHub-Event and X-Hub-Signature-256, as Gitea, Forgejo and
// Gogs send too), or the generic form, which is X-Nave-Signature over {"url": …, "ref": …, "after": …}, where only the
// url is required. The secret must not be empty. All errors are of type *Refusal: 401 for a call that is not from
// someone with the secret, 202 for one that is and tells of something else than a push.
func Parse(header http.Header, body io.Reader, secret []byte) (Push, error) {
	data, err := io.ReadAll(io.LimitReader(body, MaxBody+1))
	switch {
	case err != nil:
		return Push{}, refuse(http.StatusBadRequest, "reading the call: %v", err)
	case len(data) > MaxBody:
		return Push{}, refuse(http.StatusRequestEntityTooLarge, "the call has more than %d bytes", MaxBody)
	case len(secret) == 0:
		return Push{}, refuse(http.StatusUnauthorized, "no secret is set, and calls without one are not taken")
	}
	name, read := GenericSignature, readGeneric
	if header.Get(GitHubSignature) != "" || header.Get("X-GitHub-Event") != "" {
		name, read = GitHubSignature, readGitHub
	}
	if err := checkSignature(header.Values(name), name, data, secret); err != nil {
		return Push{}, err
	}
	if kind, _, err := mime.ParseMediaType(header.Get("Content-Type")); err != nil || kind != "application/json" {
		return Push{}, refuse(http.StatusUnsupportedMediaType, "the call has content type %q: set it to application/json", header.Get("Content-Type"))
	}
	push, err := read(header, data)
	if err != nil {
		return Push{}, err
	}
	if push.URLs = slices.DeleteFunc(push.URLs, func(u string) bool { return u == "" }); len(push.URLs) == 0 {
		return Push{}, refuse(http.StatusBadRequest, "the call does not say of which repository it tells")
	}
	// An all-zero hash stands for "none".
	if strings.Trim(push.After, "0") == "" {
		push.After = ""
	}
	return push, nil
}

// checkSignature holds a call against its signature, in a time that tells nothing about the right one.
func checkSignature(values []string, name string, data, secret []byte) error {
	if len(values) != 1 {
		return refuse(http.StatusUnauthorized, "the call has %d headers %s, not 1", len(values), name)
	}
	digits, ok := strings.CutPrefix(values[0], "sha256=")
	given, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return refuse(http.StatusUnauthorized, "header %s is not sha256= and hexadecimal digits", name)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(data)
	if !hmac.Equal(mac.Sum(nil), given) {
		return refuse(http.StatusUnauthorized, "the signature does not fit: the call was changed, or made with another secret")
	}
	return nil
}

func readGitHub(header http.Header, data []byte) (Push, error) {
	if event := header.Get("X-GitHub-Event"); event != "push" {
		return Push{}, refuse(http.StatusAccepted, "event %q is not a push", event)
	}
	var event struct {
		Ref        string
		After      string
		Deleted    bool
		Repository struct {
			CloneURL string `json:"clone_url"`
			SSHURL   string `json:"ssh_url"`
			GitURL   string `json:"git_url"`
			HTMLURL  string `json:"html_url"`
		}
	}
	if err := json.Unmarshal(data, &event); err != nil {
		return Push{}, refuse(http.StatusBadRequest, "reading the push event: %v", err)
	}
	r := event.Repository
	return Push{URLs: []string{r.CloneURL, r.SSHURL, r.GitURL, r.HTMLURL}, Ref: event.Ref, After: event.After, Deleted: event.Deleted}, nil
}

func readGeneric(_ http.Header, data []byte) (Push, error) {
	var event struct{ URL, Ref, After string }
	if err := json.Unmarshal(data, &event); err != nil {
		return Push{}, refuse(http.StatusBadRequest, "reading the call: %v", err)
	}
	return Push{URLs: []string{event.URL}, Ref: event.Ref, After: event.After}, nil
}

// Concerns reports whether the push was to the repository that a source names.
func (p Push) Concerns(remote string) bool {
	return slices.ContainsFunc(p.URLs, func(u string) bool { return SameRepository(u, remote) })
}

// SameRepository reports whether two addresses lead to one repository, by whatever protocol: user, port of the
// protocol, a final ".git" and the case of the host do not count.
func SameRepository(a, b string) bool {
	at := place(a)
	return at != "" && at == place(b)
}

// place is the host and path of a repository, the same for all addresses of it; empty if there is no telling.
func place(remote string) string {
	host, path := "", ""
	if u, err := url.Parse(remote); err == nil && u.Scheme != "" && strings.Contains(remote, "://") {
		host, path = u.Host, u.Path
		if standard := map[string]string{"http": "80", "https": "443", "ssh": "22", "git": "9418"}[u.Scheme]; u.Port() == standard {
			host = u.Hostname()
		}
	} else if before, after, ok := strings.Cut(remote, ":"); ok && !strings.Contains(before, "/") {
		host, path = before[strings.LastIndex(before, "@")+1:], after // user@host:path
	} else {
		path = remote
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if path == "" {
		return ""
	}
	return strings.ToLower(host) + "/" + path
}
