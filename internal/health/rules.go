package health

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/argoproj/argo-cd/v3/resource_customizations"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/health/sandbox"
)

// scriptFile is the name of a Lua check in the directory of its kind.
const scriptFile = "health.lua"

// rule is what is asked for the objects of one kind, in the order of its fields.
type rule struct {
	scripts   []*script
	builtin   func(object) Result
	stateless bool
}

func (r *rule) source() Source {
	switch {
	case len(r.scripts) > 0:
		return r.scripts[0].source
	case r.builtin != nil:
		return SourceBuiltin
	case r.stateless:
		return SourceNone
	}
	return SourceKStatus
}

// rule returns the rule for a kind and remembers it.
func (c *Checker) rule(kind schema.GroupKind) *rule {
	if known, ok := c.rules.Load(kind); ok {
		return known.(*rule)
	}
	r := &rule{builtin: builtins[kind], stateless: slices.Contains(stateless[kind.Group], kind.Kind)}
	for _, scripts := range []*scripts{c.custom, c.embedded} {
		if s := scripts.find(kind); s != nil {
			r.scripts = append(r.scripts, s)
		}
	}
	known, _ := c.rules.LoadOrStore(kind, r)
	return known.(*rule)
}

// script is one Lua check, compiled when it is first needed and shared by all checkers.
type script struct {
	path    string
	source  Source
	compile func() (*sandbox.Script, error)
}

// scripts are the Lua checks of one directory tree.
type scripts struct {
	exact map[string]*script
	// wildcards are sorted by name; the first that matches is taken.
	wildcards []wildcard
}

type wildcard struct {
	name string
	*script
}

// key is the directory of a kind's check: GROUP/KIND, or KIND for the core group.
func key(kind schema.GroupKind) string {
	if kind.Group == "" {
		return kind.Kind
	}
	return kind.Group + "/" + kind.Kind
}

// kindOf is the opposite of key, with * for the underscore.
func kindOf(name string) schema.GroupKind {
	group, kind, found := strings.Cut(strings.ReplaceAll(name, "_", "*"), "/")
	if !found {
		return schema.GroupKind{Kind: group}
	}
	return schema.GroupKind{Group: group, Kind: kind}
}

// add adds the check of directory name.
func (s *scripts) add(name string, check *script) {
	if strings.Contains(name, "_") {
		s.wildcards = append(s.wildcards, wildcard{name, check})
		slices.SortFunc(s.wildcards, func(a, b wildcard) int { return cmp.Compare(a.name, b.name) })
		return
	}
	s.exact[name] = check
}

// find returns the check for a kind, or nil. As in Argo CD a check for exactly this kind wins, then the first wildcard
// in the order of names; an underscore stands for any number of characters within the group or within the kind.
func (s *scripts) find(kind schema.GroupKind) *script {
	name := key(kind)
	if check, ok := s.exact[name]; ok {
		return check
	}
	for _, w := range s.wildcards {
		if ok, err := path.Match(strings.ReplaceAll(w.name, "_", "*"), name); ok && err == nil {
			return w.script
		}
	}
	return nil
}

// embeddedScripts indexes the checks that Argo CD's module embeds. They are compiled one by one as they are needed:
// a cluster uses a few of them.
var embeddedScripts = sync.OnceValues(func() (*scripts, error) {
	found := &scripts{exact: map[string]*script{}}
	fsys := resource_customizations.Embedded
	err := fs.WalkDir(fsys, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(file) != scriptFile {
			return err
		}
		found.add(path.Dir(file), &script{path: file, source: SourceLua, compile: sync.OnceValues(func() (*sandbox.Script, error) {
			source, err := fs.ReadFile(fsys, file)
			if err != nil {
				return nil, fmt.Errorf("reading embedded health check: %w", err)
			}
			return sandbox.Compile(file, string(source))
		})})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing embedded health checks: %w", err)
	}
	return found, nil
})

// Kind is one line of the list of kinds with a rule of their own.
type Kind struct {
	// Group and Kind may hold *, which stands for any characters.
	Group string `json:"group"`
	Kind  string `json:"kind"`
	// Source is the one that decides.
	Source Source `json:"source"`
	// File is the Lua check's, relative to the directory of custom checks or to Argo CD's resource_customizations.
	File string `json:"file,omitempty"`
}

// Kinds lists every kind with a check or rule of its own, sorted by group and kind, each once with the source that
// wins. All other kinds follow the conventions of kstatus or have no health of their own; see [Checker.HasRule].
func (c *Checker) Kinds() []Kind {
	byKind := map[schema.GroupKind]Kind{}
	list := func(kind schema.GroupKind, source Source, file string) {
		byKind[kind] = Kind{Group: kind.Group, Kind: kind.Kind, Source: source, File: file}
	}
	// From the weakest to the strongest.
	for kind := range builtins {
		list(kind, SourceBuiltin, "")
	}
	for _, scripts := range []*scripts{c.embedded, c.custom} {
		for name, check := range scripts.exact {
			list(kindOf(name), check.source, check.path)
		}
		for _, w := range scripts.wildcards {
			list(kindOf(w.name), w.source, w.path)
		}
	}
	kinds := make([]Kind, 0, len(byKind))
	for _, kind := range byKind {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b Kind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
	})
	return kinds
}

// Problem is something wrong with a custom check.
type Problem struct {
	// File is relative to the directory of custom checks. Line counts from 1; 0 means the whole file.
	File    string
	Line    int
	Message string
	// Hint says what to do, and may be empty.
	Hint string
}

// Error returns "file:line: message (hint)".
func (p *Problem) Error() string {
	text := p.File + ": " + p.Message
	if p.Line > 0 {
		text = fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}

// compileProblem is the problem of a script that does not compile.
func compileProblem(file string, err error) *Problem {
	var syntax *sandbox.SyntaxError
	if errors.As(err, &syntax) {
		return &Problem{File: file, Line: syntax.Line, Message: syntax.Message}
	}
	return &Problem{File: file, Message: err.Error()}
}
