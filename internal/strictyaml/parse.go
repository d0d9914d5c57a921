package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// parse sets the root of c, or adds what is wrong with it to its problems. A document without content has no root.
func (c *chunk) parse(file string, o Options) {
	decoder := yaml.NewDecoder(bytes.NewReader(c.text))
	root, err := next(decoder)
	if err == nil {
		// Text may follow a document that is complete, such as a second closing bracket.
		if _, err = next(decoder); err == nil {
			err = errors.New("another document follows without a line ---")
		}
	}
	switch {
	case !errors.Is(err, io.EOF):
		c.problems = append(c.problems, syntaxProblem(file, c, decoder, err))
	case root != nil && !isNull(root):
		m := meter{options: o, shift: c.line - 1, costs: map[*yaml.Node]cost{}}
		m.measure(root, 1)
		if m.at != nil {
			c.problems = append(c.problems, Problem{
				File: file, Line: m.at.Line, Column: m.at.Column, Message: m.message, Hint: m.hint,
			})
			return
		}
		c.root = root
	}
}

// next returns the root of the decoder's next document, or io.EOF. The parser panics on what it takes for mistakes of
// its own; those are errors in the document as well, since no other program could read it either.
func next(decoder interface{ Decode(any) error }) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be parsed: %v", r)
		}
	}()
	var doc yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		return nil, err
	}
	return doc.Content[0], nil
}

// meter walks a document as it was parsed, moves its lines to where they are in the file, and finds what walking it
// with every alias followed would cost, without doing so: a few lines can describe billions of values.
type meter struct {
	options Options
	shift   int
	values  int
	costs   map[*yaml.Node]cost // of nodes with an anchor, once they are complete

	at            *yaml.Node // where a limit was crossed, and nil while none was
	message, hint string
}

// cost is what a node stands for: the values in it, itself included, and how many levels it has.
type cost struct{ values, levels int }

// measure returns the number of levels of n, which stands at the given depth. It stops once a limit is crossed.
func (m *meter) measure(n *yaml.Node, depth int) (levels int) {
	n.Line += m.shift
	before := m.values
	if n.Kind == yaml.AliasNode {
		target, complete := m.costs[n.Alias]
		if !complete {
			m.stop(n, fmt.Sprintf("alias *%s stands inside what it repeats", n.Value), "")
			return 0
		}
		m.add(n, target.values)
		m.deepen(n, depth+target.levels-1)
		return target.levels
	}
	m.add(n, 1+len(n.Value)/64)
	m.deepen(n, depth)
	for _, child := range n.Content {
		if m.at != nil {
			return 0
		}
		levels = max(levels, m.measure(child, depth+1))
	}
	levels++
	if n.Anchor != "" {
		m.costs[n] = cost{m.values - before, levels}
	}
	return levels
}

// add counts values and checks their limit. The sum cannot overflow: what an alias adds was itself within the limit.
func (m *meter) add(n *yaml.Node, values int) {
	m.values += values
	if m.values <= m.options.MaxValues {
		return
	}
	message := fmt.Sprintf("document holds more than %d values", m.options.MaxValues)
	hint := "divide it into several files"
	if n.Kind == yaml.AliasNode {
		message = fmt.Sprintf("alias *%s makes the document hold more than %d values", n.Value, m.options.MaxValues)
		hint = "each alias repeats everything in its anchor, the aliases in it included"
	}
	m.stop(n, message, hint)
}

func (m *meter) deepen(n *yaml.Node, depth int) {
	if depth > m.options.MaxDepth {
		m.stop(n, fmt.Sprintf("nested more than %d levels deep", m.options.MaxDepth), "")
	}
}

func (m *meter) stop(n *yaml.Node, message, hint string) {
	if m.at == nil {
		m.at, m.message, m.hint = n, message, hint
	}
}
