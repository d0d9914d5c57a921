// Package sandbox runs small Lua 5.1 programs that were written by people who are not trusted with the process that
// runs them. A [Script] is compiled once and shared; a [Runner] gives each run a fixed number of steps, a fixed amount
// of memory and a time limit, and ends it with an error when one is used up. A program sees its input as the global
// obj and returns a table. It reaches no file, process, network, environment, random source or second program, and
// nothing that it does to its globals or to the libraries is seen by the next run. The package knows nothing of
// Kubernetes or of what a program is for.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Defaults of [Limits]. The longest of Argo CD's own checks over its own test data needs less than a hundredth of the
// steps and of the bytes.
const (
	DefaultSteps = 500_000
	DefaultBytes = 16 << 20
	DefaultTime  = 250 * time.Millisecond
)

const (
	// callDepth is the number of nested Lua calls; deeper recursion is an error in the script.
	callDepth = 200
	// registryStart and registryMax are slots of 16 bytes: locals, arguments and temporaries of all nested calls.
	registryStart = 1 << 10
	registryMax   = 1 << 16
)

// ErrLimit is wrapped by the error of a run that was ended because it used up its steps, bytes or time.
var ErrLimit = errors.New("script was stopped")

// Limits bound one run. A zero field means its default.
type Limits struct {
	// Steps is the number of virtual machine instructions; work inside library functions (matching, sorting,
	// formatting) is counted as well.
	Steps int
	// Bytes is the memory a run may ask for in strings, tables and gaps in arrays, whether or not it is still in
	// use. The input is not counted.
	Bytes int
	// Time is wall-clock time. It is a second line of defence: steps end a runaway program sooner, and on a busy
	// machine they do so at the same place every time.
	Time time.Duration
}

// Options configure a [Runner]. The zero value works.
type Options struct {
	Limits Limits
	// Clock is what os.time and os.date read. Nil means time.Now. It does not move the time limit.
	Clock func() time.Time
}

// Runner runs scripts. It is safe for concurrent use and keeps a few idle virtual machines, at most one per core and about 100 KiB each.
type Runner struct {
	limits Limits
	clock  func() time.Time
	idle   chan *machine
}

// New returns a Runner with opts.
func New(opts Options) *Runner {
	limits := opts.Limits
	if limits.Steps <= 0 {
		limits.Steps = DefaultSteps
	}
	if limits.Bytes <= 0 {
		limits.Bytes = DefaultBytes
	}
	if limits.Time <= 0 {
		limits.Time = DefaultTime
	}
	clock := opts.Clock
	if clock == nil {
		clock = time.Now
	}
	return &Runner{limits: limits, clock: clock, idle: make(chan *machine, runtime.GOMAXPROCS(0))}
}

// Outcome is what a script returned.
type Outcome struct {
	// Fields holds the strings and numbers of the returned table by key; other values and keys are left out.
	Fields map[string]string
	// Empty is true when the script returned nothing, nil or a table without strings and numbers.
	Empty bool
	// ReadClock is true when the script asked for the present time, so that the same input may give another
	// outcome later.
	ReadClock bool
}

// Run runs script with input as its global obj. Only what the script mentions of the input's top level is handed
// over, and never metadata.managedFields, which is large and says nothing about health. The input is not changed.
// The error names the script and line; it wraps [ErrLimit] when a limit ended the run and the cause of ctx when ctx did.
func (r *Runner) Run(ctx context.Context, script *Script, input map[string]any) (Outcome, error) {
	var m *machine
	select {
	case m = <-r.idle:
	default:
		m = newMachine(r.clock)
	}
	out, err := m.run(ctx, r.limits, script, input)
	if err != nil {
		// A machine that unwound from an error is not reused: its stacks were cut, not returned from.
		return Outcome{}, err
	}
	select {
	case r.idle <- m:
	default:
	}
	return out, nil
}

// machine is one virtual machine with its libraries. A run gets a new global table that falls back to base, and a new
// empty table per library that falls back to the real one; the fallbacks are out of reach, since scripts are given
// neither getmetatable nor rawset, so a run cannot change what a later run sees.
type machine struct {
	state     *lua.LState
	budget    budget
	clock     func() time.Time
	readClock bool
	// targets are the tables of the assignments being evaluated, innermost last (see compile.go).
	targets []*lua.LTable
	// keys is scratch space for putting the keys of the input's maps in order.
	keys []string

	global  *lua.LTable
	library []namedTable
}

type namedTable struct {
	name string
	meta *lua.LTable
}

func newMachine(clock func() time.Time) *machine {
	m := &machine{clock: clock}
	m.state = lua.NewState(lua.Options{
		SkipOpenLibs:        true,
		CallStackSize:       callDepth,
		RegistrySize:        registryStart,
		RegistryMaxSize:     registryMax,
		RegistryGrowStep:    registryStart,
		MinimizeStackMemory: true,
	})
	m.openLibraries()
	return m
}

// globals returns the global table of one run.
func (m *machine) globals() *lua.LTable {
	env := m.state.CreateTable(0, len(m.library)+4)
	env.Metatable = m.global
	env.RawSetString("_G", env)
	for _, lib := range m.library {
		table := m.state.CreateTable(0, 0)
		table.Metatable = lib.meta
		env.RawSetString(lib.name, table)
	}
	return env
}

func (m *machine) run(ctx context.Context, limits Limits, script *Script, input map[string]any) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, fmt.Errorf("running %s: %w", script.name, context.Cause(ctx))
	}
	m.budget.start(ctx.Done(), limits)
	m.readClock, m.targets = false, nil
	m.state.SetContext(&m.budget)

	env := m.globals()
	env.RawSetString(inputName, m.input(script, input))
	fn := m.state.NewFunctionFromProto(script.proto)
	fn.Env = env
	m.state.Push(fn)
	if err := m.state.PCall(0, 1, nil); err != nil {
		return Outcome{}, m.explain(ctx, script, err)
	}
	value := m.state.Get(-1)
	m.state.SetTop(0)
	return m.outcome(script, value)
}

// explain turns the virtual machine's error into one for the reader of a status: no stack trace, no addresses.
func (m *machine) explain(ctx context.Context, script *Script, err error) error {
	switch over := m.budget.over; {
	case errors.Is(over, errCancelled):
		return fmt.Errorf("running %s: %w", script.name, context.Cause(ctx))
	case over != nil:
		return fmt.Errorf("running %s: %w", script.name, over)
	}
	var api *lua.ApiError
	if errors.As(err, &api) && api.Type == lua.ApiErrorRun {
		switch object := api.Object.(type) {
		case lua.LString, lua.LNumber:
			return errors.New(clean(object.String()))
		default:
			return fmt.Errorf("%s: error called with a %s, want a string", script.name, object.Type())
		}
	}
	return fmt.Errorf("running %s: %w", script.name, err)
}
