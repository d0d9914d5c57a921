package chartsource

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Remote is a chart repository or a place in a registry, and the way in.
type Remote struct {
	// URL is https:// or http:// for a repository with an index.yaml, and oci:// for a registry, with the path that
	// charts are under. It holds no user and no password. A registry on the same machine is asked over http.
	URL  string
	Auth Auth
	// Provenance fetches the signed statement of each chart as well, which Verify needs.
	Provenance bool
	// Signatures fetches what Cosign has signed of each chart or artifact of a registry as well, which VerifySigned needs.
	Signatures bool
}

// Auth says where the credentials for a Remote are. Files are read again at every fetch, so that a renewed secret
// needs no restart. The zero value is for remotes that everyone may read.
type Auth struct {
	// Username goes with PasswordFile; empty means "x-access-token", which servers that take tokens accept.
	Username string
	// PasswordFile holds a password or token. White space around it does not count.
	PasswordFile string
}

// Validate reports what is wrong with a remote; it reads no file.
func (r Remote) Validate() error {
	u, err := url.Parse(r.URL)
	switch {
	case err != nil:
		return errors.New("its URL is not valid") // which may hold a password
	case u.User != nil:
		return errors.New("its URL holds a user or password, which everyone who reads it would see")
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "oci":
		return fmt.Errorf("%q is not the URL of a chart repository, which begins with https:// or oci://", r.URL)
	case u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q is not the URL of a chart repository: it has no host, or a query", r.URL)
	case r.Auth.PasswordFile != "" && u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("a password for %q would be sent where everyone can read it: use https", r.URL)
	case r.Auth.PasswordFile != "" && !filepath.IsAbs(r.Auth.PasswordFile):
		return fmt.Errorf("the password file %q is not an absolute path", r.Auth.PasswordFile)
	}
	return nil
}

// registry reports whether the remote is one.
func (r Remote) registry() bool { return strings.HasPrefix(r.URL, ociScheme) }

const ociScheme = "oci://"

// Same reports whether two names lead to one chart repository: the case of the host, the port that is usual and a final
// slash do not count, nor does https against http. What has no protocol is a place in a registry, as "oci://" is.
func Same(a, b string) bool {
	at := normal(a)
	return at != "" && at == normal(b)
}

// normal is the one form of the names of a chart repository; empty if it is none.
func normal(name string) string {
	if !strings.Contains(name, "://") {
		name = ociScheme + name
	}
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return ""
	}
	kind, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch kind {
	case "http":
		kind, host = "https", strings.TrimSuffix(host, ":80")
	case "https", "oci":
		host = strings.TrimSuffix(host, ":443")
	default:
		return ""
	}
	return kind + "://" + host + "/" + strings.Trim(u.Path, "/")
}

// loopback reports whether what is sent to a host stays on this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// credentials are what a remote asks for, read for one fetch.
type credentials struct{ username, password string }

// maxPassword is the size of the largest password file in bytes.
const maxPassword = 64 << 10

// read reads the credentials.
func (a Auth) read() (credentials, error) {
	if a.PasswordFile == "" {
		return credentials{}, nil
	}
	f, err := os.Open(a.PasswordFile)
	if err != nil {
		return credentials{}, fmt.Errorf("reading the password: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return credentials{}, fmt.Errorf("reading the password: %w", err)
	}
	c := credentials{username: a.Username, password: strings.TrimSpace(string(data))}
	if c.username == "" {
		c.username = "x-access-token"
	}
	if c.password == "" || len(data) > maxPassword || strings.ContainsAny(c.password, "\n\x00") {
		return credentials{}, fmt.Errorf("reading the password: %q does not hold one line", a.PasswordFile)
	}
	return c, nil
}
