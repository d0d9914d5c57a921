package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// emit writes a decrypted document in a form, as sops would.
func emit(form format, doc *document) ([]byte, error) {
	switch form {
	case formatBinary:
		if data, ok := doc.branches[0].get("data").(string); ok {
			return []byte(data), nil
		}
		return nil, errors.New("it holds no binary data")
	case formatJSON:
		var compact, out bytes.Buffer
		if err := emitJSON(&compact, doc.branches[0]); err != nil {
			return nil, err
		}
		if err := json.Indent(&out, compact.Bytes(), "", "\t"); err != nil {
			return nil, err
		}
		out.WriteByte('\n')
		return out.Bytes(), nil
	case formatDotenv:
		return emitDotenv(doc.branches[0])
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(4)
	for _, branch := range doc.branches {
		node, err := mappingNode(branch)
		if err != nil {
			return nil, err
		}
		if err := encoder.Encode(&yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{node}}); err != nil {
			return nil, err
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func emitDotenv(branch mapping) ([]byte, error) {
	var out bytes.Buffer
	for _, e := range branch {
		if e.comment != nil {
			fmt.Fprintf(&out, "#%s\n", e.comment.text)
			continue
		}
		value, err := hashed(e.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%s=%s\n", e.key, strings.ReplaceAll(string(value), "\n", `\n`))
	}
	return out.Bytes(), nil
}

// emitJSON writes a value in the order of the file. JSON has no comments.
func emitJSON(out *bytes.Buffer, value any) error {
	switch value := value.(type) {
	case mapping:
		out.WriteByte('{')
		first := true
		for _, e := range value {
			if e.comment != nil {
				continue
			}
			if !first {
				out.WriteByte(',')
			}
			first = false
			if err := emitJSON(out, e.key); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := emitJSON(out, e.value); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		first := true
		for _, item := range value {
			if _, is := item.(comment); is {
				continue
			}
			if !first {
				out.WriteByte(',')
			}
			first = false
			if err := emitJSON(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	default:
		data, err := json.Marshal(value)
		if err != nil {
			return errJSON
		}
		out.Write(data)
	}
	return nil
}

// remarks gathers comments until there is a node that they belong to.
type remarks struct{ head, inline []string }

func (r *remarks) add(c comment) {
	if c.inline {
		r.inline = append(r.inline, "#"+c.text)
	} else {
		r.head = append(r.head, "#"+c.text)
	}
}

// above puts the comments above one node and behind another.
func (r *remarks) above(key, value *yaml.Node) {
	key.HeadComment = strings.Join(r.head, "\n")
	value.LineComment = strings.Join(r.inline, "\n")
	*r = remarks{}
}

// below puts what is left below the last node.
func (r *remarks) below(whole *yaml.Node, last int) {
	rest := strings.Join(append(r.head, r.inline...), "\n")
	if len(whole.Content) == 0 {
		whole.HeadComment = rest
	} else {
		whole.Content[len(whole.Content)-last].FootComment = rest
	}
}

func mappingNode(m mapping) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	var comments remarks
	for _, e := range m {
		if e.comment != nil {
			comments.add(*e.comment)
			continue
		}
		key := &yaml.Node{}
		if err := key.Encode(e.key); err != nil {
			return nil, err
		}
		value, err := valueNode(e.value)
		if err != nil {
			return nil, err
		}
		comments.above(key, value)
		node.Content = append(node.Content, key, value)
	}
	comments.below(node, 2)
	return node, nil
}

func valueNode(value any) (*yaml.Node, error) {
	switch value := value.(type) {
	case mapping:
		return mappingNode(value)
	case []any:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		var comments remarks
		for _, item := range value {
			if c, is := item.(comment); is {
				comments.add(c)
				continue
			}
			inner, err := valueNode(item)
			if err != nil {
				return nil, err
			}
			comments.above(inner, inner)
			node.Content = append(node.Content, inner)
		}
		comments.below(node, 1)
		return node, nil
	}
	node := &yaml.Node{}
	if err := node.Encode(value); err != nil {
		return nil, err
	}
	return node, nil
}
