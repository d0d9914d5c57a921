package build

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/strictyaml"
)

// finisher makes a bundle's content out of rendered objects.
type finisher struct {
	job   Job
	out   *Output
	facts []Fact                     // that were looked at
	crds  map[schema.GroupKind]bool  // scopes that the app's own CRDs state
	macs  map[string]manifest.Object // of encrypted objects, one object of each
}

// finish does to every object what does not depend on how it was rendered, and reports the problems of all.
func (f *finisher) finish(objects []manifest.Object) error {
	var problems manifest.Problems
	objects, problems = f.substituteAll(objects)
	objects = f.own(objects)
	for _, o := range objects {
		f.mark(o)
	}
	f.readCRDs(objects)
	seen := map[object.ID]manifest.Object{}
	unknown := map[schema.GroupKind]bool{}
	var size int64
	for _, o := range objects {
		hook, keep, refused := f.classify(o)
		problems = append(problems, refused...)
		if !keep {
			continue
		}
		bad := checkEncryption(o)
		if len(bad) == 0 {
			bad = check(o, hook)
		}
		if len(bad) > 0 {
			problems = append(problems, bad...)
			continue
		}
		if mac, ok := object.EncryptionMAC(o.Unstructured); ok {
			f.macs[mac] = o
		}
		f.settleNamespace(o, unknown)
		if id := object.Of(o.Unstructured); !hook {
			if other, ok := seen[id]; ok && reflect.DeepEqual(other.Object, o.Object) {
				f.warn("%s", o.Problem("", "is there twice%s, and the same: one of them is left out", elsewhere(other)).String())
				continue
			} else if ok {
				problems = append(problems, o.Problem("remove or rename one of them", "is there twice%s", elsewhere(other)))
				continue
			}
			seen[id] = o
		}
		data, err := json.Marshal(o.Object)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", object.Of(o.Unstructured), err)
		}
		if size += int64(len(data)); f.job.MaxBytes > 0 && size > f.job.MaxBytes {
			return append(problems, manifest.Problem{File: f.job.Path, Message: fmt.Sprintf("the app's objects are larger than %d MiB together", f.job.MaxBytes>>20), Hint: hintSplit})
		}
		if hook {
			f.out.Hooks = append(f.out.Hooks, data)
		} else {
			f.out.Objects = append(f.out.Objects, data)
		}
		if count := len(f.out.Objects) + len(f.out.Hooks); f.job.MaxObjects > 0 && count > f.job.MaxObjects {
			return append(problems, manifest.Problem{File: f.job.Path, Message: fmt.Sprintf("the app has more than %d objects", f.job.MaxObjects), Hint: hintSplit})
		}
	}
	slices.SortStableFunc(problems, func(a, b manifest.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return problems.Err()
}

const hintSplit = "split the app into several, or raise the limit"

// elsewhere says where the other one of two equal objects stands.
func elsewhere(o manifest.Object) string {
	switch {
	case o.File == "":
		return ""
	case o.Line == 0:
		return ", first in " + o.File
	}
	return fmt.Sprintf(", first at %s:%d", o.File, o.Line)
}

func (f *finisher) warn(format string, args ...any) {
	f.out.Warnings = append(f.out.Warnings, fmt.Sprintf(format, args...))
}

func (f *finisher) substituteAll(objects []manifest.Object) ([]manifest.Object, manifest.Problems) {
	var problems manifest.Problems
	if !f.job.Params.Substitute {
		return objects, nil
	}
	changed := make([]manifest.Object, 0, len(objects))
	for _, o := range objects {
		o, err := f.substitute(o)
		if err != nil {
			var problem manifest.Problem
			if !errors.As(err, &problem) {
				problem = o.Problem("", "%v", err)
			}
			problems = append(problems, problem)
			continue
		}
		changed = append(changed, o)
	}
	return changed, problems
}

// mark sets the metadata that all objects of the app have in common.
func (f *finisher) mark(o manifest.Object) {
	common := f.job.Params.CommonMetadata
	if len(common.Labels) > 0 {
		labels := maps.Clone(o.GetLabels())
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, common.Labels)
		o.SetLabels(labels)
	}
	if len(common.Annotations) > 0 {
		annotations := maps.Clone(o.GetAnnotations())
		if annotations == nil {
			annotations = map[string]string{}
		}
		maps.Copy(annotations, common.Annotations)
		o.SetAnnotations(annotations)
	}
}

