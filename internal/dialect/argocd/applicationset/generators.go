package applicationset

import (
	"encoding/json"
	"fmt"
	"maps"

	"dario.cat/mergo"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/dialect/argocd/templates"
	"nave.dev/internal/dialect/manifest"
)

// generator returns the parameters of a generator, at its depth: one in matrix or
// merge may be matrix or merge again, and one in that may not.
func (s *set) generator(raw any, at string, depth int) ([]parameters, error) {
	entries, ok := raw.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: it is no mapping", at)
	}
	var g generator
	unknown, err := manifest.Decode(entries, &g)
	if err != nil {
		return nil, fmt.Errorf("%s.%w", at, err)
	}
	for _, field := range unknown {
		s.warn(at + "." + field + ": Argo CD has no such field, and leaves it out")
	}
	unsupported := map[string]any{"scmProvider": g.SCMProvider, "clusterDecisionResource": g.ClusterDecisionResource, "pullRequest": g.PullRequest, "plugin": g.Plugin}
	for _, name := range sortedKeys(unsupported) {
		if unsupported[name] != nil {
			return nil, fmt.Errorf("%s.%s: this generator is not supported\nhint: list, clusters, git, matrix and merge are", at, name)
		}
	}
	var found []parameters
	kinds := 0
	for _, one := range []struct {
		is   bool
		read func() ([]parameters, error)
	}{
		{g.List != nil, func() ([]parameters, error) { return s.list(g.List, at+".list") }},
		{g.Clusters != nil, func() ([]parameters, error) { return s.clusters(g.Clusters, at+".clusters") }},
		{g.Git != nil, func() ([]parameters, error) { return s.git(g.Git, at+".git") }},
		{g.Matrix != nil, func() ([]parameters, error) { return s.matrix(entries["matrix"], at+".matrix", depth) }},
		{g.Merge != nil, func() ([]parameters, error) { return s.merge(entries["merge"], g.Merge.MergeKeys, at+".merge", depth) }},
	} {
		if !one.is {
			continue
		}
		if kinds++; kinds > 1 {
			return nil, fmt.Errorf("%s: it is more than one generator\nhint: make an entry of each", at)
		}
		if found, err = one.read(); err != nil {
			return nil, err
		}
	}
	if kinds == 0 {
		return nil, fmt.Errorf("%s: it is no generator\nhint: list, clusters, git, matrix or merge", at)
	}
	if g.Selector != nil {
		if err := g.Selector.check(); err != nil {
			return nil, fmt.Errorf("%s.selector: %w", at, err)
		}
		var fitting []parameters
		for _, p := range found {
			labels, err := s.flat(p)
			if err != nil {
				return nil, fmt.Errorf("%s.selector: %w", at, err)
			}
			if g.Selector.matches(labels) {
				fitting = append(fitting, p)
			}
		}
		found = fitting
	}
	if s.count += len(found); s.count > maxGenerated {
		return nil, fmt.Errorf("%s: the ApplicationSet makes more than %d sets of parameters", at, maxGenerated)
	}
	return found, nil
}

// list reads a list generator.
func (s *set) list(g *listGenerator, at string) ([]parameters, error) {
	var found []parameters
	for i, element := range g.Elements {
		element, _ := manifest.Numbers(element).(map[string]any)
		if s.Spec.GoTemplate {
			found = append(found, element)
			continue
		}
		p := parameters{}
		for key, value := range element {
			switch value := value.(type) {
			case string:
				p[key] = value
			case map[string]any:
				for name, text := range value {
					if _, ok := text.(string); !ok || key != "values" {
						return nil, fmt.Errorf("%s.elements[%d].%s.%s: only texts can be named without goTemplate\nhint: set goTemplate: true", at, i, key, name)
					}
					p["values."+name] = text
				}
			default:
				return nil, fmt.Errorf("%s.elements[%d].%s: only texts can be named without goTemplate\nhint: put it in quotes, or set goTemplate: true", at, i, key)
			}
		}
		found = append(found, p)
	}
	if g.ElementsYAML != "" {
		if err := s.Budget.Spend(int64(len(g.ElementsYAML)) / 8); err != nil {
			return nil, fmt.Errorf("%s.elementsYaml: %w", at, err)
		}
		var more []parameters
		if err := yaml.Unmarshal([]byte(g.ElementsYAML), &more); err != nil {
			return nil, fmt.Errorf("%s.elementsYaml: it is no list of mappings in YAML%s", at, manifest.Reason(err))
		}
		found = append(found, more...)
	}
	return found, nil
}

