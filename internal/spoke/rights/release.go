package rights

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Lacking is the error of a release of which it was found out while it was rendered that
// it lacks rights.
type Lacking struct {
	Missing []Rule
	asked   []Rule
}

// Error implements error.
func (l *Lacking) Error() string { return held(l.Missing) }

// Entitles returns what says of the objects and hooks of an app's release what they lack,
// as a Lacking. It is nil where nothing can be lacking.
func (m *Memory) Entitles(a app.Desired, kinds func() Kinds) func(ctx context.Context, objects, hooks []object.ID) error {
	if a.Bundle.Release == nil || m.Everything() && a.Options.ServiceAccount == "" {
		return nil
	}
	now := kinds()
	return func(ctx context.Context, objects, hooks []object.ID) error {
		asked := OfRelease(a, now, objects, hooks)
		missing, err := m.Missing(ctx, asked)
		switch {
		case apierrors.IsForbidden(err): // the cluster decides at each request
			return nil
		case err != nil:
			return fmt.Errorf("asking for the rights to what the release has: %w", err)
		case len(missing) > 0:
			return &Lacking{Missing: missing, asked: asked}
		}
		return nil
	}
}

// Found takes in what a sync of a release of some content came to. If that is that it
// lacks rights, these count among what the app needs from then on.
func (s *Standing) Found(of string, err error, now time.Time) (lacks, news bool) {
	var lacking *Lacking
	if !errors.As(err, &lacking) {
		return false, false
	}
	s.found, s.foundOf = lacking.asked, of
	return true, s.Take(of, lacking.Missing, nil, now)
}

// Also returns the rights that an app of some content was found to need besides those
// that it names.
func (s *Standing) Also(of string) []Rule {
	if s.foundOf != of {
		return nil
	}
	return s.found
}
