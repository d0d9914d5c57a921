package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/gitsource"
	"nave.dev/internal/gitsource/commitsig"
)

// Trust is whose signatures count: the files of a fleet repository that say so, and what is in them. Without files no
// signature is asked for; with both, one by either counts.
type Trust struct {
	SignersFile string `json:"signersFile,omitempty"`
	Signers     []byte `json:"signers,omitempty"`
	KeyringFile string `json:"keyringFile,omitempty"`
	Keyring     []byte `json:"keyring,omitempty"`
}

// Asks reports whether a signature is asked for.
func (t Trust) Asks() bool { return t.SignersFile != "" || t.KeyringFile != "" }

// ReadTrust reads what is wanted of commits, which can be used as it is. Nil wants nothing.
func ReadTrust(files fs.FS, want *v1alpha1.Verification) (t Trust, err error) {
	if want == nil {
		return Trust{}, nil
	}
	t.SignersFile, t.KeyringFile = want.AllowedSignersFile, want.KeyringFile
	if t.SignersFile != "" {
		if t.Signers, err = fs.ReadFile(files, t.SignersFile); err != nil {
			return Trust{}, fmt.Errorf("reading the allowed signers: %w", err)
		}
	}
	if t.KeyringFile != "" {
		if t.Keyring, err = fs.ReadFile(files, t.KeyringFile); err != nil {
			return Trust{}, fmt.Errorf("reading the keyring: %w", err)
		}
	}
	if !t.Asks() {
		return Trust{}, errors.New("reading who may sign: no file says so")
	}
	_, err = t.parse()
	return t, err
}

func (t Trust) parse() (trusted commitsig.Trusted, err error) {
	if t.SignersFile != "" {
		if trusted.Signers, err = commitsig.ParseSigners(t.Signers); err != nil {
			return commitsig.Trusted{}, fmt.Errorf("reading the allowed signers in %s: %w", t.SignersFile, err)
		}
	}
	if t.KeyringFile != "" {
		if trusted.Keys, err = commitsig.ParseKeyring(t.Keyring); err != nil {
			return commitsig.Trusted{}, fmt.Errorf("in %s: %w", t.KeyringFile, err)
		}
	}
	return trusted, nil
}

// Verify returns an error unless a commit is signed by one who is trusted.
func (t Trust) Verify(ctx context.Context, mirror *gitsource.Mirror, commit string, now time.Time) error {
	trusted, err := t.parse()
	if err != nil {
		return err
	}
	result, err := mirror.Verify(ctx, commit, trusted, now)
	if err == nil && !result.Verified() {
		err = fmt.Errorf("commit %s is refused: %s", commit, result.Reason)
	}
	return err
}
