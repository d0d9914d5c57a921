// Package kustomization builds Kustomize directories of a tree. The main function is Build. Kustomize by itself
// fetches remote references, runs programs and keeps its OpenAPI schema for the whole process; here every reference
// is checked before the build, Git references lead to where the tree shows other repositories, nothing is fetched or
// run, and a build with a schema of its own runs alone. It does not decide what the objects are for, nor which
// repositories may be used.
package kustomization

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"nave.dev/internal/app"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// Is reports whether a directory has a kustomization file.
func Is(t tree.Tree, dir string) (bool, error) {
	name, err := find(t, dir)
	return name != "" || err != nil, ignoreProblem(err)
}

// ignoreProblem leaves errors of the tree. That there are two kustomization files is for Build to say.
func ignoreProblem(err error) error {
	var problem manifest.Problem
	if errors.As(err, &problem) {
		return nil
	}
	return err
}

// schema guards Kustomize's OpenAPI schema, which is one for the process: builds that use the built-in one share it,
// a build that sets its own has it alone and puts it back.
var schema struct {
	sync.RWMutex
	loaded bool
}

// Build returns the objects of the kustomization in a directory, as `kustomize build` would print them with
// references allowed anywhere in the tree. Problems name the file and line.
func Build(t tree.Tree, dir string) ([]manifest.Object, error) {
	return build(dir, &walker{tree: t, visited: map[visit]bool{}, remotes: newRemotes()})
}

// Edited is Build of the kustomization with options added to it, as the commands of `kustomize edit` would, and
// nothing is written. The warnings say which of them were left out.
func Edited(t tree.Tree, dir string, options *app.KustomizeOptions) (objects []manifest.Object, warnings []string, err error) {
	e := &editor{tree: t, options: options}
	objects, err = build(dir, &walker{tree: t, visited: map[visit]bool{}, remotes: newRemotes(), editor: e})
	return objects, e.warnings, err
}

// build walks and builds the kustomization in a directory.
func build(dir string, w *walker) ([]manifest.Object, error) {
	t := w.tree
	w.directory(dir, false, dir, &yaml.Node{})
	if err := w.problems.Err(); err != nil {
		return nil, err
	}
	shownTree, err := w.remotes.resolved(t)
	if err != nil {
		return nil, err
	}
	defer lockSchema(w.customSchema)()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionNone
	options.LoadRestrictions = types.LoadRestrictionsNone // the tree itself is the restriction
	options.PluginConfig = types.DisabledPluginConfig()
	built, err := krusty.MakeKustomizer(options).Run(filesystem{shownTree}, onDisk(dir))
	if err != nil {
		return nil, explain(t, w, dir, err)
	}
	objects := make([]manifest.Object, 0, built.Size())
	for _, resource := range built.Resources() {
		data, err := resource.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("encoding %s of %q: %w", resource.CurId(), dir, err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return nil, fmt.Errorf("decoding %s of %q: %w", resource.CurId(), dir, err)
		}
		objects = append(objects, manifest.Object{Unstructured: u, File: dir})
	}
	return objects, nil
}

// lockSchema makes the process-wide schema safe to use and returns what gives it back.
func lockSchema(custom bool) (unlock func()) {
	if custom {
		schema.Lock()
		openapi.ResetOpenAPI()
		return func() {
			openapi.ResetOpenAPI()
			schema.loaded = false
			schema.Unlock()
		}
	}
	schema.RLock()
	if schema.loaded {
		return schema.RUnlock
	}
	// Kustomize loads the schema when it first needs it, while other builds read it: load it before any does.
	schema.RUnlock()
	schema.Lock()
	if !schema.loaded {
		openapi.Schema()
		schema.loaded = true
	}
	schema.Unlock()
	return lockSchema(false)
}

// explain turns an error of Kustomize into problems with file and line where a file that it read cannot be decoded,
// which is the most frequent one and the one that Kustomize locates worst.
func explain(t tree.Tree, w *walker, dir string, err error) error {
	var problems manifest.Problems
	for _, file := range w.manifests {
		data, readErr := t.ReadFile(file)
		if readErr != nil {
			if !errors.Is(readErr, fs.ErrNotExist) {
				problems = append(problems, manifest.Problem{File: file, Message: readErr.Error()})
			}
			continue
		}
		_, bad := new(manifest.Decoder).Decode(file, data)
		problems = append(problems, bad...)
	}
	if len(problems) > 0 {
		return problems
	}
	return manifest.Problem{File: dir, Message: "kustomize: " + clean(err.Error())}
}

// clean takes out of Kustomize's message what is about its own way: the errors of attempts that it made before.
func clean(message string) string {
	message = strings.ReplaceAll(message, "'/", "'")
	if _, last, ok := strings.Cut(message, "accumulation err='"); ok {
		if inner, _, ok := strings.Cut(last, "': must build at directory"); ok && !strings.Contains(inner, "accumulation err=") {
			return inner
		}
	}
	return strings.TrimSpace(message)
}
