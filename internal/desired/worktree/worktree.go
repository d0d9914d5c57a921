// Package worktree answers questions about the fleet repository in a directory, for
// those who edit it: whether it is right, what its clusters should hold, and what a
// change would do. It asks no hub and no cluster.
package worktree

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/desired"
	"nave.dev/internal/desired/offline"
)

// Options are where and with what a repository is compiled.
type Options struct {
	// Caches is a directory of the caller's for mirrors and renders.
	Caches string
	// Worker is the command that starts a render worker.
	Worker []string
}

// Worktree is what the files of a directory say now, committed or not.
type Worktree struct {
	*desired.Pinned
	pipeline *desired.Pipeline
}

// Open reads the directory of a fleet repository. The caller closes it.
func Open(ctx context.Context, dir string, o Options) (*Worktree, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory\nhint: name the directory with fleet.yaml, or begin one with nave init", dir)
	}
	pipeline, err := desired.Open(ctx, desired.Options{
		Dir: filepath.Join(o.Caches, "local"), Worktree: dir, WorkerCommand: o.Worker, Repository: knownAs(ctx, dir),
	})
	if err != nil {
		return nil, err
	}
	pinned, err := pipeline.Pin(ctx)
	if err != nil {
		pipeline.Close()
		return nil, err
	}
	return &Worktree{Pinned: pinned, pipeline: pipeline}, nil
}

// Close gives up what is kept for the directory.
func (w *Worktree) Close() error { return w.pipeline.Close() }

// Compile returns what the named clusters should hold, as far as that can be said
// without asking them.
func (w *Worktree) Compile(ctx context.Context, clusters []string) (map[string]*desired.Compiled, error) {
	return w.pipeline.Compile(ctx, w.Pinned, clusters, func(string) app.Facts { return app.Facts{} })
}

// Releases renders those of a cluster's apps that are releases of Helm, as far as that
// can be done without asking it. Of returns what an app's bundle came to, nil if it is no
// release.
func (w *Worktree) Releases(ctx context.Context, cluster string, apps []app.Desired) (of func(*app.Bundle) *offline.Objects, err error) {
	version := ""
	for _, member := range w.Fleet.Members {
		if member.Name == cluster {
			version = member.KubernetesVersion
		}
	}
	releases := offline.New(w.pipeline.Renderer())
	for _, desired := range apps {
		releases.Want(desired.Bundle, version)
	}
	return func(bundle *app.Bundle) *offline.Objects { return releases.Of(bundle, version) }, releases.Render(ctx)
}

// Plan compares two revisions, as git rev-parse understands them, of the Git
// repository that a directory is in.
func Plan(ctx context.Context, dir, from, to string, o Options) (*desired.Plan, error) {
	top, err := git(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: plan compares commits; --repo says in which directory", err)
	}
	before, err := commitOf(ctx, dir, from)
	if err != nil {
		return nil, err
	}
	after, err := commitOf(ctx, dir, to)
	if err != nil {
		return nil, err
	}
	repository := knownAs(ctx, top)
	repository.URL = top
	pipeline, err := desired.Open(ctx, desired.Options{
		Dir: filepath.Join(o.Caches, "plan"), Repository: repository, WorkerCommand: o.Worker,
	})
	if err != nil {
		return nil, err
	}
	defer pipeline.Close()
	for _, state := range pipeline.Fetch(ctx, nil) {
		if state.Err != "" {
			return nil, fmt.Errorf("reading %s: %s", top, state.Err)
		}
	}
	return pipeline.Plan(ctx, v1alpha1.Revision{Commit: before}, v1alpha1.Revision{Commit: after})
}
