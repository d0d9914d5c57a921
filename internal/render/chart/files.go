package chart

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"nave.dev/internal/glob"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// url is what is no path. Windows has no say here: a scheme has two letters at least.
var url = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]+:`)

// file resolves a path that the options state in a field: relative to the chart, with a leading slash to the top of its
// repository, or "$NAME/…" to the top of another tree. It does not leave that one.
func (in Input) file(field, name string) (string, error) {
	problem := manifest.Problem{File: in.Dir}
	root := tree.RemoteRoot(in.Dir)
	var file string
	switch {
	case url.MatchString(name):
		scheme, _, _ := strings.Cut(name, ":")
		problem.Message = fmt.Sprintf("helm.%s is a URL with the scheme %q: nothing is fetched while a chart is rendered", field, scheme)
		problem.Hint = "commit the file, or make its repository a source and refer to it by $NAME/…"
		return "", problem
	case strings.HasPrefix(name, "$"):
		ref, below, _ := strings.Cut(name[1:], "/")
		to, ok := in.Refs[ref]
		if !ok {
			problem.Message = fmt.Sprintf("helm.%s is %q, and no source has the ref %q", field, name, ref)
			if problem.Hint = "give the source that has the file the ref " + ref; len(in.Refs) > 0 {
				problem.Hint = "there are " + strings.Join(slices.Sorted(maps.Keys(in.Refs)), ", ")
			}
			return "", problem
		}
		if root = ""; to != "" {
			root = path.Join(tree.RemoteDir, to)
		}
		file = path.Join(root, below)
	case path.IsAbs(name):
		file = path.Join(root, strings.TrimLeft(name, "/"))
	case glob.IsPattern(name):
		file = path.Join(glob.Quote(in.Dir), name)
	default:
		file = path.Join(in.Dir, name)
	}
	if !tree.Within(root, file) {
		problem.Message = fmt.Sprintf("helm.%s is %q, which is outside of the repository", field, name)
		problem.Hint = "move it into the repository"
		return "", problem
	}
	return file, nil
}

// valueFiles are the paths of the values files in the tree, in their order. A pattern stands for the files that match,
// in the order of their names, without those that are stated or matched elsewhere.
func (in Input) valueFiles(t tree.Tree) ([]string, error) {
	resolved := make([]string, len(in.Options.ValueFiles))
	known := map[string]bool{}
	for i, name := range in.Options.ValueFiles {
		var err error
		if resolved[i], err = in.file(fmt.Sprintf("valueFiles[%d]", i), name); err != nil {
			return nil, err
		}
		known[resolved[i]] = true
	}
	var files []string
	for i, name := range resolved {
		if !glob.IsPattern(in.Options.ValueFiles[i]) {
			files = append(files, name)
			continue
		}
		found, err := match(t, name)
		var problem manifest.Problem
		switch {
		case errors.As(err, &problem):
			problem.File = in.Dir
			problem.Message = fmt.Sprintf("helm.valueFiles[%d]: %s", i, problem.Message)
			return nil, problem
		case err != nil:
			return nil, err
		case len(found) == 0 && !in.Options.IgnoreMissingValueFiles:
			return nil, manifest.Problem{File: in.Dir, Message: fmt.Sprintf("helm.valueFiles[%d]: no file matches %q", i, name),
				Hint: "a path of valueFiles is relative to the chart, or begins with a slash and is relative to the repository"}
		}
		for _, file := range found {
			if !known[file] {
				known[file] = true
				files = append(files, file)
			}
		}
	}
	return files, nil
}

// maxMatches is how many values files one pattern may stand for.
const maxMatches = 1000

// match returns the files of the tree that a pattern matches, directory by directory in the order of names.
func match(t tree.Tree, pattern string) ([]string, error) {
	compiled, err := glob.Compile(pattern, glob.ByName)
	if err != nil {
		return nil, manifest.Problem{Message: err.Error()}
	}
	dir, deep := ".", strings.ContainsAny(pattern, "{") || strings.Contains(pattern, "**")
	elements := strings.Split(pattern, "/")
	for i, element := range elements {
		if strings.ContainsAny(element, `*?[{\`) {
			dir = path.Join(elements[:i]...)
			break
		}
	}
	if dir == "" {
		dir = "."
	}
	var found []string
	var look func(dir string) error
	look = func(dir string) error {
		entries, err := t.List(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing %q: %w", dir, err)
		}
		for _, entry := range entries {
			name := path.Join(dir, entry.Name)
			switch {
			case name == tree.RemoteDir: // what is shown there is not of this repository
			case entry.Dir && (deep && !entry.Link || strings.Count(name, "/")+1 < len(elements)):
				if err := look(name); err != nil {
					return err
				}
			case entry.Dir || !compiled.Match(name):
			case len(found) == maxMatches:
				return manifest.Problem{Message: fmt.Sprintf("more than %d files match %q", maxMatches, pattern)}
			default:
				found = append(found, name)
			}
		}
		return nil
	}
	return found, look(dir)
}
