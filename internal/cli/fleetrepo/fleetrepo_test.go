package fleetrepo

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/desired"
)

func TestRepository(t *testing.T) {
	here := func(name string) string {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	with := func(url string, c *v1alpha1.Credential) desired.Repository {
		return desired.Repository{URL: url, Revision: v1alpha1.Revision{Branch: "main"}, Credential: c}
	}
	for _, test := range []struct {
		args []string
		want desired.Repository
		err  string
	}{
		{[]string{"--repo=u"}, with("u", nil), ""},
		{[]string{"--repo=u", "--token-file=t"}, with("u", &v1alpha1.Credential{TokenFile: here("t")}), ""},
		{[]string{"--repo=u", "--ssh-key-file=/k", "--known-hosts-file=h"}, with("u", &v1alpha1.Credential{SSHKeyFile: "/k", KnownHostsFile: here("h")}), ""},
		{[]string{"--repo=u", "--ssh-key-file=k"}, with("u", nil), "go together"},
		{[]string{"--repo=u", "--known-hosts-file=h"}, with("u", nil), "go together"},
		{[]string{"--repo=u", "--token-file=t", "--ssh-key-file=k", "--known-hosts-file=h"}, with("u", nil), "not by both"},
	} {
		var f Flags
		flags := pflag.NewFlagSet("hub", pflag.ContinueOnError)
		f.Add(flags, "URL", "token-file", "")
		if err := flags.Parse(append(test.args, "--branch=main")); err != nil {
			t.Fatal(err)
		}
		have, err := f.Repository()
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: %v, want %q", test.args, err, test.err)
		}
		if diff := cmp.Diff(test.want, have); diff != "" {
			t.Errorf("%q (-want +have):\n%s", test.args, diff)
		}
	}
}
