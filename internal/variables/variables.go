// Package variables replaces ${NAME} in texts and objects by the rules of Flux, with the
// operators of a shell such as ${NAME:=default}. It knows no place where values come from.
package variables

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Lookup returns the value of a variable, and whether it is set.
type Lookup func(name string) (value string, set bool)

// NotSetError says that a variable is used that is not set, and has no default.
type NotSetError struct{ Name string }

// Error names the variable.
func (e *NotSetError) Error() string { return fmt.Sprintf("the variable %q is not set", e.Name) }

// InvalidError says that a text is no object any more once variables are replaced in it.
type InvalidError struct {
	cause error
	// YAML says that it is not even YAML.
	YAML bool
}

// Error says why, with what there is of the text.
func (e *InvalidError) Error() string { return e.cause.Error() }

// Unwrap returns why.
func (e *InvalidError) Unwrap() error { return e.cause }

var notSet = regexp.MustCompile(`variable not set[^"]*: "([^"]*)"`)

// Text replaces variables in a text. One that is not set and has no default is a
// *NotSetError.
func Text(text string, lookup Lookup) (string, error) {
	replaced, err := envsubst.Eval(text, lookup)
	if err == nil {
		return replaced, nil
	}
	if missing := notSet.FindStringSubmatch(err.Error()); missing != nil {
		return "", &NotSetError{missing[1]}
	}
	return "", err
}

// Object replaces variables in an object's YAML: a value that reads as a number or a
// boolean becomes one where it is all there is. An object in which nothing changes is
// returned as it is. What is no object afterwards is an *InvalidError.
func Object(u *unstructured.Unstructured, lookup Lookup) (*unstructured.Unstructured, error) {
	text, err := yaml.Marshal(u.Object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	if !strings.Contains(string(text), "$") {
		return u, nil
	}
	replaced, err := Text(string(text), lookup)
	if err != nil {
		return nil, err
	}
	if replaced == string(text) {
		return u, nil
	}
	data, err := yaml.YAMLToJSON([]byte(replaced))
	if err != nil {
		return nil, &InvalidError{cause: err, YAML: true}
	}
	changed := &unstructured.Unstructured{}
	if err := changed.UnmarshalJSON(data); err != nil {
		return nil, &InvalidError{cause: err}
	}
	return changed, nil
}

var name = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

// errName says what a variable may be called.
var errName = errors.New(`it cannot be the name of a variable, of letters, digits and "_"`)

// Check says why a text cannot be the name of a variable, or nothing.
func Check(text string) error {
	if !name.MatchString(text) {
		return fmt.Errorf("%q: %w", text, errName)
	}
	return nil
}

// Line returns a value as it is put into a text: on one line. A value with a line break
// of its own could add fields to an object.
func Line(value string) string { return strings.ReplaceAll(value, "\n", "") }
