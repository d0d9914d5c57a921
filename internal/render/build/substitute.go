package build

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/variables"
)

// fluxSubstituteAnnotation is object.SubstituteAnnotation by Flux's name for it.
const fluxSubstituteAnnotation = "kustomize.toolkit.fluxcd.io/substitute"

// notSubstituted reports whether an object keeps what looks like variables: because it says so, or because it is
// encrypted with SOPS, which checks that nobody changed it.
func notSubstituted(u *unstructured.Unstructured) bool {
	annotations, labels := u.GetAnnotations(), u.GetLabels()
	for _, name := range []string{object.SubstituteAnnotation, fluxSubstituteAnnotation} {
		if annotations[name] == "disabled" || labels[name] == "disabled" {
			return true
		}
	}
	return object.Encrypted(u)
}

// substitute replaces ${NAME} in an object's YAML, as Flux does, or leaves that to the cluster.
func (f *finisher) substitute(o manifest.Object) (manifest.Object, error) {
	if notSubstituted(o.Unstructured) {
		return o, nil
	}
	if f.job.Params.Defer {
		if deferred, err := f.deferred(o); deferred || err != nil {
			return o, err
		}
	}
	values := f.job.Params.Variables
	changed, err := variables.Object(o.Unstructured, func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	})
	if missing := (*variables.NotSetError)(nil); errors.As(err, &missing) && f.job.Params.UnsetIsEmpty {
		f.warn("%s", o.Problem("write ${"+missing.Name+":=default} for a default", "uses the variable %q, which is not set, and so is empty", missing.Name).String())
		changed, err = variables.Object(o.Unstructured, func(name string) (string, bool) { return values[name], true })
	}
	if err != nil {
		return o, f.unreplaced(o, err)
	}
	o.Unstructured = changed
	return o, nil
}

// unreplaced says why variables cannot be replaced in an object.
func (f *finisher) unreplaced(o manifest.Object, err error) error {
	missing, invalid := (*variables.NotSetError)(nil), (*variables.InvalidError)(nil)
	switch {
	case errors.As(err, &missing):
		hint := "there are no variables"
		if values := f.job.Params.Variables; len(values) > 0 {
			hint = "there are " + strings.Join(slices.Sorted(maps.Keys(values)), ", ")
		}
		return o.Problem(hint+"; write ${"+missing.Name+":-default} for a default, $${"+missing.Name+"} for the text itself", "uses the variable %q, which is not set", missing.Name)
	case errors.As(err, &invalid) && invalid.YAML:
		return o.Problem("a value with a colon or a line break breaks the YAML around it: quote it", "is not valid YAML after substitution: %v", err)
	case errors.As(err, &invalid):
		return o.Problem("", "is no object after substitution: %v", err)
	}
	return o.Problem("write $$ for a dollar sign, or set the annotation "+object.SubstituteAnnotation+": disabled", "cannot be substituted: %v", err)
}

const (
	hintKnown = "write the variable into spec.postBuild.substitute, which wins, or commit the ConfigMap to the tree"
	hintAsks  = "commit the ConfigMap to the tree, or let the object read the entry itself: a HelmRelease by valuesFrom with valuesKey and targetPath, a Kustomization by a substituteFrom of its own"
)

// deferred leaves an object that uses variables which only its cluster knows as it is, to be replaced there, save for
// what it is called: that is known here, or refused. An object that asks for apps is read here, and is refused with any.
func (f *finisher) deferred(o manifest.Object) (bool, error) {
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return false, fmt.Errorf("encoding %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	if !strings.Contains(string(text), "$") {
		return false, nil
	}
	_, used, unknown, err := f.evaluate(string(text))
	switch {
	case err != nil:
		return false, f.unreplaced(o, err)
	case unknown == "" && len(f.job.Params.Variables) > 0: // without any it may be that nothing is to be replaced
		return false, nil
	}
	id := object.Of(o.Unstructured)
	if unknown != "" && app.AsksForApps(id) {
		return false, f.reached(o, unknown)
	}
	for _, path := range [][]string{{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "namespace"}} {
		value, _, _ := unstructured.NestedString(o.Object, path...)
		known, _, unknown, err := f.evaluate(value)
		switch {
		case err != nil:
			return false, f.unreplaced(o, err)
		case unknown != "":
			return false, o.Problem(hintKnown, "uses the variable %q, which only the cluster knows, in %s", unknown, strings.Join(path, "."))
		case known != value:
			if err := unstructured.SetNestedField(o.Object, known, path...); err != nil {
				return false, fmt.Errorf("setting %s of %s: %w", strings.Join(path, "."), id, err)
			}
		}
	}
	object.Defer(o.Unstructured, used)
	return true, nil
}

// evaluate replaces the variables that are known in a text. It returns which of these are used, and one that is not
// known here.
func (f *finisher) evaluate(text string) (replaced string, used map[string]string, unknown string, err error) {
	used = map[string]string{}
	replaced, err = variables.Text(text, func(name string) (string, bool) {
		value, ok := f.job.Params.Variables[name]
		if ok {
			used[name] = value
		} else {
			unknown = name
		}
		return value, true
	})
	return replaced, used, unknown, err
}

// reached refuses an object that asks for apps and uses a variable which only the cluster knows, by its first field
// that does.
func (f *finisher) reached(o manifest.Object, unknown string) error {
	where := "a name of a field"
	texts(o.Object, nil, func(path []string, text string) {
		if _, _, name, err := f.evaluate(text); err == nil && name != "" && where == "a name of a field" {
			where, unknown = strings.Join(path, "."), name
		}
	})
	return o.Problem(hintAsks, "uses the variable %q, which only the cluster knows, in %s: what asks for apps is read before", unknown, where)
}
