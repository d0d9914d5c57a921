package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// packageComments wants exactly one comment on the package clauses of each
// package, tests aside, with the opening that go doc expects.
func packageComments(r *repository) (found []violation) {
	for _, files := range r.packages() {
		var comments []*goFile
		for _, f := range files {
			if !f.test && f.syntax.Doc.Text() != "" {
				comments = append(comments, f)
			}
		}
		name := files[0].name()
		opening := "Package " + name
		if name == "main" {
			opening = "Command " + path.Base(files[0].dir())
		}
		if len(comments) == 0 {
			found = append(found, violation{files[0].dir(), fmt.Sprintf("no package comment: add one that begins %q, outside of tests", opening)})
			continue
		}
		for _, extra := range comments[1:] {
			found = append(found, violation{r.at(extra.syntax.Doc.Pos()),
				fmt.Sprintf("second package comment: merge it into %s, or put an empty line below it", comments[0].path)})
		}
		if first := comments[0].syntax.Doc; !opens(first.Text(), opening) {
			found = append(found, violation{r.at(first.Pos()), fmt.Sprintf("package comment does not begin %q", opening)})
		}
	}
	return found
}

// opens reports whether text begins with the words of opening.
func opens(text, opening string) bool {
	rest, ok := strings.CutPrefix(text, opening)
	next, _ := utf8.DecodeRuneInString(rest)
	return ok && next != '_' && next != '-' && !unicode.IsLetter(next) && !unicode.IsDigit(next)
}

// exportedNames wants a comment that begins with the name on every exported
// function, type, constant and variable, and on every exported method of an
// exported type. One comment serves a group of constants or variables.
func exportedNames(r *repository) (found []violation) {
	want := func(pos token.Pos, names []*ast.Ident, comments ...*ast.CommentGroup) {
		exported := slices.DeleteFunc(slices.Clone(names), func(n *ast.Ident) bool { return !n.IsExported() })
		for _, name := range exported {
			for _, comment := range comments {
				if opens(comment.Text(), name.Name) {
					return
				}
			}
		}
		if len(exported) > 0 {
			found = append(found, violation{r.at(pos), fmt.Sprintf("%s needs a comment that begins with its name", exported[0].Name)})
		}
	}
	for _, f := range r.files {
		if f.test || f.generated {
			continue
		}
		for _, decl := range f.syntax.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil || ast.IsExported(receiver(decl)) {
					want(decl.Pos(), []*ast.Ident{decl.Name}, decl.Doc)
				}
			case *ast.GenDecl:
				group := decl.Lparen.IsValid()
				for _, spec := range decl.Specs {
					doc := decl.Doc
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						if group {
							doc = spec.Doc
						}
						want(spec.Pos(), []*ast.Ident{spec.Name}, doc)
					case *ast.ValueSpec:
						if group && doc.Text() != "" {
							continue
						}
						want(spec.Pos(), spec.Names, doc, spec.Doc, spec.Comment)
					}
				}
			}
		}
	}
	return found
}

// receiver is the name of the type that a method belongs to.
func receiver(method *ast.FuncDecl) string {
	for expr := method.Recv.List[0].Type; ; {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.ParenExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return "" // not Go; the compiler says so
		}
	}
}

// sizes bounds the lines of files and packages, generated ones aside.
func sizes(r *repository) (found []violation) {
	const maxFile, maxTestFile, maxPackage = 800, 1500, 3000
	for _, files := range r.packages() {
		total := 0
		for _, f := range files {
			limit := maxFile
			if f.test {
				limit = maxTestFile
			}
			if f.generated {
				continue
			}
			if !f.test {
				total += f.lines
			}
			if f.lines > limit {
				found = append(found, violation{f.path, fmt.Sprintf("%d lines, the limit is %d: split it, one verb of the package's noun each", f.lines, limit)})
			}
		}
		if total > maxPackage {
			found = append(found, violation{files[0].dir(), fmt.Sprintf("%d lines without tests, the limit is %d: find the second package in it", total, maxPackage)})
		}
	}
	return found
}

var (
	emptyNames = []string{"base", "common", "helper", "helpers", "manager", "misc", "types", "util", "utils"}
	// Names of the standard library that a reader knows without looking.
	takenNames = []string{
		"bufio", "bytes", "context", "crypto", "driver", "embed", "errors", "exec", "filepath", "flag", "fmt", "fs",
		"hash", "html", "http", "io", "json", "list", "log", "maps", "math", "net", "os", "path", "plugin", "rand",
		"reflect", "regexp", "runtime", "signal", "slices", "slog", "sort", "sql", "strconv", "strings", "sync",
		"syscall", "template", "testing", "time", "tls", "unicode", "url", "user", "xml",
	}
	// The part of a file's name that says when it is built, not what is in it.
	buildSuffix = regexp.MustCompile(`(_(test|linux|darwin|windows|unix|other))+$`)
)

// names finds packages and files whose name says nothing, and packages whose
// name a reader would take for the standard library's.
func names(r *repository) (found []violation) {
	for _, files := range r.packages() {
		dir, name := files[0].dir(), files[0].name()
		for _, element := range slices.Compact(append(strings.Split(dir, "/"), name)) {
			if slices.Contains(emptyNames, element) {
				found = append(found, violation{dir, fmt.Sprintf("a package named %q collects anything: name it after its subject", element)})
			}
		}
		if slices.Contains(takenNames, name) {
			found = append(found, violation{dir, fmt.Sprintf("package %s hides the standard library's: find another noun", name)})
		}
		for _, f := range files {
			stem := buildSuffix.ReplaceAllString(strings.TrimSuffix(path.Base(f.path), ".go"), "")
			if slices.Contains(emptyNames, stem) {
				found = append(found, violation{f.path, fmt.Sprintf("a file named %q collects anything: name it after what it does", stem)})
			}
		}
	}
	return found
}

// A word that marks unfinished work; context's function of that name is not it.
var unfinishedWord = regexp.MustCompile(`(?:^|[^.\w])(TODO|FIXME|XXX)\b`)

// unfinished finds comments that put work off.
func unfinished(r *repository) (found []violation) {
	for _, f := range r.files {
		for _, group := range f.syntax.Comments {
			for _, comment := range group.List {
				for i, line := range strings.Split(comment.Text, "\n") {
					if word := unfinishedWord.FindStringSubmatch(line); word != nil {
						at := fmt.Sprintf("%s:%d", f.path, r.fset.Position(comment.Pos()).Line+i)
						found = append(found, violation{at, fmt.Sprintf("a comment says %s: do it, or record it where work is tracked", word[1])})
					}
				}
			}
		}
	}
	return found
}
