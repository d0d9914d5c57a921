package manifest

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with what an app is made of.
type Problem struct {
	File    string `json:"file,omitempty"`   // empty if it is no single file's
	Line    int    `json:"line,omitempty"`   // from 1; 0 if not known
	Object  string `json:"object,omitempty"` // the object concerned, as object.ID prints it
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what a person can do about it
}

// String returns "file:line: object: message", with the hint, if there is one, indented on a line of its own.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Object != "" {
		b.WriteString(p.Object + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("\n  hint: " + p.Hint)
	}
	return b.String()
}

// Error makes a single problem an error.
func (p Problem) Error() string { return p.String() }

// Problems is everything that is wrong with an app, in the order of its files.
type Problems []Problem

// Error returns all problems, each as String prints it.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems as an error, or nil if there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}
