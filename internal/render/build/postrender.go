package build

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

// PostRenders reports whether a release has what its chart rendered to changed.
func PostRenders(r *app.Release) bool {
	return len(r.PostRenderers)+len(r.CommonMetadata.Labels)+len(r.CommonMetadata.Annotations) > 0
}

// postRender applies a release's post-renderers to manifests, which are YAML.
func postRender(r *app.Release, manifests []byte) ([]byte, error) {
	objects, err := decodeYAML(manifests)
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
	return encodeYAML(append(objects, passed...))
}

// rewrite applies one post-renderer.
func rewrite(objects []*unstructured.Unstructured, renderer app.PostRenderer) ([]*unstructured.Unstructured, error) {
	if len(objects) == 0 {
		return nil, nil // of which Kustomize makes nothing
	}
	data, err := encodeYAML(objects)
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

// decodeYAML reads a stream of YAML documents.
func decodeYAML(manifests []byte) (objects []*unstructured.Unstructured, err error) {
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

// encodeYAML writes one.
func encodeYAML(objects []*unstructured.Unstructured) ([]byte, error) {
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
