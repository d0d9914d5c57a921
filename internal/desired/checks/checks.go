// Package checks finds the fleet repository's own health checks and what is wrong
// with them. It judges no objects.
package checks

import (
	"errors"
	"io/fs"
	"sync"

	"nave.dev/internal/health"
	"nave.dev/internal/strictyaml"
)

// Dir is where a fleet repository keeps its own health checks.
const Dir = "health"

// Tree is one commit as files, with the hash of each where it is known.
type Tree interface {
	fs.FS
	Hash(path string) (string, bool)
}

// Checks are the fleet repository's own health checks, as files below Dir.
type Checks struct {
	Files fs.FS // nil if there are none
	// Digest names their content; empty if there are none.
	Digest string
}

// Reader remembers what is wrong with the checks that it compiled last: few
// commits touch them. Its zero value works; it is safe for concurrent use.
type Reader struct {
	mu       sync.Mutex
	digest   string // empty for none
	problems strictyaml.Problems
}

// Read finds the checks of a commit, and what is wrong with them.
func (c *Reader) Read(files Tree, commit string) (Checks, strictyaml.Problems) {
	if _, err := fs.Stat(files, Dir); errors.Is(err, fs.ErrNotExist) {
		return Checks{}, nil
	}
	hash, hashed := files.Hash(Dir)
	if !hashed { // files that are being edited
		return Checks{Files: files, Digest: commit}, compile(files)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.digest != hash {
		c.digest, c.problems = hash, compile(files)
	}
	return Checks{Files: files, Digest: hash}, c.problems
}

// compile returns what is wrong with health checks.
func compile(files Tree) strictyaml.Problems {
	_, err := health.New(health.Options{Custom: files, CustomDir: Dir})
	return place(err)
}

// place says in which file and line what is wrong with health checks is.
func place(err error) (problems strictyaml.Problems) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			problems = append(problems, place(err)...)
		}
		return problems
	}
	var problem *health.Problem
	switch {
	case errors.As(err, &problem):
		return strictyaml.Problems{{File: problem.File, Line: max(1, problem.Line), Column: 1, Message: problem.Message, Hint: problem.Hint}}
	case err != nil:
		return strictyaml.Problems{{File: Dir, Line: 1, Column: 1, Message: err.Error()}}
	}
	return nil
}
