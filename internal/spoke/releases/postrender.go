package releases

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	syaml "sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/render/kustomization"
)

// postRenderer returns what applies a release's post-renderers, nil if it has none.
func postRenderer(r *app.Release) func([]byte) ([]byte, error) {
	if len(r.PostRenderers)+len(r.CommonMetadata.Labels)+len(r.CommonMetadata.Annotations) == 0 {
		return nil
	}
	return func(manifests []byte) ([]byte, error) {
		objects, err := decode(manifests)
		if err != nil {
			return nil, err
		}
		var passed []*unstructured.Unstructured
		if r.KeepHooks {
			var others []*unstructured.Unstructured
			for _, u := range objects {
				if u.GetAnnotations()["helm.sh/hook"] != "" {
					passed = append(passed, u)
				} else {
					others = append(others, u)
				}
			}
			objects = others
		}
		for _, renderer := range r.PostRenderers {
			if objects, err = rewrite(objects, renderer); err != nil {
				return nil, err
			}
		}
		for _, u := range objects {
			u.SetLabels(with(u.GetLabels(), r.CommonMetadata.Labels))
			u.SetAnnotations(with(u.GetAnnotations(), r.CommonMetadata.Annotations))
		}
		return encode(append(objects, passed...))
	}
}

// rewrite applies one post-renderer.
func rewrite(objects []*unstructured.Unstructured, renderer app.PostRenderer) ([]*unstructured.Unstructured, error) {
	if len(objects) == 0 {
		return nil, nil // of which Kustomize makes nothing
	}
	data, err := encode(objects)
	if err != nil {
		return nil, err
	}
	return kustomization.Rewrite(data, &app.KustomizeOptions{Patches: renderer.Patches, Images: renderer.Images})
}

// with returns a map with entries of another, which win.
func with(have, more map[string]string) map[string]string {
	if len(more) == 0 {
		return have
	}
	all := maps.Clone(have)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, more)
	return all
}

// decode reads a stream of YAML documents.
func decode(manifests []byte) (objects []*unstructured.Unstructured, err error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading what the chart rendered to: %w", err)
		}
		if len(u.Object) > 0 {
			objects = append(objects, u)
		}
	}
}

// encode writes one.
func encode(objects []*unstructured.Unstructured) ([]byte, error) {
	var out bytes.Buffer
	for _, u := range objects {
		data, err := syaml.Marshal(u.Object)
		if err != nil {
			return nil, fmt.Errorf("encoding %s %q: %w", u.GetKind(), u.GetName(), err)
		}
		out.WriteString("---\n")
		out.Write(data)
	}
	return out.Bytes(), nil
}
