package cel

import (
	"strings"

	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// maxWeight bounds what one call of a function may have to look at or to make, in
// values and in tens of bytes of text.
const maxWeight = 1_000_000

// meter counts what calls cost that CEL counts as one step where it does not know the
// types: text and lists are copied.
type meter struct{}

// CallCost implements interpreter.ActualCostEstimator.
func (meter) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := 1 + flat(result)
	switch list, isList := result.(traits.Lister); {
	case isList && function == operators.Add: // a loop adds one after the other to what there is
		cost = 1 + min(length(list), flat(args[0]), flat(args[1]))
	case heavy(function):
		for _, arg := range args {
			cost += weight(arg, maxCost)
		}
	}
	return &cost
}

// heavy reports whether the work of a function grows with all that is in what it is
// given, or with the product of it.
func heavy(function string) bool {
	switch function {
	case "matches", "replace", "join", "format":
		return true
	}
	return compares(function) || strings.HasPrefix(function, "sets.")
}

// compares reports whether a function goes once through what it is given.
func compares(function string) bool {
	switch function {
	case operators.Equals, operators.NotEquals, operators.In, operators.OldIn:
		return true
	}
	return false
}

// guarded is a call that is refused before it does too much: nothing breaks it off.
type guarded struct{ interpreter.InterpretableCall }

// guard has calls of heavy functions refused that would do too much.
func guard(i interpreter.Interpretable) (interpreter.Interpretable, error) {
	if call, ok := i.(interpreter.InterpretableCall); ok && heavy(call.Function()) {
		return guarded{call}, nil
	}
	return i, nil
}

// Eval implements interpreter.Interpretable.
func (g guarded) Eval(vars interpreter.Activation) ref.Val {
	left := uint64(maxWeight)
	for _, arg := range g.Args() {
		value := arg.Eval(vars)
		if types.IsUnknownOrError(value) {
			break // the call says so
		}
		of := weight(value, maxWeight+1)
		if left /= max(1, of); left == 0 && !compares(g.Function()) || of > maxWeight {
			return types.NewErrWithNodeID(g.ID(), "%s is given too much", g.Function())
		}
	}
	return g.InterpretableCall.Eval(vars)
}

// flat is how much a value itself holds, without what is in it.
func flat(value ref.Val) uint64 {
	switch v := value.(type) {
	case types.String:
		return uint64(len(v)) / 10
	case types.Bytes:
		return uint64(len(v)) / 10
	case traits.Sizer:
		return length(v)
	}
	return 0
}

// length is how many a value has, if it can tell.
func length(value traits.Sizer) uint64 {
	if n, ok := value.Size().(types.Int); ok && n > 0 {
		return uint64(n)
	}
	return 0
}

// weight is how much there is in a value. It looks no further than most.
func weight(value ref.Val, most uint64) uint64 {
	sum := 1 + flat(value)
	each := func(inner ref.Val) bool {
		if sum < most {
			sum += weight(inner, most-sum)
		}
		return sum < most
	}
	switch v := value.(type) {
	case traits.Mapper:
		for i := v.Iterator(); i.HasNext() == types.True; {
			key := i.Next()
			if inner, ok := v.Find(key); !each(key) || ok && !each(inner) {
				break
			}
		}
	case traits.Lister:
		for i := v.Iterator(); i.HasNext() == types.True; {
			if !each(i.Next()) {
				break
			}
		}
	}
	return sum
}
