package spoke

import (
	"context"
	"io/fs"

	"nave.dev/internal/app"
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

// judgeBy takes over by which rules health is judged now: by other checks of the fleet,
// or by expressions of its apps. A watch holds no objects, so those that other rules
// decide now are listed again.
func (s *session) judgeBy(ctx context.Context) {
	s.spoke.mu.Lock()
	checks := s.spoke.checks
	s.spoke.mu.Unlock()
	stated := map[string][]app.HealthCheck{}
	for name, w := range s.apps {
		if len(w.options.HealthChecks) > 0 {
			stated[name] = w.options.HealthChecks
		}
	}
	before := s.rules.Load()
	rules := before.Next(checks, stated)
	if rules == before {
		return
	}
	s.checks = checks
	s.rules.Store(rules)
	for kind := range s.watches.Kinds() {
		if before.Version(kind) != rules.Version(kind) {
			s.watches.Anew(ctx, kind)
		}
	}
	s.applier.FollowAnew()
}