// own leaves out Nave's own kinds, which count only in the fleet repository's own directory and are never applied.
func (f *finisher) own(objects []manifest.Object) []manifest.Object {
	return slices.DeleteFunc(objects, func(o manifest.Object) bool {
		group := o.GroupVersionKind().Group
		if group != "nave.dev" && !strings.HasSuffix(group, ".nave.dev") {
			return false
		}
		f.warn("%s", o.Problem("", "is left out: Nave's own kinds are read from the fleet repository and not applied").String())
		return true
	})
}

// readCRDs learns the scopes of the kinds that the app brings itself.
func (f *finisher) readCRDs(objects []manifest.Object) {
	f.crds = map[schema.GroupKind]bool{}
	for _, o := range objects {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
		scope, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
		if kind != "" && (scope == "Namespaced" || scope == "Cluster") {
			f.crds[schema.GroupKind{Group: group, Kind: kind}] = scope == "Namespaced"
		}
	}
}

// classify tells hooks from objects that are kept, and what is neither: a hook that no sync runs, such as a test of
// Helm's. A hook of Helm that is not known is left out, as Helm does.
func (f *finisher) classify(o manifest.Object) (hook, keep bool, problem manifest.Problems) {
	if f.job.Params.Kind == app.Flux {
		return false, true, nil // Flux knows no hooks of others
	}
	phases, hook, err := app.HookPhases(o.Unstructured)
	if err == nil && hook {
		_, err = app.HooksOf([]*unstructured.Unstructured{o.Unstructured})
	}
	var unknown *app.HookError
	switch {
	case errors.As(err, &unknown) && unknown.Hint == "":
		f.warn("%s", o.Problem("", "%v and is left out, as Helm does", unknown).String())
		return false, false, nil
	case errors.As(err, &unknown):
		return true, false, manifest.Problems{o.Problem(unknown.Hint, "%v", unknown)}
	}
	return hook, !hook || len(phases) > 0, nil
}

// settleNamespace gives objects of namespaced kinds a namespace and takes it from those of cluster-wide kinds, so that
// one object has one identity.
func (f *finisher) settleNamespace(o manifest.Object, unknown map[schema.GroupKind]bool) {
	if o.GetNamespace() != "" && app.AsksForApps(object.Of(o.Unstructured)) {
		return // these kinds have namespaces, whoever says so
	}
	kind := o.GroupVersionKind().GroupKind()
	namespaced, known := f.scope(kind)
	switch {
	case !known:
		if o.GetNamespace() == "" && !unknown[kind] {
			unknown[kind] = true
			f.warn("whether %s has namespaces is not known: objects of it that state no namespace are left without", kind)
		}
	case namespaced && o.GetNamespace() == "":
		o.SetNamespace(cmp.Or(f.job.Params.Namespace, "default"))
	case !namespaced && o.GetNamespace() != "":
		f.warn("%s", o.Problem("", "states the namespace %q, which its kind does not have", o.GetNamespace()).String())
		unstructured.RemoveNestedField(o.Object, "metadata", "namespace")
	}
}

// check holds an object against what an API server would refuse for any kind.
func check(o manifest.Object, hook bool) manifest.Problems {
	var problems manifest.Problems
	fail := func(hint, format string, args ...any) { problems = append(problems, o.Problem(hint, format, args...)) }
	if o.GetAPIVersion() == "" || o.GetKind() == "" {
		fail("", "has no apiVersion or no kind")
		return problems
	}
	if _, ok := o.Object["metadata"].(map[string]any); !ok && o.Object["metadata"] != nil {
		fail("", "has metadata that is no mapping")
		return problems
	}
	if _, err := schema.ParseGroupVersion(o.GetAPIVersion()); err != nil {
		fail("write VERSION or GROUP/VERSION", "has the apiVersion %q", o.GetAPIVersion())
	}
	checkDialect(o, fail)
	for _, field := range []string{"labels", "annotations"} {
		checkText(o, field, fail)
	}
	metadata, _ := o.Object["metadata"].(map[string]any)
	name, isText := metadata["name"].(string)
	switch {
	case metadata["name"] != nil && !isText:
		fail("quote it", "has the name %v, which is no text", metadata["name"])
	case name != "":
		checkName(o, name, fail)
	case o.GetGenerateName() == "":
		fail("", "has no metadata.name")
	case !hook:
		fail("state a name; only a hook may have one generated", "has generateName %q and no name", o.GetGenerateName())
	}
	if namespace := o.GetNamespace(); namespace != "" {
		if bad := content.IsDNS1123Label(namespace); len(bad) > 0 {
			fail("", "has the namespace %q: %s", namespace, strings.Join(bad, "; "))
		}
	}
	for _, annotation := range []string{object.WaveAnnotation, "argocd.argoproj.io/sync-wave", "helm.sh/hook-weight"} {
		if text, ok := o.GetAnnotations()[annotation]; ok {
			if _, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32); err != nil {
				fail("write a whole number, such as \"-1\"", "has the annotation %s: %q", annotation, text)
			}
		}
	}
	return problems
}

