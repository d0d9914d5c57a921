package sandbox

import (
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"
)

const (
	// inputName is the global under which a script finds its input, as in Argo CD.
	inputName = "obj"
	// maxSource and maxNesting bound the compiler, which recurses over the source.
	maxSource  = 64 << 10
	maxNesting = 1000
	// smallIndex is the largest constant array index that is not worth a check.
	smallIndex = 64
)

// Names of the guards that the compiler puts into a script. They are no identifiers, so that a script cannot name them
// by accident. A script that overwrites one through _G takes away its own concatenation, not the guard: no plain
// operator is left in its code.
const (
	guardConcat   = "(concat)"
	guardTable    = "(table)"
	guardTarget   = "(target)"
	guardKey      = "(key)"
	guardFieldKey = "(field key)"
)

// Script is a compiled program. It is immutable and may be run by any number of runners at once.
type Script struct {
	name  string
	proto *lua.FunctionProto
	// whole says that the input is used as a value of its own; otherwise reads lists the top-level keys in use.
	whole bool
	reads map[string]bool
}

// SyntaxError is a program that cannot be compiled.
type SyntaxError struct {
	// Name is the script's, usually its path; Line counts from 1, and 0 means that the whole script is meant.
	Name    string
	Line    int
	Message string
}

// Error returns "name:line: message".
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Name, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Message)
}

// Compile compiles source. name appears in errors. The error is always a *[SyntaxError].
//
// The virtual machine counts instructions but has no say over how much one instruction allocates, so the operations
// whose cost the script chooses (joining strings, making tables, writing to a computed index) are rewritten into calls
// that count first.
func Compile(name, source string) (script *Script, err error) {
	defer func() {
		if p := recover(); p != nil {
			script, err = nil, &SyntaxError{Name: name, Message: clean(fmt.Sprint(p))}
		}
	}()
	if len(source) > maxSource {
		return nil, &SyntaxError{Name: name, Message: fmt.Sprintf("%d bytes, want at most %d", len(source), maxSource)}
	}
	chunk, err := parse.Parse(strings.NewReader(source), name)
	if err != nil {
		return nil, syntaxError(name, source, err)
	}
	g := &guard{name: name, script: Script{name: name, reads: map[string]bool{}}}
	g.block(chunk)
	if g.err != nil {
		return nil, g.err
	}
	proto, err := lua.Compile(chunk, name)
	if err != nil {
		return nil, syntaxError(name, source, err)
	}
	g.script.proto = proto
	return &g.script, nil
}

func syntaxError(name, source string, err error) *SyntaxError {
	var parsing *parse.Error
	if errors.As(err, &parsing) {
		message := clean(parsing.Message)
		if parsing.Pos.Line == parse.EOF {
			line := 1 + strings.Count(strings.TrimRight(source, "\n"), "\n")
			return &SyntaxError{Name: name, Line: line, Message: message + " at the end of the script"}
		}
		return &SyntaxError{Name: name, Line: parsing.Pos.Line, Message: fmt.Sprintf("%s near %q", message, parsing.Token)}
	}
	var compiling *lua.CompileError
	if errors.As(err, &compiling) {
		return &SyntaxError{Name: name, Line: compiling.Line, Message: clean(compiling.Message)}
	}
	return &SyntaxError{Name: name, Message: clean(err.Error())}
}

// guard walks a program and puts the guards in.
type guard struct {
	name   string
	script Script
	depth  int
	err    *SyntaxError
}

func (g *guard) enter(at ast.PositionHolder) bool {
	g.depth++
	if g.depth > maxNesting && g.err == nil {
		g.err = &SyntaxError{Name: g.name, Line: at.Line(), Message: "nested too deeply"}
	}
	return g.err == nil
}

func (g *guard) block(stmts []ast.Stmt) {
	for _, stmt := range stmts {
		g.stmt(stmt)
	}
}

func (g *guard) stmt(stmt ast.Stmt) {
	defer func() { g.depth-- }()
	if !g.enter(stmt) {
		return
	}
	switch s := stmt.(type) {
	case *ast.AssignStmt:
		for _, target := range s.Lhs {
			g.target(target)
		}
		g.exprs(s.Rhs)
	case *ast.LocalAssignStmt:
		g.exprs(s.Exprs)
	case *ast.FuncCallStmt:
		s.Expr = g.expr(s.Expr)
	case *ast.DoBlockStmt:
		g.block(s.Stmts)
	case *ast.WhileStmt:
		s.Condition = g.expr(s.Condition)
		g.block(s.Stmts)
	case *ast.RepeatStmt:
		g.block(s.Stmts)
		s.Condition = g.expr(s.Condition)
	case *ast.IfStmt:
		s.Condition = g.expr(s.Condition)
		g.block(s.Then)
		g.block(s.Else)
	case *ast.NumberForStmt:
		s.Init, s.Limit, s.Step = g.expr(s.Init), g.expr(s.Limit), g.expr(s.Step)
		g.block(s.Stmts)
	case *ast.GenericForStmt:
		g.exprs(s.Exprs)
		g.block(s.Stmts)
	case *ast.FuncDefStmt:
		s.Name.Func, s.Name.Receiver = g.expr(s.Name.Func), g.expr(s.Name.Receiver)
		g.block(s.Func.Stmts)
	case *ast.ReturnStmt:
		g.exprs(s.Exprs)
	}
}

