package gitsource

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// Remote is a repository and the way in.
type Remote struct {
	// URL is https://, http://, ssh:// or file://, the short form user@host:path of ssh, or an absolute path. It may
	// not hold a password, nor a user unless it is one of ssh.
	URL  string
	Auth Auth
}

// Auth says where the credentials for a Remote are. Files are read again at every fetch, so that a renewed secret
// needs no restart. The zero value is for repositories that everyone may read.
type Auth struct {
	// Username goes with PasswordFile; empty means "x-access-token", which servers that take tokens accept.
	Username string
	// PasswordFile holds a password or token for http and https. White space around it does not count.
	PasswordFile string
	// Helper is a command with its arguments that follows Git's credential helper protocol, in place of PasswordFile:
	// it is given the argument "get", and protocol, host and path on its standard input, and prints username and
	// password. It runs with the environment of this process.
	Helper []string
	// SSHKeyFile is the private key for ssh, without a passphrase, and KnownHostsFile the keys of the servers to
	// trust. Both are needed for ssh: neither keys nor servers are ever guessed.
	SSHKeyFile     string
	KnownHostsFile string
	// CAFile holds the certificate authorities to trust for https, in place of the system's.
	CAFile string
	// PlainPassword allows the password to be sent over http to another machine, where everyone on the way can read it.
	PlainPassword bool
}

// Validate returns all that is wrong with a remote, joined; it reads no file.
func (r Remote) Validate() error {
	a, err := parseAddress(r.URL)
	if err != nil {
		return err
	}
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	web := a.protocol == "https" || a.protocol == "http"
	password := r.Auth.PasswordFile != "" || len(r.Auth.Helper) > 0
	if password && !web {
		bad("a password is only for https, and %q is not that", a.display)
	}
	if r.Auth.PasswordFile != "" && len(r.Auth.Helper) > 0 {
		bad("there is a password file and a credential helper: choose one")
	}
	if r.Auth.Username != "" && r.Auth.PasswordFile == "" {
		bad("there is a user name without a password file")
	}
	if strings.ContainsAny(r.Auth.Username, "\n\x00") {
		bad("the user name holds a line break")
	}
	if password && a.protocol == "http" && !a.loopback() && !r.Auth.PlainPassword {
		bad("a password for %q would be sent where everyone can read it: use https", a.display)
	}
	if r.Auth.CAFile != "" && a.protocol != "https" {
		bad("certificate authorities are only for https, and %q is not that", a.display)
	}
	if a.protocol == "ssh" {
		if r.Auth.SSHKeyFile == "" {
			bad("%q needs an ssh key file", a.display)
		}
		if r.Auth.KnownHostsFile == "" {
			bad("%q needs a known hosts file: ssh-keyscan %s prints its lines, to be checked", a.display, a.host)
		}
	} else if r.Auth.SSHKeyFile != "" || r.Auth.KnownHostsFile != "" {
		bad("ssh keys are only for ssh, and %q is not that", a.display)
	}
	for name, file := range map[string]string{"password": r.Auth.PasswordFile, "ssh key": r.Auth.SSHKeyFile,
		"known hosts": r.Auth.KnownHostsFile, "certificate authorities": r.Auth.CAFile} {
		if file != "" && (!filepath.IsAbs(file) || strings.ContainsAny(file, "\n\x00")) {
			bad("the %s file %q is not an absolute path", name, file)
		}
	}
	return errors.Join(problems...)
}

// address is a URL taken apart.
type address struct {
	git      string // as git is given it
	display  string // as people see it
	protocol string // https, http, ssh or file
	host     string // with the port
	path     string
}

var (
	shortSSH = regexp.MustCompile(`^(?:([\w.-]+)@)?([\w.-]+|\[[0-9a-fA-F:.]+\]):(.+)$`)
	sshUser  = regexp.MustCompile(`^[\w.][\w.-]*$`)
	hostName = regexp.MustCompile(`^[\w.][\w.-]*$`)
)

// parseAddress takes apart the URL of a remote. Its errors never repeat what may be a password.
func parseAddress(remote string) (address, error) {
	refuse := func(why string) (address, error) {
		shown := redact(remote)
		if i := strings.IndexAny(shown, "?#"); i >= 0 {
			shown = shown[:i+1] + "[redacted]"
		}
		return address{}, fmt.Errorf("remote %q: %s", shown, why)
	}
	switch {
	case remote == "":
		return address{}, errors.New("the remote has no URL")
	case strings.ContainsFunc(remote, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return refuse("it holds a control character")
	case filepath.IsAbs(remote):
		return address{git: remote, display: redact(remote), protocol: "file", path: remote}, nil
	case !strings.Contains(remote, "://"):
		m := shortSSH.FindStringSubmatch(remote)
		if m == nil || strings.Contains(remote, "::") && m[2][0] != '[' {
			return refuse("it is neither a URL nor an absolute path")
		}
		if m[1] != "" && !sshUser.MatchString(m[1]) || m[2][0] == '-' || m[3][0] == '-' {
			return refuse("its user, host or path is not valid")
		}
		return address{git: remote, display: remote, protocol: "ssh", host: m[2], path: m[3]}, nil
	}
	u, err := url.Parse(remote)
	if err != nil {
		return refuse("it is not a valid URL")
	}
	a := address{git: remote, display: redact(remote), protocol: strings.ToLower(u.Scheme), host: u.Host, path: u.Path}
	_, password := u.User.Password()
	switch a.protocol {
	case "https", "http":
		if u.User != nil {
			return refuse("it holds a user or password, which everyone who reads it would see: leave it out and name a password file")
		}
	case "ssh":
		if password || u.User != nil && !sshUser.MatchString(u.User.Username()) {
			return refuse("its user is not valid")
		}
	case "file":
		if u.Host != "" || u.User != nil || !filepath.IsAbs(u.Path) {
			return refuse("a file has an absolute path and no host")
		}
		return a, nil
	default:
		return refuse("its protocol is not one of https, http, ssh and file")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return refuse("it has a query or fragment, which repositories do not have")
	}
	if name := u.Hostname(); !hostName.MatchString(name) && net.ParseIP(name) == nil {
		return refuse("its host is not valid")
	}
	return a, nil
}

// loopback reports whether what is sent to the address stays on this machine.
func (a address) loopback() bool {
	host := a.host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*)://[^/\s'"]*@`)

// redact takes the users and passwords of URLs out of a text; the user of ssh is no secret and stays.
func redact(text string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	return userinfo.ReplaceAllStringFunc(text, func(found string) string {
		scheme, user, _ := strings.Cut(found, "://")
		if scheme == "ssh" && !strings.Contains(user, ":") {
			return found
		}
		return scheme + "://[redacted]@"
	})
}
