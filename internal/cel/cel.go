// Package cel evaluates expressions of the Common Expression Language on values as
// they are in JSON. The main type is Expression. An expression cannot loop and reads
// nothing but what it is given; how long it may be, and what it may cost, is bounded.
package cel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
)

const (
	maxLength = 4096      // of an expression, in bytes
	maxCost   = 1_000_000 // of one evaluation, as CEL counts it, and a meter
)

// Expression is one that comes to true or false. It is immutable and safe for
// concurrent use.
type Expression struct {
	text    string
	program cel.Program
	tree    *ast.AST
}

// String is the text of the expression.
func (e *Expression) String() string { return e.text }

// known remembers what was compiled, for as long as there is little.
var known struct {
	sync.Mutex
	expressions map[string]*Expression
}

// maxKnown is how many expressions are remembered.
const maxKnown = 1000

// Compile reads an expression in which variables stand for values of JSON.
func Compile(text string, variables ...string) (*Expression, error) {
	return remembered("compiled", text, variables, (*cel.Env).Compile)
}

// Parse reads an expression in which any name stands for a value of JSON. One that is
// not there, or of another type than the expression wants, is found out when it is
// evaluated.
func Parse(text string) (*Expression, error) {
	return remembered("parsed", text, nil, (*cel.Env).Parse)
}

// reader is one of the ways to read a text.
type reader func(*cel.Env, string) (*cel.Ast, *cel.Issues)

func remembered(way, text string, variables []string, read reader) (*Expression, error) {
	key := strings.Join(append([]string{way, text}, variables...), "\x00")
	known.Lock()
	e := known.expressions[key]
	known.Unlock()
	if e != nil {
		return e, nil
	}
	e, err := compile(text, variables, read)
	if err != nil {
		return nil, fmt.Errorf("reading the expression %q: %w", text, err)
	}
	known.Lock()
	defer known.Unlock()
	if known.expressions == nil || len(known.expressions) >= maxKnown {
		known.expressions = map[string]*Expression{}
	}
	known.expressions[key] = e
	return e, nil
}

func compile(text string, variables []string, read reader) (*Expression, error) {
	if len(text) > maxLength {
		return nil, fmt.Errorf("it is longer than %d bytes", maxLength)
	}
	// The language as Flux has it, in fluxcd/pkg/runtime/cel.
	options := []cel.EnvOption{
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders(),
	}
	for _, name := range variables {
		options = append(options, cel.Variable(name, cel.MapType(cel.StringType, cel.DynType)))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	compiled, issues := read(env, text)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if kind := compiled.OutputType(); !kind.IsExactType(cel.BoolType) && !kind.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("it comes to %s, not to true or false", kind)
	}
	program, err := env.Program(compiled, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.CostTracking(meter{}), cel.CustomDecorator(guard))
	if err != nil {
		return nil, err
	}
	return &Expression{text: text, program: program, tree: compiled.NativeRep()}, nil
}

// True evaluates the expression. That it asks for what is not there is an error.
func (e *Expression) True(values map[string]any) (bool, error) {
	value, _, err := e.program.Eval(values)
	if err != nil {
		return false, err
	}
	truth, ok := value.(types.Bool)
	if !ok {
		return false, errors.New("it comes to something else than true or false")
	}
	return bool(truth), nil
}

// Fields returns the fields that the expression names of what is at a path from a
// variable on, in order. A name that it computes is shown as "*".
func (e *Expression) Fields(variable string, path ...string) []string {
	found := map[string]bool{}
	ast.PreOrderVisit(e.tree.Expr(), ast.NewExprVisitor(func(expr ast.Expr) {
		if operand, field, ok := selected(expr); ok && leadsTo(operand, variable, path) {
			found[field] = true
		}
	}))
	return slices.Sorted(maps.Keys(found))
}

// selected takes a field's selection apart.
func selected(expr ast.Expr) (operand ast.Expr, field string, ok bool) {
	switch expr.Kind() {
	case ast.SelectKind:
		return expr.AsSelect().Operand(), expr.AsSelect().FieldName(), true
	case ast.CallKind:
		call := expr.AsCall()
		switch call.FunctionName() {
		case operators.Index, operators.OptIndex, operators.OptSelect:
			field = "*"
			if name := call.Args()[1]; name.Kind() == ast.LiteralKind {
				if text, isText := name.AsLiteral().Value().(string); isText {
					field = text
				}
			}
			return call.Args()[0], field, true
		}
	}
	return nil, "", false
}

// leadsTo reports whether an expression is what is at a path.
func leadsTo(expr ast.Expr, variable string, path []string) bool {
	if len(path) == 0 {
		return expr.Kind() == ast.IdentKind && expr.AsIdent() == variable
	}
	operand, field, ok := selected(expr)
	return ok && field == path[len(path)-1] && leadsTo(operand, variable, path[:len(path)-1])
}
