// Package render turns an app's files into objects, as a build system would. The main type is Renderer: it records
// which files, listings, misses and facts of the cluster a render used, and repeats one only where any of these
// changed, so that a commit costs what it touched, equal renders of several clusters are done once, and a restart
// costs none. Renders run in worker processes that can be stopped, save those of a few plain manifests. It fetches
// nothing, decrypts nothing and applies nothing: what is encrypted passes through, with the files that it came from.
package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/memo"
	"nave.dev/internal/render/tree"
	"nave.dev/internal/render/worker"
)

// Request is one app of one cluster to render.
type Request struct {
	// Files is the source at one commit.
	Files fs.FS
	// Hashes names the content of Files. nil means Files itself, if it can, or else that files are read to be compared.
	Hashes Hashes
	// Remotes shows the other repositories that a kustomization may refer to. nil means that there are none.
	Remotes Remotes
	// Path is the app's directory in Files, "." for the root.
	Path   string
	Params app.Render
	Facts  app.Facts
}

// Result is what an app should be. It is shared and must not be changed.
type Result struct {
	Bundle   *app.Bundle
	Warnings []string // for the author of the app, one sentence each
	Reads    []Read   // what of Files the result depends on
	// FactsUsed says that the result depends on Facts, so that another cluster's may differ.
	FactsUsed bool
	// FromCache says that nothing was rendered.
	FromCache bool
}

// Stats counts what a Renderer did since it was made.
type Stats struct {
	Hits, Renders, Errors int64
	// CacheFailure is the last error of CacheDir. Rendering goes on without it.
	CacheFailure error
	// Isolation says how workers are kept from the network: "network namespace", or why there is none. It is empty
	// while no worker was started.
	Isolation string
}

// runner runs jobs: in this process, or in a pool of workers.
type runner interface {
	Run(ctx context.Context, t tree.Tree, job build.Job) (*build.Output, []build.Fact, error)
}

// Renderer renders apps and remembers. It is safe for concurrent use.
type Renderer struct {
	options Options
	cache   *memo.Cache
	runner  runner
	pool    *worker.Pool // nil without WorkerCommand
	small   inProcess    // for what needs no worker; nil without WorkerCommand
	flights flights
	stopped stops // templates of releases

	hits, renders, errors atomic.Int64
}

// New returns a Renderer. Close ends its workers.
func New(options Options) *Renderer {
	options = options.withDefaults()
	r := &Renderer{
		options: options,
		cache:   memo.New(memo.Options{Dir: options.CacheDir, MaxMemory: options.MaxCacheMemory, MaxDisk: options.MaxCacheDisk}),
	}
	if len(options.WorkerCommand) == 0 {
		if options.Workers == 0 {
			options.Workers = runtime.GOMAXPROCS(0)
		}
		r.runner = inProcess(make(chan struct{}, options.Workers))
		return r
	}
	r.pool = worker.NewPool(worker.Options{
		Command: options.WorkerCommand, Workers: options.Workers, Deadline: options.Deadline, MaxMemory: options.MaxMemory, Idle: options.Idle,
	})
	r.runner, r.small = r.pool, make(inProcess, runtime.GOMAXPROCS(0))
	return r
}

// Close ends the workers and waits for those that are idle.
func (r *Renderer) Close() {
	if r.pool != nil {
		r.pool.Close()
	}
}

// Stats returns what was done so far.
func (r *Renderer) Stats() Stats {
	stats := Stats{Hits: r.hits.Load(), Renders: r.renders.Load(), Errors: r.errors.Load(), CacheFailure: r.cache.Failure()}
	if r.pool != nil {
		stats.Isolation = r.pool.Isolation()
	}
	return stats
}

// Render returns the objects of an app. An error about the app's files is a Problem or Problems and stays the same
// until an input changes; a StoppedError may not; others are the caller's or the machine's.
func (r *Renderer) Render(ctx context.Context, request Request) (*Result, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	source := tree.Source{Files: request.Files, Hashes: request.Hashes, Remotes: request.Remotes}
	if hashes, ok := request.Files.(Hashes); ok && source.Hashes == nil {
		source.Hashes = hashes
	}
	// The release has another name for each app. One of no chart is the same by any.
	unnamed := request.Params.Kind != app.Helm && request.Params.Helm.ReleaseName != ""
	job, key, err := r.plan(request, unnamed)
	if err != nil {
		return nil, err
	}
	if found, ok := r.cache.Find(key, source, job.Facts); ok {
		return r.remembered(found)
	}
	if unnamed {
		if kind, err := build.KindOf(source, job); err == nil && kind == app.Helm { // an error is that of the render
			if job, key, err = r.plan(request, false); err != nil {
				return nil, err
			}
			if found, ok := r.cache.Find(key, source, job.Facts); ok {
				return r.remembered(found)
			}
		}
	}
	// Whoever wants the same meanwhile waits, and then finds it remembered.
	landed, err := r.flights.board(ctx, key)
	if err != nil {
		return nil, err
	}
	defer landed()
	if found, ok := r.cache.Find(key, source, job.Facts); ok {
		return r.remembered(found)
	}
	return r.render(ctx, key, source, job)
}

