package v1alpha1

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Context is what templates of a Delivery may use: what one cluster says of itself.
type Context struct {
	Name      string
	Labels    map[string]string
	Variables map[string]string
}

const (
	nameReference      = "cluster.name"
	labelReference     = "cluster.labels."
	variableReference  = "cluster.variables."
	referenceHint      = "known are ${cluster.name}, ${cluster.labels.KEY} and ${cluster.variables.NAME}; write $${ for a plain ${"
	templateUnfinished = `"${" is not closed by "}"`
)

// MissingError says that a cluster has not what a template asks for.
type MissingError struct {
	What string   // "label" or "variable"
	Name string   // of the label or variable
	Have []string // the names that there are, sorted
}

// Error says what is missing.
func (e *MissingError) Error() string { return fmt.Sprintf("there is no %s %q", e.What, e.Name) }

// CheckTemplate returns an error if text refers to something that no cluster can have.
func CheckTemplate(text string) error {
	return eachPart(text, func(_, reference string) error {
		switch key, isLabel := strings.CutPrefix(reference, labelReference); {
		case reference == "" || reference == nameReference:
		case isLabel && key != "":
		case strings.HasPrefix(reference, variableReference) && variableName.MatchString(reference[len(variableReference):]):
		default:
			return fmt.Errorf("${%s} refers to nothing", reference)
		}
		return nil
	})
}

// Fill returns text with its references replaced. What the cluster lacks is a *MissingError.
func Fill(text string, context Context) (string, error) {
	return fill(text, context, false)
}

// fillNonEmpty is Fill for texts that an empty value would give another meaning, such as a path.
func fillNonEmpty(text string, context Context) (string, error) {
	return fill(text, context, true)
}

func fill(text string, context Context, nonEmpty bool) (string, error) {
	if err := CheckTemplate(text); err != nil {
		return "", err
	}
	var filled strings.Builder
	err := eachPart(text, func(literal, reference string) error {
		filled.WriteString(literal)
		if reference == "" {
			return nil
		}
		value, err := context.value(reference)
		if err == nil && value == "" && nonEmpty {
			err = fmt.Errorf("${%s} is empty", reference)
		}
		filled.WriteString(value)
		return err
	})
	if err != nil {
		return "", err
	}
	return filled.String(), nil
}

// value returns what a reference that CheckTemplate accepts stands for.
func (c Context) value(reference string) (string, error) {
	if reference == nameReference {
		return c.Name, nil
	}
	what, entries := "label", c.Labels
	name, isLabel := strings.CutPrefix(reference, labelReference)
	if !isLabel {
		what, entries = "variable", c.Variables
		name = strings.TrimPrefix(reference, variableReference)
	}
	value, ok := entries[name]
	if !ok {
		return "", &MissingError{What: what, Name: name, Have: slices.Sorted(maps.Keys(entries))}
	}
	return value, nil
}

// eachPart calls use for each literal piece of a template and the reference after it, the last of which is empty.
func eachPart(text string, use func(literal, reference string) error) error {
	var literal strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			literal.WriteString(text)
			return use(literal.String(), "")
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			literal.WriteString(plain + "${")
			text = rest
			continue
		}
		reference, rest, closed := strings.Cut(rest, "}")
		if !closed {
			return errors.New(templateUnfinished)
		}
		if reference == "" {
			return errors.New("${} refers to nothing")
		}
		literal.WriteString(before)
		if err := use(literal.String(), reference); err != nil {
			return err
		}
		literal.Reset()
		text = rest
	}
}

// FillPath returns the path, clean and slash-separated, with its template filled in. The result never leads out of the
// repository.
func FillPath(text string, context Context) (string, error) {
	filled, err := fillNonEmpty(text, context)
	if err != nil {
		return "", err
	}
	if message := wrongPath(filled); message != "" {
		return "", errors.New(message)
	}
	return path.Clean(filled), nil
}

// wrongPath says why text is no path inside a repository, or "".
func wrongPath(text string) string {
	switch {
	case strings.HasPrefix(text, "/"):
		return fmt.Sprintf("%q is absolute", text)
	case strings.Contains(text, `\`):
		return fmt.Sprintf("%q has a backslash", text)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Sprintf("%q has a control character", text)
	case slices.Contains(strings.Split(text, "/"), ".."):
		return fmt.Sprintf(`%q has ".." in it`, text)
	}
	return ""
}
