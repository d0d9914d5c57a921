// Package directory reads directories of manifests: YAML, JSON, and programs in Jsonnet that come to manifests. The
// main function is Read. It decides which files count, as Nave does or as Argo CD does; what a manifest is says the
// package manifest.
package directory

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"

	"nave.dev/internal/app"
	"nave.dev/internal/render/jsonnet"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// Input says what to read.
type Input struct {
	Dir string
	// Options are Argo CD's way to read a directory. nil means Nave's.
	Options *app.Directory
	// Variables are external variables of Jsonnet programs that are read Nave's way.
	Variables map[string]string
	Limits    manifest.Limits
}

// Output is what was read.
type Output struct {
	Objects  []manifest.Object // in the order of files
	Warnings []string          // what was left out, and why
}

// Read returns the objects of a directory. An error about its files is a manifest.Problem or manifest.Problems.
func Read(t tree.Tree, in Input) (Output, error) {
	r := &reader{tree: t, in: in, decoder: &manifest.Decoder{Limits: in.Limits}}
	read := r.plain
	if in.Options != nil {
		if err := r.compile(); err != nil {
			return Output{}, err
		}
		read = r.asArgoCD
	} else {
		r.arguments()
	}
	if err := read(in.Dir); err != nil {
		return r.out, err
	}
	return r.out, r.problems.Err()
}

// reader goes through a directory.
type reader struct {
	tree     tree.Tree
	in       Input
	decoder  *manifest.Decoder
	programs jsonnet.Input // without the File
	filters  filters
	out      Output
	problems manifest.Problems
}

func (r *reader) warn(format string, args ...any) {
	r.out.Warnings = append(r.out.Warnings, fmt.Sprintf(format, args...))
}

const (
	program = ".jsonnet"
	// jsonnet-bundler's own files, which are no manifests, and what it fetches beside them.
	bundle, bundleLock, vendor = "jsonnetfile.json", "jsonnetfile.lock.json", "vendor"
)

// arguments are those of programs that are read Nave's way.
func (r *reader) arguments() {
	top := tree.RemoteRoot(r.in.Dir)
	r.programs.Search = []string{r.in.Dir, path.Join(r.in.Dir, vendor), path.Join(top, vendor)}
	for name, value := range r.in.Variables {
		r.programs.Options.ExternalVariables = append(r.programs.Options.ExternalVariables, app.JsonnetVariable{Name: name, Value: value})
	}
}

// plain reads the manifests of a directory and of those below it, as `kubectl apply -R` would: not what links to
// directories lead to, nor anything whose name begins with a dot.
func (r *reader) plain(dir string) error {
	entries, err := r.tree.List(dir)
	if err != nil {
		return fmt.Errorf("listing %q: %w", dir, err)
	}
	bundled := slices.ContainsFunc(entries, func(e tree.Entry) bool { return e.Name == bundle })
	for _, entry := range entries {
		name := path.Join(dir, entry.Name)
		switch {
		case strings.HasPrefix(entry.Name, "."):
		case bundled && slices.Contains([]string{bundle, bundleLock, vendor}, entry.Name):
		case entry.Dir && entry.Link:
			r.warn("%s: is left out: it is a link to a directory", name)
		case entry.Dir:
			if err := r.plain(name); err != nil {
				return err
			}
		case entry.Name == "Chart.yaml" || slices.Contains(konfig.RecognizedKustomizationFileNames(), entry.Name):
			// In the app's own directory it was said that it is plain; below, nobody knows.
			if dir == r.in.Dir {
				r.warn("%s: is left out: the app is rendered as plain manifests", name)
				continue
			}
			hint := "make " + path.Dir(name) + " an app of its own, or list it in a kustomization.yaml in " + r.in.Dir
			if entry.Name != "Chart.yaml" {
				hint += "; kind: flux builds it as Flux does"
			}
			r.problems = append(r.problems, manifest.Problem{File: name, Message: "stands below plain manifests, which do not follow it", Hint: hint})
		case path.Ext(entry.Name) == program:
			if err := r.evaluate(name); err != nil {
				return err
			}
		case manifest.IsManifest(entry.Name):
			data, err := r.tree.ReadFile(name)
			if err != nil {
				r.fail(name, reason(err), "")
				continue
			}
			r.take(r.decoder.Decode(name, data))
		}
	}
	return nil
}

// take keeps what a file holds.
func (r *reader) take(found []manifest.Object, bad manifest.Problems) {
	r.out.Objects, r.problems = append(r.out.Objects, found...), append(r.problems, bad...)
}

func (r *reader) fail(file, message, hint string) {
	r.problems = append(r.problems, manifest.Problem{File: file, Message: message, Hint: hint})
}

const hintProgram = "a program comes to an object or to a list of objects; std.objectValues makes a list of those that have names"

// evaluate reads a program. A library that all programs want and that cannot be is the only error; what is wrong with
// one program is a problem beside others.
func (r *reader) evaluate(name string) error {
	in := r.programs
	in.File = name
	data, err := jsonnet.Evaluate(r.tree, in)
	var problem manifest.Problem
	if errors.As(err, &problem) {
		r.problems = append(r.problems, problem)
		return nil
	}
	if err != nil {
		return fmt.Errorf("evaluating %q: %w", name, err)
	}
	found, bad := r.decoder.Evaluated(name, data)
	for i := range bad {
		bad[i].Message = "comes to what " + bad[i].Message
		bad[i].Hint = hintProgram
	}
	r.take(found, bad)
	return nil
}

// reason is what an error of the tree says, without the path that its problem names already.
func reason(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return "cannot be read: " + err.Error()
}
