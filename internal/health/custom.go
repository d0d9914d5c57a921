package health

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"nave.dev/internal/health/sandbox"
)

var (
	groupName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$`)
	kindName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

const layoutHint = "health checks are GROUP/KIND/health.lua, with core as the GROUP of Kubernetes' core kinds"

// coreGroup stands for the core group, which has no name.
const coreGroup = "core"

// customScripts reads and compiles the checks in a directory of fsys. The layout is that of Argo CD's
// resource_customizations, so that a directory can be taken over whole: files that belong to tests and actions are
// passed over.
func customScripts(fsys fs.FS, dir string) (*scripts, error) {
	found := &scripts{exact: map[string]*script{}}
	if fsys == nil {
		return found, nil
	}
	var problems []error
	dir = path.Clean(dir)
	err := fs.WalkDir(fsys, dir, func(file string, entry fs.DirEntry, err error) error {
		if file == dir && dir != "." {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err == nil && !entry.IsDir():
				problems = append(problems, &Problem{File: file, Message: "is no directory", Hint: layoutHint})
				return nil
			}
		}
		if err != nil {
			problems = append(problems, &Problem{File: file, Message: err.Error()})
			return nil
		}
		if entry.IsDir() {
			if base := path.Base(file); base == "testdata" || base == "actions" {
				return fs.SkipDir
			}
			return nil
		}
		if checkedOut := path.Base(file) == ".git"; checkedOut || entry.Type()&fs.ModeIrregular != 0 {
			if checkedOut {
				file = path.Dir(file)
			}
			problems = append(problems, &Problem{File: file, Message: "is a submodule, which is not followed here"})
			return nil
		}
		if path.Ext(file) != ".lua" {
			return nil
		}
		if problem := found.addCustom(fsys, dir, file, entry); problem != nil {
			problems = append(problems, problem)
		}
		return nil
	})
	if err != nil {
		problems = append(problems, fmt.Errorf("listing custom health checks: %w", err))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return found, nil
}

// addCustom compiles one file and adds it.
func (s *scripts) addCustom(fsys fs.FS, dir, file string, entry fs.DirEntry) *Problem {
	name := path.Dir(file)
	if dir != "." {
		name = path.Clean(strings.TrimPrefix(strings.TrimPrefix(name, dir), "/"))
	}
	if problem := layoutProblem(file, name); problem != nil {
		return problem
	}
	if !entry.Type().IsRegular() {
		return &Problem{File: file, Message: "not a regular file"}
	}
	source, err := fs.ReadFile(fsys, file)
	if err != nil {
		return &Problem{File: file, Message: err.Error()}
	}
	program, err := sandbox.Compile(file, string(source))
	if err != nil {
		return compileProblem(file, err)
	}
	if group, kind, found := strings.Cut(name, "/"); found && group == coreGroup {
		name = kind
	}
	if other := s.exact[name]; other != nil {
		return &Problem{File: file, Message: "the same kind has " + other.path, Hint: "keep one of them"}
	}
	s.add(name, &script{path: file, source: SourceCustom, compile: func() (*sandbox.Script, error) { return program, nil }})
	return nil
}

// layoutProblem says what is wrong with the place of a file, or nil.
func layoutProblem(file, name string) *Problem {
	problem := func(format string, args ...any) *Problem {
		return &Problem{File: file, Message: fmt.Sprintf(format, args...), Hint: layoutHint}
	}
	if path.Base(file) != scriptFile {
		return problem("nothing reads this file")
	}
	group, kind, found := strings.Cut(name, "/")
	if !found {
		group, kind = "", name
	}
	switch {
	case name == ".":
		return problem("no kind in the path")
	case !found && strings.Contains(kind, "."):
		return problem("%q looks like a group, and the kind is missing", kind)
	case strings.Contains(kind, "/"):
		return problem("too many directories")
	case found && !groupName.MatchString(group):
		return problem("%q is no API group", group)
	case !kindName.MatchString(kind):
		return problem("%q is no kind", kind)
	}
	return nil
}
