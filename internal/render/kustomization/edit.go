package kustomization

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/pkg/util"
	"sigs.k8s.io/kustomize/api/types"

	"nave.dev/internal/app"
	"nave.dev/internal/glob"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// editor adds options to a kustomization before it is walked and built, so that what they refer to is checked like all
// else. It changes the document in memory, as the commands of `kustomize edit` change the file.
type editor struct {
	tree      tree.Tree
	dir, file string
	options   *app.KustomizeOptions
	root      *yaml.Node          // without aliases
	stated    types.Kustomization // what root says
	added     map[*yaml.Node]bool // nodes that are no lines of the file
	warnings  []string
}

// edit returns the document with the options added.
func (e *editor) edit(document *yaml.Node) (*yaml.Node, error) {
	e.root, e.added = expand(document), map[*yaml.Node]bool{}
	if slices.ContainsFunc(e.root.Content, func(n *yaml.Node) bool { return n.Value == "<<" && n.ShortTag() == "!!merge" }) {
		return nil, e.problem("write its fields out", "merges a mapping at its top, to which options cannot be added")
	}
	data, err := yaml.Marshal(e.root)
	if err != nil {
		return nil, fmt.Errorf("encoding %q: %w", e.file, err)
	}
	if err := e.stated.Unmarshal(data); err != nil {
		return nil, e.problem("", "%v", err)
	}
	e.stated.FixKustomization()
	for _, step := range []func() error{e.names, e.images, e.replicas, e.labels, e.annotations, e.patches, e.components, e.metadata} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return e.root, nil
}

func (e *editor) problem(hint, format string, args ...any) error {
	return manifest.Problem{File: e.file, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// expand copies a node with what its aliases stand for in their place.
func expand(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return expand(node.Alias)
	}
	expanded := *node
	expanded.Anchor, expanded.Content = "", make([]*yaml.Node, len(node.Content))
	for i, inner := range node.Content {
		expanded.Content[i] = expand(inner)
	}
	return &expanded
}

// node makes a value a node of the document.
func (e *editor) node(value any) (*yaml.Node, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the Kustomize options of %q: %w", e.dir, err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("decoding the Kustomize options of %q: %w", e.dir, err)
	}
	var mark func(*yaml.Node)
	mark = func(node *yaml.Node) {
		node.Line, node.Column, e.added[node] = 0, 0, true
		for _, inner := range node.Content {
			mark(inner)
		}
	}
	mark(document.Content[0])
	return document.Content[0], nil
}

// remove takes a field out, in whatever case it is written, and returns its value, or nil.
func (e *editor) remove(field string) *yaml.Node {
	var value *yaml.Node
	kept := e.root.Content[:0:0]
	for i := 0; i+1 < len(e.root.Content); i += 2 {
		if canonical(e.root.Content[i].Value) == canonical(field) {
			value = e.root.Content[i+1]
			continue
		}
		kept = append(kept, e.root.Content[i], e.root.Content[i+1])
	}
	e.root.Content = kept
	return value
}

// set states a field anew.
func (e *editor) set(field string, value any) error {
	node, err := e.node(value)
	if err != nil {
		return err
	}
	e.remove(field)
	e.root.Content = append(e.root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: field}, node)
	return nil
}

// extend adds entries to a list.
func (e *editor) extend(field string, values any) error {
	added, err := e.node(values)
	if err != nil {
		return err
	}
	if before := e.remove(field); before != nil && before.ShortTag() != "!!null" {
		if before.Kind != yaml.SequenceNode {
			return e.problem("", "has %s that are no list, to which none can be added", field)
		}
		added.Content = slices.Concat(before.Content, added.Content)
	}
	e.root.Content = append(e.root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: field}, added)
	return nil
}

// metadata has it written on objects where they come from.
func (e *editor) metadata() error {
	added := slices.DeleteFunc(slices.Clone(e.options.BuildMetadata), func(option string) bool { return slices.Contains(e.stated.BuildMetadata, option) })
	if len(added) == 0 {
		return nil
	}
	return e.extend("buildMetadata", added)
}

func (e *editor) names() error {
	for _, field := range []struct{ name, value string }{
		{"namePrefix", e.options.NamePrefix}, {"nameSuffix", e.options.NameSuffix}, {"namespace", e.options.Namespace},
	} {
		if field.value == "" {
			continue
		}
		if err := e.set(field.name, field.value); err != nil {
			return err
		}
	}
	return nil
}

// keep is what stands in an image for what the kustomization says.
const keep = "*"

func (e *editor) images() error {
	if len(e.options.Images) == 0 {
		return nil
	}
	images := map[string]types.Image{}
	for _, text := range e.options.Images {
		image, ok := parseImage(text)
		if !ok {
			return e.problem("write NAME=IMAGE:TAG, NAME=IMAGE@DIGEST, IMAGE:TAG or IMAGE@DIGEST", "cannot read the image %q of kustomize.images", text)
		}
		images[image.Name] = image
	}
	stated := map[string]types.Image{}
	for _, image := range e.stated.Images {
		stated[image.Name] = image
		if _, ok := images[image.Name]; !ok {
			images[image.Name] = image
		}
	}
	list := make([]types.Image, 0, len(images))
	for _, name := range slices.Sorted(maps.Keys(images)) {
		image, before := images[name], stated[name]
		for _, part := range []struct {
			text *string
			kept string
		}{{&image.NewName, before.NewName}, {&image.NewTag, before.NewTag}, {&image.Digest, before.Digest}} {
			if *part.text == keep {
				*part.text = part.kept
			}
		}
		list = append(list, image)
	}
	e.remove("imageTags") // an older name of the same field, which stated has with the others
	return e.set("images", list)
}

