package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// format is a form in which SOPS writes files.
type format string

const (
	formatYAML   format = "YAML"
	formatJSON   format = "JSON"
	formatDotenv format = "dotenv"
	formatBinary format = "binary" // any file, as the value "data" of JSON
	formatINI    format = "INI"
)

// formatOf tells the form of an encrypted file by its name and content. What has
// a name that says nothing and a single value is a binary file.
func formatOf(name string, data []byte) format {
	text := strings.TrimSpace(string(data))
	switch {
	case strings.HasPrefix(text, "{"):
		if path.Ext(name) == ".json" || !onlyData([]byte(text)) {
			return formatJSON
		}
		return formatBinary
	case strings.Contains("\n"+text, "\nsops_mac="):
		return formatDotenv
	case strings.HasPrefix(text, "[") || strings.Contains(text, "\n[sops]"):
		return formatINI
	}
	return formatYAML
}

// onlyData reports whether JSON has no keys but data and sops.
func onlyData(text []byte) bool {
	var keys map[string]json.RawMessage
	if json.Unmarshal(text, &keys) != nil {
		return false
	}
	return len(keys) == 2 && keys["data"] != nil && keys["sops"] != nil
}

// Bounds of an encrypted file.
const (
	maxFile  = 8 << 20 // bytes
	maxDepth = 64      // of values within values
)

// parse reads an encrypted file.
func parse(form format, data []byte) (*document, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	var branches []mapping
	var err error
	switch form {
	case formatYAML:
		branches, err = parseYAML(data)
	case formatJSON, formatBinary:
		branches, err = parseJSON(data)
	case formatDotenv:
		return parseDotenv(data)
	default:
		return nil, fmt.Errorf("encrypted files of the form %s are not supported; encrypt it with --input-type binary", form)
	}
	if err != nil {
		return nil, err
	}
	if len(branches) == 0 {
		return nil, errors.New("it is empty")
	}
	top, ok := branches[0].get("sops").(mapping)
	if !ok {
		return nil, errors.New("it has no mapping sops at its top")
	}
	meta, err := readMetadata(top)
	if err != nil {
		return nil, err
	}
	for i, branch := range branches {
		branches[i] = slices.DeleteFunc(branch, func(e entry) bool { return e.comment == nil && e.key == "sops" })
	}
	return &document{branches, meta}, nil
}

// unique refuses a mapping that has a key twice, of which programs see either.
func (m mapping) unique() error {
	seen := map[string]bool{}
	for _, e := range m {
		if e.comment != nil {
			continue
		}
		if seen[e.key] {
			return fmt.Errorf("it has the key %q twice", e.key)
		}
		seen[e.key] = true
	}
	return nil
}

// note adds the comments of a node of YAML to a mapping.
func (m mapping) note(text string, inline bool) mapping {
	for _, c := range commentsOf(text, inline) {
		m = append(m, entry{comment: &c})
	}
	return m
}

// commentsOf takes comments apart, which the parser gives as lines with their "#".
func commentsOf(text string, inline bool) (found []comment) {
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			found = append(found, comment{strings.TrimPrefix(line, "#"), inline})
		}
	}
	return found
}

// parseYAML reads the documents of a file, with their comments in the places
// where SOPS puts them.
func parseYAML(data []byte) (branches []mapping, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return branches, nil
		}
		if err != nil {
			return nil, errors.New("it is not valid YAML") // err may quote it
		}
		branch := mapping{}.note(node.HeadComment, false).note(node.LineComment, false)
		for _, root := range node.Content {
			switch {
			case root.Kind == yaml.MappingNode:
				branch, err = readMapping(root, branch, false, 0)
			case root.ShortTag() == "!!null":
				branch = branch.note(root.HeadComment, false).note(root.LineComment, false).note(root.FootComment, false)
			default:
				err = errors.New("a document of it is no mapping")
			}
			if err != nil {
				return nil, err
			}
		}
		branches = append(branches, branch.note(node.FootComment, false))
	}
}

// readMapping adds the entries of a node to a mapping. The node's own comments
// are its parent's if that has taken them.
func readMapping(node *yaml.Node, m mapping, taken bool, depth int) (mapping, error) {
	if !taken {
		m = m.note(node.HeadComment, false).note(node.LineComment, false)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			return nil, fmt.Errorf("line %d: a key is no text", key.Line)
		}
		m = m.note(key.HeadComment, false).note(key.LineComment, false)
		scalar := value.Kind == yaml.ScalarNode
		if scalar {
			m = m.note(value.HeadComment, false).note(value.LineComment, true)
		}
		read, err := readNode(value, scalar, depth+1)
		if err != nil {
			return nil, err
		}
		m = append(m, entry{key: key.Value, value: read})
		if scalar {
			m = m.note(value.FootComment, false)
		}
		m = m.note(key.FootComment, false)
	}
	if !taken {
		m = m.note(node.FootComment, false)
	}
	if err := m.unique(); err != nil {
		return nil, fmt.Errorf("line %d: %w", node.Line, err)
	}
	return m, nil
}

