package chart

import (
	"regexp"
	"strconv"
	"strings"

	"nave.dev/internal/render/manifest"
)

// templateAt is how Helm writes the place of an error: CHART/templates/FILE:LINE, perhaps with a column.
var templateAt = regexp.MustCompile(`([\w.+-]+(?:/[\w.+ -]+)+):(\d+)(?::\d+)?`)

// noise is what Helm puts before its errors, which the place replaces.
var noise = regexp.MustCompile(`^(?:execution error at \([^)]*\): |parse error at \([^)]*\): )`)

// problem turns an error of Helm into one with the file and line of the template, as a path of the tree.
func (l *loaded) problem(err error) error {
	message := strings.TrimSpace(err.Error())
	found := manifest.Problem{File: l.dir}
	if at := templateAt.FindStringSubmatch(message); at != nil && l.Chart != nil {
		if name, ok := strings.CutPrefix(at[1], l.Name()+"/"); ok {
			found.File = l.place(name)
			found.Line, _ = strconv.Atoi(at[2])
		}
	}
	found.Message = noise.ReplaceAllString(message, "")
	if lines := strings.Split(found.Message, "\n"); len(lines) > 1 {
		for i, line := range lines {
			lines[i] = strings.TrimSpace(line)
		}
		found.Message = strings.Join(lines, " ")
	}
	return found
}

// rendered corrects problems of what a template rendered: their line is one of the output, which nobody has seen.
func rendered(problems manifest.Problems, output string) manifest.Problems {
	lines := strings.Split(output, "\n")
	for i, p := range problems {
		if p.Line == 0 {
			continue
		}
		problems[i].Line = 0
		problems[i].Message = "renders what " + p.Message
		if p.Line <= len(lines) {
			problems[i].Message += " (rendered line " + strconv.Itoa(p.Line) + ": " + strconv.Quote(strings.TrimSpace(lines[p.Line-1])) + ")"
		}
	}
	return problems
}
