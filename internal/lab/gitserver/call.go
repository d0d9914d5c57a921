package gitserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

const (
	uploadPack  = "git-upload-pack"  // what serves a fetch
	receivePack = "git-receive-pack" // what serves a push
)

// call is one request of git's smart HTTP protocol.
type call struct {
	name      string // of the repository, validated, without ".git"
	service   string // uploadPack or receivePack
	advertise bool   // asks which refs there are, before the service itself is called
}

// path is where http-backend expects the call, relative to the repository.
func (c call) path() string {
	if c.advertise {
		return "/info/refs"
	}
	return "/" + c.service
}

// query is what http-backend expects after the path.
func (c call) query() string {
	if c.advertise {
		return "service=" + c.service
	}
	return ""
}

// refusal is an answer other than success, with a sentence for the user.
type refusal struct {
	status  int
	allow   string // method, for http.StatusMethodNotAllowed
	message string
}

func (r *refusal) Error() string { return r.message }

// refuse answers with what stands in the way of a call. What is not a refusal is the server's own failure.
func (s *Server) refuse(w http.ResponseWriter, c call, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		s.failed(c, err)
		r = &refusal{status: http.StatusInternalServerError, message: err.Error()}
	}
	if r.allow != "" {
		w.Header().Set("Allow", r.allow)
	}
	http.Error(w, r.message, r.status)
}

// parseCall reads the smart protocol's three addresses below a repository: /info/refs?service=SERVICE,
// /git-upload-pack and /git-receive-pack. Its errors are refusals.
func parseCall(method string, u *url.URL) (call, error) {
	var c call
	want := http.MethodPost
	path, ok := strings.CutSuffix(u.Path, "/info/refs")
	switch {
	case ok:
		want = http.MethodGet
		c.advertise, c.service = true, u.Query().Get("service")
	default:
		for _, service := range []string{uploadPack, receivePack} {
			if path, ok = strings.CutSuffix(u.Path, "/"+service); ok {
				c.service = service
				break
			}
		}
		if !ok {
			return call{}, &refusal{status: http.StatusNotFound,
				message: "there is nothing here but git's smart HTTP protocol: use git clone, fetch or push"}
		}
	}

	c.name = strings.TrimSuffix(strings.TrimPrefix(path, "/"), ".git")
	if err := validateName(c.name); err != nil {
		return call{}, &refusal{status: http.StatusBadRequest, message: err.Error()}
	}
	if c.service != uploadPack && c.service != receivePack {
		return call{}, &refusal{status: http.StatusForbidden,
			message: "this server speaks git's smart HTTP protocol only: use git 1.6.6 or later"}
	}
	if method != want {
		return call{}, &refusal{status: http.StatusMethodNotAllowed, allow: want,
			message: fmt.Sprintf("method %s is not for this address", method)}
	}
	return c, nil
}

const (
	maxNameElement  = 64
	maxNameElements = 8
)

var nameElement = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// validateName accepts names of one or more elements, such as "fleet" or "team/app". It is stricter than any file
// system, so that a name means the same directory everywhere and never one outside the root or inside a repository.
func validateName(name string) error {
	elements := strings.Split(name, "/")
	if len(elements) > maxNameElements {
		return fmt.Errorf("repository name has %d elements, which is more than %d", len(elements), maxNameElements)
	}
	for _, e := range elements {
		switch {
		case len(e) > maxNameElement:
			return fmt.Errorf("repository name has an element of %d characters, which is more than %d", len(e), maxNameElement)
		case !nameElement.MatchString(e):
			return fmt.Errorf("repository name %q is not made of letters, digits, '.', '_' and '-', "+
				"each element starting with a letter, a digit or '_'", name)
		case strings.Contains(e, "..") || strings.HasSuffix(e, "."):
			return fmt.Errorf("repository name %q has a dot where none may be", name)
		case strings.HasSuffix(strings.ToLower(e), ".git"):
			return fmt.Errorf("repository name %q leads inside a repository", name)
		}
	}
	return nil
}
