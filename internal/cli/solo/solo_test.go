package solo

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		reason string
		args   []string
		want   string // in the error; empty: none
	}{
		{"a hub", []string{"--hub=hub.example.com:7443", "--token-file=t"}, ""},
		{"none", []string{"--repo=file:///fleet.git", "--branch=main", "--interval=1s"}, ""},
		{"neither", nil, "--hub or --repo missing"},
		{"both", []string{"--repo=file:///fleet.git", "--hub=hub.example.com:7443"}, "--hub does not go with --repo"},
		{"nobody could ask what is refused", []string{"--repo=file:///fleet.git", "--refuse=diff"}, "--refuse does not go with --repo"},
		{"a hub follows Git itself", []string{"--hub=hub.example.com:7443", "--branch=main"}, "--branch goes with --repo"},
		{"no port", []string{"--hub=hub.example.com"}, "is not HOST:PORT"},
		{"a key without hosts", []string{"--repo=git@git.example.com:fleet.git", "--ssh-key-file=k"}, "--known-hosts-file go together"},
		{"time runs forward", []string{"--repo=file:///fleet.git", "--interval=-1s"}, "negative"},
	} {
		var f Flags
		flags := pflag.NewFlagSet("agent", pflag.ContinueOnError)
		f.Add(flags)
		for _, name := range onlyWithHub {
			flags.String(name, "", "")
		}
		if err := flags.Parse(test.args); err != nil {
			t.Fatalf("%s: %v", test.reason, err)
		}
		err := f.Check(flags)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.reason, err, test.want)
		}
	}
}
