package gitsource

import (
	"strings"
	"testing"
)

func TestRemoteValidate(t *testing.T) {
	ssh := Auth{SSHKeyFile: "/keys/id", KnownHostsFile: "/keys/known_hosts"}
	password := Auth{PasswordFile: "/keys/token"}
	cases := map[string]struct {
		reason string
		remote Remote
		err    string // empty: valid
	}{
		"https":          {"a public repository", Remote{URL: "https://git.example.com/org/fleet.git"}, ""},
		"token":          {"a token for https", Remote{URL: "https://git.example.com/org/fleet", Auth: password}, ""},
		"helper":         {"a helper for https", Remote{URL: "https://git.example.com:8443/x", Auth: Auth{Helper: []string{"helper"}}}, ""},
		"http":           {"no password, no harm", Remote{URL: "http://git.example.com/x"}, ""},
		"http here":      {"nobody listens on this machine", Remote{URL: "http://127.0.0.1:8080/x", Auth: password}, ""},
		"http here, v6":  {"nobody listens on this machine", Remote{URL: "http://[::1]:8080/x", Auth: password}, ""},
		"plain password": {"said twice", Remote{URL: "http://git.example.com/x", Auth: Auth{PasswordFile: "/t", PlainPassword: true}}, ""},
		"ssh":            {"ssh as a URL", Remote{URL: "ssh://git@git.example.com:2222/org/fleet.git", Auth: ssh}, ""},
		"short ssh":      {"ssh in its short form", Remote{URL: "git@git.example.com:org/fleet.git", Auth: ssh}, ""},
		"file":           {"a file URL", Remote{URL: "file:///srv/git/fleet.git"}, ""},
		"path":           {"an absolute path", Remote{URL: "/srv/git/a b/fleet.git"}, ""},
		"authority":      {"a private authority", Remote{URL: "https://git.example.com/x", Auth: Auth{CAFile: "/keys/ca"}}, ""},

		"nothing":           {"a URL is needed", Remote{}, "the remote has no URL"},
		"relative":          {"relative to what?", Remote{URL: "../fleet"}, "neither a URL nor an absolute path"},
		"other protocol":    {"Git's own protocol checks nothing", Remote{URL: "git://git.example.com/x"}, "not one of https, http, ssh and file"},
		"ext":               {"a command in the place of a URL", Remote{URL: "ext::sh -c touch% /tmp/x"}, "neither a URL nor an absolute path"},
		"ext with slashes":  {"a command in the place of a URL", Remote{URL: "ext::sh://x"}, `protocol`},
		"option":            {"an option in the place of a URL", Remote{URL: "--upload-pack=touch /tmp/x"}, "neither a URL nor an absolute path"},
		"option as host":    {"an option in the place of a host", Remote{URL: "ssh://-oProxyCommand=x/y", Auth: ssh}, "its host is not valid"},
		"option as user":    {"an option in the place of a user", Remote{URL: "ssh://-l@h/y", Auth: ssh}, "its user is not valid"},
		"option, short":     {"an option in the place of a host", Remote{URL: "-oProxyCommand=x:y", Auth: ssh}, "neither a URL nor an absolute path"},
		"line break":        {"a second line for the credential protocol", Remote{URL: "https://h/x\nhost=evil"}, "control character"},
		"password in URL":   {"everyone who reads the fleet repository would see it", Remote{URL: "https://u:s3cret@h/x"}, `remote "https://[redacted]@h/x": it holds a user or password`},
		"token in URL":      {"a token may stand in the place of the user", Remote{URL: "https://s3cret@h/x"}, `remote "https://[redacted]@h/x": it holds a user or password`},
		"password for ssh":  {"ssh takes none", Remote{URL: "ssh://u:s3cret@h/x", Auth: ssh}, `remote "ssh://[redacted]@h/x": its user is not valid`},
		"unreadable":        {"an error that repeats no password", Remote{URL: "https://u:s3cret@h:port/x"}, `remote "https://[redacted]@h:port/x": it is not a valid URL`},
		"query":             {"a query is something else", Remote{URL: "https://h/x?token=s3cret"}, "query or fragment"},
		"host of a file":    {"files of other machines", Remote{URL: "file://h/x"}, "no host"},
		"no host":           {"a host is needed", Remote{URL: "https:///x"}, "its host is not valid"},
		"ssh with nothing":  {"keys are never guessed", Remote{URL: "ssh://git@h/x"}, "needs an ssh key file"},
		"ssh with no hosts": {"servers are never guessed", Remote{URL: "git@h:x", Auth: Auth{SSHKeyFile: "/k"}}, "needs a known hosts file: ssh-keyscan h prints"},
		"http password":     {"everyone on the way would see it", Remote{URL: "http://git.example.com/x", Auth: password}, "use https"},
		"http helper":       {"everyone on the way would see it", Remote{URL: "http://127.0.0.1.example.com/x", Auth: Auth{Helper: []string{"h"}}}, "use https"},
		"password for file": {"nobody asks for it", Remote{URL: "/srv/x", Auth: password}, "a password is only for https"},
		"two passwords":     {"which?", Remote{URL: "https://h/x", Auth: Auth{PasswordFile: "/k", Helper: []string{"h"}}}, "choose one"},
		"user only":         {"a user without a password", Remote{URL: "https://h/x", Auth: Auth{Username: "u"}}, "without a password file"},
		"user of two lines": {"a second line for the credential protocol", Remote{URL: "https://h/x", Auth: Auth{Username: "u\nx", PasswordFile: "/k"}}, "line break"},
		"key for https":     {"nobody asks for it", Remote{URL: "https://h/x", Auth: ssh}, "ssh keys are only for ssh"},
		"authority for ssh": {"nobody asks for it", Remote{URL: "ssh://h/x", Auth: Auth{CAFile: "/c", SSHKeyFile: "/k", KnownHostsFile: "/h"}}, "only for https"},
		"relative file":     {"relative to what?", Remote{URL: "https://h/x", Auth: Auth{PasswordFile: "token"}}, `the password file "token" is not an absolute path`},
	}
	for name, c := range cases {
		err := c.remote.Validate()
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %s: got %v, want %q", name, c.reason, err, c.err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
	all := Remote{URL: "ssh://h/x", Auth: Auth{Username: "u", CAFile: "ca"}}.Validate()
	if lines := strings.Count(all.Error(), "\n") + 1; lines != 5 {
		t.Errorf("%d problems, want all 5:\n%v", lines, all)
	}
}

func TestRedact(t *testing.T) {
	cases := []struct{ reason, text, want string }{
		{"a password", "fatal: https://u:s3cret@h/x failed", "fatal: https://[redacted]@h/x failed"},
		{"a token as user", "'https://s3cret@h/x'", "'https://[redacted]@h/x'"},
		{"a password with an at sign", "http://u:s3@cret@h", "http://[redacted]@h"},
		{"the user of ssh is no secret", "ssh://git@h/x", "ssh://git@h/x"},
		{"a password of ssh is", "ssh://git:s3cret@h/x", "ssh://[redacted]@h/x"},
		{"an address is no user", "see https://h/x or mail a@b", "see https://h/x or mail a@b"},
		{"the password itself", "you said hunter2?", "you said [redacted]?"},
	}
	for _, c := range cases {
		if got := redact(c.text, "", "hunter2"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"https://h/x", "https://user:secret@h/x", "ssh://git@h:22/x", "git@h:x", "/x", "file:///x", "ext::sh", "a:b", "[::1]:x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		a, err := parseAddress(remote)
		if err != nil {
			return
		}
		switch a.protocol {
		case "https", "http", "file":
			if userinfo.MatchString(strings.ReplaceAll(a.display, "[redacted]@", "")) {
				t.Errorf("%q: shows %q", remote, a.display)
			}
		case "ssh":
		default:
			t.Errorf("%q: protocol %q", remote, a.protocol)
		}
		if a.git == "" || a.git[0] == '-' || strings.ContainsAny(a.git, "\n\x00") || strings.HasPrefix(strings.ToLower(a.git), "ext::") {
			t.Errorf("%q: git is given %q", remote, a.git)
		}
	})
}
