// Package applicationset makes the Applications of an ApplicationSet: parameters
// come of its generators, and the template is filled in with each set of them. It
// looks into files that its caller opens, and reads no Application.
package applicationset

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"dario.cat/mergo"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/dialect/argocd/templates"
	"nave.dev/internal/dialect/manifest"
)

// maxGenerated is how many Applications an ApplicationSet may make.
const maxGenerated = 20_000

// cascadeFinalizer is what an Application gets that states no finalizers.
const cascadeFinalizer = "resources-finalizer.argocd.argoproj.io"

// Inputs are what generators look at.
type Inputs struct {
	Clusters []Cluster // for the cluster generator, in the order of their parameters
	Files    Files     // for the git generator; nil refuses it
	Budget   *templates.Budget
}

// Cluster is one as Argo CD knows it.
type Cluster struct {
	Name, Server string
	Labels       map[string]string
	Annotations  map[string]string
}

// Files are the files of repositories.
type Files interface {
	// Open returns the files of a repository at a revision, as a generator names them.
	Open(repository, revision string) (fs.FS, error)
}

// Repository is one at a revision.
type Repository struct{ URL, Revision string }

// Generated is what came of an ApplicationSet.
type Generated struct {
	Applications []map[string]any // manifests, in the order of generators and parameters
	// Keep leaves the objects of an Application where they are when it goes.
	Keep bool
	// Repositories are those that generators looked into, as they name them.
	Repositories []Repository
	Warnings     []string
}

// parameters are what one Application is made with.
type parameters = map[string]any

// set is an ApplicationSet that is being read.
type set struct {
	applicationSet
	Inputs
	fill         *templates.Set
	count        int
	repositories []Repository
	warnings     []string
}

// warn adds a warning, once.
func (s *set) warn(text string) {
	if !slices.Contains(s.warnings, text) {
		s.warnings = append(s.warnings, text)
	}
}

// Generate returns the Applications of an ApplicationSet. An error says why there
// may be more of them; those that could be told are returned with it.
func Generate(object map[string]any, inputs Inputs) (Generated, error) {
	s := &set{Inputs: inputs}
	out, err := s.generate(object)
	out.Warnings, out.Repositories = s.warnings, s.repositories
	return out, err
}

func (s *set) generate(object map[string]any) (out Generated, err error) {
	unknown, err := manifest.Decode(object, &s.applicationSet)
	for _, field := range unknown {
		s.warn(field + ": Argo CD has no such field, and leaves it out")
	}
	if err != nil {
		return out, err
	}
	if err := s.check(); err != nil {
		return out, err
	}
	if s.fill, err = templates.New(s.Spec.GoTemplate, s.Spec.GoTemplateOptions, s.Budget); err != nil {
		return out, fmt.Errorf("spec.goTemplateOptions: %w", err)
	}
	if len(s.Spec.IgnoreApplicationDifferences) > 0 {
		s.warn("spec.ignoreApplicationDifferences: Applications are not objects that somebody could change, so there is nothing to leave alone")
	}
	if p := s.Spec.SyncPolicy; p != nil {
		if out.Keep = p.PreserveResourcesOnDeletion; p.ApplicationsSync == "create-update" {
			out.Keep = true
			s.warn("spec.syncPolicy.applicationsSync: an app that is no longer generated goes, and leaves its objects as orphans")
		}
	}
	var problems []error
	note := func(err error) {
		if !slices.ContainsFunc(problems, func(known error) bool { return known.Error() == err.Error() }) && len(problems) < 20 {
			problems = append(problems, err)
		}
	}
	for i, g := range s.Spec.Generators {
		at := fmt.Sprintf("spec.generators[%d]", i)
		found, err := s.generator(g, at, 1)
		if err != nil {
			note(err)
			continue
		}
		template, err := s.template(g)
		if err != nil {
			note(fmt.Errorf("%s.template: %w", at, err))
			continue
		}
		for _, p := range found {
			application, err := s.application(template, p, out.Keep)
			if err != nil {
				note(err)
				continue
			}
			out.Applications = append(out.Applications, application)
		}
	}
	return out, errors.Join(problems...)
}

