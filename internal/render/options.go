package render

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
	"nave.dev/internal/render/worker"
)

// Options are those of a Renderer. The zero value renders in this process and remembers in memory, which suits
// commands that run once, on files that their user trusts.
type Options struct {
	// WorkerCommand is the argv of a process that calls ServeWorker, such as the running binary with "render-worker".
	// Without it renders run in this process, where neither Deadline nor MaxMemory can stop them.
	WorkerCommand []string
	// Workers is how many renders run at the same time. 0 means one per processor, at most 4.
	Workers int
	// Deadline is how long one render may take. 0 means 30 seconds.
	Deadline time.Duration
	// MaxMemory is how much anonymous memory one worker may have, in bytes. 0 means 512 MiB.
	MaxMemory int64
	// Idle is how long a worker waits for another render before it ends. 0 means one minute.
	Idle time.Duration
	// MaxObjects is how many objects one app may have. 0 means 50,000.
	MaxObjects int
	// MaxBytes is how large the objects of one app may be together, in bytes of JSON. 0 means 64 MiB.
	MaxBytes int64

	// CacheDir is where results outlive the process. It may be shared with other processes of the same user. Results
	// hold what the manifests hold, Secrets in plain text included. Empty means memory only.
	CacheDir string
	// MaxCacheMemory is how much memory results may take that nobody holds, in bytes, as estimated. 0 means 8 MiB.
	MaxCacheMemory int64
	// MaxCacheDisk is how large CacheDir may grow, in bytes. 0 means 1 GiB.
	MaxCacheDisk int64
	// Retry is how long it is remembered that a render was stopped or its worker died, before it is tried again with
	// the same input. 0 means one minute.
	Retry time.Duration
}

func (o Options) withDefaults() Options {
	if o.MaxObjects == 0 {
		o.MaxObjects = 50_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.Retry == 0 {
		o.Retry = time.Minute
	}
	return o
}

// Problem is one thing that is wrong with an app, at its place. Render's errors about an app's files are a Problem or
// Problems, as errors.As tells.
type Problem = manifest.Problem

// Problems is everything that is wrong with an app.
type Problems = manifest.Problems

// StoppedError is the error of a render that took too long or too much memory, or whose worker died.
type StoppedError = worker.StoppedError

// Read is one use of the tree by a render, a miss included.
type Read = tree.Read

// Hashes names the content of a path without reading it, such as by Git object ids.
type Hashes = tree.Hashes

// Remotes shows other repositories beside the one of a Request.
type Remotes = tree.Remotes

// ServeWorker is what a worker process does: it renders what its parent sends on in, answers on out, and returns when
// in ends. The process must end then, and write nothing else to out.
func ServeWorker(in io.Reader, out io.Writer) error {
	http.DefaultTransport = refusing{} // what Kustomize would use, where there is no network namespace to stop it
	return worker.Serve(in, out)
}

// refusing is a network that nothing can be fetched from.
type refusing struct{}

// RoundTrip implements http.RoundTripper.
func (refusing) RoundTrip(request *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s is not fetched: rendering has no network", request.URL)
}