// parseImage reads [NAME=]IMAGE[:TAG][@DIGEST]. An image alone says nothing.
func parseImage(text string) (types.Image, bool) {
	name, image, renamed := strings.Cut(text, "=")
	if !renamed {
		image = text
	}
	newName, tag, digest := util.SplitImageName(image)
	if newName == text || newName == "" {
		return types.Image{}, false
	}
	if !renamed || name == "" {
		return types.Image{Name: newName, NewTag: tag, Digest: digest}, true
	}
	return types.Image{Name: name, NewName: newName, NewTag: tag, Digest: digest}, true
}

func (e *editor) replicas() error {
	if len(e.options.Replicas) == 0 {
		return nil
	}
	counts := map[string]int64{}
	for _, r := range e.stated.Replicas {
		counts[r.Name] = r.Count
	}
	for _, r := range e.options.Replicas {
		counts[r.Name] = r.Count
	}
	list := make([]types.Replica, 0, len(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, types.Replica{Name: name, Count: counts[name]})
	}
	return e.set("replicas", list)
}

func (e *editor) labels() error {
	o := e.options
	switch {
	case len(o.CommonLabels) == 0:
		return nil
	case o.LabelIncludeTemplates && !o.LabelWithoutSelector:
		return e.problem("set labelWithoutSelector too, or neither: selectors and templates get the labels then", "is given kustomize.labelIncludeTemplates without labelWithoutSelector")
	case !o.LabelWithoutSelector:
		//lint:ignore SA1019 it is where kustomize edit looks for a label that is stated already
		labels, err := e.merge("kustomize.commonLabels", e.stated.CommonLabels, o.CommonLabels, o.ForceLabels)
		if err != nil {
			return err
		}
		return e.set("commonLabels", labels)
	}
	at := slices.IndexFunc(e.stated.Labels, func(l types.Label) bool { return !l.IncludeSelectors && l.IncludeTemplates == o.LabelIncludeTemplates })
	if at < 0 {
		at = len(e.stated.Labels)
		e.stated.Labels = append(e.stated.Labels, types.Label{IncludeTemplates: o.LabelIncludeTemplates})
	}
	labels, err := e.merge("kustomize.commonLabels", e.stated.Labels[at].Pairs, o.CommonLabels, o.ForceLabels)
	if err != nil {
		return err
	}
	e.stated.Labels[at].Pairs = labels
	return e.set("labels", e.stated.Labels)
}

func (e *editor) annotations() error {
	if len(e.options.CommonAnnotations) == 0 {
		return nil
	}
	annotations, err := e.merge("kustomize.commonAnnotations", e.stated.CommonAnnotations, e.options.CommonAnnotations, e.options.ForceAnnotations)
	if err != nil {
		return err
	}
	return e.set("commonAnnotations", annotations)
}

// merge adds to what is stated, in whose place it stands only by force. Quotes around a value are not part of it.
func (e *editor) merge(field string, stated, added map[string]string, force bool) (map[string]string, error) {
	merged := maps.Clone(stated)
	if merged == nil {
		merged = map[string]string{}
	}
	for _, key := range slices.Sorted(maps.Keys(added)) {
		if _, ok := stated[key]; ok && !force {
			return nil, e.problem("take it out of one of them, or force it: forceCommonLabels, forceCommonAnnotations", "states %q itself, which %s would replace", key, field)
		}
		value := added[key]
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		merged[key] = value
	}
	return merged, nil
}

func (e *editor) patches() error {
	if len(e.options.Patches) == 0 {
		return nil
	}
	return e.extend("patches", e.options.Patches)
}

func (e *editor) components() error {
	var added []string
	for _, component := range e.options.Components {
		found, err := e.component(component)
		if err != nil {
			return err
		}
		for _, name := range found {
			same := func(other string) bool {
				return other == name || !isRemote(name) && path.Clean(other) == path.Clean(name)
			}
			if !slices.ContainsFunc(e.stated.Components, same) && !slices.ContainsFunc(added, same) {
				added = append(added, name)
			}
		}
	}
	if len(added) == 0 {
		return nil
	}
	return e.extend("components", added)
}

// component returns the directories that a component of the options stands for. What leads elsewhere is left to the
// walk, which says why it does not.
func (e *editor) component(name string) ([]string, error) {
	at := path.Join(e.dir, name)
	local := !isRemote(name) && !path.IsAbs(name) && tree.Within(tree.RemoteRoot(e.dir), at)
	if e.options.IgnoreMissingComponents {
		kind := tree.Absent
		if local {
			var err error
			if kind, err = e.tree.Stat(at); err != nil {
				return nil, fmt.Errorf("looking for the component %q: %w", at, err)
			}
		}
		if kind == tree.Absent { // one that is remote, too: Argo CD looks only into the repository
			e.warnings = append(e.warnings, fmt.Sprintf("%s: the component %q is left out: it is not in the repository", e.file, shown(name)))
			return nil, nil
		}
		return []string{name}, nil
	}
	if !local || !glob.IsPattern(name) {
		return []string{name}, nil
	}
	found, err := filesystem{e.tree}.Glob(onDisk(at))
	if err != nil {
		return nil, e.problem("", "is given the component %q: %v", name, err)
	}
	if len(found) == 0 {
		return nil, e.problem("set ignoreMissingComponents to pass over it", "is given the component %q, which no directory matches", name)
	}
	for i := range found {
		if found[i], err = filepath.Rel(onDisk(e.dir), found[i]); err != nil {
			return nil, fmt.Errorf("looking for the component %q: %w", name, err)
		}
		found[i] = filepath.ToSlash(found[i])
	}
	return found, nil
}
