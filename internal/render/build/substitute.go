package build

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
)

// SubstituteAnnotation, with the value disabled, keeps an object from substitution. Flux's own counts as well.
const (
	SubstituteAnnotation     = "nave.dev/substitute"
	fluxSubstituteAnnotation = "kustomize.toolkit.fluxcd.io/substitute"
)

// notSubstituted reports whether an object keeps what looks like variables: because it says so, or because it is
// encrypted with SOPS, which checks that nobody changed it.
func notSubstituted(u *unstructured.Unstructured) bool {
	annotations, labels := u.GetAnnotations(), u.GetLabels()
	for _, name := range []string{SubstituteAnnotation, fluxSubstituteAnnotation} {
		if annotations[name] == "disabled" || labels[name] == "disabled" {
			return true
		}
	}
	return object.Encrypted(u)
}

var notSet = regexp.MustCompile(`variable not set[^"]*: "([^"]*)"`)

// substitute replaces ${NAME} in an object's YAML, as Flux does: a value that reads as a number or a boolean becomes
// one where it is all there is.
func (f *finisher) substitute(o manifest.Object) (manifest.Object, error) {
	if notSubstituted(o.Unstructured) {
		return o, nil
	}
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return o, fmt.Errorf("encoding %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	if !strings.Contains(string(text), "$") {
		return o, nil
	}
	variables := f.job.Params.Variables
	changed, err := envsubst.Eval(string(text), func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	})
	if missing := notSet.FindStringSubmatch(fmt.Sprint(err)); missing != nil && f.job.Params.UnsetIsEmpty {
		f.warn("%s", o.Problem("write ${"+missing[1]+":=default} for a default", "uses the variable %q, which is not set, and so is empty", missing[1]).String())
		changed, err = envsubst.Eval(string(text), func(name string) (string, bool) { return variables[name], true })
	}
	if err != nil {
		if missing := notSet.FindStringSubmatch(err.Error()); missing != nil {
			hint := "there are no variables"
			if len(variables) > 0 {
				hint = "there are " + strings.Join(slices.Sorted(maps.Keys(variables)), ", ")
			}
			return o, o.Problem(hint+"; write ${"+missing[1]+":-default} for a default, $${"+missing[1]+"} for the text itself", "uses the variable %q, which is not set", missing[1])
		}
		return o, o.Problem("write $$ for a dollar sign, or set the annotation "+SubstituteAnnotation+": disabled", "cannot be substituted: %v", err)
	}
	if changed == string(text) {
		return o, nil
	}
	data, err := yaml.YAMLToJSON([]byte(changed))
	if err != nil {
		return o, o.Problem("a value with a colon or a line break breaks the YAML around it: quote it", "is not valid YAML after substitution: %v", err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		return o, o.Problem("", "is no object after substitution: %v", err)
	}
	o.Unstructured = u
	return o, nil
}
