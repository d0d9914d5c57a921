package desired

import (
	"errors"
	"io/fs"
	"sync"

	"nave.dev/internal/health"
	"nave.dev/internal/strictyaml"
)

// HealthDir is where a fleet repository keeps its own health checks.
const HealthDir = "health"

// Checks are the fleet repository's own health checks, as files below HealthDir.
type Checks struct {
	Files fs.FS // nil if there are none
	// Digest names their content; empty if there are none.
	Digest string
}

// compiledChecks remembers what is wrong with the checks that were compiled last:
// few commits touch them. It is safe for concurrent use.
type compiledChecks struct {
	mu       sync.Mutex
	digest   string // empty for none
	problems strictyaml.Problems
}

// read finds the fleet's own health checks, and what is wrong with them.
func (c *compiledChecks) read(files tree, commit string) (Checks, strictyaml.Problems) {
	if _, err := fs.Stat(files, HealthDir); errors.Is(err, fs.ErrNotExist) {
		return Checks{}, nil
	}
	hash, hashed := files.Hash(HealthDir)
	if !hashed { // files that are being edited
		return Checks{Files: files, Digest: commit}, compileChecks(files)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.digest != hash {
		c.digest, c.problems = hash, compileChecks(files)
	}
	return Checks{Files: files, Digest: hash}, c.problems
}

// compileChecks returns what is wrong with health checks.
func compileChecks(files tree) strictyaml.Problems {
	_, err := health.New(health.Options{Custom: files, CustomDir: HealthDir})
	return checkProblems(err)
}

// checkProblems places what is wrong with health checks.
func checkProblems(err error) (problems strictyaml.Problems) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			problems = append(problems, checkProblems(err)...)
		}
		return problems
	}
	var problem *health.Problem
	switch {
	case errors.As(err, &problem):
		return strictyaml.Problems{{File: problem.File, Line: max(1, problem.Line), Column: 1, Message: problem.Message, Hint: problem.Hint}}
	case err != nil:
		return strictyaml.Problems{{File: HealthDir, Line: 1, Column: 1, Message: err.Error()}}
	}
	return nil
}
