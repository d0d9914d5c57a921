// Package templates fills in the templates of ApplicationSets, as Go templates or
// as plain {{ name }} references. They are run in the process of their reader, so
// whatever a template says, its work is bounded: every loop and call takes from a
// budget, results and output have a largest size, and what could build a value
// that contains itself is refused. It reads nothing of its surroundings: functions
// for the environment, the network, the clock and chance are not there.
package templates

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// The bounds of one template and one value.
const (
	maxTemplate = 256 << 10 // bytes of one template
	maxOutput   = 1 << 20   // bytes of what one becomes
	maxText     = 1 << 20   // bytes of texts in a value
	maxNodes    = 20_000    // entries of a value
	loopCost    = 50
)

// Budget is what templates may do, in steps that take some tens of nanoseconds.
// Sets may share one. It is not safe for concurrent use.
type Budget struct{ left int64 }

// NewBudget returns what the templates of all objects of a Delivery may do.
func NewBudget() *Budget { return &Budget{left: 20_000_000} }

// Set fills in templates that belong together. It is not safe for concurrent use.
type Set struct {
	*Budget
	goTemplate bool
	options    []string
	functions  template.FuncMap
	parsed     map[string]*template.Template
}

// New returns a Set of Go templates with options, or of plain references. An
// option that Go does not know is an error.
func New(goTemplate bool, options []string, budget *Budget) (*Set, error) {
	for _, option := range options {
		switch option {
		case "missingkey=default", "missingkey=invalid", "missingkey=zero", "missingkey=error":
		default:
			return nil, fmt.Errorf("%q is no option of templates\nhint: missingkey=error is the usual one", option)
		}
	}
	s := &Set{goTemplate: goTemplate, options: options, Budget: budget, parsed: map[string]*template.Template{}}
	s.functions = s.bounded()
	return s, nil
}

// errBudget says that templates do too much.
var errBudget = errors.New("the templates do too much work\nhint: loop over less")

// Spend takes steps from the budget, or says that there are none left.
func (b *Budget) Spend(cost int64) error {
	if b.left -= cost; b.left < 0 {
		return errBudget
	}
	return nil
}

// Fill returns a text with parameters filled in. A plain reference to what is no
// parameter stays as it is.
func (s *Set) Fill(text string, parameters map[string]any) (string, error) {
	return s.fill(text, parameters, s.options)
}

// Try is Fill, except that a text whose parameters are not all there is returned as
// it is, with filled unset.
func (s *Set) Try(text string, parameters map[string]any) (out string, filled bool, err error) {
	out, err = s.fill(text, parameters, []string{"missingkey=error"})
	if err != nil && (strings.Contains(err.Error(), "map has no entry for key") || strings.Contains(err.Error(), "can't evaluate field")) {
		return text, false, nil
	}
	return out, true, err
}

func (s *Set) fill(text string, parameters map[string]any, options []string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	if len(text) > maxTemplate {
		return "", fmt.Errorf("a template has more than %d KiB", maxTemplate>>10)
	}
	if err := s.Spend(int64(len(text))/16 + 1); err != nil {
		return "", err
	}
	out := &limited{}
	if s.goTemplate {
		t, err := s.parse(text, options)
		if err != nil {
			return "", err
		}
		if err := t.Execute(out, parameters); err != nil {
			return "", plainError(text, err)
		}
	} else if err := references(out, text, parameters); err != nil {
		return "", plainError(text, err)
	}
	return out.String(), s.Spend(int64(out.Len()) / 16)
}

// parse returns a template in which each loop, and each template within, takes
// from the budget.
func (s *Set) parse(text string, options []string) (*template.Template, error) {
	key := strings.Join(options, "\x00") + "\x00" + text
	if t := s.parsed[key]; t != nil {
		return t, nil
	}
	t, err := template.New("template").Funcs(s.functions).Option(options...).Parse(text)
	if err != nil {
		return nil, plainError(text, err)
	}
	meter, err := template.New("meter").Funcs(s.functions).Parse("{{" + meterName + "}}")
	if err != nil {
		return nil, err
	}
	tick := meter.Root.Nodes[0]
	for _, defined := range t.Templates() {
		if defined.Tree != nil && defined.Root != nil {
			insert(defined.Root, tick)
			defined.Root.Nodes = slices.Insert(defined.Root.Nodes, 0, tick)
		}
	}
	if len(s.parsed) < 10_000 {
		s.parsed[key] = t
	}
	return t, nil
}

// insert puts a node before all that loops repeat.
func insert(node parse.Node, tick parse.Node) {
	branch := func(b *parse.BranchNode) {
		insert(b.List, tick)
		if b.ElseList != nil {
			insert(b.ElseList, tick)
		}
	}
	switch node := node.(type) {
	case *parse.ListNode:
		for _, child := range node.Nodes {
			insert(child, tick)
		}
	case *parse.IfNode:
		branch(&node.BranchNode)
	case *parse.WithNode:
		branch(&node.BranchNode)
	case *parse.RangeNode:
		branch(&node.BranchNode)
		node.List.Nodes = slices.Insert(node.List.Nodes, 0, tick)
	}
}

// plainError says what is wrong with a template, and with which.
func plainError(text string, err error) error {
	if errors.Is(err, errBudget) || errors.Is(err, errOutput) {
		return fmt.Errorf("%w (in %q)", err, clip(text))
	}
	message := err.Error()
	if _, rest, ok := strings.Cut(message, "template: template:"); ok {
		message = rest
	}
	return fmt.Errorf("template %q: %s", clip(text), message)
}

func clip(text string) string {
	if len(text) > 120 {
		return text[:120] + "…"
	}
	return text
}

var errOutput = errors.New("a template becomes more than 1 MiB of text")

// limited is a buffer that fills up.
type limited struct{ strings.Builder }

func (l *limited) Write(data []byte) (int, error) {
	if l.Len()+len(data) > maxOutput {
		return 0, errOutput
	}
	return l.Builder.Write(data)
}

var reference = regexp.MustCompile(`(?s)\{\{(.*?)\}\}`)

// references fills in {{ name }} where a parameter of that name is a text.
func references(out *limited, text string, parameters map[string]any) error {
	end := 0
	for _, at := range reference.FindAllStringIndex(text, -1) {
		tag := text[at[0]:at[1]]
		if value, ok := parameters[strings.TrimSpace(tag[2:len(tag)-2])].(string); ok {
			tag = value
		}
		for _, part := range []string{text[end:at[0]], tag} {
			if _, err := out.Write([]byte(part)); err != nil {
				return err
			}
		}
		end = at[1]
	}
	_, err := out.Write([]byte(text[end:]))
	return err
}
