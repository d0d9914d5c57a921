package kustomization

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"nave.dev/internal/render/manifest"
)

// yamlError is the form of a syntax error of the YAML parser.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// maxNodes is how many nodes a document may have when its aliases are followed.
const maxNodes = 1 << 20

// tags are those of values that read the same here and in Kustomize. A binary one is text in disguise there.
var tags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!map", "!!seq", "!!merge"}

// follow goes through a document as a walk does, to see that it can: aliases may lead in a circle or multiply.
func follow(node *yaml.Node, above map[*yaml.Node]bool, left *int) error {
	if *left--; *left < 0 || above[node] {
		return errors.New("its aliases lead in a circle or to too much")
	}
	if node.Kind == yaml.AliasNode {
		return follow(node.Alias, above, left)
	}
	if node.Kind != yaml.DocumentNode && !slices.Contains(tags, node.ShortTag()) {
		return fmt.Errorf("line %d has the tag %s, which is not read", node.Line, node.ShortTag())
	}
	if len(node.Content) == 0 {
		return nil
	}
	above[node] = true
	defer delete(above, node)
	for _, inner := range node.Content {
		if err := follow(inner, above, left); err != nil {
			return err
		}
	}
	return nil
}

// followed is follow for a whole document.
func followed(document *yaml.Node) error {
	left := maxNodes
	return follow(document, map[*yaml.Node]bool{}, &left)
}

const isEmpty = "is empty"

// parse reads a kustomization file, which is one mapping.
func parse(file string, data []byte) (*yaml.Node, *manifest.Problem) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		problem := &manifest.Problem{File: file, Message: "is not valid YAML: " + yamlError.ReplaceAllString(err.Error(), "")}
		if at := yamlError.FindStringSubmatch(err.Error()); at != nil {
			fmt.Sscan(at[1], &problem.Line)
		}
		return nil, problem
	}
	if len(doc.Content) == 0 {
		return nil, &manifest.Problem{File: file, Line: 1, Message: isEmpty}
	}
	root := doc.Content[0]
	if err := followed(root); err != nil {
		return nil, &manifest.Problem{File: file, Line: root.Line, Message: err.Error()}
	}
	if root.Kind != yaml.MappingNode {
		return nil, &manifest.Problem{File: file, Line: root.Line, Message: "is no mapping"}
	}
	return root, nil
}

// each calls visit with the entries of a list, or with the single value where a list is wanted. A list all of whose
// entries are commented out, as in many a generated kustomization, has none.
func each(node *yaml.Node, visit func(*yaml.Node)) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.ShortTag() == "!!null" {
		return
	}
	if node.Kind != yaml.SequenceNode {
		visit(node)
		return
	}
	for _, item := range node.Content {
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		visit(item)
	}
}

// fields calls visit with the keys and values of a mapping, those that it merges among them. Kustomize matches keys in
// any case, as encoding/json does; visit gets them in lower case.
func fields(node *yaml.Node, visit func(key string, value *yaml.Node)) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		if key.Value == "<<" {
			each(value, func(merged *yaml.Node) { fields(merged, visit) })
			continue
		}
		visit(canonical(key.Value), value)
	}
}

// canonical is the name of a field in lower case. Some letters, such as the long s, are in lower case and equal another.
func canonical(field string) string { return strings.ToLower(strings.ToUpper(field)) }

// inline reports whether an entry is YAML in place. What is no document to Kustomize is a path, and a document does not
// begin as what it would fetch.
func inline(ref string) bool {
	return (strings.Contains(ref, "\n") || strings.Contains(ref, ": ")) && !isRemote(ref)
}

// keyOf is the KEY= of a generator's KEY=NAME.
func keyOf(ref string) string {
	if key, _, ok := strings.Cut(ref, "="); ok && !strings.ContainsAny(key, ":/") {
		return key + "="
	}
	return ""
}