// asking are the kinds that ask for apps, by group. That of Argo CD has others, such as Rollout, which are ordinary
// objects.
var asking = map[string][]string{
	"argoproj.io":                 {"Application", "AppProject", "ApplicationSet"},
	"kustomize.toolkit.fluxcd.io": {"Kustomization"},
	"helm.toolkit.fluxcd.io":      {"HelmRelease"},
}

// checkDialect refuses a misspelt kind of a dialect: as an ordinary object it would ask for no app, and the app that it
// asked for before would be taken for removed, with its objects.
func checkDialect(o manifest.Object, fail func(hint, format string, args ...any)) {
	group, _, _ := strings.Cut(o.GetAPIVersion(), "/")
	kinds := asking[group]
	if len(kinds) == 0 || slices.Contains(kinds, o.GetKind()) {
		return
	}
	near, program := strictyaml.Nearest(o.GetKind(), kinds), "Argo CD"
	if group != "argoproj.io" {
		near, program = kinds[0], "Flux" // which has no other of the group
	}
	if near != "" {
		fail(fmt.Sprintf("is %q meant?", near), "has the kind %q, which %s does not have", o.GetKind(), program)
	}
}

// checkText wants labels or annotations to be text, which YAML makes easy to miss: true, 1 and 1.10 are none. One
// without a value is empty text, as the API server reads it.
func checkText(o manifest.Object, field string, fail func(hint, format string, args ...any)) {
	metadata, _ := o.Object["metadata"].(map[string]any)
	switch entries := metadata[field].(type) {
	case nil:
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			switch value := entries[key].(type) {
			case nil:
				entries[key] = ""
			case string:
			default:
				fail("quote it", "has %s[%q]: %v, which is no text", field, key, value)
			}
		}
	default:
		fail("", "has %s that are no mapping", field)
	}
}

// checkName holds a name against the rules of its kind: most are DNS names, those of RBAC and some others may hold
// any text that fits a path.
func checkName(o manifest.Object, name string, fail func(hint, format string, args ...any)) {
	var bad []string
	switch kind := o.GroupVersionKind().GroupKind(); {
	case kind.Group == "" && (kind.Kind == "Namespace"):
		bad = content.IsDNS1123Label(name)
	case kind.Group == "rbac.authorization.k8s.io", kind.Group != "" && strings.Contains(kind.Group, ".") && !strings.HasSuffix(kind.Group, ".k8s.io"):
		bad = content.IsPathSegmentName(name)
	default:
		bad = content.IsDNS1123Subdomain(name)
	}
	if len(bad) > 0 {
		fail("", "has the name %q: %s", name, strings.Join(bad, "; "))
	}
}

// Bundle decodes an output. Objects come out as they went in.
func (out *Output) Bundle() (*app.Bundle, error) {
	if out.Release != nil && out.Chart != nil {
		release := *out.Release
		release.Chart = *out.Chart
		return app.NewReleaseBundle(&release)
	}
	objects, err := decodeAll(out.Objects)
	if err != nil {
		return nil, err
	}
	hooks, err := decodeAll(out.Hooks)
	if err != nil {
		return nil, err
	}
	return app.NewBundle(objects, hooks, out.Encrypted...)
}

func decodeAll(list []json.RawMessage) ([]*unstructured.Unstructured, error) {
	objects := make([]*unstructured.Unstructured, len(list))
	for i, data := range list {
		objects[i] = &unstructured.Unstructured{}
		if err := objects[i].UnmarshalJSON(data); err != nil {
			return nil, fmt.Errorf("decoding a rendered object: %w", err)
		}
	}
	return objects, nil
}
