package lint

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
)

// A ban is on some functions of one package of the standard library. It is on
// every mention, so that a function value is no way round it.
type ban struct {
	path      string
	functions []string
	where     func(*goFile) bool // which files it applies to
	instead   string
}

var bans = []ban{{
	path: "context", functions: []string{"Background", "TODO"},
	where:   func(f *goFile) bool { return !f.test && !isCommand(f) },
	instead: "take ctx as the first parameter; work that outlives it takes context.WithoutCancel(ctx)",
}, {
	path: "time", functions: []string{"Sleep"},
	where:   func(f *goFile) bool { return f.test },
	instead: "wait for the condition, or let testing/synctest turn the clock",
}, {
	path: "fmt", functions: []string{"Print", "Printf", "Println"},
	where:   func(f *goFile) bool { return !f.test && !isCommand(f) && !covers("internal/cli/...", f.path) },
	instead: "return a value with a String method, or write to an io.Writer that the caller gives",
}, {
	path: "os", functions: []string{"Exit"},
	where:   func(f *goFile) bool { return !f.test && !isCommand(f) && f.product() },
	instead: "return an error; the command turns it into an exit code",
}}

// isCommand reports whether the file belongs to a main package of either module.
func isCommand(f *goFile) bool { return covers("cmd/...", f.path) || covers("kube/cmd/...", f.path) }

// bannedUses holds every mention of an imported name against the bans, and
// finds tests that skip without a word and imports that would hide a mention.
func bannedUses(r *repository) (found []violation) {
	for _, f := range r.files {
		imported := map[string]string{} // local name -> path
		for _, spec := range f.syntax.Imports {
			from := importPath(spec)
			local := path.Base(from)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			if local == "." {
				found = append(found, violation{r.at(spec.Pos()), "dot import: a reader cannot tell where a name comes from"})
			}
			imported[local] = from
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.SelectorExpr:
				if ident, ok := node.X.(*ast.Ident); ok {
					if b := banOf(f, imported[ident.Name], node.Sel.Name); b != nil {
						found = append(found, violation{r.at(node.Pos()), fmt.Sprintf("%s.%s: %s", b.path, node.Sel.Name, b.instead)})
					}
				}
			case *ast.CallExpr:
				if skipsSilently(node) {
					found = append(found, violation{r.at(node.Pos()), "skips without a word: say what is missing, and how to get it"})
				}
			}
			return true
		})
	}
	return found
}

// banOf finds the ban on a function of a package in file f, or nil.
func banOf(f *goFile, from, function string) *ban {
	for i, b := range bans {
		if b.path == from && slices.Contains(b.functions, function) && b.where(f) {
			return &bans[i]
		}
	}
	return nil
}

// skipsSilently recognizes t.SkipNow() and t.Skip(), by the names that tests
// give to what they are called with.
func skipsSilently(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) > 0 {
		return false
	}
	on, ok := method.X.(*ast.Ident)
	return ok && slices.Contains([]string{"t", "b", "f", "tb"}, on.Name) &&
		(method.Sel.Name == "Skip" || method.Sel.Name == "SkipNow")
}
