package submodule

import (
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	const web, ssh, short = "https://git.example.com/org/fleet.git", "ssh://git@git.example.com:2222/org/fleet", "git@git.example.com:org/fleet.git"
	for _, c := range []struct{ base, stated, want, err string }{
		{web, "https://git.example.com/a/b", "https://git.example.com/a/b", ""},
		{web, "../base.git", "https://git.example.com/org/base.git", ""},
		{web + "/", "../base.git", "https://git.example.com/org/base.git", ""},
		{web, "./nested", "https://git.example.com/org/fleet.git/nested", ""},
		{web, "../../other/base", "https://git.example.com/other/base", ""},
		{web, "../../../base", "", "leads out of the host"},
		{web, "../..", "", "leads out of the host"},
		{web, "../../../evil.example.com/x", "", "leads out of the host"},
		{ssh, "../base", "ssh://git@git.example.com:2222/org/base", ""},
		{short, "../base.git", "git@git.example.com:org/base.git", ""},
		{short, "../../base.git", "git@git.example.com:base.git", ""},
		{short, "../../../base.git", "", "leads out of the host"},
		{"/srv/git/fleet", "../base", "/srv/git/base", ""},
		{"file:///srv/git/fleet", "../base", "file:///srv/git/base", ""},
		{"https://git.example.com", "../base", "", "leads out of the host"},
		{"fleet", "../base", "", "is not known"},
		{"", "../base", "", "is not known"},
		{web, "", "", "it has no URL"},
		{web, "git@git.example.com:a/b.git", "git@git.example.com:a/b.git", ""},
		{web, "git://git.example.com/a", "git://git.example.com/a", ""},
		{web, "ssh://git@git.example.com/a", "ssh://git@git.example.com/a", ""},
		{web, "/srv/git/a", "/srv/git/a", ""},
		{web, "https://tess:hunter2@git.example.com/a", "https://git.example.com/a", ""},
		{web, "https://token@git.example.com/a", "https://git.example.com/a", ""},
		{web, "ssh://git:hunter2@git.example.com/a", "ssh://git.example.com/a", ""},
		{web, "https://tess:hunter2@git.example.com/%zz", "", "its URL is not valid"},
		{web, "ext::sh -c touch% /tmp/x", "", "its protocol is not one of"},
		{web, "fd::17", "", "its protocol is not one of"},
		{web, "ftp://git.example.com/a", "", "its protocol is not one of"},
		{web, "a/b", "", "its protocol is not one of"},
		{web, "-oProxyCommand=x:y", "", "its protocol is not one of"},
		{web, "host:-x", "", "its protocol is not one of"},
	} {
		got, err := Resolve(c.base, c.stated)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if got != c.want || !strings.Contains(message, c.err) || (c.err == "") != (err == nil) || strings.Contains(message, "hunter2") {
			t.Errorf("%s on %s: got %q, %q, want %q, %q", c.stated, c.base, got, message, c.want, c.err)
		}
	}
}

// A relative URL never changes the host.
func FuzzResolve(f *testing.F) {
	f.Add("../base.git")
	f.Add(".//..//./x")
	f.Add("../../..")
	f.Fuzz(func(t *testing.T, stated string) {
		for _, host := range []string{"https://git.example.com/", "ssh://git@git.example.com:22/", "git@git.example.com:", "/"} {
			got, err := Resolve(host+"org/fleet.git", stated)
			if err == nil && strings.HasPrefix(stated, ".") && !strings.HasPrefix(got, host) {
				t.Errorf("%q leads from %s to %q", stated, host, got)
			}
		}
	})
}