func (g *guard) exprs(exprs []ast.Expr) {
	for i := range exprs {
		exprs[i] = g.expr(exprs[i])
	}
}

// expr guards e and returns what to put in its place.
func (g *guard) expr(e ast.Expr) ast.Expr {
	if e == nil {
		return nil
	}
	defer func() { g.depth-- }()
	if !g.enter(e) {
		return e
	}
	switch x := e.(type) {
	case *ast.IdentExpr:
		g.mention(x)
	case *ast.AttrGetExpr:
		if !g.inputKey(x) {
			x.Object = g.expr(x.Object)
		}
		x.Key = g.expr(x.Key)
	case *ast.TableExpr:
		for _, field := range x.Fields {
			field.Key, field.Value = g.expr(field.Key), g.expr(field.Value)
			if field.Key != nil && !cheapKey(field.Key) {
				field.Key = call(field.Key, guardFieldKey, field.Key)
			}
		}
		return call(x, guardTable, x)
	case *ast.FuncCallExpr:
		x.Func, x.Receiver = g.expr(x.Func), g.expr(x.Receiver)
		g.exprs(x.Args)
	case *ast.LogicalOpExpr:
		x.Lhs, x.Rhs = g.expr(x.Lhs), g.expr(x.Rhs)
	case *ast.RelationalOpExpr:
		x.Lhs, x.Rhs = g.expr(x.Lhs), g.expr(x.Rhs)
	case *ast.ArithmeticOpExpr:
		x.Lhs, x.Rhs = g.expr(x.Lhs), g.expr(x.Rhs)
	case *ast.StringConcatOpExpr:
		return g.concat(x)
	case *ast.UnaryMinusOpExpr:
		x.Expr = g.expr(x.Expr)
	case *ast.UnaryNotOpExpr:
		x.Expr = g.expr(x.Expr)
	case *ast.UnaryLenOpExpr:
		x.Expr = g.expr(x.Expr)
	case *ast.FunctionExpr:
		g.block(x.Stmts)
	}
	return e
}

// concat turns a .. b .. c into one guarded call. The operator nests to the right, so the chain is walked in a loop.
func (g *guard) concat(x *ast.StringConcatOpExpr) ast.Expr {
	var parts []ast.Expr
	var rest ast.Expr = x
	for {
		next, ok := rest.(*ast.StringConcatOpExpr)
		if !ok {
			break
		}
		parts, rest = append(parts, g.expr(next.Lhs)), next.Rhs
	}
	parts = append(parts, g.expr(rest))
	// The last operand of an operator is one value, while the last argument of a call may become several.
	switch last := parts[len(parts)-1].(type) {
	case *ast.FuncCallExpr:
		last.AdjustRet = true
	case *ast.Comma3Expr:
		last.AdjustRet = true
	}
	// A call takes as many registers as it has arguments; long chains are joined in portions.
	const portion = 50
	for len(parts) > portion {
		parts = append([]ast.Expr{call(x, guardConcat, parts[:portion]...)}, parts[portion:]...)
	}
	return call(x, guardConcat, parts...)
}

// target guards the left side of an assignment: t[k] = v becomes target(t)[key(k)] = v, so that key, which runs
// second, can compare k with the length of t. Constant keys need no check.
func (g *guard) target(e ast.Expr) {
	x, ok := e.(*ast.AttrGetExpr)
	if !ok {
		g.expr(e)
		return
	}
	g.expr(x)
	if cheapKey(x.Key) {
		return
	}
	x.Object, x.Key = call(x, guardTarget, x.Object), call(x, guardKey, x.Key)
}

// cheapKey says whether writing to key allocates no more than one element.
func cheapKey(key ast.Expr) bool {
	switch k := key.(type) {
	case *ast.StringExpr:
		return true
	case *ast.NumberExpr:
		var n float64
		_, err := fmt.Sscan(k.Value, &n)
		return err == nil && n <= smallIndex
	}
	return false
}

// inputKey notes obj.key and says whether x is of that form.
func (g *guard) inputKey(x *ast.AttrGetExpr) bool {
	object, ok := x.Object.(*ast.IdentExpr)
	if !ok || object.Value != inputName {
		return false
	}
	key, ok := x.Key.(*ast.StringExpr)
	if ok {
		g.script.reads[key.Value] = true
	}
	return ok
}

// mention notes a use of obj as a value, which may go anywhere, and of _G, which holds it.
func (g *guard) mention(x *ast.IdentExpr) {
	if x.Value == inputName || x.Value == "_G" {
		g.script.whole = true
	}
}

func call(at ast.Expr, guard string, args ...ast.Expr) *ast.FuncCallExpr {
	fn := &ast.IdentExpr{Value: guard}
	c := &ast.FuncCallExpr{Func: fn, Args: args, AdjustRet: true}
	for _, node := range []ast.Expr{fn, c} {
		node.SetLine(at.Line())
		node.SetLastLine(at.LastLine())
	}
	return c
}

// clean makes a message one line of valid text.
func clean(message string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(message, "?")), " ")
}
