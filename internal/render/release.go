package render

import (
	"context"
	"fmt"
	"io/fs"

	"nave.dev/internal/app"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/tree"
)

// Templates runs the templates of a release's chart as Helm does, where they can be
// stopped, and returns what each file of them came to, notes among them, by the file's
// name below that of the chart. lookup answers what they look up on the cluster. Nothing
// is remembered: each run may come to something else.
func (r *Renderer) Templates(ctx context.Context, templates app.Templates, lookup app.Lookup) (map[string]string, error) {
	job := build.Job{Path: templates.Namespace + "/" + templates.Name, Templates: &templates, MaxBytes: r.options.MaxBytes}
	out, err := r.step(ctx, cluster{nothing, lookup}, job)
	if err != nil {
		return nil, err
	}
	return out.Templates, nil
}

// PostRender applies a release's post-renderers to what its chart rendered to, which is
// YAML. A release without any gets back what it gave.
func (r *Renderer) PostRender(ctx context.Context, release *app.Release, manifests []byte) ([]byte, error) {
	if !build.PostRenders(release) {
		return manifests, nil
	}
	rules := &app.Release{PostRenderers: release.PostRenderers, CommonMetadata: release.CommonMetadata, KeepHooks: release.KeepHooks}
	job := build.Job{Path: release.Namespace + "/" + release.Name, PostRender: &build.PostRender{Release: rules, Manifests: manifests}, MaxBytes: r.options.MaxBytes}
	out, err := r.step(ctx, nothing, job)
	if err != nil {
		return nil, err
	}
	return out.Manifests, nil
}

// step does one thing for a release.
func (r *Renderer) step(ctx context.Context, t tree.Tree, job build.Job) (*build.Output, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	r.renders.Add(1)
	out, _, err := r.runner.Run(ctx, t, job)
	if err != nil {
		r.errors.Add(1)
		return nil, fmt.Errorf("rendering the release %s: %w", job.Path, err)
	}
	return out, nil
}

// nothing is a tree without files: a release brings its own.
var nothing = tree.Source{Files: noFiles{}}

type noFiles struct{}

// Open implements fs.FS.
func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// cluster is a tree that can look up objects.
type cluster struct {
	tree.Tree
	lookup app.Lookup
}

// Lookup implements build.Cluster.
func (c cluster) Lookup(apiVersion, kind, namespace, name string) (map[string]any, error) {
	return c.lookup(apiVersion, kind, namespace, name)
}
