package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a file. Line and Column count from 1, columns in characters. Field is the
// path of the field concerned, such as spec.nodePools[0].cpu or metadata.labels["app.kubernetes.io/name"], or empty if the
// problem is not one field's. Message says what is wrong; Hint, which may be empty, what to do about it.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String returns file:line:column: field: message, and the hint, if there is one, indented on a line of its own.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("\n  hint: " + p.Hint)
	}
	return b.String()
}

// WithHint returns p with its hint replaced.
func (p Problem) WithHint(format string, args ...any) Problem {
	p.Hint = fmt.Sprintf(format, args...)
	return p
}

// Problems is what is wrong with one or several files. A function that returns a plain error returns Err of it, since
// an empty Problems in an error is not nil.
type Problems []Problem

// Error returns all problems, one after the other, as String prints them.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns ps as an error, or nil if there are no problems.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Sort orders ps by file, line and column, and keeps the order of those at one place.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// With returns the problems of decoding, ps, together with what validation found afterwards, more, sorted. Findings
// about a field which ps already has a problem with, or which lies below one, are left out: a name that could not be
// decoded is not also missing. A problem without a field concerns its whole file.
func (ps Problems) With(more Problems) Problems {
	bad := make(map[[2]string]bool, len(ps))
	for _, p := range ps {
		bad[[2]string{p.File, p.Field}] = true
	}
	all := slices.Clone(ps)
	for _, p := range more {
		if !covered(bad, p) {
			all = append(all, p)
		}
	}
	all.Sort()
	return all
}

// covered tells whether bad holds the field of p or one above it.
func covered(bad map[[2]string]bool, p Problem) bool {
	for i, c := range p.Field {
		if (c == '.' || c == '[') && bad[[2]string{p.File, p.Field[:i]}] {
			return true
		}
	}
	return bad[[2]string{p.File, p.Field}] || bad[[2]string{p.File, ""}]
}
