package desired

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/atomicfile"
	"nave.dev/internal/gitsource"
	"nave.dev/internal/gitsource/commitsig"
)

// acceptanceFile is where, in the pipeline's directory, it is remembered.
const acceptanceFile = "accepted.json"

// acceptance is what is remembered of the commit of the fleet repository that
// was accepted last.
type acceptance struct {
	Commit string `json:"commit"`
	// SignersFile is where that commit lists those who may sign the next one, and
	// Signers the list itself, so that it counts even when a rewritten repository
	// no longer has the commit. Without a file no signature is asked for.
	SignersFile string `json:"signersFile,omitempty"`
	Signers     []byte `json:"signers,omitempty"`
}

// accept checks that a commit of the fleet repository is signed by those whom
// the commit accepted last allows: a commit cannot vouch for itself. The first
// one that is a fleet is trusted. A commit whose Fleet cannot be used says
// nothing of signatures, so what was asked for before it is asked for after it.
func (p *Pipeline) accept(ctx context.Context, mirror *gitsource.Mirror, pinned *Pinned, files fs.FS) error {
	p.accepting.Lock()
	defer p.accepting.Unlock()
	file := filepath.Join(p.opts.Dir, acceptanceFile)
	last, err := readAcceptance(file)
	if err != nil {
		return err
	}
	commit := pinned.Snapshot.Fleet
	if last.Commit == commit {
		return nil
	}
	if last.SignersFile != "" {
		if err := verify(ctx, mirror, commit, last.SignersFile, last.Signers); err != nil {
			return fmt.Errorf("%w; what counts are the signers of %s, which was accepted last", err, last.Commit)
		}
	}
	next := acceptance{Commit: commit, SignersFile: last.SignersFile, Signers: last.Signers}
	if usable := pinned.Fleet.Name != ""; usable {
		next.SignersFile, next.Signers = "", nil
		if want := pinned.Fleet.Verify; want != nil {
			next.SignersFile = want.AllowedSignersFile
			if next.Signers, err = readSigners(files, want); err != nil {
				return fmt.Errorf("commit %s is refused, since nothing could follow it: %w", commit, err)
			}
		}
	} else if last.Commit == "" {
		return nil
	}
	return next.write(file)
}

// readAcceptance reads what was remembered; nothing is remembered at first. What
// cannot be read is no beginning: it could have asked for signatures.
func readAcceptance(file string) (acceptance, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return acceptance{}, nil
	}
	var last acceptance
	if err == nil {
		last, err = decodeAcceptance(data)
	}
	if err != nil {
		return acceptance{}, fmt.Errorf("reading which commit was accepted last, in %s: %w\nhint: remove the file to trust the next commit as the first", file, err)
	}
	return last, nil
}

// decodeAcceptance reads what the file holds.
func decodeAcceptance(data []byte) (a acceptance, err error) {
	err = json.Unmarshal(data, &a)
	if err == nil && a.Commit == "" {
		err = errors.New("it names no commit")
	}
	return a, err
}

// write replaces the file in one step that a power cut does not undo.
func (a acceptance) write(file string) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encoding the accepted commit: %w", err)
	}
	if err := atomicfile.WriteDurably(file, append(data, '\n')); err != nil {
		return fmt.Errorf("writing the accepted commit: %w", err)
	}
	return nil
}

// readSigners reads a list of signers that can be used.
func readSigners(files fs.FS, want *v1alpha1.Verification) ([]byte, error) {
	data, err := fs.ReadFile(files, want.AllowedSignersFile)
	if err != nil {
		return nil, fmt.Errorf("reading the allowed signers: %w", err)
	}
	if _, err := commitsig.ParseSigners(data); err != nil {
		return nil, fmt.Errorf("reading the allowed signers in %s: %w", want.AllowedSignersFile, err)
	}
	return data, nil
}

// verify checks a commit's signature against a list of signers, read from file.
func verify(ctx context.Context, mirror *gitsource.Mirror, commit, file string, list []byte) error {
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
