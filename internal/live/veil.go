package live

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// secrets are the objects of a cluster, other than Secrets, in which there are values
// of them.
type secrets struct {
	objects  map[object.ID]string // and why; without a namespace where the bundle names none
	releases map[release]string
	apps     map[string]string // by AppLabel: those of which it is not known
}

// release is one of Helm.
type release struct{ namespace, name string }

// What Helm writes on each object of a release.
const (
	releaseName      = "meta.helm.sh/release-name"
	releaseNamespace = "meta.helm.sh/release-namespace"
)

// secretive finds the objects into which rendering or applying puts values of Secrets.
func secretive(apps []app.Desired) secrets {
	found := secrets{map[object.ID]string{}, map[release]string{}, map[string]string{}}
	for _, a := range apps {
		if a.Bundle == nil { // what is on the cluster of it is that of before
			found.apps[object.Owner{App: a.Name}.Label()] = "what is in its app is not known now"
			continue
		}
		fromSecrets := slices.ContainsFunc(a.Options.Variables.From(), func(id object.ID) bool { return id.Kind == "Secret" })
		for _, u := range slices.Concat(a.Bundle.Objects, a.Bundle.Hooks) {
			switch {
			case object.Encrypted(u):
				found.objects[object.Of(u)] = "it is encrypted in Git"
			case fromSecrets && object.Deferred(u):
				found.objects[object.Of(u)] = "variables of a Secret are replaced in it"
			}
		}
		if r := a.Bundle.Release; r != nil && (fromSecrets || slices.ContainsFunc(r.ValuesFrom, func(v app.ValuesFrom) bool { return v.Kind == "Secret" })) {
			found.releases[release{r.Namespace, r.Name}] = "values of the release come from a Secret"
		}
	}
	return found
}

func (s secrets) empty() bool { return len(s.objects)+len(s.releases)+len(s.apps) == 0 }

// why says why values of Secrets are in an object, if they are.
func (s secrets) why(u *unstructured.Unstructured) string {
	id := object.Of(u)
	if why := s.objects[id]; why != "" {
		return why
	}
	id.Namespace = ""
	if why := s.objects[id]; why != "" {
		return why
	}
	if why := s.apps[u.GetLabels()[object.AppLabel]]; why != "" {
		return why
	}
	marks := u.GetAnnotations()
	return s.releases[release{marks[releaseNamespace], marks[releaseName]}]
}

// plain are the fields of metadata that no author of an object chooses freely.
var plain = []string{"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "ownerReferences"}

// veiled returns an object with its shape and without its values. What managers own
// goes, because the elements of sets are named in it by their values.
func veiled(u *unstructured.Unstructured) *unstructured.Unstructured {
	out := map[string]any{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind()}
	for field, value := range u.Object {
		switch field {
		case "apiVersion", "kind":
		case "metadata":
			metadata := map[string]any{}
			all, _ := value.(map[string]any)
			for name, content := range all {
				switch {
				case slices.Contains(plain, name):
					metadata[name] = content
				case name != "managedFields":
					metadata[name] = veil(content)
				}
			}
			out[field] = metadata
		default:
			out[field] = veil(value)
		}
	}
	return &unstructured.Unstructured{Object: out}
}

func veil(value any) any {
	switch value := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, content := range value {
			out[name] = veil(content)
		}
		return out
	case []any:
		out := []any{}
		for _, content := range value {
			out = append(out, veil(content))
		}
		return out
	case nil:
		return nil
	}
	return object.Veil(value, nil)
}