// engineVersion changes whenever the same input renders to something else: with this package, and with the libraries
// that it calls.
var engineVersion = sync.OnceValue(func() string {
	version := "5"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			for _, prefix := range []string{"sigs.k8s.io/kustomize/", "helm.sh/helm/", "github.com/Masterminds/sprig", "github.com/google/go-jsonnet", "github.com/fluxcd/pkg/envsubst", "sigs.k8s.io/yaml"} {
				if strings.HasPrefix(module.Path, prefix) {
					version += " " + module.Path + "@" + module.Version
				}
			}
		}
	}
	return version
})

// plan makes a job of a request, and the key under which its renders are remembered: all that the outcome depends on
// besides the tree and the cluster's facts. An unnamed one is of no chart.
func (r *Renderer) plan(request Request, unnamed bool) (build.Job, string, error) {
	job := build.Job{Path: path.Clean(request.Path), Params: request.Params, Facts: request.Facts, MaxObjects: r.options.MaxObjects, MaxBytes: r.options.MaxBytes}
	if !fs.ValidPath(job.Path) {
		return job, "", Problem{File: request.Path, Message: "is no path in the repository", Hint: "write it relative to the repository's root, without \"..\""}
	}
	if !job.Params.Substitute {
		job.Params.Variables = nil // they change nothing
	}
	if unnamed {
		job.Params.Helm = app.HelmOptions{}
	}
	params, err := json.Marshal(job.Params)
	if err != nil {
		return job, "", fmt.Errorf("encoding the parameters of %q: %w", job.Path, err)
	}
	limits := fmt.Sprintf("%d %d %t", job.MaxObjects, job.MaxBytes, unnamed)
	return job, object.Digest([]byte(engineVersion()), []byte(job.Path), params, []byte(limits)), nil
}

// remembered makes a result of what the cache found.
func (r *Renderer) remembered(found *memo.Found) (*Result, error) {
	r.hits.Add(1)
	if found.Err != nil {
		return nil, found.Err
	}
	return &Result{Bundle: found.Bundle, Warnings: found.Warnings, Reads: found.Reads, FactsUsed: len(found.Facts) > 0, FromCache: true}, nil
}

// render does the work, and remembers what came of it.
func (r *Renderer) render(ctx context.Context, key string, source tree.Source, job build.Job) (*Result, error) {
	r.renders.Add(1)
	recorder := tree.Record(source)
	out, facts, err, done := r.here(ctx, recorder, job)
	if !done {
		out, facts, err = r.runner.Run(ctx, recorder, job)
	}
	reads := recorder.Reads()
	if err != nil {
		r.errors.Add(1)
		r.rememberError(key, source, job, failure{reads, facts, err})
		return nil, err
	}
	value, err := r.cache.Keep(key, source, reads, facts, out)
	if err != nil {
		return nil, fmt.Errorf("reading what %q rendered to: %w", job.Path, err)
	}
	return &Result{Bundle: value.Bundle, Warnings: value.Warnings, Reads: reads, FactsUsed: len(facts) > 0}, nil
}

// failure is a render that came to nothing, with what it depends on.
type failure struct {
	reads []Read
	facts []build.Fact
	err   error
}

// rememberError keeps the errors that the same input would give again: the files' own for good, and for some time that
// a render was stopped, so that 24 clusters do not wait for the same loop one after the other.
func (r *Renderer) rememberError(key string, source tree.Source, job build.Job, f failure) {
	var stopped *StoppedError
	var problem Problem
	var problems Problems
	switch {
	case errors.As(f.err, &stopped):
		// The worker did not live to say which facts it used: it may have been any.
		for _, name := range []string{build.FactVersion, build.FactAPIs} {
			f.facts = append(f.facts, build.Fact{Name: name, Value: build.Answer(job.Facts, name)})
		}
		r.cache.KeepError(key, source, f.reads, f.facts, f.err, r.options.Retry)
	case errors.As(f.err, &problem), errors.As(f.err, &problems):
		r.cache.KeepError(key, source, f.reads, f.facts, f.err, 0)
	}
}

// inProcess runs jobs in this process, as many at once as it has room for.
type inProcess chan struct{}

// Run implements runner. A job that runs cannot be stopped.
func (p inProcess) Run(ctx context.Context, t tree.Tree, job build.Job) (*build.Output, []build.Fact, error) {
	select {
	case p <- struct{}{}:
		defer func() { <-p }()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	return build.Run(t, job)
}
