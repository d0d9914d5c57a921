package releases

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/difference"
)

// rule is one of a release's rules for drift, read.
type rule struct {
	patterns            [5]*regexp.Regexp // group, version, kind, namespace and name; nil is any
	labels, annotations labels.Selector
	differences         difference.Differences
}

// readRules reads the rules of a release.
func readRules(stated []app.DriftRule) ([]rule, error) {
	var rules []rule
	for i, s := range stated {
		r, err := readRule(s)
		if err != nil {
			return nil, fmt.Errorf("reading which drift is ignored, rule %d: %w", i+1, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func readRule(stated app.DriftRule) (r rule, err error) {
	r.labels, r.annotations = labels.Everything(), labels.Everything()
	if t := stated.Target; t != nil {
		for i, text := range []string{t.Group, t.Version, t.Kind, t.Namespace, t.Name} {
			if text == "" {
				continue
			}
			if r.patterns[i], err = regexp.Compile("^(?:" + text + ")$"); err != nil {
				return r, err
			}
		}
		if r.labels, err = labels.Parse(t.LabelSelector); err != nil {
			return r, err
		}
		if r.annotations, err = labels.Parse(t.AnnotationSelector); err != nil {
			return r, err
		}
	}
	r.differences, err = difference.Read([]app.Difference{{Group: "*", Kind: "*", Pointers: stated.Pointers}})
	return r, err
}

// names reports whether the rule is about an object.
func (r rule) names(u *unstructured.Unstructured) bool {
	kind := u.GroupVersionKind()
	for i, text := range []string{kind.Group, kind.Version, kind.Kind, u.GetNamespace(), u.GetName()} {
		if r.patterns[i] != nil && !r.patterns[i].MatchString(text) {
			return false
		}
	}
	return r.labels.Matches(labels.Set(u.GetLabels())) && r.annotations.Matches(labels.Set(u.GetAnnotations()))
}
