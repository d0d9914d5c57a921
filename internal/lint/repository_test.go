package lint

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// module is the path of the root module; that of kube/ is below it.
const module = "nave.dev"

// A repository is what the rules look at. All paths in it are slash-separated
// and start at the top of the repository.
type repository struct {
	top      string // absolute path of the top on this machine
	tree     fs.FS
	fset     *token.FileSet
	files    []*goFile // of both modules, in order of path
	docs     []string  // Markdown files
	tracked  []string  // what Git tracks
	checkout bool      // false: tracked is unknown
}

// A goFile is one parsed Go file of the repository.
type goFile struct {
	path      string
	syntax    *ast.File
	lines     int
	test      bool
	generated bool
}

func (f *goFile) dir() string { return path.Dir(f.path) }

// name is the name of the file's package without the suffix of external tests.
func (f *goFile) name() string { return strings.TrimSuffix(f.syntax.Name.Name, "_test") }

// product reports whether the file belongs to the root module.
func (f *goFile) product() bool { return !covers("kube/...", f.path) }

// at renders a position as path:line.
func (r *repository) at(pos token.Pos) string {
	p := r.fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// covers reports whether pattern means path: the same path, or with a final
// "/..." that path and everything below it, as the go command has it.
func covers(pattern, path string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return path == tree || isTree && strings.HasPrefix(path, tree+"/")
}

// open reads the repository at top: the packages of the root module as the go
// command lists them, those of kube/ without building anything, and Git's index.
func open(ctx context.Context, top string) (*repository, error) {
	tree := os.DirFS(top)
	sources, err := listed(ctx, top)
	if err != nil {
		return nil, err
	}
	// The walk also tells go test that every directory is an input, so that a
	// cached result does not outlive a new file.
	others, docs, err := walk(tree)
	if err != nil {
		return nil, err
	}
	for _, p := range others {
		if covers("kube/...", p) {
			sources = append(sources, p)
		}
	}
	repo := &repository{top: top, tree: tree, docs: docs}
	if err := repo.parse(sources); err != nil {
		return nil, err
	}
	if !slices.Contains(sources, "internal/lint/doc.go") {
		return nil, fmt.Errorf("listing packages of %s: this package is not among them", top)
	}
	if _, err := fs.Stat(tree, ".git"); errors.Is(err, fs.ErrNotExist) {
		return repo, nil
	}
	repo.checkout = true
	repo.tracked, err = tracked(ctx, top)
	return repo, err
}

// listed returns the Go files of the root module, those that build constraints
// exclude on this platform among them.
func listed(ctx context.Context, top string) ([]string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-e", "-find",
		"-json=Dir,GoFiles,CgoFiles,IgnoredGoFiles,InvalidGoFiles,TestGoFiles,XTestGoFiles", "./...")
	out, err := output(list, top)
	if err != nil {
		return nil, err
	}
	var files []string
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir                                               string
			GoFiles, CgoFiles, IgnoredGoFiles, InvalidGoFiles []string
			TestGoFiles, XTestGoFiles                         []string
		}
		if err := decoder.Decode(&p); err == io.EOF {
			return files, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the output of go list: %w", err)
		}
		dir, err := filepath.Rel(top, p.Dir)
		if err != nil {
			return nil, fmt.Errorf("placing package directory %q: %w", p.Dir, err)
		}
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.InvalidGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			if !strings.HasPrefix(name, "_") && !strings.HasPrefix(name, ".") {
				files = append(files, path.Join(filepath.ToSlash(dir), name))
			}
		}
	}
}

// walk returns the Go and Markdown files of the tree. Hidden directories, test
// data and what was built or installed are not the repository's own writing.
func walk(tree fs.FS) (sources, docs []string, err error) {
	foreign := []string{"bin", "node_modules", "testdata"}
	err = fs.WalkDir(tree, ".", func(p string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && p != "." && (strings.HasPrefix(name, ".") || slices.Contains(foreign, name)):
			return fs.SkipDir
		case entry.IsDir():
		case path.Ext(p) == ".go":
			sources = append(sources, p)
		case path.Ext(p) == ".md":
			docs = append(docs, p)
		}
		return nil
	})
	return sources, docs, err
}

// tracked returns the paths in Git's index, and makes that an input of the test
// as walk does with directories.
func tracked(ctx context.Context, top string) ([]string, error) {
	os.Stat(filepath.Join(top, ".git", "index"))
	out, err := output(exec.CommandContext(ctx, "git", "ls-files", "-z"), top)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }), nil
}

// output runs a command in dir and returns its standard output.
func output(command *exec.Cmd, dir string) ([]byte, error) {
	command.Dir = dir
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("running %q in %s: %w\n%s", command.Args, dir, err, &complaint)
	}
	return out, nil
}

// parse reads and parses the Go files at the given paths into r.files.
func (r *repository) parse(paths []string) error {
	r.fset = token.NewFileSet()
	for _, p := range paths {
		content, err := fs.ReadFile(r.tree, p)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(r.fset, p, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		r.files = append(r.files, &goFile{
			path:      p,
			syntax:    syntax,
			lines:     bytes.Count(content, []byte("\n")),
			test:      strings.HasSuffix(p, "_test.go"),
			generated: strings.HasPrefix(path.Base(p), "zz_generated") || ast.IsGenerated(syntax),
		})
	}
	slices.SortFunc(r.files, func(a, b *goFile) int { return cmp.Compare(a.path, b.path) })
	return nil
}

// packages groups the files by directory and package name, in order of path;
// external tests belong to the package they test.
func (r *repository) packages() [][]*goFile {
	var groups [][]*goFile
	index := map[string]int{}
	for _, f := range r.files {
		key := f.dir() + " " + f.name()
		i, known := index[key]
		if !known {
			i = len(groups)
			index[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], f)
	}
	return groups
}

// importPath is the path that an import declaration names.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // not Go; the compiler says so
	}
	return p
}