// check refuses what is known and not done.
func (s *set) check() error {
	var problems []error
	refuse := func(field, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if len(s.Spec.Generators) == 0 {
		refuse("spec.generators", "there is none")
	}
	if st := s.Spec.Strategy; st != nil {
		if st.Type == "RollingSync" || st.RollingSync != nil {
			refuse("spec.strategy.rollingSync", "steps are not supported\nhint: remove it, and use waves in the parent, or a Delivery for each step")
		} else if st.Type != "" && st.Type != "AllAtOnce" {
			refuse("spec.strategy.type", "%q is not supported", st.Type)
		}
		if st.DeletionOrder != "" && st.DeletionOrder != "AllAtOnce" {
			refuse("spec.strategy.deletionOrder", "%q is not supported\nhint: AllAtOnce is", st.DeletionOrder)
		}
	}
	if p := s.Spec.SyncPolicy; p != nil {
		switch p.ApplicationsSync {
		case "", "sync", "create-update":
		case "create-only", "create-delete":
			refuse("spec.syncPolicy.applicationsSync", "with %q an app would stay what it first was, and nothing remembers that\nhint: use sync, and pin what may not move by its revision", p.ApplicationsSync)
		default:
			refuse("spec.syncPolicy.applicationsSync", "%q is none of sync and create-update", p.ApplicationsSync)
		}
	}
	return errors.Join(problems...)
}

// template is the ApplicationSet's, below that of a generator.
func (s *set) template(raw any) (map[string]any, error) {
	own := map[string]any{}
	if entries, ok := raw.(map[string]any); ok {
		for _, key := range sortedKeys(entries) {
			if g, ok := entries[key].(map[string]any); ok {
				if t, ok := g["template"].(map[string]any); ok {
					own = t
				}
			}
		}
	}
	if len(own) == 0 {
		return s.Spec.Template, nil
	}
	merged, below := manifest.Copy(own).(map[string]any), manifest.Copy(s.Spec.Template).(map[string]any)
	if helm := mappingAt(below, "spec", "source", "helm"); helm != nil && mappingAt(merged, "spec", "source", "helm", "valuesObject") != nil {
		delete(helm, "valuesObject") // one or the other, never a mixture
	}
	err := mergo.Merge(&merged, below)
	return merged, err
}

func mappingAt(in map[string]any, path ...string) map[string]any {
	for _, key := range path {
		in, _ = in[key].(map[string]any)
	}
	return in
}

// application fills the template in.
func (s *set) application(template map[string]any, p parameters, keep bool) (map[string]any, error) {
	filled, err := s.filled(template, p)
	if err != nil {
		return nil, err
	}
	content, _ := filled.(map[string]any)
	object := map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{}, "spec": content["spec"]}
	if given, ok := content["metadata"].(map[string]any); ok {
		object["metadata"] = given
	}
	metadata := object["metadata"].(map[string]any)
	// Without parameters Argo CD returns a template as it is.
	if finalizers, _ := metadata["finalizers"].([]any); len(finalizers) == 0 && !keep && len(p) > 0 {
		metadata["finalizers"] = []any{cascadeFinalizer}
	}
	if s.Spec.TemplatePatch != nil {
		if object, err = s.patched(object, p); err != nil {
			return nil, fmt.Errorf("spec.templatePatch: %w", err)
		}
		metadata, _ = object["metadata"].(map[string]any)
	}
	if name, _ := metadata["name"].(string); name == "" {
		return nil, fmt.Errorf("spec.template.metadata.name: it is empty for one Application")
	}
	delete(metadata, "namespace")
	if namespace, _ := s.Metadata["namespace"].(string); namespace != "" {
		metadata["namespace"] = namespace
	}
	return object, nil
}

// filled returns a copy of a value with all texts in it, and keys, filled in.
func (s *set) filled(value any, p parameters) (any, error) {
	if err := s.Budget.Spend(2); err != nil {
		return nil, err
	}
	switch value := value.(type) {
	case string:
		if len(p) == 0 {
			return value, nil
		}
		return s.fill.Fill(value, p)
	case []any:
		list := make([]any, len(value))
		for i := range value {
			var err error
			if list[i], err = s.filled(value[i], p); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		entries := make(map[string]any, len(value))
		for _, key := range sortedKeys(value) {
			item, err := s.filled(value[key], p)
			if err != nil {
				return nil, err
			}
			name, err := s.filled(key, p)
			if err != nil {
				return nil, err
			}
			entries[name.(string)] = item
		}
		return entries, nil
	}
	return value, nil
}

// patched applies the templatePatch. The project stays.
func (s *set) patched(object map[string]any, p parameters) (map[string]any, error) {
	text, err := s.fill.Fill(*s.Spec.TemplatePatch, p)
	if err != nil {
		return nil, err
	}
	var patch map[string]any
	if err := yaml.Unmarshal([]byte(text), &patch); err != nil {
		return nil, fmt.Errorf("what it becomes is no mapping in YAML%s", manifest.Reason(err))
	}
	before := mappingAt(object, "spec")["project"]
	out, err := strategicMerge(object, patch, "")
	if err != nil {
		return nil, err
	}
	if spec := mappingAt(out, "spec"); spec != nil {
		if spec["project"] = before; before == nil {
			delete(spec, "project")
		}
	}
	return out, nil
}

// strategicMerge merges a patch into an Application as Kubernetes would: lists are
// replaced, save finalizers, which are added; null takes away.
func strategicMerge(into, patch map[string]any, at string) (map[string]any, error) {
	switch directive, _ := patch["$patch"].(string); directive {
	case "":
	case "replace":
		out := manifest.Copy(patch).(map[string]any)
		delete(out, "$patch")
		return out, nil
	case "delete":
		return map[string]any{}, nil
	default:
		return nil, fmt.Errorf("%s.$patch: %q is no directive", at, directive)
	}
	out := make(map[string]any, len(into)+len(patch))
	for key, value := range into {
		out[key] = value
	}
	for _, key := range sortedKeys(patch) {
		if strings.HasPrefix(key, "$") && key != "$patch" {
			return nil, fmt.Errorf("%s.%s: of directives only $patch is read", at, key)
		}
		switch value := patch[key].(type) {
		case nil:
			delete(out, key)
		case map[string]any:
			before, _ := into[key].(map[string]any)
			merged, err := strategicMerge(before, value, at+"."+key)
			if err != nil {
				return nil, err
			}
			out[key] = merged
		case []any:
			before, _ := into[key].([]any)
			if at+"."+key != ".metadata.finalizers" {
				before = nil
			}
			list := slices.Clip(before)
			for _, item := range value {
				if text, ok := item.(string); !ok || before == nil || !slices.ContainsFunc(before, func(old any) bool { return old == text }) {
					list = append(list, item)
				}
			}
			out[key] = list
		default:
			out[key] = integers(value)
		}
	}
	return out, nil
}

// integers makes a whole number of one that YAML has read as any.
func integers(value any) any {
	if number, ok := value.(float64); ok && number == float64(int64(number)) {
		return int64(number)
	}
	return value
}

func sortedKeys[V any](entries map[string]V) []string {
	return slices.Sorted(maps.Keys(entries))
}