// readNode reads a value.
func readNode(node *yaml.Node, taken bool, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("line %d: values stand more than %d deep in values", node.Line, maxDepth)
	}
	switch node.Kind {
	case yaml.MappingNode:
		return readMapping(node, mapping{}, taken, depth)
	case yaml.SequenceNode:
		var list []any
		note := func(text string, inline bool) {
			for _, c := range commentsOf(text, inline) {
				list = append(list, c)
			}
		}
		if !taken {
			note(node.HeadComment, false)
			note(node.LineComment, false)
		}
		for _, item := range node.Content {
			note(item.HeadComment, false)
			note(item.LineComment, true)
			value, err := readNode(item, true, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
			note(item.FootComment, false)
		}
		if !taken {
			note(node.FootComment, false)
		}
		return list, nil
	case yaml.ScalarNode:
		var value any
		if node.Decode(&value) != nil {
			return nil, fmt.Errorf("line %d: a value cannot be read", node.Line)
		}
		switch value := value.(type) {
		case int:
			return int64(value), nil
		case nil, string, int64, float64, bool, time.Time:
			return value, nil
		}
		return nil, fmt.Errorf("line %d: a value is of a type that sops does not know", node.Line)
	}
	return nil, fmt.Errorf("line %d: an alias, which sops does not write", node.Line)
}

// parseJSON reads the one object of a file.
func parseJSON(data []byte) ([]mapping, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := readJSON(decoder, 0)
	if err != nil {
		return nil, err
	}
	top, ok := value.(mapping)
	if !ok {
		return nil, errors.New("it is no JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows its JSON object, which sops would not look at")
	}
	return []mapping{top}, nil
}

var errJSON = errors.New("it is not valid JSON")

// readJSON reads a value in the order of the file.
func readJSON(decoder *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("values stand more than %d deep in values", maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, errJSON
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return readObject(decoder, depth)
		}
		var list []any
		for decoder.More() {
			value, err := readJSON(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		if _, err := decoder.Token(); err != nil {
			return nil, errJSON
		}
		return list, nil
	case json.Number:
		if n, err := token.Int64(); err == nil {
			return n, nil
		}
		f, err := token.Float64()
		if err != nil {
			return nil, errJSON
		}
		return f, nil
	}
	return token, nil
}

func readObject(decoder *json.Decoder, depth int) (any, error) {
	m := mapping{}
	for decoder.More() {
		token, err := decoder.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, errJSON
		}
		value, err := readJSON(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		m = append(m, entry{key: key, value: value})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errJSON
	}
	return m, m.unique()
}

// listed is the key of a field of an item of a list in a file without lists.
var listed = regexp.MustCompile(`^([a-z_]+?)__list_([0-9]{1,3})__map_([a-z_]+)$`)

// parseDotenv reads a file of KEY=VALUE lines, with SOPS' own among them.
func parseDotenv(data []byte) (*document, error) {
	var branch, top mapping
	lists := map[string][]mapping{}
	for line := range strings.SplitSeq(string(data), "\n") {
		if line == "" {
			continue
		}
		if text, ok := strings.CutPrefix(line, "#"); ok {
			branch = append(branch, entry{comment: &comment{text: text}})
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, errors.New("a line of it is neither KEY=VALUE nor a comment")
		}
		value = strings.ReplaceAll(value, `\n`, "\n")
		own, ofSOPS := strings.CutPrefix(key, "sops_")
		at := listed.FindStringSubmatch(own)
		switch {
		case !ofSOPS:
			branch = append(branch, entry{key: key, value: value})
		case at == nil:
			top = append(top, entry{key: own, value: value})
		default:
			place, _ := strconv.Atoi(at[2])
			for len(lists[at[1]]) <= place {
				lists[at[1]] = append(lists[at[1]], nil)
			}
			lists[at[1]][place] = append(lists[at[1]][place], entry{key: at[3], value: value})
		}
	}
	if err := errors.Join(branch.unique(), top.unique()); err != nil {
		return nil, err
	}
	for name, items := range lists {
		var list []any
		for _, item := range items {
			list = append(list, item)
		}
		top = append(top, entry{key: name, value: list})
	}
	meta, err := readMetadata(top)
	return &document{[]mapping{branch}, meta}, err
}
