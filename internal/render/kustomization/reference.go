package kustomization

import (
	"errors"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// isRemote reports whether Kustomize would fetch a reference: as a URL, or as a Git repository.
var remotePattern = regexp.MustCompile(`(?i)^(git::|gh:|[a-z][a-z0-9+.-]*://|[a-z][a-z0-9-]*@|github\.com[/:])`)

func isRemote(ref string) bool { return remotePattern.MatchString(strings.TrimSpace(ref)) }

// reference is a Git reference taken apart.
type reference struct {
	repository string // a URL, or user@host:path
	path       string // in the repository, "." for its root
	ref        string // a branch, tag or commit; empty for what the repository's source says
}

var (
	errFileURL     = errors.New("it is the URL of a file, which is not fetched")
	errNoReference = errors.New("it is no Git repository that can be fetched")
	errOutside     = errors.New("its path is outside of the repository")
	errQuery       = errors.New("what follows the question mark is no query")
	errLong        = errors.New("it is too long")
)

// maxReference is how long a reference may be, in bytes. It becomes part of paths, keys and messages.
const maxReference = 2000

var (
	// A path below a repository is told from the repository by one of these, or by how GitHub's URLs look.
	azureRepository = regexp.MustCompile(`^(.*?/_git/[^/]+)/?(.*)$`)
	slashes         = regexp.MustCompile(`^(.*?[^:/])//+(.*)$`)
	suffixed        = regexp.MustCompile(`^(.*?\.git)(?:/(.*))?$`)
	ownerAndName    = regexp.MustCompile(`^([^/]+/[^/]+)/?(.*)$`)

	github = regexp.MustCompile(`(?i)^(?:(?:https?|ssh)://)?(?:([a-z][a-z0-9-]*)@)?github\.com[/:](.*)$`)
	scheme = regexp.MustCompile(`(?i)^(https?|ssh|file)://([^/]*)/(.*)$`)
	scp    = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9-]*@[^/:]+):(.*)$`)
	isFile = regexp.MustCompile(`(?i)\.(ya?ml|json)$`)
)

// parseReference reads a Git reference as Kustomize does: https://HOST/OWNER/NAME/PATH, .../REPOSITORY//PATH,
// .../REPOSITORY.git/PATH, .../_git/REPOSITORY/PATH, the same by ssh:// and file://, USER@HOST:OWNER/NAME..., and
// github.com/OWNER/NAME/PATH, each perhaps with ?ref=REF or ?version=REF. How long Git may take and whether submodules
// are wanted (?timeout=, ?submodules=) does not matter here: submodules are read where something refers to them.
func parseReference(text string) (reference, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxReference {
		return reference{}, errLong
	}
	if len(text) >= 5 && strings.EqualFold(text[:5], "git::") {
		text = text[5:]
	}
	text, query, _ := strings.Cut(text, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return reference{}, errQuery
	}
	r := reference{ref: values.Get("ref")}
	if r.ref == "" {
		r.ref = values.Get("version")
	}
	if strings.ContainsAny(text+r.ref, "\r\n\x00") {
		return reference{}, errNoReference
	}
	var host, rest string
	split := []*regexp.Regexp{azureRepository, slashes, suffixed, ownerAndName}
	if m := github.FindStringSubmatch(text); m != nil {
		host, rest = "https://github.com/", m[2]
		if m[1] != "" {
			host = m[1] + "@github.com:"
		}
	} else if m := scheme.FindStringSubmatch(text); m != nil {
		server := m[2]
		if at := strings.LastIndex(server, "@"); at >= 0 && !strings.EqualFold(m[1], "ssh") {
			server = server[at+1:] // by whose name a source is read, its credential says
		} else if user, _, ok := strings.Cut(server[:max(at, 0)], ":"); ok {
			server = user + server[at:] // a password is shown to nobody
		}
		host, rest = strings.ToLower(m[1])+"://"+server+"/", m[3]
		if strings.HasPrefix(host, "file:") {
			split[3] = regexp.MustCompile(`^(.+)()$`) // nothing tells where the repository ends: it is all
		}
	} else if m := scp.FindStringSubmatch(text); m != nil {
		host, rest = m[1]+":", m[2]
	} else {
		return reference{}, errNoReference
	}
	explicit := false
	for i, way := range split {
		m := way.FindStringSubmatch(rest)
		if m == nil {
			continue
		}
		explicit = i < 3
		r.repository, r.path = host+strings.TrimSuffix(m[1], "/"), path.Clean("./"+m[2])
		break
	}
	switch {
	case !explicit && isFile.MatchString(text) && strings.HasPrefix(host, "http"):
		return reference{}, errFileURL
	case r.repository == "":
		return reference{}, errNoReference
	case r.path == ".." || strings.HasPrefix(r.path, "../"):
		return reference{}, errOutside
	}
	return r, nil
}

var userinfo = regexp.MustCompile(`(?i)(https?://)[^/@]*@|(://)[^/@]*:[^/@]*@`)

// shown is a reference as people may see it: without a password or token, and not without end.
func shown(ref string) string {
	ref = userinfo.ReplaceAllString(ref, "$1$2[redacted]@")
	if len(ref) > maxReference {
		ref = strings.ToValidUTF8(ref[:maxReference], "") + "…"
	}
	return ref
}
