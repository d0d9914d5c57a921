package submodule

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	errTransport = errors.New("its protocol is not one of https, http, ssh, git and file, which submodules may have here")
	shortSSH     = regexp.MustCompile(`^(?:[\w.][\w.-]*@)?(?:[\w.][\w.-]*|\[[0-9a-fA-F:.]+\]):[^-:]`)
)

// Resolve returns where a submodule is whose repository is at base: a relative URL, one that begins with ./ or ../, goes
// on from there, as gitmodules(5) says, and may not leave the host. The result has no user or password for the web,
// which would be shown.
func Resolve(base, stated string) (string, error) {
	if stated == "" {
		return "", errors.New("it has no URL")
	}
	if strings.HasPrefix(stated, "./") || strings.HasPrefix(stated, "../") || stated == "." || stated == ".." {
		var err error
		if stated, err = relative(base, stated); err != nil {
			return "", err
		}
	}
	scheme, _, web := strings.Cut(stated, "://")
	switch {
	case strings.HasPrefix(stated, "/"):
		return stated, nil
	case !web && shortSSH.MatchString(stated):
		return stated, nil
	case !web || !slices.Contains([]string{"https", "http", "ssh", "git", "file"}, strings.ToLower(scheme)):
		return "", errTransport
	}
	u, err := url.Parse(stated)
	if err != nil {
		return "", errors.New("its URL is not valid") // the error would show a password
	}
	if _, password := u.User.Password(); password || u.Scheme != "ssh" {
		u.User = nil
	}
	return u.String(), nil
}

// relative goes on from base by a path that begins with . or .. .
func relative(base, stated string) (string, error) {
	outside := fmt.Errorf("its URL %q leads out of the host of its repository's", stated)
	base = strings.TrimRight(base, "/")
	// What stands before the path, and ends in what separates them.
	host := ""
	if i := strings.Index(base, "://"); i >= 0 {
		slash := strings.IndexByte(base[i+3:], '/')
		if slash < 0 {
			return "", outside
		}
		host = base[:i+3+slash+1]
	} else if before, _, ok := strings.Cut(base, ":"); ok && !strings.Contains(before, "/") {
		host = before + ":"
	} else if strings.HasPrefix(base, "/") {
		host = "/"
	} else {
		return "", fmt.Errorf("its URL %q is relative, and that of its repository is not known", stated)
	}
	var elements []string
	if at := strings.TrimPrefix(base, host); at != "" {
		elements = strings.Split(at, "/")
	}
	for element := range strings.SplitSeq(stated, "/") {
		switch {
		case element == "" || element == ".":
		case element != "..":
			elements = append(elements, element)
		case len(elements) == 0:
			return "", outside
		default:
			elements = elements[:len(elements)-1]
		}
	}
	if len(elements) == 0 {
		return "", outside
	}
	return host + strings.Join(elements, "/"), nil
}
