package kustomization

import (
	"errors"
	"fmt"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/render/tree"
)

// Rewrite changes objects that are rendered already as a kustomization with these options would, of which they are the
// only resource. It keeps their order.
func Rewrite(manifests []byte, options *app.KustomizeOptions) ([]*unstructured.Unstructured, error) {
	const resources = "rendered.yaml"
	objects, _, err := Edited(inMemory{resources: manifests, "kustomization.yaml": []byte("resources: [" + resources + "]\n")}, ".", options)
	if err != nil {
		return nil, fmt.Errorf("rewriting what was rendered: %w", err)
	}
	rewritten := make([]*unstructured.Unstructured, len(objects))
	for i, o := range objects {
		rewritten[i] = o.Unstructured
	}
	return rewritten, nil
}

// inMemory is a tree of files in one directory.
type inMemory map[string][]byte

// ReadFile implements tree.Tree.
func (f inMemory) ReadFile(name string) ([]byte, error) {
	if data, ok := f[name]; ok {
		return data, nil
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
}

// List implements tree.Tree.
func (f inMemory) List(name string) (entries []tree.Entry, err error) {
	if name != "." {
		return nil, &fs.PathError{Op: "list", Path: name, Err: fs.ErrNotExist}
	}
	for _, name := range []string{"kustomization.yaml", "rendered.yaml"} {
		entries = append(entries, tree.Entry{Name: name})
	}
	return entries, nil
}

// Stat implements tree.Tree.
func (f inMemory) Stat(name string) (tree.Kind, error) {
	if _, ok := f[name]; ok {
		return tree.File, nil
	}
	if name == "." {
		return tree.Directory, nil
	}
	return tree.Absent, nil
}

// Remote implements tree.Tree: there is none.
func (inMemory) Remote(string, string) (string, error) {
	return "", errors.New("there are no other repositories here")
}