// clusters reads a cluster generator.
func (s *set) clusters(g *clusterGenerator, at string) ([]parameters, error) {
	if err := g.Selector.check(); err != nil {
		return nil, fmt.Errorf("%s.selector: %w", at, err)
	}
	var found []parameters
	for _, cluster := range s.Clusters {
		if err := s.Budget.Spend(lookCost); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		labels := maps.Clone(cluster.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		labels["argocd.argoproj.io/secret-type"] = "cluster"
		if !g.Selector.matches(labels) {
			continue
		}
		p := s.cluster(cluster)
		if err := s.values(g.Values, p, at); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	if g.FlatList {
		list := make([]any, len(found))
		for i, p := range found {
			list[i] = p
		}
		return []parameters{{"clusters": list}}, nil
	}
	return found, nil
}

// cluster returns what a cluster is called and what is known of it.
func (s *set) cluster(m Cluster) parameters {
	p := parameters{"name": m.Name, "nameNormalized": templates.Normalize(m.Name), "server": m.Server, "project": ""}
	if !s.Spec.GoTemplate {
		for key, value := range m.Labels {
			p["metadata.labels."+key] = value
		}
		for key, value := range m.Annotations {
			p["metadata.annotations."+key] = value
		}
		return p
	}
	metadata := map[string]any{}
	if len(m.Labels) > 0 {
		metadata["labels"] = anyMap(m.Labels)
	}
	if len(m.Annotations) > 0 {
		metadata["annotations"] = anyMap(m.Annotations)
	}
	p["metadata"] = metadata
	return p
}

func anyMap(in map[string]string) map[string]any {
	out := make(map[string]any, len(in))
	for key, value := range in {
		out[key] = value
	}
	return out
}

// values adds a generator's own values, filled in with its parameters.
func (s *set) values(values map[string]string, p parameters, at string) error {
	out := make(map[string]any, len(values))
	for _, key := range sortedKeys(values) {
		text, err := s.fill.Fill(values[key], p)
		if err != nil {
			return fmt.Errorf("%s.values.%s: %w", at, key, err)
		}
		out[key] = text
	}
	if len(out) == 0 {
		return nil
	}
	if s.Spec.GoTemplate {
		p["values"] = out
		return nil
	}
	for key, text := range out {
		p["values."+key] = text
	}
	return nil
}

// nested returns the generators in a matrix or merge.
func nested(raw any, at string, depth int) ([]any, error) {
	if depth > 2 {
		return nil, fmt.Errorf("%s: matrix and merge may be in one another once, not twice", at)
	}
	entries, _ := raw.(map[string]any)
	generators, _ := entries["generators"].([]any)
	return generators, nil
}

// matrix combines each of a generator's parameters with each of another's, which
// may name the former.
func (s *set) matrix(raw any, at string, depth int) ([]parameters, error) {
	generators, err := nested(raw, at, depth)
	if err != nil {
		return nil, err
	}
	if len(generators) != 2 {
		return nil, fmt.Errorf("%s.generators: a matrix has two, not %d", at, len(generators))
	}
	first, err := s.generator(generators[0], at+".generators[0]", depth+1)
	if err != nil {
		return nil, err
	}
	var found []parameters
	for _, a := range first {
		inner := generators[1]
		if len(a) > 0 {
			if inner, err = s.interpolated(inner, a, ""); err != nil {
				return nil, fmt.Errorf("%s.generators[1]: %w", at, err)
			}
		}
		second, err := s.generator(inner, at+".generators[1]", depth+1)
		if err != nil {
			return nil, err
		}
		for _, b := range second {
			combined, err := s.combine(a, b)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			found = append(found, combined)
		}
	}
	return found, nil
}

// interpolated fills the parameters of another generator in. Values that name what
// only this generator knows stay for it.
func (s *set) interpolated(value any, p parameters, key string) (any, error) {
	entries, ok := value.(map[string]any)
	if !ok {
		if list, ok := value.([]any); ok {
			out := make([]any, len(list))
			for i := range list {
				var err error
				if out[i], err = s.interpolated(list[i], p, ""); err != nil {
					return nil, err
				}
			}
			return out, nil
		}
		return s.filled(value, p)
	}
	out := make(map[string]any, len(entries))
	for name, item := range entries {
		own, isOwn := item.(map[string]any)
		if name == "values" && isOwn && (key == "clusters" || key == "git") {
			kept := make(map[string]any, len(own))
			for key, text := range own {
				kept[key] = text
				if text, ok := text.(string); ok {
					filled, _, err := s.fill.Try(text, p)
					if err != nil {
						return nil, err
					}
					kept[key] = filled
				}
			}
			out[name] = kept
			continue
		}
		filled, err := s.interpolated(item, p, name)
		if err != nil {
			return nil, err
		}
		newName, err := s.filled(name, p)
		if err != nil {
			return nil, err
		}
		out[newName.(string)] = filled
	}
	return out, nil
}

// combine puts two sets of parameters together, of which the first wins.
func (s *set) combine(a, b parameters) (parameters, error) {
	if s.Spec.GoTemplate {
		out, err := s.copied(b)
		if err != nil {
			return nil, err
		}
		over, err := s.copied(a)
		if err != nil {
			return nil, err
		}
		return out, mergo.Merge(&out, over, mergo.WithOverride)
	}
	if err := s.Budget.Spend(weight(a) + weight(b)); err != nil {
		return nil, err
	}
	out := parameters{}
	for key, value := range a {
		out[key] = fmt.Sprint(value)
	}
	for _, key := range sortedKeys(b) {
		text := fmt.Sprint(b[key])
		if other, ok := out[key]; ok && other != text {
			return nil, fmt.Errorf("both generators have %q, one as %q and one as %q", key, other, text)
		}
		out[key] = text
	}
	return out, nil
}

// merge lets later generators override the parameters of the first, where the keys
// are the same.
func (s *set) merge(raw any, keys []string, at string, depth int) ([]parameters, error) {
	generators, err := nested(raw, at, depth)
	if err != nil {
		return nil, err
	}
	if len(generators) < 2 {
		return nil, fmt.Errorf("%s.generators: a merge has two or more, not %d", at, len(generators))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s.mergeKeys: there is none", at)
	}
	var order []string
	var base map[string]parameters
	for i, g := range generators {
		field := fmt.Sprintf("%s.generators[%d]", at, i)
		found, err := s.generator(g, field, depth+1)
		if err != nil {
			return nil, err
		}
		byKey := map[string]parameters{}
		for _, p := range found {
			key, err := mergeKey(keys, p)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", field, err)
			}
			if byKey[key] != nil {
				return nil, fmt.Errorf("%s: two of its sets of parameters have the same keys %s", field, key)
			}
			byKey[key] = p
			if i == 0 {
				order = append(order, key)
			}
		}
		if i == 0 {
			base = byKey
			continue
		}
		for key, p := range base {
			over := byKey[key]
			if over == nil {
				continue
			}
			merged, err := s.copied(p)
			if err == nil {
				over, err = s.copied(over)
			}
			switch {
			case err != nil:
			case s.Spec.GoTemplate:
				err = mergo.Merge(&merged, over, mergo.WithOverride)
			default:
				maps.Copy(merged, over)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", field, err)
			}
			base[key] = merged
		}
	}
	var found []parameters
	for _, key := range order {
		found = append(found, base[key])
	}
	return found, nil
}

func mergeKey(keys []string, p parameters) (string, error) {
	values := map[string]any{}
	for _, key := range keys {
		values[key] = p[key]
	}
	data, err := json.Marshal(values)
	return string(data), err
}
