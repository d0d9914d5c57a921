// Package jsonnet evaluates Jsonnet programs of a tree. The main function is Evaluate. A program can read nothing but
// files of the tree that it imports, each of which the tree notes, and calls nothing outside of Jsonnet. How long it
// takes and how much memory it needs is for the caller to bound: an evaluation cannot be cancelled.
package jsonnet

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-jsonnet"

	"nave.dev/internal/app"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// Input says what to evaluate.
type Input struct {
	File string // of the tree
	// Options are the arguments. Each library is a directory from the top of the repository that File is in.
	Options app.Jsonnet
	// Search are directories of the tree in which imports are looked for after the one of the file that imports and
	// after the libraries, of which the last one comes first.
	Search []string
}

// Evaluate returns what a program evaluates to, as JSON. An error about the program is a manifest.Problem.
func Evaluate(t tree.Tree, in Input) ([]byte, error) {
	search, err := in.search()
	if err != nil {
		return nil, err
	}
	vm := jsonnet.MakeVM() // its stack ends after 500 calls, as elsewhere
	vm.SetTraceOut(io.Discard)
	vm.Importer(&importer{tree: t, search: search, read: map[string]jsonnet.Contents{}})
	for _, v := range in.Options.ExternalVariables {
		if v.Code {
			vm.ExtCode(v.Name, v.Value)
		} else {
			vm.ExtVar(v.Name, v.Value)
		}
	}
	for _, v := range in.Options.TopLevelArguments {
		if v.Code {
			vm.TLACode(v.Name, v.Value)
		} else {
			vm.TLAVar(v.Name, v.Value)
		}
	}
	out, err := vm.EvaluateFile(in.File)
	if err != nil {
		return nil, located(in.File, err)
	}
	return []byte(out), nil
}

// search is where imports are looked for, in this order.
func (in Input) search() ([]string, error) {
	root := tree.RemoteRoot(in.File)
	var dirs []string
	for _, library := range slices.Backward(in.Options.Libraries) {
		dir := path.Join(root, strings.TrimLeft(library, "/"))
		if !tree.Within(root, dir) {
			return nil, manifest.Problem{File: in.File, Message: fmt.Sprintf("the Jsonnet library %q is outside of the repository", library),
				Hint: "name a directory from the top of the repository, such as vendor"}
		}
		dirs = append(dirs, dir)
	}
	return append(dirs, in.Search...), nil
}

// importer finds what programs import, in the tree.
type importer struct {
	tree   tree.Tree
	search []string
	read   map[string]jsonnet.Contents
}

// Import implements jsonnet.Importer.
func (i *importer) Import(importedFrom, importedPath string) (jsonnet.Contents, string, error) {
	if importedFrom == "" { // the program itself
		contents, err := i.contents(importedPath)
		return contents, importedPath, err
	}
	if path.IsAbs(importedPath) {
		return jsonnet.Contents{}, "", fmt.Errorf("imports %q by an absolute path: a render reads only the commit that it is of", importedPath)
	}
	root, outside := tree.RemoteRoot(importedFrom), true
	for _, dir := range append([]string{path.Dir(importedFrom)}, i.search...) {
		name := path.Join(dir, importedPath)
		if !tree.Within(root, name) {
			continue
		}
		outside = false
		kind, err := i.tree.Stat(name)
		if err != nil {
			return jsonnet.Contents{}, "", fmt.Errorf("imports %q: %w", importedPath, err)
		}
		if kind == tree.Directory {
			return jsonnet.Contents{}, "", fmt.Errorf("imports %q, which is a directory", name)
		}
		if kind == tree.File {
			contents, err := i.contents(name)
			return contents, name, err
		}
	}
	if outside {
		return jsonnet.Contents{}, "", fmt.Errorf("imports %q, which is outside of the repository", importedPath)
	}
	return jsonnet.Contents{}, "", fmt.Errorf("imports %q, which is neither beside it nor in %s", importedPath, places(i.search))
}

// places names directories for people.
func places(dirs []string) string {
	if len(dirs) == 0 {
		return "a library"
	}
	quoted := make([]string, len(dirs))
	for i, dir := range dirs {
		quoted[i] = strconv.Quote(dir)
	}
	return strings.Join(quoted, ", ")
}

// contents reads a file, once.
func (i *importer) contents(name string) (jsonnet.Contents, error) {
	if contents, ok := i.read[name]; ok {
		return contents, nil
	}
	data, err := i.tree.ReadFile(name)
	if err != nil {
		return jsonnet.Contents{}, fmt.Errorf("reading %q: %w", name, err)
	}
	i.read[name] = jsonnet.MakeContentsRaw(data)
	return i.read[name], nil
}

var (
	// A syntax error begins with its place; that of an evaluation follows on lines of its own, the innermost first.
	syntaxAt  = regexp.MustCompile(`^([^:\n]+):\(?(\d+):[\d:()-]* `)
	runtimeAt = regexp.MustCompile(`(?m)^\t([^:\n\t]+):\(?(\d+):[^\t\n]*\t`)
)

// located turns an error of the evaluation into a problem at its place.
func located(file string, err error) error {
	text := err.Error()
	problem := manifest.Problem{File: file}
	for _, form := range []*regexp.Regexp{syntaxAt, runtimeAt} {
		if at := form.FindStringSubmatch(text); at != nil {
			problem.File = at[1]
			problem.Line, _ = strconv.Atoi(at[2])
			break
		}
	}
	end := "\n\t"
	if syntaxAt.MatchString(text) {
		text, end = syntaxAt.ReplaceAllString(text, ""), "\n" // what follows is the program's text
	}
	message, _, _ := strings.Cut(strings.TrimSpace(text), end)
	message = strings.Join(strings.Fields(strings.TrimPrefix(message, "RUNTIME ERROR: ")), " ")
	problem.Message = "jsonnet: " + message
	if strings.Contains(message, "Undefined external variable") {
		problem.Hint = "give it to the app: of a Delivery, as one of its variables, with substitute: true; of an Application, under directory.jsonnet.extVars"
	}
	return problem
}
