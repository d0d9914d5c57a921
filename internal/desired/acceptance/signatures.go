package acceptance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/gitsource/commitsig"
)

// Signatures remembers by which OpenPGP keys commits are signed, for one state of the fleet's keyrings: many apps ask
// of the same commit. The zero value is ready, and safe for concurrent use.
type Signatures struct {
	mu    sync.Mutex
	known map[[2]string]signature // by source and commit
}

// signature is one that was looked at.
type signature struct {
	by      commitsig.Result
	keyring *commitsig.Keyring
}

// Check returns an error unless a commit is signed as a project asks for. Only keys of the keyring that the Fleet has
// for the source count: a project chooses among those, and admits none.
func (s *Signatures) Check(ctx context.Context, want *app.Signed, from Origin, commit string) error {
	refuse := func(hint, format string, args ...any) error {
		return fmt.Errorf("project %q takes only commits that are signed by %s: %s\nhint: %s",
			want.Project, strings.Join(want.Keys, " or "), fmt.Sprintf(format, args...), hint)
	}
	source, field := "the fleet repository", "spec.verify.keyringFile of the Fleet"
	if from.Source != "" {
		source, field = fmt.Sprintf("source %q", from.Source), "verify.keyringFile of the source in the Fleet"
	}
	if from.Verify == nil || from.Verify.KeyringFile == "" {
		return refuse("name a file with these public keys under "+field, "%s has no keyring", source)
	}
	found, err := s.look(ctx, from, commit)
	switch {
	case err != nil:
		return err
	case !slices.ContainsFunc(want.Keys, found.keyring.Has):
		return refuse("add what gpg --export --armor KEY prints", "%s has none of them", from.Verify.KeyringFile)
	case !found.by.Verified():
		return refuse("have one of these keys sign the newest commit", "commit %s of %s is refused: %s", commit, source, found.by.Reason)
	case !slices.ContainsFunc(want.Keys, found.by.SignedBy):
		return refuse("have one of these keys sign the newest commit", "commit %s of %s is %s", commit, source, found.by)
	}
	return nil
}

// look verifies a commit, once.
func (s *Signatures) look(ctx context.Context, from Origin, commit string) (signature, error) {
	at := [2]string{from.Source, commit}
	s.mu.Lock()
	found, ok := s.known[at]
	s.mu.Unlock()
	if ok {
		return found, nil
	}
	trust, err := ReadTrust(from.Files, from.Verify)
	if err != nil {
		return signature{}, err
	}
	trusted, err := trust.parse()
	if err != nil {
		return signature{}, err
	}
	found.keyring = trusted.Keys
	if found.by, err = from.Mirror.Verify(ctx, commit, commitsig.Trusted{Keys: trusted.Keys}, from.Now); err != nil {
		return signature{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[[2]string]signature{}
	}
	s.known[at] = found
	return found, nil
}
