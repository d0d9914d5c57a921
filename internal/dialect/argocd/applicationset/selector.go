package applicationset

import (
	"errors"
	"fmt"
	"slices"
)

// check says what is wrong with a selector.
func (l labelSelector) check() error {
	var problems []error
	for i, e := range l.MatchExpressions {
		switch e.Operator {
		case "In", "NotIn":
			if len(e.Values) == 0 {
				problems = append(problems, fmt.Errorf("matchExpressions[%d].values: %s needs some", i, e.Operator))
			}
		case "Exists", "DoesNotExist":
			if len(e.Values) > 0 {
				problems = append(problems, fmt.Errorf("matchExpressions[%d].values: %s has none", i, e.Operator))
			}
		default:
			problems = append(problems, fmt.Errorf("matchExpressions[%d].operator: %q is none of In, NotIn, Exists and DoesNotExist", i, e.Operator))
		}
	}
	return errors.Join(problems...)
}

// matches reports whether labels fit a selector that check has found right.
func (l labelSelector) matches(labels map[string]string) bool {
	for key, value := range l.MatchLabels {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	for _, e := range l.MatchExpressions {
		have, ok := labels[e.Key]
		in := ok && slices.Contains(e.Values, have)
		if e.Operator == "In" && !in || e.Operator == "NotIn" && in || e.Operator == "Exists" && !ok || e.Operator == "DoesNotExist" && ok {
			return false
		}
	}
	return true
}
