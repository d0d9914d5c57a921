package spoke

import (
	"context"
	"io/fs"
	"maps"

	"nave.dev/internal/health"
	"nave.dev/internal/object"
)

// Checker judges the health of objects for the spokes of a process.
type Checker = *health.Checker

// NewChecker returns the checks that Nave ships and, before them, those of the
// fleet below a directory of files; without files it has none. The error joins
// all that is wrong with the fleet's checks.
func NewChecker(files fs.FS, dir string) (Checker, error) {
	return health.New(health.Options{Custom: files, CustomDir: dir, HookFinalizers: []string{object.HookFinalizer}})
}

// judgeBy takes over other checks of health. A watch holds no objects, so those
// that the fleet's own checks decide, or decided, are listed again.
func (s *session) judgeBy(ctx context.Context) {
	s.spoke.mu.Lock()
	checks := s.spoke.checks
	s.spoke.mu.Unlock()
	if checks == s.checks {
		return
	}
	before := s.checks
	s.checks = checks
	for kind := range maps.Clone(s.watches) {
		if before.SourceOf(kind) == health.SourceCustom || checks.SourceOf(kind) == health.SourceCustom {
			s.follow(ctx, kind)
		}
	}
}
