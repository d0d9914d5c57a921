package desired

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"

	"nave.dev/internal/desired/acceptance"
	"nave.dev/internal/gitsource"
)

// acceptanceFile is where, in the pipeline's directory, it is remembered.
const acceptanceFile = "accepted.json"

// accept checks that a commit of the fleet repository is signed by those whom
// the commit accepted last allows: a commit cannot vouch for itself. The first
// one that is a fleet is trusted. A commit whose Fleet cannot be used says
// nothing of signatures, so what was asked for before it is asked for after it.
func (p *Pipeline) accept(ctx context.Context, mirror *gitsource.Mirror, pinned *Pinned, files fs.FS) error {
	p.accepting.Lock()
	defer p.accepting.Unlock()
	file := filepath.Join(p.opts.Dir, acceptanceFile)
	last, err := acceptance.Read(file)
	if err != nil {
		return err
	}
	commit := pinned.Snapshot.Fleet
	if last.Commit == commit {
		return nil
	}
	if last.Asks() {
		if err := last.Verify(ctx, mirror, commit, p.opts.Now()); err != nil {
			return fmt.Errorf("%w; what counts are the signers of %s, which was accepted last", err, last.Commit)
		}
	}
	next := acceptance.Acceptance{Commit: commit, Trust: last.Trust}
	if usable := pinned.Fleet.Name != ""; usable {
		if next.Trust, err = acceptance.ReadTrust(files, pinned.Fleet.Verify); err != nil {
			return fmt.Errorf("commit %s is refused, since nothing could follow it: %w", commit, err)
		}
	} else if last.Commit == "" {
		return nil
	}
	return next.Write(file)
}
