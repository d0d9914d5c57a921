package acceptance

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/gitsource"
)

// Origin is a mirror, and whose signatures its commits must bear.
type Origin struct {
	Mirror *gitsource.Mirror
	Source string                 // its name; empty for the fleet repository
	Verify *v1alpha1.Verification // nil for nobody's
	Files  fs.FS                  // of the fleet repository, which has the files that Verify names
	Now    time.Time
}

// Resolve returns the commit of the first of some revisions that there is, if it is signed as it must be.
func (o Origin) Resolve(ctx context.Context, revisions ...gitsource.Revision) (string, error) {
	var resolution gitsource.Resolution
	var err error
	for _, rev := range revisions {
		if resolution, err = o.Mirror.Resolve(ctx, rev); !errors.Is(err, gitsource.ErrNoRevision) {
			break
		}
	}
	if err != nil || o.Verify == nil {
		return resolution.Commit, err
	}
	trust, err := ReadTrust(o.Files, o.Verify)
	if err != nil {
		return "", err
	}
	return resolution.Commit, trust.Verify(ctx, o.Mirror, resolution.Commit, o.Now)
}
