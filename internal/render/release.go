package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/tree"
)

// Templates runs the templates of a release's chart as Helm does, where they can be
// stopped, and returns what each file of them came to, notes among them, by the file's
// name below that of the chart. lookup answers what they look up on the cluster. Nothing
// is remembered, since each run may come to something else, but that a run was stopped:
// the clusters of a fleet do not wait for the same loop one after another.
func (r *Renderer) Templates(ctx context.Context, templates app.Templates, lookup app.Lookup) (map[string]string, error) {
	key, err := templatesKey(templates)
	if err != nil {
		return nil, err
	}
	if err := r.stopped.recall(key); err != nil {
		return nil, err
	}
	job := build.Job{Path: templates.Namespace + "/" + templates.Name, Templates: &templates, MaxBytes: r.options.MaxBytes}
	out, err := r.step(ctx, cluster{nothing, lookup}, job)
	var stopped *StoppedError
	if errors.As(err, &stopped) && ctx.Err() == nil {
		r.stopped.remember(key, err, r.options.Retry)
	}
	if err != nil {
		return nil, err
	}
	return out.Templates, nil
}

// templatesKey names what templates are run with, save what the cluster answers.
func templatesKey(templates app.Templates) (string, error) {
	chart := templates.Chart.Digest()
	templates.Chart = app.Chart{}
	rest, err := json.Marshal(templates)
	if err != nil {
		return "", fmt.Errorf("encoding the values of the release %s/%s: %w", templates.Namespace, templates.Name, err)
	}
	return object.Digest([]byte(chart), rest), nil
}

// stops remembers for a while which runs were stopped. Its zero value works; it is safe
// for concurrent use.
type stops struct {
	mu    sync.Mutex
	found map[string]stop
}

type stop struct {
	err   error
	until time.Time
}

// recall returns why a run was stopped, if it was a short while ago.
func (s *stops) recall(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.found[key]; time.Now().Before(one.until) {
		return one.err
	}
	return nil
}

// remember keeps why a run was stopped, and forgets those of which the time is over.
func (s *stops) remember(key string, err error, lasts time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.found, func(_ string, one stop) bool { return !now.Before(one.until) })
	if s.found == nil {
		s.found = map[string]stop{}
	}
	s.found[key] = stop{err, now.Add(lasts)}
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
