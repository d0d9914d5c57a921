// Package fleetrepo has the flags by which a fleet repository is reached, of a hub and of
// an agent without one.
package fleetrepo

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/desired"
)

// Flags are those of a fleet repository.
type Flags struct {
	URL                               string
	branch, token, sshKey, knownHosts string
}

// Names are those of the flags beside --repo, with the one of the token.
func Names(token string) []string {
	return []string{"branch", token, "ssh-key-file", "known-hosts-file"}
}

// Add defines the flags. The one of the token has another name where an agent has a
// token of its own; about says what --repo is to whom.
func (f *Flags) Add(flags *pflag.FlagSet, about, token, prefix string) {
	flags.StringVar(&f.URL, "repo", "", about)
	flags.StringVar(&f.branch, "branch", "", prefix+"its branch (default: the repository's own default branch)")
	flags.StringVar(&f.token, token, "", prefix+"file with a password or token for it, by https")
	flags.StringVar(&f.sshKey, "ssh-key-file", "", prefix+"file with a private key for it, by ssh, without a passphrase")
	flags.StringVar(&f.knownHosts, "known-hosts-file", "", prefix+"file with the host keys that are trusted then, as ssh-keyscan prints them")
}

// Repository returns what the flags say. Files are found from where the program was
// started.
func (f *Flags) Repository() (desired.Repository, error) {
	r := desired.Repository{URL: f.URL, Revision: v1alpha1.Revision{Branch: f.branch}}
	switch {
	case (f.sshKey == "") != (f.knownHosts == ""):
		return r, errors.New("--ssh-key-file and --known-hosts-file go together")
	case f.sshKey != "" && f.token != "":
		return r, errors.New("a fleet repository is reached by a token or by an SSH key, not by both")
	case f.sshKey == "" && f.token == "":
		return r, nil
	}
	r.Credential = &v1alpha1.Credential{TokenFile: f.token, SSHKeyFile: f.sshKey, KnownHostsFile: f.knownHosts}
	for _, file := range []*string{&r.Credential.TokenFile, &r.Credential.SSHKeyFile, &r.Credential.KnownHostsFile} {
		if *file == "" {
			continue
		}
		absolute, err := filepath.Abs(*file)
		if err != nil {
			return r, fmt.Errorf("finding %q: %w", *file, err)
		}
		*file = absolute
	}
	return r, nil
}
