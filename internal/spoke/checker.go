package spoke

import (
	"nave.dev/internal/health"
)

// Checker judges the health of objects for the spokes of a process.
type Checker = *health.Checker

// NewChecker returns the checks that Nave ships.
func NewChecker() (Checker, error) { return health.New(health.Options{}) }
