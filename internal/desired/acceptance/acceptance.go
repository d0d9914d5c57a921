// Package acceptance says who may sign a commit, and remembers which commit of the
// fleet repository was accepted last, and who may sign the next one. It decides for
// no commit whether it has to be signed.
package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"nave.dev/internal/atomicfile"
)

// Acceptance is what is remembered of the commit of the fleet repository that was
// accepted last.
type Acceptance struct {
	Commit string `json:"commit"`
	// Trust is who may sign the next one. The files are kept with their content, so that
	// it counts even when a rewritten repository no longer has the commit.
	Trust
}

// Read reads what was remembered in a file; nothing is remembered at first. What
// cannot be read is no beginning: it could have asked for signatures.
func Read(file string) (Acceptance, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Acceptance{}, nil
	}
	var last Acceptance
	if err == nil {
		last, err = decode(data)
	}
	if err != nil {
		return Acceptance{}, fmt.Errorf("reading which commit was accepted last, in %s: %w\nhint: remove the file to trust the next commit as the first", file, err)
	}
	return last, nil
}

// decode reads what the file holds.
func decode(data []byte) (a Acceptance, err error) {
	err = json.Unmarshal(data, &a)
	if err == nil && a.Commit == "" {
		err = errors.New("it names no commit")
	}
	return a, err
}

// Write replaces the file in one step that a power cut does not undo.
func (a Acceptance) Write(file string) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encoding the accepted commit: %w", err)
	}
	if err := atomicfile.WriteDurably(file, append(data, '\n')); err != nil {
		return fmt.Errorf("writing the accepted commit: %w", err)
	}
	return nil
}
