package applicationset

import (
	"fmt"
	"strconv"
	"strings"

	"nave.dev/internal/dialect/manifest"
)

// copyCost is what an entry of a value that is made anew takes of the budget: a
// matrix makes its parameters once for each of another's.
const copyCost = 8

// deepest is how far the values of parameters may be in one another where they are named by their path.
const deepest = 32

// weight is what a copy of a value takes of the budget.
func weight(value any) int64 {
	cost := int64(copyCost)
	switch value := value.(type) {
	case string:
		cost += int64(len(value)) / 16
	case []any:
		for _, item := range value {
			cost += weight(item)
		}
	case map[string]any:
		for _, item := range value {
			cost += weight(item)
		}
	}
	return cost
}

// copied returns a copy of parameters, at their weight.
func (s *set) copied(p parameters) (parameters, error) {
	if err := s.Budget.Spend(weight(p)); err != nil {
		return nil, err
	}
	return manifest.Copy(p).(parameters), nil
}

// flat returns parameters as texts by their path.
func (s *set) flat(p parameters) (map[string]string, error) {
	out := map[string]string{}
	var walk func(at string, value any, depth int) error
	walk = func(at string, value any, depth int) error {
		if depth > deepest {
			return fmt.Errorf("parameters are in one another more than %d times: %.80s…", deepest, at)
		}
		if err := s.Budget.Spend(copyCost + int64(len(at))/16); err != nil {
			return err
		}
		switch value := value.(type) {
		case map[string]any:
			for _, key := range sortedKeys(value) {
				if err := walk(strings.TrimPrefix(at+"."+key, "."), value[key], depth+1); err != nil {
					return err
				}
			}
		case []any:
			for i, item := range value {
				if err := walk(strings.TrimPrefix(at+"."+strconv.Itoa(i), "."), item, depth+1); err != nil {
					return err
				}
			}
		default:
			out[at] = fmt.Sprint(value)
		}
		return nil
	}
	return out, walk("", p, 0)
}
