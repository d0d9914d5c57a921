package acceptance

import (
	"context"
	"fmt"
	"io/fs"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/gitsource"
	"nave.dev/internal/gitsource/commitsig"
)

// Signers reads a list of signers that can be used.
func Signers(files fs.FS, want *v1alpha1.Verification) ([]byte, error) {
	data, err := fs.ReadFile(files, want.AllowedSignersFile)
	if err != nil {
		return nil, fmt.Errorf("reading the allowed signers: %w", err)
	}
	if _, err := commitsig.ParseSigners(data); err != nil {
		return nil, fmt.Errorf("reading the allowed signers in %s: %w", want.AllowedSignersFile, err)
	}
	return data, nil
}

// Verify checks a commit's signature against a list of signers, read from file.
func Verify(ctx context.Context, mirror *gitsource.Mirror, commit, file string, list []byte) error {
	signers, err := commitsig.ParseSigners(list)
	if err != nil {
		return fmt.Errorf("reading the allowed signers in %s: %w", file, err)
	}
	result, err := mirror.Verify(ctx, commit, signers)
	if err == nil && !result.Verified() {
		err = fmt.Errorf("commit %s is refused: %s", commit, result.Reason)
	}
	return err
}
